"""Every rule against the operation itself, run on tensors that have the moments which the rule was given.

Tensors are drawn as `fanin.signals.particles` says, weights anew each time.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

import numpy as np

from fanin.signals import latent
from fanin.signals.axes import Axes, Kind, axes_of, count
from fanin.signals.gradient import Gradient, Moments3, total
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
        weights: shapes of the parameters, each with elements N(0, 1/fan-in) unless `weight_mean` is set.
        error: what the rule's own assumptions may cost, as a share of the second moment.
        back_error: that of the gradients, if it is another.
        draws: how many.
    """

    name: str
    function: Callable[..., Any]
    inputs: tuple[Drawn, ...]
    weights: tuple[tuple[int, ...], ...] = ()
    weight_mean: float = 0.0
    error: float = 0.02
    back_error: float | None = None
    draws: int = 100


@dataclass
class _Estimate:
    """Draws of one number."""

    values: list[float] = field(default_factory=list)

    @property
    def mean(self) -> float:
        return float(np.mean(self.values))

    @property
    def error(self) -> float:
        return float(np.std(self.values, ddof=1) / math.sqrt(len(self.values)))


def assert_rules_hold(case: RuleCase, rules: Mapping[str, Rule], seed: int = 0) -> None:
    """The moments that the rules predict are those of the operation on `case.draws` draws.

    Raises:
        BrokenRule: a moment of the result or of a gradient is further off than chance and the declared error allow.
    """
    random = np.random.default_rng(seed)
    states = [drawn.state(random) for drawn in case.inputs]
    module, found, outs, back = _predicted(case, states, rules)
    if found.sampled:
        raise BrokenRule(f"{case.name}: no rule held: {found.sampled}")
    wanted, measured, scales = _compared(case, module, states, found, outs, back, random)
    wrong = []
    for name, value in wanted.items():
        estimate = measured[name]
        share = case.error if name.startswith("y") or case.back_error is None else case.back_error
        allowed = share * scales[name]
        off = abs(value - estimate.mean)
        if not off <= SIGMAS * estimate.error + allowed + 1e-9 * scales[name]:
            wrong.append(
                f"{name}: predicted {value:.5g}, measured {estimate.mean:.5g} ± {estimate.error:.2g}, "
                f"allowed {allowed:.2g}"
            )
    if wrong:
        raise BrokenRule(f"{case.name}: " + "; ".join(wrong))


