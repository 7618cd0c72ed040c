"""Products of two tensors that both depend on the input, and of one with a parameter that is no plain matrix."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final, NamedTuple

from fanin.signals.axes import Axes, Axis, Kind, axis, kinds_of, size_of
from fanin.signals.contraction import Contraction, Pairs
from fanin.signals.draws import together
from fanin.signals.flow import Gradient
from fanin.signals.gradient import total
from fanin.signals.latent import Array
from fanin.signals.rules import linear
from fanin.signals.rules.scores import Attention, Scores, Side, attended, with_constant
from fanin.signals.state import State, gaussian
from fanin.signals.twins import TWO
from fanin.signals.values import Call, Constant, NoRule, Outcome, Pulled, Weight, WeightGradient

LETTERS: Final = "abcdefghijklmnopqrstuvwxyz"
NAMES: Final = {
    "matmul": ("self", "other"),
    "mm": ("self", "mat2"),
    "bmm": ("self", "mat2"),
    "baddbmm": ("batch1", "batch2"),
}
INDEPENDENT: Final = "the factors of a product are taken for independent"


class Operand(NamedTuple):
    """One factor, with a letter for each axis."""

    name: str
    value: State | Weight
    letters: str

    @property
    def axes(self) -> Axes:
        """Of a parameter, every axis counts features."""
        if isinstance(self.value, State):
            return self.value.axes
        return tuple(axis(Kind.FEATURE, n) for n in self.value.shape)

    @property
    def pairs(self) -> Pairs:
        """Of a parameter, two elements are independent."""
        if isinstance(self.value, State):
            return Pairs.of(self.value)
        share = self.value.sizes / self.value.sizes.sum()
        mean = float(share @ self.value.mean)
        return Pairs(mean, float(share @ self.value.second), mean**2, mean**2)

    def seen(self, axes: dict[str, Axis]) -> Operand:
        """Without the axes along which its one entry is repeated."""
        if isinstance(self.value, Weight):
            return self
        kept = [(a, n) for a, n in zip(self.value.axes, self.letters, strict=True) if size_of(a) == size_of(axes[n])]
        state = replace(self.value, axes=tuple(a for a, _ in kept)).beside(self.value)
        return Operand(self.name, state, "".join(n for _, n in kept))


def matrix_product(call: Call) -> Outcome:
    """`matmul`, `mm`, `bmm`: of two signals, or of a signal and a parameter."""
    left, right = NAMES[call.node.op]
    x, y = call[left], call[right]
    if isinstance(x, State) and isinstance(y, Weight) and len(y.shape) <= 2:
        return linear.matrix_product(call)
    if not all(isinstance(v, (State, Weight)) for v in (x, y)):
        raise NoRule("a factor is a known tensor, or of unknown values")
    ranks = [len(v.axes if isinstance(v, State) else v.shape) for v in (x, y)]
    rows, columns = "r" * (ranks[0] > 1), "s" * (ranks[1] > 1)
    batch = LETTERS[: len(call.node.shape) - len(rows) - len(columns)]
    own = [batch[len(batch) - max(rank - 2, 0) :] for rank in ranks]
    return _product(
        call, Operand(left, x, own[0] + rows + "z"), Operand(right, y, own[1] + "z" + columns), batch + rows + columns
    )


def added_product(call: Call) -> Outcome:
    """`baddbmm(input, batch1, batch2)`: input + batch1 · batch2, where the input is a known mask."""
    if (
        call.get("beta", 1) != 1
        or call.get("alpha", 1) != 1
        or not isinstance(call["input" if "input" in call.values else "self"], Constant)
    ):
        raise NoRule("what is added is no known tensor")
    outcome = matrix_product(call)
    (out,) = outcome.values
    assert isinstance(out, State)
    return Outcome((with_constant(out, call["input" if "input" in call.values else "self"].array),), outcome.pull)


def einsum(call: Call) -> Outcome:
    """`einsum` of two tensors, each axis of which is shared, summed or kept."""
    terms, arrow, out = str(call["equation"]).replace(" ", "").partition("->")
    operands, inputs = call.listed("tensors"), terms.split(",")
    if len(operands) != 2 or "." in terms or any(len(set(t)) != len(t) for t in inputs):
        raise NoRule("it is no product of two tensors with an axis for each letter")
    if not arrow:
        out = "".join(sorted(letter for letter in set(terms) - {","} if terms.count(letter) == 1))
    values = [value for _, value in operands]
    if not all(isinstance(v, (State, Weight)) for v in values):
        raise NoRule("a factor is a known tensor, or of unknown values")
    left, right = (Operand(name, value, own) for (name, value), own in zip(operands, inputs, strict=True))  # type: ignore[arg-type]
    return _product(call, left, right, out)


def _product(call: Call, left: Operand, right: Operand, out: str) -> Outcome:
    """Σ left · right over the letters that the result has not."""
    if not any(isinstance(one.value, State) for one in (left, right)):
        raise NoRule("no factor is a signal")
    axes: dict[str, Axis] = {}
    for one in sorted((left, right), key=lambda one: isinstance(one.value, Weight)):  # signals know what axes count
        for own, letter in zip(one.axes, one.letters, strict=True):
            if size_of(own) > size_of(axes.get(letter, ())) or letter not in axes:
                axes[letter] = own
    notes = [one.value.note if isinstance(one.value, State) else None for one in (left, right)]
    whole = left, right
    left, right = left.seen(axes), right.seen(axes)
    contraction = Contraction(left.letters, right.letters, out, axes)
    if set(left.letters + right.letters) - set(out) - set(contraction.summed):
        raise NoRule("an axis of one factor is summed")
    for note, a, v in ((notes[0], whole[0], right), (notes[1], whole[1], left)):
        if isinstance(note, Attention) and isinstance(v.value, State):
            keys, queries = a.letters[note.key_at], a.letters[note.query_at]
            outer = contraction.outer_right if v is right else contraction.outer_left
            shared = contraction.outer_left if v is right else contraction.outer_right
            if contraction.summed == keys and all(kinds_of(axes[n]) <= {Kind.FEATURE} for n in outer):
                repeats = contraction.size(shared.replace(queries, ""), Kind.FEATURE)
                width = contraction.size(outer)
                return attended(
                    a.name, note, a.value, v.name, v.value, v.letters.index(keys), width, repeats, contraction
                )
    return _of_two(left, right, contraction, call.twins(left.name, right.name))


def _of_two(left: Operand, right: Operand, contraction: Contraction, alike: Array | None = None) -> Outcome:
    """Independent factors, or twins; scores Q Kᵀ, where features are summed and positions kept."""
    signals = [one.value for one in (left, right) if isinstance(one.value, State)]
    marks = frozenset().union(*(s.marks for s in signals))
    if len(signals) == 2 and signals[0].root is signals[1].root:
        marks |= {INDEPENDENT}
    marks |= frozenset() if alike is None else {TWO}
    out = gaussian(
        contraction.out_axes,
        [max(contraction.size(contraction.out, Kind.FEATURE), 1)],
        *_with_twins(contraction.moments(left.pairs, right.pairs), left, right, contraction, alike),
        draws=together([(1.0, s.draws) for s in signals]),
        marks=marks,
    )
    scores = _scores(left, right, contraction) if len(signals) == 2 else None

    def pull(gradients: Sequence[Gradient]) -> Pulled:
        if scores and scores.returned:
            for returned in scores.returned:
                yield left.name, returned[0].flow()
                yield right.name, returned[1].flow()
            return
        seen = Pairs.of_gradient(total(gradients[0], out), out)
        for one, which, other in ((left, "left", right), (right, "right", left)):
            back = contraction.back_to(which).moments(seen, other.pairs)
            if isinstance(one.value, State):
                yield one.name, back.flow(len(one.value.sizes))
            else:
                yield one.name, WeightGradient(max(back.second, 0.0))

    return Outcome((out.noted(scores) if scores else out,), pull)


def _with_twins(
    moments: Sequence[float], left: Operand, right: Operand, contraction: Contraction, alike: Array | None
) -> Sequence[float]:
    """Σ x_c y_c over n features has the mean n k, k = E x_c y_c, which all entries have in common."""
    n = contraction.size(contraction.summed, Kind.FEATURE)
    if alike is None or n != contraction.size(contraction.summed):
        return moments
    k, means = float(alike.mean()), left.pairs.mean * right.pairs.mean
    mean, *further = moments
    return mean + n * (k - means), *(m + n * (n + 1) * (k**2 - means**2) for m in further)


def _scores(left: Operand, right: Operand, contraction: Contraction) -> Scores | None:
    """A note that this is Q Kᵀ; None where it cannot be."""
    axes, out = contraction.axes, contraction.out
    if contraction.size(contraction.summed, Kind.FEATURE) != contraction.size(contraction.summed):
        return None
    sides = []
    for one, own, other in (
        (left, contraction.outer_left, contraction.outer_right),
        (right, contraction.outer_right, contraction.outer_left),
    ):
        mixed = [n for n in own if kinds_of(axes[n]) != {Kind.FEATURE}]
        if len(mixed) != 1 or len(kinds_of(axes[mixed[0]])) > 1 or not isinstance(one.value, State):
            return None
        at = one.letters.index(mixed[0])
        sides.append(Side(one.value, at, out.index(mixed[0]) - len(out), contraction.size(other, Kind.FEATURE)))
    return Scores(sides[0], sides[1], contraction.size(contraction.summed))
