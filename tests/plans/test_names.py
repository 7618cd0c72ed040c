from __future__ import annotations

import pytest
import torch
from torch import nn

import fanin
from fanin.errors import BadInput, UnknownName
from fanin.plans import Plan


@pytest.fixture
def net() -> nn.Module:
    return nn.Sequential(nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 3))


def test_a_renamed_parameter_has_the_values_of_the_other_name(net: nn.Module) -> None:
    head = nn.Linear(4, 3)
    other = nn.ModuleDict({"head": head})
    names = {"head.weight": "2.weight", "head.bias": "2.bias"}
    fanin.initialize_(net, recipe="he", seed=3)
    plan = fanin.initialize_(other, recipe="he", seed=3, rename=names)
    assert torch.equal(head.weight, dict(net.named_parameters())["2.weight"])
    assert plan["head.weight"].target.name == "2.weight"
    assert fanin.verify(other, plan, seed=3)


def test_a_plan_of_other_names_is_the_same_start(net: nn.Module) -> None:
    inner = fanin.plan(net, recipe="he")
    wrapped = fanin.plan(nn.ModuleDict({"body": net}), recipe="he")
    assert wrapped.digest(0) != inner.digest(0)
    names = {f"body.{e.parameter.path}": e.parameter.path for e in inner}
    assert wrapped.rename(names).digest(0) == inner.digest(0)


def test_names_are_kept_in_the_file_and_can_be_taken_back(net: nn.Module) -> None:
    plan = fanin.plan(net, recipe="he").rename({"0.weight": "W1"})
    assert Plan.from_json(plan.to_json()) == plan
    assert plan.rename({"0.weight": "0.weight"}) == fanin.plan(net, recipe="he")


def test_a_finished_plan_can_be_renamed_on_the_way(net: nn.Module) -> None:
    plan = fanin.plan(net, recipe="he")
    written = fanin.initialize_(net, recipe=plan, rename={"0.weight": "W1"}, seed=0)
    assert written == plan.rename({"0.weight": "W1"})


def test_what_cannot_be_a_name_is_refused(net: nn.Module) -> None:
    plan = fanin.plan(net, recipe="he")
    with pytest.raises(UnknownName, match=r"no parameter '0\.kernel'. Known: 0\.bias"):
        plan.rename({"0.kernel": "W1"})
    with pytest.raises(BadInput, match=r"0\.weight and 2\.weight would both be drawn as '2\.weight'"):
        plan.rename({"0.weight": "2.weight"})
    for wrong in ({"0.weight": 3}, {"0.weight": ""}, ["0.weight"]):
        with pytest.raises(BadInput, match="rename takes the path"):
            plan.rename(wrong)  # type: ignore[arg-type]
