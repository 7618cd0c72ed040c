"""Cross-entropy of logits x and classes y: ℓ = ln Σ e^x − x_y, back δ = g (p − y), p the softmax of x.

Over the C classes δ adds up to nothing, which moments of single features do not say: a log-softmax therefore notes what
it was made of, and the loss behind it hands the gradient of the logits to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np

from fanin.signals.flow import Gradient
from fanin.signals.gradient import GradientMoments, total
from fanin.signals.particles import cube
from fanin.signals.rules.embedding import UNIFORM, Repeats
from fanin.signals.rules.losses import Reduced, loss
from fanin.signals.rules.softmax import Drawn, over_classes, pairs_of
from fanin.signals.state import State, gaussian
from fanin.signals.values import Call, Constant, NoRule, Outcome, Pulled, Unknown, WeightGradient

ROUNDING: Final = 1e-9


@dataclass(frozen=True, eq=False)
class LogSoftmax:
    """A note: the tensor is the log-softmax of these logits.

    Attributes:
        drawn: averages over rows of one logit, and over pairs of two positions and of two samples.
        returned: what losses have sent back, as moments of the tensor's gradient and of the logits'.
    """

    logits: State
    drawn: tuple[Drawn, ...]
    returned: list[tuple[GradientMoments, GradientMoments]] = field(default_factory=list)


class _Targets(NamedTuple):
    """What classes are wanted; each for one row, for two positions of one sample, and for two samples.

    Attributes:
        share: E w, of the weights w of rows: 0 where one does not count.
        pairs: E w w'.
        same: E w w' Σ_c y_c y'_c.
        smooth: ε of label smoothing.
        marks: assumptions.
    """

    share: float
    pairs: tuple[float, ...]
    same: tuple[float, ...]
    smooth: float = 0.0
    marks: frozenset[str] = frozenset()


def cross_entropy(call: Call) -> Outcome:
    """`cross_entropy_loss(x, target)`: classes, or probabilities of all classes.

    δ = g (p − y): E δ² = g² (Σ p² − 2/C + Σ y²)/C, and so for pairs.
    """
    x = over_classes(call, "self", 1 if len(call.state("self").axes) > 1 else 0)
    note, wanted = LogSoftmax(x, pairs_of(x)), _wanted(call, x)
    reduced = Reduced(call, _each(call, note, wanted), wanted.share)

    def pull(gradients: Sequence[Gradient]) -> Pulled:
        seen = reduced.back(gradients[0])
        yield "self", _to_logits(seen, note, wanted).flow()
        if isinstance(target := call["target"], State):
            yield "target", _to_probabilities(seen, note, target).flow()

    return Outcome((reduced.state,), pull)


def nll(call: Call) -> Outcome:
    """`nll_loss(x, target)` behind a log-softmax: −x_y, back −g y, and g (p − y) to the logits."""
    x = call.state("self")
    note = x.note
    if not isinstance(note, LogSoftmax):
        raise NoRule("it does not follow a log-softmax")
    wanted = _wanted(call, x)
    reduced = Reduced(call, _each(call, note, wanted), wanted.share)

    def pull(gradients: Sequence[Gradient]) -> Pulled:
        seen = reduced.back(gradients[0])
        back = seen.scaled(*(same / x.features for same in wanted.same)).each(lambda m: np.repeat(m, len(x.sizes)))
        note.returned.append((back, _to_logits(seen, note, wanted)))
        yield "self", back.flow()

    further = [gaussian((), [1], 0.0, 1.0, 1.0, 1.0) for _ in call.node.shapes[1:]]
    return Outcome((reduced.state, *further), pull)


def divergence(call: Call) -> Outcome:
    """`kl_div(x, target)`: as any loss of two tensors; behind a log-softmax back as cross-entropy."""
    outcome = loss(call)
    note, target = call.state("self").note, call["target"]
    if not isinstance(note, LogSoftmax) or not isinstance(target, State) or call.get("log_target", False):
        return outcome
    wanted = _soft(target)
    reduced = Reduced(call, note.logits)

    def pull(gradients: Sequence[Gradient]) -> Pulled:
        for name, back in outcome.pull(gradients):
            yield name, back
            if name == "self" and not isinstance(back, WeightGradient):
                rows = reduced.back(gradients[0]).each(lambda m: np.array([note.logits.average(m)]))
                note.returned.append((total(back, call.state("self")), _to_logits(rows, note, wanted)))

    return Outcome(outcome.values, pull)


def log_softmax(call: Call) -> Outcome:
    """X − ln Σ e^x, of which the sum hardly varies where features are many.  Backward: δ_j = δ'_j − p_j Σ_l δ'_l."""
    x = over_classes(call, call.first, int(call.get("dim", -1)))
    note, c = LogSoftmax(x, pairs_of(x)), x.features
    out = x.scaled(1.0, -note.drawn[0].normaliser)

    def pull(gradients: Sequence[Gradient]) -> Pulled:
        seen = whole = total(gradients[0], out)
        for of_out, of_logits in note.returned:
            seen = seen + of_out.times(-1.0)
            yield call.first, of_logits.flow()
        if out.average(seen.second) > ROUNDING * out.average(whole.second):  # what came from elsewhere
            # E (δ_j − p_j Σ δ_l)², averaged over j: 1 − 2/C + Σ p²
            by = (1 - 2 / c + d.overlap for d in note.drawn)
            yield call.first, seen.scaled(*by).each(lambda m: np.full(len(x.sizes), out.average(m))).flow()

    return Outcome((out.noted(note),), pull)


def _wanted(call: Call, x: State) -> _Targets:
    """The classes or their probabilities, and how rows are weighted."""
    target = call["target"]
    smooth = float(call.get("label_smoothing", 0.0))
    if isinstance(target, State):
        return _soft(target)._replace(smooth=smooth)
    if not isinstance(target, (Constant, Unknown)):
        raise NoRule("the classes are no known numbers")
    c, mean, second = x.features, 1.0, 1.0
    if isinstance(weight := call["weight"], Constant):
        w = np.asarray(weight.array, dtype=np.float64)
        mean, second = float(w.mean()), float((w**2).mean())
    elif weight is not None:
        raise NoRule("the classes are weighted by a signal")
    if isinstance(target, Constant):
        rows = _rows_of(x, call)
        found = Repeats.of(cube(target.array, rows.axes)[:, :, 0], int(call.get("ignore_index", -100)))
    else:
        found = Repeats(1.0, 1 / c, 1 / c)
    share, apart = found.share, (found.share * mean) ** 2
    same = tuple(second * p for p in (share, found.positions, found.samples))
    marks = frozenset({UNIFORM} if isinstance(target, Unknown) else ())
    return _Targets(share * mean, (share * second, apart, apart), same, smooth, marks)


def _soft(target: State) -> _Targets:
    """Probabilities: Σ_c y_c y'_c = C E y y'."""
    parts = (target.second, target.across_positions, target.across_samples)
    return _Targets(1.0, (1.0, 1.0, 1.0), tuple(target.features * target.average(k) for k in parts))


def _rows_of(x: State, call: Call) -> State:
    """One number a row: the axes of x without that of the classes."""
    dim = 1 if len(x.axes) > 1 else 0
    axes = (*x.axes[:dim], *x.axes[dim + 1 :])
    return gaussian(axes, [1], 0.0, 1.0, 0.0, 0.0, draws=x.draws, marks=x.marks)


def _each(call: Call, note: LogSoftmax, wanted: _Targets) -> State:
    """The loss of each row: E ℓ ℓ' is one number where both want one class, another where they do not."""
    x, drawn = note.logits, note.drawn
    mean = drawn[0].normaliser - x.average(x.mean)
    moments = []
    for pairs, same, one in zip(wanted.pairs, wanted.same, drawn, strict=True):
        alike = one.one_class * same + one.two_classes * max(pairs - same, 0.0)
        moments.append(alike * (1 - wanted.smooth) ** 2 + pairs * mean**2 * (1 - (1 - wanted.smooth) ** 2))
    rows = _rows_of(x, call)
    marks = x.marks | wanted.marks
    return gaussian(rows.axes, [1], wanted.share * mean, *moments, draws=x.draws, marks=marks)


def _to_logits(seen: GradientMoments, note: LogSoftmax, wanted: _Targets) -> GradientMoments:
    """E (p − y)(p' − y') over the classes, for one row and for two; y is smoothed to (1 − ε) y + ε/C.

    Args:
        seen: what comes back to the loss of each row.
    """
    c, sharp = note.logits.features, (1 - wanted.smooth) ** 2
    by = (
        (pairs * (d.overlap - 1 / c) + sharp * (same - pairs / c)) / c
        for pairs, same, d in zip(wanted.pairs, wanted.same, note.drawn, strict=True)
    )
    one = np.ones(len(note.logits.sizes))
    return seen.scaled(*by).each(lambda m: float(m[0]) * one)


def _to_probabilities(seen: GradientMoments, note: LogSoftmax, target: State) -> GradientMoments:
    """−ln p_j without its mean over the classes, which the normalisation that made probabilities takes away."""
    centre = note.drawn[0].normaliser - note.logits.average(note.logits.mean)
    back = seen.scaled(*(max(d.one_class - centre**2, 0.0) for d in note.drawn))
    return back.each(lambda m: float(m[0]) * np.ones(len(target.sizes)))
