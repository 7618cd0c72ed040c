"""Whether a model is what its plan says: what was changed is found, on any layout, and nothing else is."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import fanin
from fanin.errors import BadInput
from fanin.frameworks.torch.writing.verify import BLOCK


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.up = nn.Linear(8, 16)
        self.norm = nn.LayerNorm(16)
        self.down = nn.Linear(16, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.down(self.norm(self.up(x)).relu())
        return y


def written(seed: int = 3, **overrides: str) -> tuple[Net, fanin.Plan]:
    net = Net()
    given = {"*": "normal(std=1)", "norm.bias": "zeros", **overrides}
    return net, fanin.initialize_(net, torch.zeros(2, 8), overrides=given, seed=seed)


def test_a_model_that_was_written_is_what_the_plan_says() -> None:
    net, plan = written()
    found = fanin.verify(net, plan, seed=3)
    assert found
    assert found.ok
    assert (found.compared, found.held, found.differences) == (312, 312, ())
    assert str(found) == (f"as the plan (digest {plan.digest(3)[:12]}) says: 312 of 312 elements compared, bit for bit")
    assert not fanin.verify(net, plan, seed=4)  # zeros are the same under any seed
    assert {d.path for d in fanin.verify(net, plan, seed=4).differences} == {e.parameter.path for e in plan} - {
        "norm.bias"
    }


@pytest.mark.parametrize("value", [math.nan, -0.0, 1e-45, 2.0])
def test_one_changed_bit_is_found_and_shown(value: float) -> None:
    net, plan = written()
    with torch.no_grad():
        net.norm.bias[5] = value
        net.norm.bias[9] = 1.0
    (found,) = fanin.verify(net, plan, seed=3).differences
    assert (found.path, found.element, found.expected) == ("norm.bias", (5,), 0.0)
    assert found.got is not None
    assert np.complex64(found.got).real.tobytes() == np.float32(value).tobytes()  # mutant: ==, under which 0 is −0
    assert found.what == "2 of 16 compared values differ"
    assert "[5]" in str(fanin.verify(net, plan, seed=3))


def test_where_it_is_in_the_tensor_and_what_was_expected() -> None:
    net, plan = written()
    before = net.up.weight[11, 6].item()
    with torch.no_grad():
        net.up.weight[11:, 6:] += 1
    (found,) = fanin.verify(net, plan, seed=3).differences
    assert (found.element, found.expected, found.got) == ((11, 6), before, net.up.weight[11, 6].item())


@pytest.mark.parametrize("initializer", ["normal(std=1)", "orthogonal", "sparse(sparsity=0.5)", "keep"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.complex64])
def test_every_kind_of_law_and_dtype(initializer: str, dtype: torch.dtype) -> None:
    net = nn.Sequential(nn.Linear(8, 12, dtype=dtype))
    net[0].weight = nn.Parameter(torch.empty(8, 12, dtype=dtype).T)  # another memory layout
    plan = fanin.plan(net, recipe="zeros", overrides={"0.weight": initializer})
    fanin.initialize_(net, recipe=plan, seed=1)
    for blocks in (1, None):
        found = fanin.verify(net, plan, seed=1, blocks=blocks)
        assert found.ok, str(found)
        assert found.kept == (("0.weight",) if initializer == "keep" else ())
    with torch.no_grad():
        net[0].weight[7, 3] = 9.0
    assert fanin.verify(net, plan, seed=1).ok == (initializer == "keep")


@pytest.mark.parametrize("initializer", ["normal(std=1)", "orthogonal"])
@pytest.mark.parametrize("blocks", [1, None])
def test_a_tensor_without_elements_and_one_of_one(initializer: str, blocks: int | None) -> None:
    net = nn.Module()
    net.register_parameter("none", nn.Parameter(torch.empty(0, 3)))
    net.register_parameter("one", nn.Parameter(torch.empty(())))
    plan = fanin.plan(net, recipe="zeros", overrides={"none": initializer, "one": "ones"})
    fanin.initialize_(net, recipe=plan, seed=0)
    assert fanin.verify(net, plan, seed=0, blocks=blocks).compared == 1
    with torch.no_grad():
        net.one.add_(1)  # type: ignore[operator]
    (found,) = fanin.verify(net, plan, seed=0, blocks=blocks).differences
    assert (found.element, found.expected, found.got) == ((), 1.0, 2.0)


def test_a_few_blocks_find_what_they_look_at() -> None:
    net = nn.Linear(1 << 12, 64, bias=False)  # 64 blocks
    plan = fanin.initialize_(net, recipe="normal(std=1)", seed=0)
    assert fanin.verify(net, plan, seed=0, blocks=3).compared == 3 * BLOCK
    with torch.no_grad():
        net.weight[50] *= -1
    seen = [fanin.verify(net, plan, seed=0, blocks=8).ok for _ in range(200)]
    assert 0.03 < seen.count(False) / 200 < 0.3  # 8/64; mutant: the first blocks every time, which never look there
    (found,) = fanin.verify(net, plan, seed=0, blocks=None).differences
    assert (found.element, found.what) == ((50, 0), "4,096 of 262,144 compared values differ")


def test_what_is_not_there_differs_and_does_not_raise() -> None:
    net, plan = written()
    other = nn.Sequential(nn.Linear(2, 2))
    found = fanin.verify(other, plan, seed=3)
    assert [d.what for d in found.differences] == ["in the plan, not in the model"] * 6 + [
        "in the model, not in the plan"
    ] * 2
    (shape,) = fanin.verify(nn.Linear(8, 16, bias=False), _first(plan, "weight"), seed=3).differences
    assert shape.element is not None
    net.up = nn.Linear(8, 15)
    net.down.to(torch.float64)
    net.norm.to("meta")
    words = {d.path: d.what for d in fanin.verify(net, plan, seed=3).differences}
    assert words["up.weight"] == "the plan has shape (16, 8), the model (15, 8)"
    assert words["down.bias"] == "the plan has dtype float32, the model float64"
    assert "meta device" in words["norm.weight"]


def _first(plan: fanin.Plan, path: str) -> fanin.Plan:
    entry = plan["up.weight"]
    return replace(plan, entries=(replace(entry, parameter=replace(entry.parameter, path=path)),))


def test_a_broken_tie_is_named() -> None:
    net: Any = nn.Sequential(nn.Linear(4, 4, bias=False), nn.Linear(4, 4, bias=False))
    net[1].weight = net[0].weight
    plan = fanin.initialize_(net, recipe="normal(std=1)", seed=0)
    assert fanin.verify(net, plan, seed=0)
    net[1].weight = nn.Parameter(net[0].weight.detach().clone())
    (found,) = fanin.verify(net, plan, seed=0).differences
    assert (found.path, found.what) == ("1.weight", "tied to 0.weight in the plan, a tensor of its own in the model")


@pytest.mark.parametrize(("arguments", "message"), [({"seed": -1}, "seed"), ({"seed": 0, "blocks": 0}, "blocks")])
def test_misuse_raises(arguments: dict[str, Any], message: str) -> None:
    net, plan = written()
    with pytest.raises(BadInput, match=message):
        fanin.verify(net, plan, **arguments)
    with pytest.raises(BadInput, match="Expected a plan"):
        fanin.verify(net, "he", seed=0)  # type: ignore[arg-type]


def test_the_digest_is_that_of_the_values_and_of_nothing_else() -> None:
    _, plan = written()
    assert plan.digest(3) == fanin.Plan.from_json(plan.to_json()).digest(3)
    said = replace(plan, recipe="x", notes=("n",), entries=tuple(replace(e, why="other") for e in reversed(list(plan))))
    assert said.digest(3) == plan.digest(3)
    assert len(plan.digest(3)) == 64
    others = [plan.digest(4)]
    e = plan.entries[0]
    for p in (
        replace(e.parameter, path="a"),
        replace(e.parameter, shape=(8, 16)),
        replace(e.parameter, dtype="bfloat16"),
    ):
        others.append(replace(plan, entries=(replace(e, parameter=p), *plan.entries[1:])).digest(3))
    others.append(replace(plan, entries=(replace(e, initializer=fanin.Zeros()), *plan.entries[1:])).digest(3))
    assert len({plan.digest(3), *others}) == 6
    with pytest.raises(BadInput):
        plan.digest(-1)