def _predicted(case: RuleCase, states: Sequence[State], rules: Mapping[str, Rule]) -> Any:
    import torch

    from fanin.frameworks.torch import trace
    from fanin.frameworks.torch.known import known_tensors
    from fanin.frameworks.torch.surrogate import sampler

    shapes = case.weights

    class Wrapped(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weights = torch.nn.ParameterList(torch.zeros(shape) for shape in shapes or [(1,)])

        def forward(self, *xs: Any) -> Any:
            return case.function(*xs, *(list(self.weights) if shapes else []))

    module = Wrapped()
    example = tuple(torch.randn(drawn.shape) for drawn in case.inputs)
    traced = trace(module, *example)
    known: dict[str, Any] = dict(known_tensors(traced, module, example))
    known |= {named.name: state for named, state in zip(traced.graph.inputs, states, strict=True)}
    for at, shape in enumerate(shapes):
        mean, variance = _law(case, shape)
        path = f"weights.{at}"
        known[path] = Weight(path, shape, np.array([mean]), np.array([variance]), np.array([shape[0] if shape else 1]))
    found = forward(traced.graph, known, rules, sampler(traced))
    seeds = {}
    for ref in traced.graph.outputs:
        value = found.values[ref.name][ref.result]
        if isinstance(value, State):
            seeds[ref.name if ref.result == 0 else f"{ref.name}#{ref.result}"] = value
    backward(traced.graph, found, {name: _cotangent(state).flow() for name, state in seeds.items()})
    back = [found.gradients.get(named.name, ({},))[0] for named in traced.graph.inputs]
    return module, found, list(seeds.values()), back


def _law(case: RuleCase, shape: tuple[int, ...]) -> tuple[float, float]:
    fan = math.prod(shape[1:]) if len(shape) > 1 else 1
    return case.weight_mean, 1 / fan


def _cotangent(out: State) -> Moments3:
    """What comes back to a result: of second moment 1, alike across positions and samples."""
    one = np.ones(len(out.sizes))
    return Moments3(one, 0.5 * one, 0.25 * one)


def _compared(
    case: RuleCase,
    module: Any,
    states: Sequence[State],
    found: Propagated,
    outs: list[State],
    back: list[Gradient],
    random: Generator,
) -> tuple[dict[str, float], dict[str, _Estimate], dict[str, float]]:
    import torch

    wanted: dict[str, float] = {}
    scales: dict[str, float] = {}
    for at, out in enumerate(outs):
        moments = (out.mean, out.second, out.across_positions, out.across_samples)
        _want(wanted, scales, f"y{at}", [out.average(m) for m in moments], out)
    for at, state in enumerate(states):
        seen = total(gradients[at], state)
        moments_ = [state.average(m) for m in (seen.second, seen.across_positions, seen.across_samples)]
        _want(wanted, scales, f"g{at}", [0.0, *moments_], state)
        wanted.pop(f"g{at}.mean")
    for path, second in found.weights.items():
        if path.startswith("weights."):
            wanted[f"gw{path[8:]}"] = scales[f"gw{path[8:]}"] = second
    measured: dict[str, _Estimate] = {name: _Estimate() for name in wanted}
    for _ in range(case.draws):
        xs = [torch.tensor(draw(s, random), dtype=torch.float32, requires_grad=True) for s in states]
        with torch.no_grad():
            for w, shape in zip(module.weights, case.weights, strict=False):
                mean, variance = _law(case, shape)
                w.copy_(torch.tensor(random.normal(mean, math.sqrt(variance), shape)))
        result = module(*xs)
        ys = [y for y in (result if isinstance(result, tuple) else (result,)) if y.is_floating_point()]
        _note(
            measured,
            {f"y{at}": (y.detach().numpy(), out.axes) for at, (y, out) in enumerate(zip(ys, outs, strict=True))},
        )
        seeds = [torch.tensor(draw_levels(1.0, 0.5, 0.25, out, random), dtype=torch.float32) for out in outs]
        loss = sum((y * seed).sum() for y, seed in zip(ys, seeds, strict=True))
        weights = list(module.weights) if case.weights else []
        leaves = [*xs, *weights]
        back = torch.autograd.grad(loss, leaves, allow_unused=True)
        grads = [torch.zeros_like(x) if g is None else g for g, x in zip(back, leaves, strict=True)]
        _note(measured, {f"g{at}": (grads[at].numpy(), s.axes) for at, s in enumerate(states)})
        for at, g in enumerate(grads[len(xs) :]):
            if f"gw{at}" in measured:
                measured[f"gw{at}"].values.append(float((g**2).mean()))
    return wanted, measured, scales


def _want(wanted: dict[str, float], scales: dict[str, float], name: str, moments: list[float], state: State) -> None:
    many = {"across_positions": state.positions > 1, "across_samples": state.samples > 1}
    for what, moment in zip(("mean", "second", "across_positions", "across_samples"), moments, strict=True):
        if many.get(what, True):
            wanted[f"{name}.{what}"] = moment
            scales[f"{name}.{what}"] = math.sqrt(abs(moments[1])) if what == "mean" else abs(moments[1])


def _note(measured: dict[str, _Estimate], arrays: Mapping[str, tuple[Array, Axes]]) -> None:
    for name, (array, axes) in arrays.items():
        for what, value in measure(array, axes).items():
            if (key := f"{name}.{what}") in measured:
                measured[key].values.append(value)
