"""The operations between Q Kᵀ and its product with V: what they do to the note that a tensor holds scores.

Each is tried before the general rule of its operation, and leaves it to that where no note is concerned.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np

from fanin.signals.axes import Axes, Axis, Kind, axis, size_of
from fanin.signals.broadcast import as_state, expanded, gathered
from fanin.signals.flow import Gradient
from fanin.signals.gradient import total
from fanin.signals.propagate import Rule
from fanin.signals.rules import views
from fanin.signals.rules.attention import UNKNOWN_MASK, Hidden, row_variance
from fanin.signals.rules.choice import Largest, normalised
from fanin.signals.rules.operands import number_of
from fanin.signals.rules.scores import Attention, Scores, softmax, with_constant
from fanin.signals.state import State, gaussian
from fanin.signals.values import Call, Constant, NoRule, Outcome, Pulled, Unknown, Weight, WeightGradient

LOWEST: Final = -1e150
FILLED: Final[Mapping[str, tuple[str, ...]]] = {"masked_fill": ("value",), "where": ("self", "other")}  # by a number

Generic = Rule | None
Handler = Callable[[Call, str, Any, Generic], "Outcome | None"]


def _scaled(call: Call, name: str, note: Any, generic: Generic) -> Outcome | None:
    """`mul` and `div` by a number, or by a learned temperature."""
    other = next((n for n in ("self", "other") if n != name and call[n] is not None), None)
    if not isinstance(note, Scores) or other is None or generic is None or (call.node.op == "div" and name != "self"):
        return None
    by = number_of(call[other])
    if by is None:
        value = as_state(call[other], call.state(name).axes)
        by = math.sqrt(value.average(value.second))
    outcome = generic(call)
    factor = by if call.node.op == "mul" else 1 / by
    return _noted(
        outcome,
        replace(
            note, scale=note.scale * factor, bias=note.bias * factor**2, added=tuple(a * factor for a in note.added)
        ),
    )


def _divided(call: Call, name: str, note: Any, generic: Generic) -> Outcome | None:
    """`div`: of scores, or of the largest of a row by their sum."""
    if isinstance(note, Largest):
        return normalised(call, note) if name == "self" else None
    return _scaled(call, name, note, generic)


def _noted(outcome: Outcome, note: Any) -> Outcome:
    values = tuple(v.noted(note) if isinstance(v, State) else v for v in outcome.values)
    return Outcome(values, outcome.pull)


def _added(call: Call, name: str, note: Any, generic: Generic) -> Outcome | None:
    """`add` of a mask, or of a bias with a law."""
    other = "other" if name == "self" else "self"
    value, x = call[other], call.state(name)
    if call.get("alpha", 1) != 1:
        return None
    if isinstance(value, Constant):
        if np.ptp(value.array) == 0:
            return _noted(generic(call), note) if generic else None
        return Outcome((with_constant(x, value.array),), lambda g: iter([(name, g[0])]))
    if not isinstance(note, Scores) or isinstance(value, Unknown) or value is None:
        return None
    hidden = value.note if isinstance(value, State) else None
    bias = hidden.bias if isinstance(hidden, Hidden) else as_state(value, x.axes)
    found = replace(note, bias=note.bias + row_variance(bias))
    out = gaussian(
        x.axes,
        x.sizes,
        x.mean + bias.average(bias.mean),
        x.second + bias.average(bias.second),
        x.across_positions + bias.average(bias.across_positions),
        x.across_samples + bias.average(bias.second),
        draws=x.draws,
        marks=x.marks | bias.marks,
    ).noted(found)
    if isinstance(hidden, Hidden):
        out = with_constant(out, hidden.added)

    def pull(gradients: Sequence[Gradient]) -> Pulled:
        yield name, total(gradients[0], out).flow()
        back = gathered(total(gradients[0], out).flow(), out, bias)
        if isinstance(value, Weight):
            yield other, WeightGradient(bias.average(total(back, bias).second))
        else:
            yield other, back

    return Outcome((out,), pull)


def _filled(call: Call, name: str, note: Any, generic: Generic) -> Outcome | None:
    """`masked_fill` and `where` with a value that hides keys."""
    if call.node.op == "where":
        mask, other = call["condition"], call["other" if name == "self" else "self"]
    else:
        mask, other = call["mask"], call["value"]
    if isinstance(mask, Unknown) and isinstance(note, Scores):
        return _noted(Outcome((call.state(name).marked(UNKNOWN_MASK),), lambda g: iter([(name, g[0])])), note)
    value = np.asarray(other.array if isinstance(other, Constant) else other)
    if not isinstance(mask, Constant) or value.size != 1 or not Hidden.by(value.astype(np.float64)):
        return None
    hidden = mask.array.astype(bool) != (call.node.op == "where" and name == "self")
    fill = float(value.flat[0])
    fill = fill if fill > LOWEST else -math.inf  # whose square is no number
    x = call.state(name)
    whole = expanded(x, _axes(x, call.node.shape))
    out = with_constant(whole.noted(note), np.where(hidden, fill, 0.0)) if hidden.any() else whole.noted(note)
    return Outcome((out,), lambda g: iter([(name, gathered(g[0], whole, x))]))


def _axes(x: State, shape: tuple[int, ...]) -> Axes:
    """With repeats where the mask has more entries: of samples along the first axis, else of positions."""
    found: list[Axis] = []
    for at, size in zip(range(-len(shape), 0), shape, strict=True):
        own = x.axes[at] if len(x.axes) >= -at else ()
        kind = Kind.SAMPLE if at == -len(shape) and x.samples == 1 else Kind.POSITION
        found.append(own if size_of(own) == size else axis(kind, size))
    return tuple(found)


def _dropped(call: Call, name: str, note: Any, generic: Generic) -> Outcome | None:
    if generic is None or not isinstance(note, Attention):
        return None
    p = float(call["p"]) if call["train"] else 0.0
    return _noted(generic(call), replace(note, keep=note.keep * (1 - p)))


def _turned(call: Call, name: str, note: Any, generic: Generic) -> Outcome | None:

    if generic is None or isinstance(note, Hidden):
        return None
    turned = note.turned(views.order_of(call, len(call.state(name).axes)))
    return _noted(generic(call), turned) if turned else None


def _viewed(call: Call, name: str, note: Any, generic: Generic) -> Outcome | None:
    """A view that leaves queries and keys as they are; masks that differ from window to window stay as many slices."""
    shape = tuple(size_of(a) for a in call.state(name).axes)
    if generic is None or isinstance(note, Hidden) or shape[-2:] != tuple(call.node.shape[-2:]):
        return None
    places = (note.left.at, note.right.at) if isinstance(note, Scores) else (note.query_at, note.key_at)
    if sorted(places) != [-2, -1]:
        return None
    if isinstance(note, Scores):
        note = replace(note, added=tuple(a.reshape(-1, *a.shape[-2:]) if a.ndim > 2 else a for a in note.added))
    return _noted(generic(call), note)


def _softmax(call: Call, name: str, note: Any, generic: Generic) -> Outcome | None:
    return softmax(call, note) if isinstance(note, Scores) else None


FOLLOWED: Final[Mapping[str, Handler]] = {
    "mul": _scaled,
    "div": _divided,
    "add": _added,
    "masked_fill": _filled,
    "where": _filled,
    **dict.fromkeys(("dropout", "native_dropout"), _dropped),
    **dict.fromkeys(("permute", "transpose", "t", "mT", "movedim"), _turned),
    **dict.fromkeys(("view", "reshape", "_unsafe_view", "flatten", "unflatten", "squeeze", "unsqueeze"), _viewed),
    **dict.fromkeys(("softmax", "_softmax", "_safe_softmax"), _softmax),
}


def followed(rules: Mapping[str, Rule]) -> Mapping[str, Rule]:
    """The rules, with those of scores before the general ones."""
    return {**rules, **{op: _first(handler, rules.get(op)) for op, handler in FOLLOWED.items()}}


def _first(handler: Handler, generic: Generic) -> Rule:
    def rule(call: Call) -> Outcome:
        known = [v.array for v in call.values.values() if isinstance(v, Constant)]
        plain = [call.plain.get(what) for what in FILLED.get(call.node.op, ())]
        known += [np.array(number) for number in plain if isinstance(number, (int, float))]
        hides = any(map(Hidden.by, known))
        for name, value in call.values.items():
            note = getattr(value, "note", None)
            if note is not None or (hides and isinstance(value, State)):
                outcome = handler(call, name, note, generic)
                if outcome is not None:
                    return outcome
        if generic is None:
            raise NoRule(f"{call.node.op} has no rule but for attention")
        return generic(call)

    return rule
