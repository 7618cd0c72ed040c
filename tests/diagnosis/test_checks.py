"""Each check sees its fault where it starts, leaves healthy nets alone, and its remedy makes it go."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import nn

import fanin
from fanin.diagnosis import CHECKS, Diagnosis, Evidence, Severity, check_named, diagnose, remedy_plan
from fanin.errors import UnknownName
from fanin.experiments.nets import Perceptron
from fanin.frameworks.torch import observe, trace, write_
from fanin.initializers import Mirrored
from fanin.plans import Plan, make_plan

DEPTH, WIDTH = 20, 64


def mlp(activation: str, recipe: str = "auto", seed: int = 0) -> tuple[nn.Module, torch.Tensor]:
    torch.manual_seed(0)
    net = Perceptron(DEPTH, WIDTH, 32, 10, activation)
    x = torch.randn(64, 32)
    fanin.initialize_(net, x, recipe=recipe, seed=seed)
    return net, x


class Started:
    """One `mlp` whose graph is traced once, for tests that look at many starts of it."""

    def __init__(self, activation: str) -> None:
        torch.manual_seed(0)
        self.net = Perceptron(DEPTH, WIDTH, 32, 10, activation)
        self.x = torch.randn(64, 32)
        self.traced = trace(self.net, self.x)
        self.loss = partial(nn.functional.cross_entropy, target=torch.arange(64) % 10)

    def diagnosis(self, recipe: str | Plan, seed: int = 0) -> Diagnosis:
        """What `fanin.initialize_` and `fanin.diagnose` do, on the graph that is known."""
        plan = recipe if isinstance(recipe, Plan) else make_plan(self.traced.graph, recipe)
        write_(self.net, plan, seed)
        return diagnose(Evidence(self.traced.graph, observe(self.traced, self.net, (self.x,), self.loss)))


@pytest.fixture(scope="module")
def started() -> Callable[[str], Started]:
    """`started("tanh")`: that net, traced once in this run of the file."""
    nets: dict[str, Started] = {}

    def of(activation: str) -> Started:
        if activation not in nets:
            nets[activation] = Started(activation)
        return nets[activation]

    return of


def labelled(net: nn.Module, x: torch.Tensor) -> Diagnosis:
    labels = torch.arange(len(x)) % 10
    return fanin.diagnose(net, x, loss=partial(nn.functional.cross_entropy, target=labels))


def codes(diagnosis: Diagnosis) -> set[str]:
    return {finding.code for finding in diagnosis}


# Activation, recipe, and what is found.
FAULTS: dict[str, tuple[str, str, set[str]]] = {
    "zeros": ("tanh", "zeros", {"U01"}),
    "small tanh": ("tanh", "normal(std=0.01)", {"F01", "B01"}),
    "small gelu": ("gelu", "normal(std=0.01)", {"F01", "B01"}),
    "large tanh": ("tanh", "normal(std=1.0)", {"U02", "B02"}),
    "large relu": ("relu", "normal(std=1.0)", {"F02", "B02"}),
    "torch's default, relu": ("relu", "torch_default", {"B01"}),
    "torch's default, tanh": ("tanh", "torch_default", {"B01"}),
    "default sigmoid": ("sigmoid", "torch_default", {"B01"}),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_planted_fault_is_found_and_nothing_else_is_and_its_remedy_makes_it_go(
    name: str, started: Callable[[str], Started]
) -> None:
    activation, recipe, expected = FAULTS[name]
    net = started(activation)
    before = net.diagnosis(recipe)
    assert codes(before) == expected
    if activation != "sigmoid":  # whose gradients vanish in twenty layers whatever the weights are
        assert net.diagnosis(remedy_plan(before), seed=1).summary == "healthy"


@pytest.mark.parametrize("activation", ["tanh", "relu", "leaky_relu", "gelu"])
@pytest.mark.parametrize("seed", range(4))
def test_a_net_started_by_auto_is_healthy(activation: str, seed: int, started: Callable[[str], Started]) -> None:
    assert started(activation).diagnosis("auto", seed).healthy


def test_initialize_and_diagnose_see_the_same(started: Callable[[str], Started]) -> None:
    whole, known = labelled(*mlp("tanh", "normal(std=1.0)")), started("tanh").diagnosis("normal(std=1.0)")
    assert [f for f in whole if f.code in codes(known)] == list(known)
    assert whole.signals.gradients == known.signals.gradients


def test_a_remedy_leaves_frozen_weights_alone() -> None:
    """Mutant: `fit_to_activations` without its condition."""
    net, x = mlp("relu", "torch_default")
    net.hidden[3].weight.requires_grad_(False)  # type: ignore[index, union-attr]
    plan = remedy_plan(labelled(net, x))
    assert plan["hidden.3.weight"].initializer == fanin.Keep()
    assert plan["hidden.4.weight"].initializer == Mirrored(columns=False)  # a chain of its own


def test_a_shallow_net_as_pytorch_builds_it_is_healthy() -> None:
    torch.manual_seed(1)
    net = nn.Sequential(nn.Linear(32, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    assert labelled(net, torch.randn(64, 32)).healthy


def test_residual_and_normalised_nets_are_healthy() -> None:
    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm, self.up, self.down = nn.LayerNorm(64), nn.Linear(64, 128), nn.Linear(128, 64)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x + self.down(nn.functional.gelu(self.up(self.norm(x))))  # type: ignore[no-any-return]

    torch.manual_seed(2)
    net = nn.Sequential(nn.Linear(32, 64), *[Block() for _ in range(12)], nn.LayerNorm(64), nn.Linear(64, 10))
    assert labelled(net, torch.randn(64, 32)).healthy


def test_a_head_that_starts_at_zero_on_purpose_is_not_symmetric() -> None:
    net, x = mlp("relu")
    with torch.no_grad():
        net.readout.weight.zero_()  # type: ignore[union-attr, operator]
    assert labelled(net, x).healthy


def test_constant_weights_are_symmetric_from_the_first_such_layer() -> None:
    net, x = mlp("tanh")
    with torch.no_grad():
        for layer in list(net.hidden)[4:]:  # type: ignore[arg-type]
            layer.weight.fill_(0.05)
    (finding,) = [f for f in labelled(net, x) if f.code == "U01"]
    assert (finding.place.layer, finding.place.module) == (5, "hidden.4")
    assert finding.place.block == ("hidden.4", 5, DEPTH)


def test_the_place_names_module_and_source_line(started: Callable[[str], Started]) -> None:
    (finding,) = started("relu").diagnosis("torch_default")
    place = finding.place
    assert place.source.startswith("perceptron.py:")
    assert str(place) == f"layer {place.layer} of 21 (hidden.{(place.layer or 0) - 1}, {place.source})"
    assert "fan_in · E[w²] = 0.3" in finding.why
    assert finding.severity is Severity.ERROR


def test_the_factor_per_layer_is_that_of_the_theory(started: Callable[[str], Started]) -> None:
    """U(±1/√n) has variance 1/(3n) and ReLU halves: 1/6 a layer, within the fluctuation √(5/n) of each layer."""
    (finding,) = started("relu").diagnosis("torch_default")
    fluctuation = math.sqrt(5 / WIDTH / DEPTH)  # of the mean of log factors over the layers
    assert math.log(finding.evidence["ratio_per_layer"] * 6) == pytest.approx(0, abs=6 * fluctuation)


class Overflowing(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(8, 8), nn.Linear(8, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.second(torch.exp(100 * self.first(x).abs() + 100))  # type: ignore[no-any-return]


def test_the_operation_that_first_makes_an_infinity_is_named() -> None:
    torch.manual_seed(0)
    (finding, *_) = fanin.diagnose(Overflowing(), torch.randn(4, 8))
    assert finding.code == "N01"
    assert "exp" in finding.what
    assert finding.place.source.startswith("test_checks.py:")


def test_overflow_through_depth_is_non_finite() -> None:
    torch.manual_seed(0)
    net = Perceptron(16, 64, 32, 10, "relu")  # √32 · 1e3 a layer: beyond float32 after ten
    x = torch.randn(8, 32)
    fanin.initialize_(net, x, recipe="normal(std=1e3)", seed=0)
    assert "N01" in codes(labelled(net, x))


def test_an_infinite_mask_before_a_softmax_is_no_finding() -> None:
    class Masked(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.key = nn.Linear(8, 8)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            scores = self.key(x) @ x.transpose(-1, -2)
            mask = torch.ones_like(scores, dtype=torch.bool).triu(1)
            return scores.masked_fill(mask, -math.inf).softmax(-1) @ x  # type: ignore[no-any-return]

    torch.manual_seed(0)
    assert fanin.diagnose(Masked(), torch.randn(2, 5, 8)).healthy


def test_a_mask_is_not_blamed_for_the_operation_after_it() -> None:
    class Masked(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.key = nn.Linear(8, 8)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            scores = self.key(x) @ x.transpose(-1, -2)
            mask = torch.ones_like(scores, dtype=torch.bool).triu(1)
            return torch.log(scores.masked_fill(mask, -math.inf).softmax(-1) @ x * 0)

    torch.manual_seed(0)
    (finding, *_) = fanin.diagnose(Masked(), torch.randn(2, 5, 8))
    assert finding.code == "N01"
    assert "output of log" in finding.what


def test_relu6_at_rest_is_not_saturated() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(32, 64), nn.ReLU6(), nn.Linear(64, 10))
    assert fanin.diagnose(net, torch.randn(64, 32)).healthy


class Pooled(nn.Module):
    """A convolutional net with batch norm and global average pooling, as anyone writes it."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.norm1 = nn.Conv2d(3, 16, 3, padding=1), nn.BatchNorm2d(16)
        self.conv2, self.norm2 = nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32)
        self.head = nn.Linear(32, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.norm2(self.conv2(torch.relu(self.norm1(self.conv1(x))))))
        return self.head(x.mean((2, 3)))  # type: ignore[no-any-return]


