"""Initializes sharded models in 1 to 4 real processes over gloo, and writes what came of it as JSON; no test itself.

`python sharded_worker.py FOLDER`: FOLDER gets one file `WORLD-RANK.json` a process. PyTorch is imported once, the
model is planned once, and the processes are forked.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import CPUOffloadPolicy, fully_shard
from torch.distributed.tensor import DTensor, Replicate, Shard, distribute_tensor
from torch.distributed.tensor.debug import CommDebugMode
from torch.distributed.tensor.parallel import ColwiseParallel, RowwiseParallel, parallelize_module

import fanin

WORLDS = (1, 2, 3, 4)
SECONDS = 200


class Net(nn.Module):
    """Sizes that 2, 3 and 4 processes divide, and sizes that they do not, down to empty shards."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(11, 12)
        self.up = nn.Linear(12, 24)
        self.norm = nn.LayerNorm(24)
        self.down = nn.Linear(24, 12)
        self.square = nn.Linear(12, 12, bias=False)
        self.out = nn.Linear(12, 2)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.down(nn.functional.gelu(self.norm(self.up(self.embedding(x)))))
        found: Tensor = self.out(self.square(hidden))
        return found


EXAMPLE = torch.arange(11).reshape(1, 11)
OVERRIDES = {"square.weight": "orthogonal", "embedding.weight": "truncated_normal(std=0.02)", "*.bias": "normal"}


def plan() -> fanin.Plan:
    """Of a model that has no memory at all."""
    with torch.device("meta"):
        return fanin.plan(Net(), EXAMPLE, overrides=OVERRIDES)


def fsdp(net: nn.Module, mesh: DeviceMesh, **options: Any) -> nn.Module:
    for layer in (net.up, net.down):
        fully_shard(layer, mesh=mesh, **options)  # type: ignore[arg-type]
    fully_shard(net, mesh=mesh, **options)
    return net


def tensor_parallel(net: nn.Module, mesh: DeviceMesh) -> nn.Module:
    by_rows, by_columns = ColwiseParallel(output_layouts=Replicate()), RowwiseParallel(input_layouts=Replicate())
    return parallelize_module(net, mesh, {"up": by_rows, "down": by_columns, "out": by_columns})


def placed(net: nn.Module, mesh: DeviceMesh, *placements: Any) -> nn.Module:
    for module in net.modules():
        for name, p in list(module.named_parameters(recurse=False)):
            fits = [Replicate() if getattr(q, "dim", 0) >= p.dim() else q for q in placements]
            module.register_parameter(name, nn.Parameter(distribute_tensor(p.detach(), mesh, fits)))
    return net


def materialized(net: nn.Module) -> nn.Module:
    return net.to_empty(device="cpu")


def cases(world: int) -> Iterator[tuple[str, Callable[[], nn.Module]]]:
    line = init_device_mesh("cpu", (world,), mesh_dim_names=("dp",))
    yield "replicated", lambda: placed(Net(), line, Replicate())
    yield "rows", lambda: placed(Net(), line, Shard(0))
    yield "columns", lambda: placed(Net(), line, Shard(1))
    yield "fsdp", lambda: fsdp(Net(), line)
    yield "fsdp offloaded", lambda: fsdp(Net(), line, offload_policy=CPUOffloadPolicy(pin_memory=False))
    yield "fsdp by columns", lambda: fsdp(Net(), line, shard_placement_fn=by_columns)
    yield "fsdp from meta", lambda: materialized(fsdp(on_meta(), line))
    yield "tensor parallel", lambda: tensor_parallel(Net(), line)
    yield "ddp", lambda: nn.parallel.DistributedDataParallel(Net())
    if world == 4:
        square = init_device_mesh("cpu", (2, 2), mesh_dim_names=("dp", "tp"))
        yield "rows and columns", lambda: placed(Net(), square, Shard(0), Shard(1))
        yield "rows of rows", lambda: placed(Net(), square, Shard(0), Shard(0))
        yield "hybrid fsdp", lambda: fsdp(Net(), square)
        yield "fsdp of tensor parallel", lambda: fsdp(tensor_parallel(Net(), square["tp"]), square["dp"])
        yield (
            "fsdp of tensor parallel from meta",
            lambda: materialized(fsdp(tensor_parallel(on_meta(), square["tp"]), square["dp"])),
        )


def on_meta() -> nn.Module:
    with torch.device("meta"):
        return Net()


def by_columns(p: nn.Parameter) -> Shard | None:
    return Shard(1) if p.dim() > 1 and p.shape[1] == 12 else None


def digest(model: nn.Module) -> str:
    """Of the names and bytes of the whole parameters."""
    found = hashlib.sha256()
    for path, p in model.named_parameters():
        whole = p.full_tensor() if isinstance(p, DTensor) else p
        found.update(path.removeprefix("module.").encode() + whole.detach().contiguous().numpy().tobytes())
    return found.hexdigest()


def report(world: int, decided: fanin.Plan) -> dict[str, Any]:
    found: dict[str, Any] = {"digests": {}, "sent": {}, "outputs": {}, "of torch": "", "seen by the counter": 0}
    for name, build in cases(world):
        model = build()
        with CommDebugMode() as sent:  # type: ignore[no-untyped-call]
            fanin.initialize_(model, recipe=decided, seed=7)
        found["sent"][name] = sent.get_total_counts()
        with CommDebugMode() as sent:  # type: ignore[no-untyped-call]
            found["digests"][name] = digest(model)
        found["seen by the counter"] += sent.get_total_counts()
        if any(how in name for how in ("fsdp", "parallel", "ddp")):  # what is only placed takes DTensors alone
            with torch.no_grad():
                found["outputs"][name] = model(EXAMPLE).flatten().tolist()
        if name == "fsdp":
            found["of torch"] = of_torch(build())
    return found


def of_torch(model: nn.Module) -> str:
    """The same question to PyTorch's own generator, seeded alike in all processes."""
    torch.manual_seed(7)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for p in model.parameters():
            nn.init.normal_(p)
    return digest(model)


def work(folder: Path, world: int, rank: int, decided: fanin.Plan) -> None:
    torch.set_num_threads(1)
    meeting = f"file://{folder / f'{world}.meeting'}"
    dist.init_process_group("gloo", meeting, timedelta(seconds=SECONDS), world, rank)
    (folder / f"{world}-{rank}.json").write_text(json.dumps(report(world, decided)))
    dist.destroy_process_group()


def main(folder: Path) -> int:
    """Each world in turn; what does not end in time is ended."""
    end = time.monotonic() + SECONDS
    fork, decided = multiprocessing.get_context("fork"), plan()
    for world in WORLDS:
        ranks = range(world)
        processes = [fork.Process(target=work, args=(folder, world, rank, decided), daemon=True) for rank in ranks]
        for process in processes:
            process.start()
        for process in processes:
            process.join(max(0.0, end - time.monotonic()))
        codes = [process.exitcode for process in processes]
        for process in processes:
            process.kill()
        if any(codes):
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
