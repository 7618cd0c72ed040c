"""Operations without a rule: the surrogates, what is measured on them, and what happens where nothing can be run."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fanin.activations import moments
from fanin.frameworks.torch import predict, trace
from fanin.frameworks.torch.predicting import trial
from fanin.frameworks.torch.predicting.structured import Noise, cube_of, drawn, noise, seen, state_of
from fanin.frameworks.torch.predicting.surrogate import sampler
from fanin.graph import Ref
from fanin.signals import latent
from fanin.signals.axes import Kind, axes_of, count, shape_of, usual
from fanin.signals.bands import APART
from fanin.signals.gradient import GradientMoments, total
from fanin.signals.propagate import Propagated, backward, forward
from fanin.signals.state import State, gaussian
from fanin.signals.values import Constant, Unknown, Value, Weight

SIGMAS = 5.0


class Of(nn.Module):
    """A function of tensors as a module; a graph needs a parameter."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function = function
        self.unused = nn.Parameter(torch.zeros(1))

    def forward(self, *x: Tensor) -> Any:
        return self.function(*x)


def without_rules(function: Callable[..., Any], *states: State | Tensor) -> tuple[Propagated, tuple[Ref, ...]]:
    """Every operation of the function sampled, on signals of these states."""
    example = [x if isinstance(x, Tensor) else torch.zeros(shape_of(x.axes)) for x in states]
    traced = trace(Of(function), *example)
    names = [i.name for i in traced.graph.inputs]
    given: dict[str, Value] = {
        name: Constant(x.numpy()) if isinstance(x, Tensor) else x for name, x in zip(names, states, strict=True)
    }
    known = given | {"unused": Weight("unused", (1,), np.zeros(1), np.zeros(1), np.ones(1, dtype=np.int64))}
    return forward(traced.graph, known, {}, sampler(traced)), traced.graph.outputs


def back_to_input(
    function: Callable[..., Any], state: State, moments_: GradientMoments
) -> tuple[State, GradientMoments]:
    """The output's state, and the gradient's moments at the input for these at the output."""
    example = torch.zeros(shape_of(state.axes))
    traced = trace(Of(function), example)
    (name,) = (i.name for i in traced.graph.inputs)
    found = forward(traced.graph, {name: state}, {}, sampler(traced))
    (ref,) = traced.graph.outputs
    pulled: list[Any] = []
    node = traced.graph.by_name[ref.name]
    for n, outcome, _ in found._pulls:
        if n is node:
            pulled += [back for _, back in outcome.pull([moments_.flow()])]
    (gradient,) = pulled
    out = found.values[ref.name][0]
    assert isinstance(out, State)
    return out, total(gradient, state)


def signal(shape: tuple[int, ...], q: float, k: float, s: float, mean: float = 0.0) -> State:
    axes = usual(shape)
    return gaussian(axes, [count(axes, Kind.FEATURE)], mean, q, k, s)


CORRELATIONS = {
    "white": (0.0, 0.0),
    "positions alike": (0.6, 0.0),
    "all alike": (0.7, 0.4),
    "positions unlike": (-0.1, 0.0),
    "samples unlike": (0.5, -0.05),
    "what a table of positions gives": (0.0, 1 / 8),
}


def stray(k: float, s: float) -> tuple[float, float]:
    """How far covariances over positions and samples lie from what is asked, in standard errors."""
    state, draws = signal((6, 8, 400), 2.0, 2 * k, 2 * s), []
    for seed in range(20):
        generator = torch.Generator().manual_seed(seed)
        found = seen(cube_of(drawn(state, noise(state.axes, generator)), state.axes), state.sizes).moments
        draws.append((found.across_positions[0] / 2 - k, found.across_samples[0] / 2 - s))
    off = np.array(draws)
    errors = np.abs(off.mean(0)) / (off.std(0) / math.sqrt(len(off)) + 1e-9)
    return float(errors[0]), float(errors[1])


@pytest.mark.parametrize("name", CORRELATIONS)
def test_a_surrogate_has_the_covariances_of_its_state_negative_ones_included(name: str) -> None:
    assert max(stray(*CORRELATIONS[name])) < SIGMAS


