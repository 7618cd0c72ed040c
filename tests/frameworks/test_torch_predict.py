"""Predictions against closed forms and against what is measured; what the model and the plan decide."""

from __future__ import annotations

import copy
import importlib
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import fanin
from fanin.errors import BadInput
from fanin.frameworks.torch import observe, predict, trace
from fanin.signals import Signals
from fanin.signals.model import RANDOM_COTANGENT
from fanin.signals.rules import RULES
from fanin.signals.values import Call, Outcome

ROOT = Path(__file__).parents[2]


def predicted(model: nn.Module, *example: Any, **options: Any) -> Signals:
    return predict(trace(model, *example), model, example, **options)


def mlp(width: int = 64, depth: int = 3, out: int = 16) -> nn.Sequential:
    layers = [layer for _ in range(depth) for layer in (nn.Linear(width, width), nn.Tanh())]
    return nn.Sequential(*layers, nn.Linear(width, out))


def average_of_seeds(x: Tensor, seeds: int, **options: Any) -> tuple[dict[str, float], dict[str, float]]:
    """Second moments of parameters' gradients and of nodes' gradients, over draws of the weights."""
    parameters: dict[str, list[float]] = {}
    nodes: dict[str, list[float]] = {}
    traced = trace(mlp(), x)
    for seed in range(seeds):
        torch.manual_seed(seed)
        found = observe(traced, mlp(), (x,), **options)
        for path, signal in found.parameters.items():
            assert signal.gradient is not None
            parameters.setdefault(path, []).append(signal.gradient.second_moment)
        for name, seen in found.gradients.items():
            nodes.setdefault(name, []).append(seen.second_moment)
    return tuple({k: float(np.mean(v)) for k, v in d.items()} for d in (parameters, nodes))  # type: ignore[return-value]


def test_without_a_loss_the_cotangent_is_the_one_that_is_measured() -> None:
    torch.manual_seed(0)
    model, x = nn.Sequential(nn.Linear(16, 16), nn.Tanh(), nn.Linear(16, 8)), torch.randn(12, 5, 16)
    foreseen = predicted(model, x)
    seen = observe(trace(model, x), model, (x,))
    assert foreseen.loss_name == seen.loss_name == RANDOM_COTANGENT
    assert foreseen.origin == "predicted"
    one, other = foreseen.gradients["linear_1"], seen.gradients["linear_1"]
    assert one.second_moment == pytest.approx(other.second_moment, rel=1e-5)
    assert bias_gradient(foreseen, "2.bias") == pytest.approx(bias_gradient(seen, "2.bias"), rel=1e-5)


def bias_gradient(signals: Signals, path: str) -> float:
    gradient = signals.parameters[path].gradient
    assert gradient is not None
    return gradient.second_moment


def test_gradients_agree_with_the_average_of_seeds() -> None:
    x = torch.randn(32, 64, generator=torch.Generator().manual_seed(5))
    parameters, nodes = average_of_seeds(x, 8)
    torch.manual_seed(0)
    found = predicted(mlp(), x)
    for path, expected in parameters.items():
        gradient = found.parameters[path].gradient
        assert gradient is not None
        few = 0.25 if path.endswith("weight") else 0.5  # a bias sums one δ of 16 outputs over samples
        assert gradient.second_moment == pytest.approx(expected, rel=few), path
    for name, expected in nodes.items():
        assert found.gradients[name].second_moment == pytest.approx(expected, rel=0.2), name


