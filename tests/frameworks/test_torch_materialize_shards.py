"""Of a sharded model on the meta device, each rank materializes its own part and no more."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor.debug import _clear_sharding_prop_cache
from torch.testing._internal.distributed.fake_pg import FakeStore

import fanin
from fanin.errors import StillUninitialized
from fanin.plans import Plan

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "materialize.py"
X = torch.ones(2, 6)


class Net(nn.Module):
    """A width that four ranks cannot share evenly, a parameter that the plan keeps, a buffer, a tie."""

    scale: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(6, 7), nn.Linear(7, 6)
        self.decay = nn.Parameter(torch.log(torch.arange(1, 8).float()))
        self.again = nn.Linear(6, 7, bias=False)
        self.again.weight = self.first.weight
        self.register_buffer("scale", 1 / torch.arange(1, 8).float(), persistent=False)

    def forward(self, x: Tensor) -> Any:
        return self.last(torch.relu(self.first(x) * self.scale * self.decay.exp()) + self.again(x))


@contextmanager
def world(rank: int, size: int, backend: str = "fake") -> Iterator[Any]:
    """A mesh of which this process is one rank; the fake backend sends nothing."""
    store = FakeStore() if backend == "fake" else torch._C._distributed_c10d.HashStore()
    dist.init_process_group(backend, store=store, rank=rank, world_size=size)
    try:
        yield init_device_mesh("cpu", (size,))
    finally:
        dist.destroy_process_group()
        _clear_sharding_prop_cache()  # type: ignore[no-untyped-call]  # PyTorch keeps meshes there, and equal ones of another rank are taken for this


def built() -> tuple[Net, Any, Plan]:
    with fanin.on_meta() as recorded:
        net = Net()
    return net, recorded, fanin.plan(net, X, overrides={"decay": "keep"})


def test_each_rank_has_its_part_of_the_values_of_the_whole() -> None:
    whole: Any = Net()
    plan = built()[2]
    fanin.initialize_(whole, recipe=plan, seed=3)
    for rank in range(4):
        net, recorded, _ = built()
        with world(rank, 4) as mesh:
            fully_shard(net.last, mesh=mesh)
            fully_shard(net, mesh=mesh)
            fanin.materialize_(net, plan, seed=3, recorded=recorded)
            assert net.again.weight is net.first.weight
            assert torch.equal(net.scale, whole.scale)
            for path, parameter in whole.named_parameters():
                mine: Any = net.get_parameter(path)
                parts = [*parameter.chunk(4), *[parameter[:0]] * 4]
                assert torch.equal(mine.to_local(), parts[rank]), (rank, path)
                assert mine.to_local().untyped_storage().nbytes() <= 4 * len(parameter.flatten()) // 2


def test_a_kept_parameter_that_was_sharded_needs_a_recording_or_a_value() -> None:
    net, _, plan = built()
    with world(1, 4) as mesh:
        fully_shard(net, mesh=mesh)
        scale = {"scale": 1.0}
        with pytest.raises(StillUninitialized, match=r"1 tensor.*: decay \(parameter that the plan keeps\)"):
            fanin.materialize_(net, plan, seed=0, buffers=scale)
        assert all(p.is_meta for p in net.parameters())
        fanin.materialize_(net, plan, seed=0, buffers={**scale, "decay": torch.arange(7.0)})
        decay: Any = net.decay
        assert decay.to_local().tolist() == [2.0, 3.0]


def test_fsdp_trains_what_was_materialized() -> None:
    whole = Net()
    net, recorded, plan = built()
    fanin.initialize_(whole, recipe=plan, seed=0)
    with world(0, 1, "gloo") as mesh:
        fully_shard(net.last, mesh=mesh)
        fully_shard(net, mesh=mesh)
        fanin.materialize_(net, plan, seed=0, recorded=recorded)
        optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
        ours, theirs = net(X), whole(X)
        assert torch.equal(ours, theirs)
        for out in (ours, theirs):
            out.square().sum().backward()
        optimizer.step()
        torch.optim.SGD(whole.parameters(), lr=0.1).step()
        assert torch.allclose(net(X), whole(X))


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="the kernel's books on memory are Linux's")
def test_a_rank_needs_its_shard_and_a_few_megabytes() -> None:
    size = ["--layers", "1", "--width", "1024", "--hidden", "2816", "--heads", "16", "--vocabulary", "32768"]
    command = [sys.executable, str(BENCHMARK), *size, "--ranks", "2", "--rank", "1", "--json"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    found = json.loads(ended.stdout)
    assert found["shard_bytes"] > 75e6
    assert found["peak_bytes"] - found["shard_bytes"] < 8e6  # mutant: copies to roll back to