def test_the_test_of_covariances_would_notice(monkeypatch: pytest.MonkeyPatch) -> None:
    """A mutant: samples share what they share, and negative covariances are cut off."""

    def wrong(self: Noise, across_positions: Any, across_samples: Any) -> Tensor:
        return correlated(self, np.maximum(across_positions, 0.0), np.maximum(across_samples, 0.0))

    correlated = Noise.correlated
    monkeypatch.setattr(Noise, "correlated", wrong)
    assert max(stray(*CORRELATIONS["positions unlike"])) > SIGMAS


def test_what_is_seen_of_a_tensor_is_its_state_again() -> None:
    axes = axes_of((4, 30, 10, 7), (Kind.SAMPLE, Kind.FEATURE, Kind.POSITION, Kind.POSITION))
    values = np.maximum(latent.NODES, 0.0)[None]
    state = gaussian(axes, [10, 20], 0.0, 1.0, 0.5, 0.2)
    relu = state.of(np.concatenate([values, 2 * values]))
    x = [cube_of(drawn(relu, noise(axes, torch.Generator().manual_seed(seed))), axes) for seed in range(20)]
    found = state_of(x, axes, relu.sizes)
    for what in ("mean", "second", "across_positions", "across_samples"):
        assert getattr(found, what) == pytest.approx(getattr(relu, what), rel=0.12), what
    assert found.marginal is not None
    of_feature = math.sqrt(math.asin(0.2) / (2 * math.pi) / (20 * 10))  # what samples share of a sign, 10 features
    assert (found.marginal == 0) @ latent.WEIGHTS == pytest.approx([0.5, 0.5], abs=SIGMAS * of_feature)


def test_states_of_one_root_are_functions_of_one_draw_and_others_are_not() -> None:
    x = signal((4, 5, 64), 1.0, 0.3, 0.1)
    once, _ = without_rules(lambda a, b: (a * b).sum(-1), x, x.scaled(2.0))
    twice, _ = without_rules(lambda a, b: (a * b).sum(-1), x, signal((4, 5, 64), 4.0, 1.2, 0.4))
    assert as_state(once, "mul").mean[0] == pytest.approx(2.0, abs=1e-6)
    assert as_state(twice, "mul").mean[0] == pytest.approx(0.0, abs=0.2)


def gradient_of(second: float, positions: float, samples: float) -> GradientMoments:
    return GradientMoments(np.array([second]), np.array([positions]), np.array([samples]))


def as_state(found: Propagated, name: str, index: int = 0) -> State:
    value = found.values[name][index]
    assert isinstance(value, State), value
    return value


def test_a_pointwise_operation_of_one_latent_is_composed_and_not_sampled() -> None:
    x = signal((4, 16), 1.0, 1.0, 0.5)
    out, back = back_to_input(torch.erf, x, gradient_of(2.0, 0.0, 0.0))
    exact = moments("erf")
    assert out.second[0] == pytest.approx(exact.second_moment, rel=1e-5)
    assert back.second[0] == pytest.approx(2 * exact.derivative_second_moment, rel=1e-5)
    assert out.across_samples[0] == pytest.approx(2 / math.pi * math.asin(1 / 3), rel=1e-4)  # Williams 1997
    assert out.root is x.root


def test_comparisons_and_masks_of_one_latent_stay_functions_of_it() -> None:
    x = signal((4, 16), 1.0, 1.0, 0.0)
    found, _ = without_rules(lambda a: torch.where(a > 0, a, 0.1 * a), x)
    assert as_state(found, "where").second[0] == pytest.approx((1 + 0.01) / 2, rel=1e-4)
    assert as_state(found, "gt").mean[0] == pytest.approx(0.5, abs=1e-4)


def test_max_pooling_knows_the_rectifier_before_it() -> None:
    values = np.maximum(latent.NODES, 0.0)[None]
    x = signal((8, 32, 16, 16), 1.0, 0.0, 0.0).of(values)
    out, back = back_to_input(lambda a: torch.nn.functional.max_pool2d(a, 2), x, gradient_of(1.0, 0.0, 0.0))
    n = 8 * 32 * 8 * 8 * 2  # two draws
    assert out.mean[0] == pytest.approx(1.045756, abs=SIGMAS * math.sqrt(0.4504 / n))
    assert out.second[0] == pytest.approx(1.543785, abs=SIGMAS * 2.5 / math.sqrt(n))
    assert back.second[0] == pytest.approx(1 / 4, rel=SIGMAS * math.sqrt(2 / n))  # each goes to one of four


