"""The verbs, as a user calls them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import fanin
from fanin.errors import BadInput, CannotWrite, UncoveredParameters, UnknownName
from fanin.initializers import Target
from fanin.plans import Decision

X = torch.zeros(2, 6)


def net(device: str = "cpu") -> Any:  # torch types a module's attributes as "tensor or module"
    return nn.Sequential(nn.Linear(6, 8, device=device), nn.ReLU(), nn.Linear(8, 3, device=device))


def values(model: nn.Module) -> list[list[float]]:
    return [p.detach().flatten().tolist() for p in model.parameters()]


def test_a_plan_touches_nothing_and_needs_no_memory() -> None:
    model = net()
    before = values(model)
    found = fanin.plan(model, X)
    assert values(model) == before
    assert found.entries == fanin.plan(net("meta"), X).entries
    assert found.entries == fanin.plan(net("meta"), X.to("meta")).entries


def test_initialize_returns_the_plan_that_it_wrote() -> None:
    model = net()
    found = fanin.initialize_(model, X, seed=3)
    assert found == fanin.plan(model, X)
    entry = found["0.weight"]
    expected = entry.initializer.draw(entry.target, 3)
    assert values(model)[0] == expected.tolist()


def test_a_finished_plan_needs_no_example() -> None:
    first, second = net(), net()
    found = fanin.initialize_(first, X, recipe="he", seed=1)
    assert fanin.initialize_(second, recipe=found, seed=1) == found
    assert values(first) == values(second)
    with pytest.raises(BadInput, match="An example input is needed"):
        fanin.measure(second)


def test_without_an_example_modules_alone_decide() -> None:
    found = fanin.initialize_(model := net(), recipe="he", seed=1)
    assert found.notes[0].startswith("Made without an example input, from modules alone")
    assert str(found).endswith("Pass one batch to see them.")
    assert type(found).from_json(found.to_json()) == found
    seen = fanin.initialize_(other := net(), X, recipe="he", seed=1)
    assert (seen.notes, seen.diff(found)) == ((), ())
    assert values(model) == values(other)


def test_overrides_change_a_recipe_and_a_finished_plan_alike() -> None:
    model = net()
    overrides: dict[str, Any] = {"*.bias": "normal(std=0.01)", "2.weight": fanin.Zeros(), "0.bias": fanin.Keep()}
    kept = model[0].bias.tolist()
    found = fanin.initialize_(model, X, recipe="he", overrides=overrides, seed=0)
    assert not model[2].weight.any()
    assert model[0].bias.tolist() == kept  # the last match wins
    assert model[2].bias.any()
    assert found == fanin.initialize_(model, recipe=fanin.plan(model, X, recipe="he"), overrides=overrides, seed=0)
    with pytest.raises(BadInput, match="'head' matches no parameter"):
        fanin.plan(model, X, overrides={"head": "zeros"})


def test_a_recipe_may_be_any_function_of_a_graph() -> None:
    def ones(graph: fanin.Graph) -> dict[str, Decision]:
        return {p.path: Decision(fanin.Ones(), "for the test") for p in graph.parameters if p.path != "0.weight"}

    with pytest.raises(UncoveredParameters, match=r"1 parameter\(s\) have no initializer: 0\.weight"):
        fanin.plan(net(), X, recipe=ones)
    assert fanin.plan(net(), X, recipe=ones, overrides={"0.weight": "zeros"}).recipe == "ones"
    with pytest.raises(UnknownName, match=r"no recipe 'hee'\. Did you mean 'he'"):
        fanin.plan(net(), X, recipe="hee")


def test_without_a_seed_manual_seed_decides() -> None:
    first, second, third = net(), net(), net()
    torch.manual_seed(5)
    fanin.initialize_(first, X)
    fanin.initialize_(third, X)
    torch.manual_seed(5)
    fanin.initialize_(second, X)
    assert values(first) == values(second)
    assert values(first) != values(third)


@pytest.mark.parametrize("seed", [-1, 2**128, True, 0.5])
def test_a_bad_seed_writes_nothing(seed: Any) -> None:
    model = net()
    before = values(model)
    with pytest.raises(BadInput, match="seed: expected an integer"):
        fanin.initialize_(model, X, seed=seed)
    assert values(model) == before


def test_a_model_on_meta_cannot_be_written() -> None:
    with pytest.raises(CannotWrite, match=r"Nothing was written\. 4 parameter"):
        fanin.initialize_(net("meta"), X, seed=0)


def test_a_wrapped_model_gets_the_same_values() -> None:
    model = net()
    fanin.initialize_(model, X, seed=0)
    plain = values(model)
    wrapped = nn.DataParallel(net())
    fanin.initialize_(wrapped, X, seed=0)
    assert values(wrapped) == plain


def test_measure_and_diagnose_leave_the_model_as_it_is() -> None:
    model = net()
    fanin.initialize_(model, X, seed=0)
    before, state = values(model), torch.get_rng_state()
    x, labels = torch.randn(16, 6, generator=torch.Generator().manual_seed(0)), torch.arange(16) % 3

    def loss(out: torch.Tensor) -> torch.Tensor:
        return F.cross_entropy(out, labels)

    signals = fanin.measure(model, x, loss=loss)
    assert signals.loss_name == "loss"
    assert signals.loss == pytest.approx(F.cross_entropy(model(x), labels).item())
    seen = fanin.diagnose(model, x, loss=loss).signals
    assert seen.gradients == signals.gradients
    assert [m.second_moment for m in seen.values.values()] == [m.second_moment for m in signals.values.values()]
    assert values(model) == before
    assert torch.equal(torch.get_rng_state(), state)
    assert all(p.grad is None for p in model.parameters())


@pytest.mark.parametrize("what", ["gelu", F.gelu, nn.GELU(), lambda z: 0.5 * z * (1 + torch.erf(z / 2**0.5))])
def test_gain_takes_names_functions_and_modules(what: Any) -> None:
    assert fanin.gain(what).forward == pytest.approx(1.5335304, abs=1e-6)


def test_gain_takes_numpy_functions_and_parameters() -> None:
    assert fanin.gain(np.tanh).forward == pytest.approx(fanin.gain("tanh").forward)
    assert fanin.gain("leaky_relu", negative_slope=0.25).forward == pytest.approx(fanin.gain(nn.PReLU()).forward)
    assert fanin.gain("tanh", std=0.01).forward == pytest.approx(100, rel=1e-3)
    with pytest.raises(BadInput, match="ReLU is a class"):
        fanin.gain(nn.ReLU)
    with pytest.raises(BadInput, match="An activation is a name"):
        fanin.gain(3)


@pytest.mark.parametrize("verb", [fanin.plan, fanin.initialize_, fanin.measure, fanin.diagnose])
def test_what_is_no_module_is_refused_by_every_verb(verb: Any) -> None:
    with pytest.raises(BadInput, match=r"Expected a torch\.nn\.Module, .*got dict"):
        verb({}, X)


def test_a_draw_depends_only_on_seed_name_and_index() -> None:
    model = nn.ModuleDict({"a": nn.Linear(6, 8)})["a"]
    fanin.initialize_(model, X, recipe="lecun", seed=9)
    target = Target("weight", (8, 6), fans=fanin.plan(model, X)["weight"].parameter.fans)
    assert values(model)[0] == fanin.plan(model, X, recipe="lecun")["weight"].initializer.draw(target, 9).tolist()


class TestMeasureOverSeeds:
    def test_it_is_the_average_and_the_model_is_as_it_was(self) -> None:
        net, x = (
            torch.nn.Sequential(torch.nn.Linear(16, 32), torch.nn.Tanh(), torch.nn.Linear(32, 4)),
            torch.randn(8, 16),
        )
        plan = fanin.plan(net, x, recipe="he")
        before = {name: value.clone() for name, value in net.state_dict().items()}
        seen = fanin.measure(net, x, plan=plan, seeds=[3, 5])
        assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())
        alone = []
        for seed in (3, 5):
            fanin.initialize_(net, recipe=plan, seed=seed)
            alone.append(fanin.measure(net, x).values["linear_1"].second_moment)
        assert seen.values["linear_1"].second_moment == pytest.approx(sum(alone) / 2)
        assert alone[0] != alone[1]

    def test_weights_come_back_where_a_pass_fails(self) -> None:
        net, x = torch.nn.Linear(4, 2), torch.randn(8, 4)
        before = net.weight.detach().clone()

        def loss(_: torch.Tensor) -> torch.Tensor:
            raise ValueError("no")

        with pytest.raises(fanin.errors.BadInput, match="no"):
            fanin.measure(net, x, plan=fanin.plan(net, x), seeds=2, loss=loss)
        assert torch.equal(net.weight, before)

    def test_seeds_without_a_plan_and_a_plan_without_seeds(self) -> None:
        net, x = torch.nn.Linear(4, 2), torch.randn(8, 4)
        with pytest.raises(fanin.errors.BadInput, match="give a plan"):
            fanin.measure(net, x, seeds=2)
        with pytest.raises(fanin.errors.BadInput, match="nothing to average"):
            fanin.measure(net, x, plan=fanin.plan(net, x), seeds=[])
