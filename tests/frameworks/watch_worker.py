"""Trains one net in 2 real processes over gloo under `fanin.watch`, in several ways; no test itself.

`python watch_worker.py FOLDER`: FOLDER gets one file `RANK.json` a process, and what the watches write.
"""

from __future__ import annotations

import json
import multiprocessing
import sys
import warnings
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.nn.parallel import DistributedDataParallel

import fanin
from fanin.frameworks.torch import Watcher
from fanin.signals.step import StepSignals

WORLD, SECONDS = 2, 150
ROWS = 16  # of the whole batch


def net() -> nn.Sequential:
    """An odd number of rows, so that shards differ in size, and a bias that one process has nothing of."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(8, 15), nn.Tanh(), nn.Linear(15, 15), nn.ReLU(), nn.Linear(15, 1))


def batches(steps: int) -> Tensor:
    return torch.randn(steps, ROWS, 8, generator=torch.Generator().manual_seed(1))


def sharded(rank: int) -> nn.Module:
    model, mesh = net(), init_device_mesh("cpu", (WORLD,))
    fully_shard(model[0], mesh=mesh)
    fully_shard(model, mesh=mesh)
    return model


def replicated(rank: int) -> nn.Module:
    return DistributedDataParallel(net())


def alone(rank: int) -> nn.Module:
    return net()


def norms(steps: list[StepSignals]) -> list[Any]:
    return [[[p.path, list(p.shape), p.weight, p.gradient, p.update] for p in seen.parameters] for seen in steps]


def trained(
    make: Callable[[int], nn.Module], rank: int, folder: Path | None = None, *, clip: str = "", spoil: bool = False
) -> dict[str, Any]:
    """Twelve steps, of which 1, 4, 8 and 12 are watched; each process has its half of the batch, one alone has all."""
    model, said = make(rank), list[str]()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    clipped = 0.0
    own = batches(12) if make is alone else batches(12).chunk(WORLD, dim=1)[rank]
    how: dict[str, Any] = {clip: 0.05}
    options: dict[str, Any] = {"keep_step": spoil and make is not sharded, "to": folder}
    with fanin.watch(model, every=4, optimizer=optimizer, say=said.append, **options) as w:
        for step, x in enumerate(own, 1):
            if spoil and step == 6 and rank == 1:
                x.mul_(torch.inf)
            loss = F.mse_loss(model(x), x.mean(1, keepdim=True))
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            norm = fanin.clip_(model, **how) if clip else None
            optimizer.step()
            clipped += float(norm.clipped) if norm else 0
            w.step(loss, norm)
    whole = [p.full_tensor() if hasattr(p, "full_tensor") else p for p in model.parameters()]
    return {
        "norms": norms([record.signals for record in w.result.records]),
        "steps": [record.step for record in w.result.records],
        "layers": [[layer.path for layer in record.signals.layers] for record in w.result.records],
        "said": said,
        "onsets": [[onset.step, onset.finding.code] for onset in w.result],
        "notes": list(w.result.notes),
        "clipped": clipped,
        "weights": [float(x.detach().double().sum()) for x in whole],
        "hooks": sum(len(module._forward_hooks) for module in net().modules()),
    }


def failing(rank: int) -> dict[str, Any]:
    """On one of the two, whatever looks at the eighth step fails; none waits for the other for ever."""
    collect, step = Watcher._collected, [0]

    def broken(watcher: Watcher) -> Any:
        step[0] += 1
        if rank == 1 and step[0] == 3:
            raise MemoryError("no room for it")
        return collect(watcher)

    Watcher._collected = broken  # type: ignore[method-assign, assignment]
    try:
        return trained(sharded, rank)
    finally:
        Watcher._collected = collect  # type: ignore[method-assign]


def report(rank: int, folder: Path) -> dict[str, Any]:
    return {
        "alone": trained(alone, rank),
        "replicated": trained(replicated, rank, folder / "replicated"),
        "sharded": trained(sharded, rank, folder / "sharded"),
        "clipped alone": {how: trained(alone, rank, clip=how) for how in ("norm", "value", "adaptive")},
        "clipped": {how: trained(sharded, rank, clip=how) for how in ("norm", "value", "adaptive")},
        "spoiled": trained(replicated, rank, folder / "spoiled", spoil=True),
        "failing": failing(rank),
    }


def work(rank: int, folder: Path) -> None:
    warnings.simplefilter("ignore")
    store = f"file://{folder / 'store'}"
    dist.init_process_group("gloo", store, rank=rank, world_size=WORLD, timeout=timedelta(seconds=30))
    (folder / f"{rank}.json").write_text(json.dumps(report(rank, folder)))
    dist.destroy_process_group()


def main(folder: Path) -> int:
    context = multiprocessing.get_context("fork")
    started = [context.Process(target=work, args=(rank, folder)) for rank in range(WORLD)]
    for process in started:
        process.start()
    for process in started:
        process.join(SECONDS)
        if process.is_alive():
            process.kill()
    return max(process.exitcode or 0 for process in started)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