def lenet() -> nn.Module:
    return nn.Sequential(
        *(nn.Conv2d(3, 6, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(16 * 25, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10)),
    )


def transformer() -> nn.Module:
    class Mean(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.mean(1)

    layers = [nn.TransformerEncoderLayer(32, 4, 64, dropout=0.0, batch_first=True, norm_first=True) for _ in range(4)]
    return nn.Sequential(nn.Flatten(2), nn.Linear(1024, 32), *layers, Mean(), nn.Linear(32, 10))


@pytest.mark.parametrize("make", [Pooled, lenet, transformer])
@pytest.mark.parametrize("seed", range(2))
def test_averaging_over_positions_is_no_vanishing_gradient(make: Callable[[], nn.Module], seed: int) -> None:
    """Mutant: E[δ²] in place of ‖δ‖², which falls by the square of the number of positions."""
    torch.manual_seed(seed)
    assert labelled(make(), torch.randn(16, 3, 32, 32)).healthy


def test_a_side_branch_with_a_small_signal_is_no_trend() -> None:
    class Gated(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.squeeze, self.expand, self.last = (nn.Linear(32, 32) for _ in range(4))
            with torch.no_grad():
                self.squeeze.weight.mul_(1e-4)
                self.squeeze.bias.zero_()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = torch.tanh(self.first(x))
            gate = torch.sigmoid(self.expand(torch.tanh(self.squeeze(x))))
            return self.last(x * gate)  # type: ignore[no-any-return]

    torch.manual_seed(0)
    assert fanin.diagnose(Gated(), torch.randn(64, 32)).healthy


def test_a_diagnosis_prints_and_serialises(started: Callable[[str], Started]) -> None:
    diagnosis = started("relu").diagnosis("normal(std=1.0)")
    text = str(diagnosis)
    assert "F02 exploding activations (error) from layer" in text
    assert "remedy" in text
    data = diagnosis.to_dict()
    assert [f["code"] for f in data["findings"]] == ["F02", "B02"]
    assert len(diagnosis) == 2


@pytest.mark.parametrize("code", CHECKS)
def test_every_check_has_a_page_with_all_its_parts(code: str) -> None:
    page = CHECKS[code].page
    for part in ("What it does", "Why it is bad", "Example", "Remedy", "Known exceptions", "Source"):
        assert f"## {part}\n" in page
    assert CHECKS[code].summary.endswith(".")


def test_a_check_is_found_by_code_and_by_name() -> None:
    assert check_named("b01") is check_named("vanishing gradients") is CHECKS["B01"]
    with pytest.raises(UnknownName, match=r"Did you mean 'B01'"):
        check_named("B1")
