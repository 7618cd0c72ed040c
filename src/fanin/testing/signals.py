"""Every rule against the operation itself, run on tensors that have the moments which the rule was given.

Tensors are drawn as `fanin.signals.particles` says, weights anew each time.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np

from fanin.signals import latent
from fanin.signals.axes import Kind, axes_of, count
from fanin.signals.flow import Gradient
from fanin.signals.gradient import GradientMoments, total
from fanin.signals.particles import draw, draw_levels, measure
from fanin.signals.propagate import Propagated, Rule, backward, forward
from fanin.signals.state import State, gaussian
from fanin.signals.values import Weight

Array: TypeAlias = latent.Array
Generator: TypeAlias = np.random.Generator
S, P, C = Kind.SAMPLE, Kind.POSITION, Kind.FEATURE
SIGMAS: Final = 5.0  # 6e-7 false alarms a comparison


class BrokenRule(AssertionError):
    """A rule whose moments are not those of the operation: which, predicted and measured."""


@dataclass(frozen=True)
class Drawn:
    """One input of a case: its shape, what its axes count, and what was done to the Gaussian behind it.

    Attributes:
        through: a pointwise function of numpy arrays, such as a rectifier.
        segments: features that differ in mean and variance.
        positive: the mean is far from 0, as a divisor's.
        alike: the largest correlation of two positions.
    """

    shape: tuple[int, ...]
    kinds: tuple[Kind, ...]
    through: Callable[[Array], Array] | None = None
    segments: tuple[int, ...] = ()
    positive: bool = False
    alike: float = 0.8

    def state(self, random: Generator) -> State:
        """A state somewhere in the range."""
        axes = axes_of(self.shape, self.kinds)
        sizes = self.segments or (max(count(axes, C), 1),)
        n = len(sizes)
        mean = 4 + random.uniform(0, 1, n) if self.positive else random.uniform(-0.7, 0.7, n)
        variance = random.uniform(0.3, 1.0 if self.positive else 2.0, n)
        rho = np.sort(random.uniform(0, self.alike, (n, 2)), axis=1)
        positions, samples = rho[:, 1], rho[:, 0]
        first = gaussian(axes, sizes, mean, mean**2 + variance, *(mean**2 + r * variance for r in (positions, samples)))
        return first if self.through is None else first.of(self.through(first.values))


@dataclass(frozen=True)
class RuleCase:
    """A function of tensors and parameters, with the inputs on which its rules are checked.

    Attributes:
        name: of the operation.
        function: of torch tensors: the inputs, then the weights.
        inputs: how each is drawn.
        weights: shapes of the parameters, each with elements N(0, 1/fan-in).
        error: what the rule's own assumptions may cost, as a share of the second moment.
        back_error: that of the gradients, if it is another.
        draws: how many.
    """

    name: str
    function: Callable[..., Any]
    inputs: tuple[Drawn, ...]
    weights: tuple[tuple[int, ...], ...] = ()
    error: float = 0.02
    back_error: float | None = None
    draws: int = 40


def assert_rules_hold(cases: Sequence[RuleCase], rules: Mapping[str, Rule], seed: int = 0) -> None:
    """The moments that the rules predict are those of the operations on the draws of each case.

    Raises:
        BrokenRule: a moment of a result or of a gradient is further off than chance and the declared error allow.

    Not for: what a single weight does, which is drawn anew each time.
    """
    random = np.random.default_rng(seed)
    states = [[drawn.state(random) for drawn in case.inputs] for case in cases]
    runs, found = _predicted(cases, states, rules)
    if found.sampled:
        raise BrokenRule(f"no rule held: {found.sampled}")
    wrong = [line for run in runs for line in _compared(run, random)]
    if wrong:
        raise BrokenRule("; ".join(wrong))


@dataclass
class _Run:
    """One case: what was predicted of it."""

    case: RuleCase
    states: list[State]
    outs: list[State]
    back: list[Gradient]
    weights: dict[str, float]


def _predicted(
    cases: Sequence[RuleCase], states: Sequence[list[State]], rules: Mapping[str, Rule]
) -> tuple[list[_Run], Propagated]:
    """All cases as one traced module: tracing takes longer than all else."""
    import torch

    from fanin.frameworks.torch import trace
    from fanin.frameworks.torch.model.call import call_of
    from fanin.frameworks.torch.predicting.known import known_tensors
    from fanin.frameworks.torch.predicting.surrogate import sampler

    shapes = [shape for case in cases for shape in case.weights] or [(1,)]

    class All(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weights = torch.nn.ParameterList(torch.zeros(shape) for shape in shapes)

        def forward(self, *xs: Any) -> Any:
            inputs, weights = iter(xs), iter(self.weights)
            return tuple(_tensors(c.function(*_next(inputs, c.inputs), *_next(weights, c.weights))) for c in cases)

    module = All()
    example = tuple(torch.randn(drawn.shape) for case in cases for drawn in case.inputs)
    traced = trace(module, *example)
    names = iter([named.name for named in traced.graph.inputs])
    paths = iter([f"weights.{at}" for at in range(len(shapes))])
    outputs = iter(traced.graph.outputs)
    counts = [len(outs) for outs in module(*example)]
    known: dict[str, Any] = dict(known_tensors(traced, call_of(module, example)))
    named = [_next(names, own) for own in states]
    for own, run_names in zip(states, named, strict=True):
        known |= dict(zip(run_names, own, strict=True))
    by_case = [_next(paths, case.weights) for case in cases]
    for case, own_paths in zip(cases, by_case, strict=True):
        known |= {path: _law(path, shape) for path, shape in zip(own_paths, case.weights, strict=True)}
    found = forward(traced.graph, known, rules, sampler(traced))
    refs = [_next(outputs, range(count)) for count in counts]
    outs = [[found.values[ref.name][ref.result] for ref in own] for own in refs]
    seeds = {
        ref.name if ref.result == 0 else f"{ref.name}#{ref.result}": _cotangent(state).flow()
        for own, values in zip(refs, outs, strict=True)
        for ref, state in zip(own, values, strict=True)
        if isinstance(state, State)
    }
    backward(traced.graph, found, seeds)
    runs = []
    for case, own_states, own_outs, run_names, own_paths in zip(cases, states, outs, named, by_case, strict=True):
        back = [found.gradients.get(name, ({},))[0] for name in run_names]
        weights = {f"gw{at}": found.weights[path] for at, path in enumerate(own_paths)}
        runs.append(_Run(case, own_states, [o for o in own_outs if isinstance(o, State)], back, weights))
    return runs, found


def _next(of: Iterator[Any], like: Sequence[Any]) -> list[Any]:
    """As many as there are."""
    return [next(of) for _ in like]


def _tensors(result: Any) -> list[Any]:
    """Of floating point."""
    return [y for y in (result if isinstance(result, tuple) else (result,)) if y.is_floating_point()]


def _law(path: str, shape: tuple[int, ...]) -> Weight:
    """N(0, 1/fan-in)."""
    rows = np.array([shape[0] if shape else 1])
    return Weight(path, shape, np.zeros(1), np.array([_variance(shape)]), rows)


def _variance(shape: tuple[int, ...]) -> float:
    return 1 / math.prod(shape[1:]) if len(shape) > 1 else 1.0


def _cotangent(out: State) -> GradientMoments:
    """What comes back to a result: of second moment 1, alike across positions and samples."""
    one = np.ones(len(out.sizes))
    return GradientMoments(one, 0.5 * one, 0.25 * one)


def _compared(run: _Run, random: Generator) -> list[str]:
    """What is further off than it may be."""
    wanted, scales = _wanted(run)
    measured: dict[str, list[float]] = {name: [] for name in wanted}
    for _ in range(run.case.draws):
        _measure_once(run, measured, random)
    wrong = []
    for name, value in wanted.items():
        draws = np.asarray(measured[name])
        error = float(draws.std(ddof=1)) / math.sqrt(len(draws))
        back = run.case.error if run.case.back_error is None else run.case.back_error
        allowed = (run.case.error if name.startswith("y") else back) * scales[name]
        if not abs(value - draws.mean()) <= SIGMAS * error + allowed + 1e-9 * scales[name]:
            got = f"measured {draws.mean():.5g} ± {error:.2g}, allowed {allowed:.2g}"
            wrong.append(f"{run.case.name}: {name}: predicted {value:.5g}, {got}")
    return wrong


def _wanted(run: _Run) -> tuple[dict[str, float], dict[str, float]]:
    """What was predicted, by name, and its scale."""
    wanted: dict[str, float] = dict(run.weights)
    scales: dict[str, float] = dict(run.weights)
    for at, out in enumerate(run.outs):
        moments = (out.mean, out.second, out.across_positions, out.across_samples)
        _want(wanted, scales, f"y{at}", [out.average(m) for m in moments], out)
    for at, (state, gradient) in enumerate(zip(run.states, run.back, strict=True)):
        seen = total(gradient, state)
        parts = [state.average(m) for m in (seen.second, seen.across_positions, seen.across_samples)]
        _want(wanted, scales, f"g{at}", [0.0, *parts], state)
        del wanted[f"g{at}.mean"]
    return wanted, scales


def _measure_once(run: _Run, measured: dict[str, list[float]], random: Generator) -> None:
    """One draw of inputs, weights and what comes back, through the operation itself."""
    import torch

    def tensor(x: Array, *, grad: bool = False) -> Any:
        return torch.tensor(x, dtype=torch.float32, requires_grad=grad)

    xs = [tensor(draw(s, random), grad=True) for s in run.states]
    ws = [tensor(random.normal(0.0, math.sqrt(_variance(s)), s), grad=True) for s in run.case.weights]
    ys = _tensors(run.case.function(*xs, *ws))
    loss = sum(
        (y * tensor(draw_levels(1.0, 0.5, 0.25, out, random))).sum() for y, out in zip(ys, run.outs, strict=True)
    )
    found = torch.autograd.grad(loss, [*xs, *ws], allow_unused=True)
    grads = [torch.zeros_like(x) if g is None else g for g, x in zip(found, [*xs, *ws], strict=True)]
    arrays = {f"y{at}": (y.detach().numpy(), out.axes) for at, (y, out) in enumerate(zip(ys, run.outs, strict=True))}
    arrays |= {f"g{at}": (grads[at].numpy(), s.axes) for at, s in enumerate(run.states)}
    for name, (array, axes) in arrays.items():
        for what, value in measure(array, axes).items():
            if (key := f"{name}.{what}") in measured:
                measured[key].append(value)
    for at, g in enumerate(grads[len(xs) :]):
        measured[f"gw{at}"].append(float((g**2).mean()))


def _want(wanted: dict[str, float], scales: dict[str, float], name: str, moments: list[float], state: State) -> None:
    many = {"across_positions": state.positions > 1, "across_samples": state.samples > 1}
    for what, moment in zip(("mean", "second", "across_positions", "across_samples"), moments, strict=True):
        if many.get(what, True):
            wanted[f"{name}.{what}"] = moment
            scales[f"{name}.{what}"] = math.sqrt(abs(moments[1])) if what == "mean" else abs(moments[1])