@pytest.mark.parametrize(("k", "h"), [(0.0, 0.0), (0.5, 0.3), (-0.05, -0.05)])
def test_a_sum_over_positions_goes_by_their_covariance_forward_and_back(k: float, h: float) -> None:
    t = 12
    x = signal((8, t, 200), 1.0, k, 0.0)
    out, back = back_to_input(lambda a: torch.cumsum(a, 1), x, gradient_of(1.0, h, 0.0))
    steps = np.arange(1, t + 1)
    assert out.second[0] == pytest.approx(np.mean(steps + steps * (steps - 1) * k), rel=0.1)
    assert back.second[0] == pytest.approx(np.mean(steps + steps * (steps - 1) * h), rel=0.1)


def test_weights_are_drawn_from_their_law_and_get_a_gradient() -> None:
    torch.manual_seed(0)
    model = nn.LSTM(16, 32, batch_first=True)
    x = torch.randn(16, 6, 16)
    traced = trace(model, x)
    found = predict(traced, model, (x,))
    with torch.no_grad():
        real = float(model(x)[0].square().mean())
    assert found.values["lstm"].second_moment == pytest.approx(real, rel=0.4)
    assert all(p.gradient is not None and p.gradient.second_moment > 0 for p in found.parameters.values())


def test_segments_are_kept_where_as_many_features_come_out() -> None:
    axes = usual((8, 6, 30))
    x = gaussian(axes, [10, 20], 0.0, np.array([1.0, 9.0]), 0.0, 0.0)
    found, _ = without_rules(lambda a: torch.cumsum(a, 1), x)
    out = as_state(found, "cumsum")
    assert out.sizes.tolist() == [10, 20]
    assert out.second == pytest.approx([3.5, 31.5], rel=0.2)


def test_several_results_integers_among_them() -> None:
    x = signal((8, 6, 30), 1.0, 0.0, 0.0)
    found, _ = without_rules(lambda a: torch.topk(a, 3), x)
    values, indices = found.values["topk"]
    assert isinstance(values, State)
    assert values.mean[0] > 1
    assert isinstance(indices, Constant)
    assert indices.array.shape == (8, 6, 3)
    assert indices.array.max() < 30


def test_what_cannot_be_differentiated_sends_nothing_back() -> None:
    x = signal((8, 30), 1.0, 1.0, 0.0)
    found, _ = without_rules(torch.argsort, x)
    assert not isinstance(found.values["argsort" if "argsort" in found.values else "sort"][-1], State)


def test_random_operations_are_drawn_anew_and_leave_the_users_generators_alone() -> None:
    x = signal((8, 30), 1.0, 1.0, 0.0)
    before = torch.get_rng_state()
    found, _ = without_rules(lambda a: a * torch.bernoulli(torch.full_like(a, 0.25)), x)
    mask = as_state(found, "bernoulli")
    assert mask.mean[0] == pytest.approx(0.25, abs=SIGMAS * math.sqrt(0.19 / (8 * 30 * trial.RUNS)))
    assert torch.equal(before, torch.get_rng_state())


def test_the_same_twice_and_equal_calls_are_run_once(monkeypatch: pytest.MonkeyPatch) -> None:
    runs = []
    values = trial.Trial.values

    def counted(self: trial.Trial) -> Any:
        runs.append(self.call.node.op)
        return values(self)

    monkeypatch.setattr(trial.Trial, "values", counted)

    def function(*inputs: Tensor) -> Any:
        return sum(torch.cumsum(x, 1).flip(1).amax() for x in inputs)

    states = [signal((8, 6, 30), 1.0, 0.2, 0.1) for _ in range(3)]
    first, second = (without_rules(function, *states)[0] for _ in range(2))
    assert runs.count("cumsum") == 2  # once for each of the two programs
    for name in ("cumsum", "cumsum_1", "flip_2"):
        assert as_state(first, name).second == as_state(second, name).second
    assert as_state(first, "cumsum").root is not as_state(first, "cumsum_1").root


@torch.library.custom_op("fanin_tests::only_shapes", mutates_args=())
def only_shapes(x: Tensor) -> Tensor:
    raise NotImplementedError("no kernel")


@only_shapes.register_fake
def _(x: Tensor) -> Tensor:
    return torch.empty_like(x)