class TwoHeads(nn.Module):
    """Two outputs that depend on the parameters, one that does not, and one of integers."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.left, self.right = nn.Linear(16, 16), nn.Linear(16, 4), nn.Linear(16, 6)

    def forward(self, x: Tensor) -> Any:
        h = self.body(x)
        return {"plain": x * 2, "left": self.left(h), "which": self.left(h).argmax(-1), "right": self.right(h.detach())}


def test_of_several_outputs_each_has_its_own_part_of_the_noise() -> None:
    torch.manual_seed(0)
    model, x = TwoHeads(), torch.randn(10, 16)
    foreseen, seen = predicted(model, x), observe(trace(model, x), model, (x,))
    for path in ("left.bias", "right.bias"):
        assert bias_gradient(foreseen, path) == pytest.approx(bias_gradient(seen, path), rel=1e-5), path


def test_a_loss_is_called_with_outputs_as_they_are_predicted() -> None:
    torch.manual_seed(0)
    model, x = mlp(out=10), torch.randn(64, 64)
    labels = torch.randint(0, 10, (64,))

    def entropy(out: Tensor) -> Tensor:
        return F.cross_entropy(out, labels)

    foreseen, seen = (
        predicted(model, x, loss=entropy),
        observe(trace(model, x), model, (x,), entropy),
    )
    assert foreseen.loss_name == "entropy"
    assert foreseen.loss == pytest.approx(seen.loss, rel=0.05)
    last = [n for n in foreseen.gradients if n.startswith("linear")][-1]
    assert foreseen.gradients[last].second_moment == pytest.approx((1 - 1 / 10) / (10 * 64**2), rel=0.1)
    assert foreseen.gradients[last].second_moment == pytest.approx(seen.gradients[last].second_moment, rel=0.1)


def test_a_loss_sees_the_outputs_in_their_containers() -> None:
    model, x = TwoHeads(), torch.randn(10, 16)
    kinds: list[Any] = []

    def loss(out: Any) -> Tensor:
        kinds.append({name: (tuple(t.shape), t.dtype) for name, t in out.items()})
        result: Tensor = out["left"].square().mean()
        return result

    found = predicted(model, x, loss=loss)
    assert kinds[0] == {
        "plain": ((10, 16), torch.float32),
        "left": ((10, 4), torch.float32),
        "which": ((10,), torch.int64),
        "right": ((10, 6), torch.float32),
    }
    assert found.parameters["right.weight"].gradient is None
    assert found.parameters["left.weight"].gradient is not None


LOSSES: dict[str, tuple[Callable[[Any], Any], str]] = {
    "raises": (lambda out: F.cross_entropy(out, torch.zeros(3)), "The loss, a lambda, failed on the model's output"),
    "no scalar": (lambda out: out, "must return a tensor with one element; got shape"),
    "no tensor": (lambda out: 1.0, "got float"),
    "not differentiable": (lambda out: out.detach().sum(), "nothing can be differentiated"),
}


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_that_fails_is_explained_as_when_it_is_measured(name: str) -> None:
    loss, expected = LOSSES[name]
    model, x = mlp(), torch.randn(4, 64)
    with pytest.raises(BadInput) as foreseen:
        predicted(model, x, loss=loss)
    with pytest.raises(BadInput) as seen:
        observe(trace(model, x), model, (x,), loss)
    assert expected in str(foreseen.value)
    assert str(foreseen.value) == str(seen.value)


def test_nothing_that_depends_on_the_parameters() -> None:
    class Aside(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(4, 4)

        def forward(self, x: Tensor) -> Any:
            self.layer(x)
            return x * 2

    with pytest.raises(BadInput, match="Nothing in the model's output depends on its parameters"):
        predicted(Aside(), torch.randn(2, 4))


def test_a_plan_decides_and_no_weight_is_allocated() -> None:
    with torch.device("meta"):
        model, x = mlp(width=1 << 15), torch.empty(8, 1 << 15)  # 13 GB
    found = predicted(model, x, plan=fanin.plan(model, x, recipe="lecun"))
    assert found.values["linear"].second_moment == pytest.approx(1.0)
    assert found.parameters["0.weight"].value.second_moment == pytest.approx(2.0**-15)
    assert all(p.is_meta for p in model.parameters())


def test_a_plan_and_the_weights_that_it_draws_are_seen_alike() -> None:
    model, x = mlp(width=128), torch.randn(16, 128)
    plan = fanin.initialize_(model, x, recipe="xavier", seed=0)
    planned, real = predicted(model, x, plan=plan), predicted(model, x)
    for name, value in planned.values.items():
        assert real.values[name].second_moment == pytest.approx(value.second_moment, rel=0.03), name


def test_rows_of_parts_have_their_own_law() -> None:
    model, x = nn.LSTM(8, 8), torch.randn(2, 3, 8)
    plan = fanin.plan(model, x, overrides={"bias_ih_l0": "forget_gate_bias(value=1.0)", "bias_hh_l0": "zeros"})
    assert predicted(model, x, plan=plan).parameters["bias_ih_l0"].value.mean == pytest.approx(0.25)
    with torch.no_grad():
        model.get_parameter("bias_ih_l0").copy_(torch.tensor([0.0, 1.0, 0.0, 0.0]).repeat_interleave(8))
    assert predicted(model, x).parameters["bias_ih_l0"].value.mean == pytest.approx(0.25)


def test_constants_are_seen_exactly_and_small_means_by_chance_as_none() -> None:
    torch.manual_seed(0)
    model, x = nn.Sequential(nn.Linear(64, 64), nn.LayerNorm(64)), torch.randn(4, 64)
    nn.init.constant_(model.get_parameter("0.bias"), 0.1)
    values = {path: p.value for path, p in predicted(model, x).parameters.items()}
    assert (values["1.weight"].mean, values["1.weight"].second_moment) == (1.0, 1.0)
    assert values["0.bias"].mean == float(np.float32(0.1))
    assert values["0.bias"].second_moment == float(np.float32(0.1)) ** 2
    assert values["1.bias"].zeros == 1.0
    assert values["0.weight"].mean == 0.0
    assert values["0.weight"].second_moment == pytest.approx(1 / (3 * 64), rel=0.05)


def test_equal_rows_are_seen() -> None:
    model, x = nn.Sequential(nn.Linear(8, 4), nn.ReLU(), nn.Linear(4, 2)), torch.randn(4, 8)
    nn.init.constant_(model.get_parameter("0.weight"), 0.3)
    found = predicted(model, x).parameters
    assert found["0.weight"].same_rows
    assert not found["2.weight"].same_rows
    assert not found["0.bias"].same_rows


def test_what_a_plan_keeps_is_seen_as_it_is() -> None:
    model, x = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 8)), torch.randn(4, 8)
    nn.init.constant_(model.get_parameter("0.weight"), 0.5)
    plan = fanin.plan(model, x, overrides={"0.weight": "keep"})
    assert predicted(model, x, plan=plan).parameters["0.weight"].value.mean == 0.5


def test_kept_parameters_on_the_meta_device_are_listed() -> None:
    with torch.device("meta"):
        model, x = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 8)), torch.empty(4, 8)
    plan = fanin.plan(model, x, overrides={"*.weight": "keep"})
    with pytest.raises(BadInput, match=r"2 parameter\(s\) .* have no values: 0.weight, 1.weight\. The plan keeps"):
        predicted(model, x, plan=plan)
    with pytest.raises(BadInput, match=r"4 parameter\(s\) .*plan=fanin.plan\(model, x\)"):
        predicted(model, x)


def test_a_plan_for_another_model_is_refused() -> None:
    x = torch.randn(4, 8)
    plan = fanin.plan(nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 4)), x)
    with pytest.raises(BadInput, match=r"not for this model: 1.weight: in the plan, not in the model, 1.bias"):
        predicted(nn.Sequential(nn.Linear(8, 8)), x, plan=plan)
    with pytest.raises(BadInput, match=r"0.bias: shape \(8,\) in the plan, \(9,\) in the model"):
        predicted(nn.Sequential(nn.Linear(8, 9), nn.Linear(9, 4)), x, plan=plan)


def test_a_sharded_model_needs_a_plan(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        importlib.import_module("fanin.frameworks.torch.predicting.predict"), "any_sharded", lambda _: True
    )
    model, x = mlp(), torch.randn(4, 64)
    with pytest.raises(BadInput, match="sharded"):
        predicted(model, x)
    assert predicted(model, x, plan=fanin.plan(model, x)).values


class Tied(nn.Module):
    def __init__(self, tied: bool) -> None:
        super().__init__()
        self.one, self.other = nn.Linear(32, 32, bias=False), nn.Linear(32, 32, bias=False)
        if tied:
            self.other.weight = self.one.weight

    def forward(self, x: Tensor) -> Any:
        return self.other(torch.tanh(self.one(x)))


def test_gradients_of_tied_parameters_add_up() -> None:
    torch.manual_seed(0)
    x = torch.randn(16, 32)
    apart, together = predicted(Tied(False), x).parameters, predicted(Tied(True), x).parameters
    parts = [apart[path].gradient for path in ("one.weight", "other.weight")]
    whole = together["one.weight"].gradient
    assert whole is not None
    assert whole.second_moment == pytest.approx(sum(p.second_moment for p in parts if p), rel=0.05)


def test_the_model_is_left_as_it_was() -> None:
    model = nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 4))
    x = torch.randn(16, 8, requires_grad=True)
    before, generator = copy.deepcopy(model.state_dict()), torch.get_rng_state()
    first = predicted(model, x, loss=lambda out: out.square().mean())
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert torch.equal(generator, torch.get_rng_state())
    assert model.training
    assert x.grad is None
    assert all(p.grad is None for p in model.parameters())
    assert first.values == predicted(model, x, loss=lambda out: out.square().mean()).values


def test_bands_hold_the_mean_and_widen_with_depth() -> None:
    with torch.device("meta"):
        model, x = mlp(width=64, depth=8), torch.empty(8, 64)
    found = predicted(model, x, plan=fanin.plan(model, x)).values
    widths = []
    for name in ("linear", "linear_3", "linear_7"):
        band = found[name].band
        assert band is not None
        assert band[0] < found[name].second_moment < band[1]
        widths.append(math.log(band[1] / band[0]))
    assert widths[-1] > widths[0]


def test_half_precision_is_predicted_as_single() -> None:
    torch.manual_seed(0)
    model, x = mlp(), torch.randn(8, 64)
    single = predicted(model, x)
    half = predicted(model.bfloat16(), x.bfloat16())
    assert half.values["linear_3"].second_moment == pytest.approx(single.values["linear_3"].second_moment, rel=0.02)


def test_a_large_transformer_on_the_meta_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    module = importlib.import_module("predict_large")
    with torch.device("meta"):
        model = module.GPT(width=1024, layers=3, heads=16, vocabulary=5000, length=256)
        ids = torch.zeros(1, 256, dtype=torch.long)
    found = predicted(model, ids, plan=fanin.plan(model, ids, recipe="normal(std=0.02)"))
    stream = [found.values[n].second_moment for n in found.values if n.startswith("add")]
    assert stream == sorted(stream)  # a pre-LN stream grows by what each branch adds
    assert found.values["layer_norm"].second_moment == pytest.approx(1.0, rel=0.05)
    assert all(math.isfinite(p.gradient.second_moment) for p in found.parameters.values() if p.gradient)
    assert all(found.parameters[p].gradient for p in ("tokens.weight", "blocks.0.qkv.weight", "norm.weight"))


def test_no_operation_is_sampled_that_has_a_rule() -> None:
    model, x = mlp(), torch.randn(4, 64)
    found = predicted(model, x)
    assert {n.op for n in trace(model, x).graph.nodes} <= RULES.keys() | {"tanh"}
    assert not found.sampled
    assert not found.assumed


def test_a_recording_stands_for_what_the_constructor_draws() -> None:
    """Also of a parameter whose law is none of fanin's, which is measured by drawing that one tensor."""

    class Net(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner, self.outer = torch.nn.Linear(256, 512), torch.nn.Linear(512, 64)
            torch.nn.init.normal_(self.inner.weight, std=0.1)
            with torch.no_grad():
                self.outer.weight.copy_(torch.randn(64, 512).exp() * 0.01)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            out: torch.Tensor = self.outer(torch.relu(self.inner(x)))
            return out

    x = torch.randn(64, 256)
    with fanin.on_meta() as recorded:
        on_meta = Net()
    torch.manual_seed(0)
    predicted, real = fanin.predict(on_meta, x, plan=recorded), fanin.predict(Net(), x)
    for node in ("linear", "relu", "linear_1"):
        assert predicted.values[node].second_moment == pytest.approx(real.values[node].second_moment, rel=0.05)


def test_a_bias_that_a_constructor_computes_is_seen_as_it_is_spread() -> None:
    """Steps between 0.001 and 0.1, uniform in their logarithm: E step² is (b² − a²)/2 ln(b/a), whatever softplus makes

    of a Gaussian with the same moments: 1.7 times as much, with the mutant.
    """
    low, high = 0.001, 0.1

    class Steps(nn.Linear):
        def __init__(self) -> None:
            super().__init__(8, 256)
            with torch.no_grad():
                steps = torch.exp(torch.rand(256) * math.log(high / low) + math.log(low))
                self.bias.copy_(steps + torch.log(-torch.expm1(-steps)))
                self.weight.mul_(0.01)

        def forward(self, x: Tensor) -> Tensor:
            return F.softplus(super().forward(x))

    with fanin.on_meta() as recorded:
        model = Steps()
    found = fanin.predict(model, torch.randn(16, 8), plan=recorded).values["softplus"].second_moment
    assert found == pytest.approx((high**2 - low**2) / (2 * math.log(high / low)), rel=0.05)


def test_a_rule_of_the_users_stands_in_the_place_of_fanins() -> None:
    net, x = torch.nn.Sequential(torch.nn.Linear(8, 8), torch.nn.ReLU()), torch.randn(4, 8)
    seen = []

    def rule(call: Call) -> Outcome:
        seen.append(call.node.name)
        return RULES["activation"](call)

    assert fanin.predict(net, x, rules={"activation": rule}).values == fanin.predict(net, x).values
    assert seen == ["relu"]


def test_a_rule_that_fails_is_told_and_the_operation_is_run_on_a_sample() -> None:
    net, x = torch.nn.Sequential(torch.nn.Linear(64, 64), torch.nn.ReLU()), torch.randn(256, 64)

    def broken(call: Call) -> Outcome:
        raise IndexError("nothing there")

    found = fanin.predict(net, x, rules={"activation": broken})
    assert "IndexError: nothing there" in found.sampled["relu"]
    exact = fanin.predict(net, x).values["relu"].second_moment
    assert found.values["relu"].second_moment == pytest.approx(exact, rel=0.1)


def test_a_class_token_among_patches_is_divided_by_a_norm_of_its_own() -> None:
    class Tokens(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.token, self.norm = nn.Parameter(torch.zeros(1, 1, 8)), nn.LayerNorm(8)

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.norm(torch.cat([self.token.expand(len(x), -1, -1), x], 1))
            return out

    found = fanin.predict(Tokens(), torch.randn(4, 6, 8))
    assert not found.assumed
    assert found.values["layer_norm"].second_moment == pytest.approx(6 / 7, rel=1e-3)  # the token of zeros stays 0


def test_parts_of_a_map_that_are_unlike_are_marked() -> None:
    class Parts(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.map = nn.Conv2d(6, 6, 1)

        def forward(self, x: Tensor) -> Tensor:
            return torch.cat([x, 10 * self.map(x)], 2)

    x = torch.randn(4, 6, 8, 8)
    assert any("different kinds" in mark for mark in fanin.predict(Parts(), x).assumed["cat"])
    assert not fanin.predict(nn.LayerNorm(8), torch.randn(4, 6, 8)).assumed
