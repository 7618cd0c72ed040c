"""Which elements a process holds: PyTorch's own splitting of indices is the judge; one process plays all ranks."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import FullyShardedDataParallel, fully_shard
from torch.distributed.tensor import DTensor, Partial, Replicate, Shard, distribute_tensor
from torch.distributed.tensor.debug import _clear_sharding_prop_cache
from torch.distributed.tensor.parallel import ColwiseParallel, RowwiseParallel, parallelize_module
from torch.distributed.tensor.placement_types import _StridedShard
from torch.testing._internal.distributed.fake_pg import FakeStore

import fanin
from fanin.errors import BadInput, CannotTrace, CannotWrite
from fanin.frameworks.torch import trace
from fanin.frameworks.torch.model.shards import Split, agreed, local_of, pieces, spans
from fanin.initializers import Normal, Target
from fanin.stream import Runs

Placed = tuple[tuple[int, ...], tuple[int, ...], tuple[Any, ...]]


STRIPED = "(_StridedShard(dim=0, sf=4), Shard(dim=0))"


@contextmanager
def rank(this: int, world: int) -> Iterator[None]:
    """This process as one of many whose messages go nowhere: what needs one gets nothing."""
    dist.init_process_group("fake", rank=this, world_size=world, store=FakeStore())
    try:
        yield
    finally:
        dist.destroy_process_group()
        # It keeps meshes, and takes those of another rank for this one's.
        _clear_sharding_prop_cache()  # type: ignore[no-untyped-call]


@st.composite
def placed(draw: st.DrawFn) -> Placed:
    """A shape, a mesh and a placement for each of its dimensions."""
    shape = tuple(draw(st.lists(st.integers(0, 7), min_size=1, max_size=4)))
    mesh = tuple(draw(st.lists(st.integers(1, 4), min_size=1, max_size=3)))
    axes = st.integers(0, len(shape) - 1)
    striped = st.builds(lambda axis, n: _StridedShard(axis, split_factor=n), axes, st.integers(2, 4))
    one = st.one_of(st.just(Replicate()), st.builds(Shard, axes), striped)
    return shape, mesh, tuple(draw(st.lists(one, min_size=len(mesh), max_size=len(mesh))))


def splits(placements: tuple[Any, ...], mesh: tuple[int, ...], coordinate: tuple[int, ...]) -> dict[int, list[Split]]:
    found: dict[int, list[Split]] = {}
    for placement, parts, part in zip(placements, mesh, coordinate, strict=True):
        if not isinstance(placement, Replicate):
            found.setdefault(placement.dim, []).append(Split(parts, part, getattr(placement, "split_factor", 1)))
    return found


def of_torch(shape: tuple[int, ...], placements: Any, mesh: Any, coordinate: Any) -> torch.Tensor:
    """The indices that are left when each placement in turn splits the tensor of all."""
    local = torch.arange(math.prod(shape)).view(shape)
    for placement, parts, part in zip(placements, mesh, coordinate, strict=True):
        if not isinstance(placement, Replicate):
            local = placement._split_tensor(local, parts, with_padding=False, contiguous=False)[0][part]
    return local


@settings(deadline=None, max_examples=150)
@given(placed())
def test_the_pieces_are_those_of_torch_and_tile_the_tensor(case: Placed) -> None:
    shape, mesh, placements = case
    seen = np.zeros(math.prod(shape), int)
    for coordinate in itertools.product(*map(range, mesh)):
        expected = of_torch(shape, placements, mesh, coordinate)
        by_axis = splits(placements, mesh, coordinate)
        held = [spans(n, by_axis.get(axis, ())) for axis, n in enumerate(shape)]
        assert [sum(map(len, found)) for found in held] == list(expected.shape)
        local = np.full(expected.shape, -1)
        for place, elements in pieces(shape, held):
            indices = elements[:] if isinstance(elements, Runs) else np.array(elements)
            assert (local[place] == -1).all()
            local[place] = indices.reshape(local[place].shape)
        assert np.array_equal(local, expected.numpy())  # mutant: the sizes of np.array_split
        seen += np.bincount(local.ravel(), minlength=len(seen))
    copies = math.prod(n for n, p in zip(mesh, placements, strict=True) if isinstance(p, Replicate))
    assert (seen == copies).all()


@given(st.integers(0, 40), st.integers(1, 5), st.integers(1, 5))
def test_where_both_orders_agree_fsdp_of_tensor_parallel_holds_what_dtensor_says(n: int, dp: int, tp: int) -> None:
    """As `fully_shard` does it: the rows of a tensor parallel rank are divided."""
    for i, j in itertools.product(range(dp), range(tp)):
        read = [Split(dp, i, stripes=tp), Split(tp, j)]
        if agreed(n, read):
            assert spans(n, read) == spans(n, [Split(tp, j), Split(dp, i)])


def test_a_size_of_which_fsdp_and_dtensor_hold_as_many_but_other_rows_is_not_agreed_on() -> None:
    """If this fails, PyTorch has mended it, and `agreed` is no longer needed."""
    read = [Split(3, 2, stripes=4), Split(4, 2)]
    with rank(2 * 4 + 2, 12):
        mesh = init_device_mesh("cpu", (3, 4), mesh_dim_names=("dp", "tp"))
        net: Any = nn.Sequential(nn.Linear(1, 27, bias=False))
        net[0].weight = nn.Parameter(torch.arange(27.0)[:, None])
        parallelize_module(net, mesh["tp"], {"0": ColwiseParallel()}, src_data_rank=None)
        fully_shard(net, mesh=mesh["dp"])
        held: Any = net[0].weight
        assert (str(held.placements), list(mesh.get_coordinate() or ())) == (STRIPED, [2, 2])
        assert local_of(held).tolist() == [[20.0]]
    assert spans(27, read) == (range(26, 27),)
    assert not agreed(27, read)
    assert agreed(24, read)


def test_whole_dimensions_merge_into_few_pieces() -> None:
    assert [e for _, e in pieces((6, 5, 4), [(range(2, 4),), (range(5),), (range(4),)])] == [range(40, 80)]
    assert [e for _, e in pieces((6, 5, 4), [(range(6),), (range(1, 3),), (range(4),)])] == [Runs(4, 20, 6, 8)]
    assert [e for _, e in pieces((6, 5, 4), [(range(2, 4),), (range(5),), (range(1, 3),)])] == [Runs(41, 4, 10, 2)]
    assert not list(pieces((6, 5), [(), (range(5),)]))


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.up = nn.Linear(8, 16)
        self.norm = nn.LayerNorm(16)
        self.down = nn.Linear(16, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.down(self.norm(self.up(x)).relu())
        return y


X = torch.zeros(2, 8)


def tensor_parallel(net: nn.Module, mesh: DeviceMesh) -> nn.Module:
    return parallelize_module(net, mesh, {"up": ColwiseParallel(), "down": RowwiseParallel()})


def fsdp(net: nn.Module, mesh: DeviceMesh) -> nn.Module:
    for layer in (net.up, net.down, net):
        fully_shard(layer, mesh=mesh)  # type: ignore[arg-type]
    return net


@pytest.mark.parametrize("this", range(6))
def test_every_rank_writes_its_part_alone(this: int) -> None:
    plan = fanin.plan(Net(), X, overrides={"*": "normal(std=1)"})
    whole = {e.parameter.path: e.initializer.draw(e.target, 3).reshape(e.parameter.shape) for e in plan}
    with rank(this, 6):
        mesh = init_device_mesh("cpu", (3, 2), mesh_dim_names=("dp", "tp"))
        strided = distribute_tensor(torch.zeros(4, 5, 3).transpose(0, 2), mesh, [Shard(0), Shard(2)])
        for model in (fsdp(Net(), mesh), fsdp(Net(), mesh["dp"]), tensor_parallel(Net(), mesh["tp"])):
            seen: list[str] = []
            fanin.frameworks.torch.write_(model, plan, 3, progress=seen.append)
            assert seen == list(whole)
            for path, p in model.named_parameters():
                local, expected = p.detach(), whole[path]
                if isinstance(p, DTensor):
                    at = of_torch(tuple(p.shape), p.placements, p.device_mesh.shape, p.device_mesh.get_coordinate())
                    local, expected = p._local_tensor, expected.reshape(-1)[at.numpy()]
                assert np.array_equal(local.detach().numpy(), expected), path
        held: Any = holder(strided)
        fanin.initialize_(held, recipe=fanin.Plan("t", (entry("w", (3, 5, 4)),)), seed=3)
        at = of_torch((3, 5, 4), strided.placements, (3, 2), mesh.get_coordinate())
        drawn = Normal().draw(Target("w", (3, 5, 4)), 3)[at.numpy()]
        assert np.array_equal(local_of(held.w).numpy(), drawn)


@pytest.mark.parametrize("this", range(6))
def test_every_rank_compares_what_it_holds(this: int) -> None:
    """One element of the whole is changed: the ranks that hold it say so, and no other does."""
    plan = fanin.plan(Net(), X, overrides={"*": "normal(std=1)"})
    digests = set()
    with rank(this, 6):
        mesh = init_device_mesh("cpu", (3, 2), mesh_dim_names=("dp", "tp"))
        for model in (fsdp(Net(), mesh), fsdp(Net(), mesh["dp"]), tensor_parallel(Net(), mesh["tp"])):
            fanin.frameworks.torch.write_(model, plan, 3)
            found = fanin.verify(model, plan, seed=3)
            held = [p._local_tensor if isinstance(p, DTensor) else p for p in model.parameters()]
            assert found.ok, str(found)
            assert found.compared == found.held == sum(local.numel() for local in held)
            digests.add(found.digest)
            local_of(model.get_parameter("up.weight"))[-1, -1] += 1
            (wrong,) = fanin.verify(model, plan, seed=3).differences
            assert wrong.element is not None
            assert wrong.expected is not None
            assert wrong.expected == plan["up.weight"].initializer.draw(
                plan["up.weight"].target, 3, np.array([wrong.element[0] * 8 + wrong.element[1]])
            )
            assert wrong.got == pytest.approx(wrong.expected + 1)
    assert digests == {plan.digest(3)}


def holder(tensor: torch.Tensor) -> nn.Module:
    model = nn.Module()
    model.register_parameter("w", nn.Parameter(tensor))
    return model


def entry(path: str, shape: tuple[int, ...]) -> fanin.plans.Entry:
    return fanin.plans.Entry(fanin.graph.Parameter(path, shape, "float32"), Normal(), "for the test")


def partial(mesh: DeviceMesh) -> nn.Module:
    return holder(DTensor.from_local(torch.zeros(4, 2), mesh, [Partial(), Replicate()]))


def uneven(mesh: DeviceMesh) -> nn.Module:
    """FSDP2 of tensor parallel rows."""
    net = nn.Sequential(nn.Linear(2, 7, bias=False))
    parallelize_module(net, mesh["tp"], {"0": ColwiseParallel()})
    fully_shard(net, mesh=mesh["dp"])
    return net


def of_another_shape(mesh: DeviceMesh) -> nn.Module:
    return holder(
        DTensor.from_local(torch.zeros(3, 2), mesh, [Shard(0), Replicate()], shape=torch.Size((4, 2)), stride=(2, 1))
    )


def gathered(mesh: DeviceMesh) -> nn.Module:
    net = fsdp(Net(), mesh)
    net(X)  # the outermost module's parameters stay gathered after a forward pass
    return net


def on_meta(mesh: DeviceMesh) -> nn.Module:
    with torch.device("meta"):
        return fsdp(Net(), mesh)


REFUSED: list[tuple[Callable[[DeviceMesh], nn.Module], str]] = [
    (partial, r"w: it is placed .* and only Replicate and Shard say which elements a process holds"),
    (uneven, r"0\.weight: it is placed .*does not divide 7 evenly.*disagree"),
    (of_another_shape, r"w: it is placed .*of which \(2, 2\) is here; its local tensor has shape \(3, 2\)"),
    (gathered, r"its parameters are gathered.*call reshard\(\)"),
    (on_meta, r"up\.weight: it is on the meta device.*to_empty"),
]


@pytest.mark.parametrize(("build", "message"), REFUSED)
def test_shards_that_cannot_be_written_are_refused_before_anything_is(
    build: Callable[[DeviceMesh], nn.Module], message: str
) -> None:
    with rank(0, 6):
        model = build(init_device_mesh("cpu", (3, 2), mesh_dim_names=("dp", "tp")))
        plan = fanin.Plan("t", tuple(entry(path, tuple(p.shape)) for path, p in model.named_parameters()))
        before = [p._version for p in model.parameters()]
        with pytest.raises(CannotWrite, match=f"Nothing was written.*{message}"):
            fanin.initialize_(model, recipe=plan, seed=0)
        assert [p._version for p in model.parameters()] == before


def test_gathered_parameters_can_be_written_after_reshard() -> None:
    with rank(1, 2):
        net: Any = gathered(init_device_mesh("cpu", (2,)))
        net.reshard()
        plan = fanin.initialize_(net, recipe=fanin.plan(Net(), X), seed=0)
        drawn = plan["up.weight"].initializer.draw(plan["up.weight"].target, 0).reshape(16, 8)
        assert np.array_equal(net.up.weight._local_tensor.detach().numpy(), drawn[8:])


def test_flat_parameters_are_refused_by_the_name_of_their_wrapper() -> None:
    with rank(0, 2):
        wrapped = FullyShardedDataParallel(Net(), device_id=torch.device("cpu"), use_orig_params=True)
        with pytest.raises(CannotWrite, match=r"FullyShardedDataParallel keeps.*fully_shard, or initialize before"):
            fanin.initialize_(wrapped, recipe=fanin.plan(Net(), X), seed=0)


def test_a_sharded_model_is_planned_as_the_whole_one_and_left_as_it_was() -> None:
    expected = trace(Net(), X).graph
    with rank(0, 4):
        mesh = init_device_mesh("cpu", (2, 2), mesh_dim_names=("dp", "tp"))
        model = fsdp(tensor_parallel(Net(), mesh["tp"]), mesh["dp"])
        before = [
            (type(m), m._forward_pre_hooks, [*m._forward_pre_hooks], dict(m._parameters)) for m in model.modules()
        ]
        assert trace(model, X).graph == expected
        after = [(type(m), m._forward_pre_hooks, [*m._forward_pre_hooks], dict(m._parameters)) for m in model.modules()]
        assert all(a[1] is b[1] for a, b in zip(before, after, strict=True))
        assert str(after) == str(before)
        assert trace(nn.parallel.DistributedDataParallel(Net()), X).graph == expected


def snapshot(model: nn.Module) -> list[Any]:
    """Classes, hooks, parameters and buffers, by identity."""
    held = ("_forward_pre_hooks", "_forward_hooks", "_parameters", "_buffers")
    return [
        (type(m), [(id(vars(m)[name]), [(k, id(v)) for k, v in vars(m)[name].items()]) for name in held])
        for m in model.modules()
    ]


class CountsRanks(nn.Module):
    """Written for the shards: it reshapes by how many ranks there are."""

    def __init__(self) -> None:
        super().__init__()
        self.up = nn.Linear(8, 16)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.up(x).view(-1, 16 // dist.get_world_size())[:1].view(3)
        return y


def test_a_sharded_model_that_cannot_be_planned_says_what_to_do() -> None:
    with rank(0, 2):
        model = fully_shard(CountsRanks(), mesh=init_device_mesh("cpu", (2,)))
        with pytest.raises((CannotTrace, BadInput), match=r"The model is sharded: plan it on the meta device"):
            fanin.plan(model, X)


def test_processes_do_not_draw_seeds_of_their_own() -> None:
    with rank(0, 2):
        plan = fanin.plan(Net(), X)
        for model in (fsdp(Net(), init_device_mesh("cpu", (2,))), nn.parallel.DistributedDataParallel(Net())):
            with pytest.raises(BadInput, match=r"each process would draw a seed of its own.*seed=0"):
                fanin.initialize_(model, recipe=plan)


def test_a_sharded_model_is_not_measured_and_a_replicated_one_is() -> None:
    with rank(0, 2):
        with pytest.raises(BadInput, match="The model is sharded, and signals are measured in one process"):
            fanin.measure(fsdp(Net(), init_device_mesh("cpu", (2,))), X)
        net = Net()
        assert fanin.measure(nn.parallel.DistributedDataParallel(net), X) == fanin.measure(net, X)