class Custom(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(16, 16), nn.Linear(16, 4)

    def forward(self, x: Tensor) -> Any:
        return self.last(only_shapes(self.first(x)))


def test_what_cannot_be_run_is_passed_through_with_a_mark_that_names_the_line() -> None:
    model, x = Custom(), torch.randn(8, 16)
    found = predict(trace(model, x), model, (x,))
    assert found.sampled["only_shapes"] == "only_shapes has no rule"
    (mark,) = found.assumed["only_shapes"]
    assert "only_shapes could not be run: NotImplementedError: no kernel at test_torch_predict_sampled.py:" in mark
    assert found.assumed["linear_1"] == (mark,)  # and what comes of it
    assert found.values["only_shapes"].second_moment == found.values["linear"].second_moment
    assert found.gradients["linear"].second_moment == found.gradients["only_shapes"].second_moment


def test_large_tensors_lose_samples_and_what_is_too_large_all_the_same_is_not_run() -> None:
    x = signal((4096, 8, 512), 1.0, 0.2, 0.1)
    found, _ = without_rules(lambda a: torch.cumsum(a, 1), x)
    assert as_state(found, "cumsum").second[0] == pytest.approx(
        np.mean(np.arange(1, 9) * (1 + 0.2 * np.arange(8))), rel=0.1
    )
    y = signal((1, 4096, 4096), 1.0, 0.2, 0.1)
    found, _ = without_rules(lambda a: torch.cumsum(a, 1), y)
    assert "was not run on a sample, which would have 1.7e+07 elements" in next(iter(as_state(found, "cumsum").marks))
    assert as_state(found, "cumsum").second[0] == 1


def test_what_is_not_finite_is_left_out_and_said() -> None:
    x, y = (signal((8, 64), 1.0, 1.0, 0.0) for _ in range(2))
    mask = torch.zeros(8, 64, dtype=torch.bool)
    mask[:, ::2] = True
    found, _ = without_rules(lambda a, b, m: (a + b).masked_fill(m, -math.inf), x, y, mask)
    out = as_state(found, "masked_fill")
    assert out.second[0] == pytest.approx(1.0, rel=0.2)  # half of a variance of 2: the rest is 0
    assert "50% of what masked_fill makes is not finite, and was left out" in out.marks


def test_what_is_unknown_is_drawn_and_said() -> None:
    traced = trace(Of(lambda a, b: torch.cumsum(a + b, 1)), torch.zeros(4, 6, 8), torch.zeros(4, 6, 8))
    known: Mapping[str, Value] = dict(
        zip(
            (i.name for i in traced.graph.inputs),
            (signal((4, 6, 8), 1.0, 0.0, 0.0), Unknown((4, 6, 8), "float32", usual((4, 6, 8)))),
            strict=True,
        )
    )
    found = forward(traced.graph, known, {}, sampler(traced))
    assert as_state(found, "cumsum").marks == {"nothing is known of the other of add"}


def test_a_tensor_that_stands_twice_gets_its_gradient_once() -> None:
    x = signal((8, 6, 64), 1.0, 0.0, 0.0)
    traced = trace(Of(lambda a: torch.cumsum(a, 1) @ torch.cumsum(a, 1).mT), torch.zeros(8, 6, 64))
    (name,) = (i.name for i in traced.graph.inputs)
    found = forward(traced.graph, {name: x}, {}, sampler(traced))
    backward(traced.graph, found, {"matmul": GradientMoments(np.ones(1), np.zeros(1), np.zeros(1)).flow()})
    assert found.gradients["cumsum"][0]


class Meeting(nn.Module):
    """Two layers that meet in an operation that has no rule."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right, self.out = nn.Linear(64, 64), nn.Linear(64, 64), nn.Linear(64, 64)

    def forward(self, x: Tensor) -> Tensor:
        return torch.as_tensor(self.out(torch.hypot(self.left(x), self.right(x))))


def test_no_band_is_said_of_signals_that_were_drawn_independently() -> None:
    """How they hang together decides how far a draw is off, and nothing is known of it."""
    x = torch.randn(16, 64)
    predicted = predict(trace(Meeting(), x), Meeting(), (x,))
    assert predicted.graph
    assert {node.op for node in predicted.graph.nodes if node.name in predicted.sampled} == {"hypot"}
    assert predicted.values["linear"].band is not None
    for name in ("hypot", "linear_2"):
        assert predicted.values[name].band is None
        assert APART in predicted.assumed.get(name, ())
