"""Layers that repeat were drawn from one law: what chance makes of each is told apart from what their author wrote."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace

from fanin.initializers import Initializer, Keep, Normal, PerPart, TruncatedNormal, VarianceScaling
from fanin.plans.model import Entry
from fanin.plans.repeated import pattern


def in_one_voice(entries: Iterable[Entry]) -> tuple[Entry, ...]:
    """Where repeated layers of one shape were recognised in different words, one law for all that allow it.

    The law that most of them have or, if it does not fit all, a normal one of the std of all their values together.
    What is said of it is what most say: a number that one layer could not tell from it, the others do.
    """
    entries = tuple(entries)
    groups: dict[object, list[int]] = {}
    for i, e in enumerate(entries):
        if e.measured and not isinstance(e.initializer, Keep):
            groups.setdefault((pattern(e.parameter.path), e.parameter.shape), []).append(i)
    said = list(entries)
    for places in groups.values():
        group = [entries[i] for i in places]
        law = _of_all(group)
        if law is not None:
            whys = [e.why for e in group if e.initializer == law] or [e.why for e in group]
            for i in places:
                said[i] = replace(entries[i], initializer=law, why=max(whys, key=whys.count))
    return tuple(said)


def _of_all(group: list[Entry]) -> Initializer | None:
    words = [e.initializer for e in group]
    if len(set(words)) == 1:
        return words[0]
    for law in sorted(dict.fromkeys(words), key=words.count, reverse=True):
        if all(_allows(e, law) for e in group):
            return law
    plain = [w.each if isinstance(w, PerPart) and not w.but else w for w in words]
    if all((isinstance(w, Normal) and w.mean == 0) or _is_normal(w) for w in plain):
        seen = [e.measured for e in group if e.measured]
        std = math.sqrt(math.fsum(s.std**2 * s.count for s in seen) / sum(s.count for s in seen))
        pooled = Normal(float(f"{std:.3g}"))
        return pooled if all(_allows(e, pooled) for e in group) else None
    return None


def _is_normal(what: object) -> bool:
    return isinstance(what, VarianceScaling) and what.distribution == "normal"


def _allows(entry: Entry, law: Initializer) -> bool:
    """Whether its values may be of that law, which is of their own family."""
    own, other = entry.initializer.law(entry.target), law.law(entry.target)
    cut = isinstance(entry.initializer, TruncatedNormal) == isinstance(law, TruncatedNormal)
    seen = entry.measured
    if seen is None or own.structure is not other.structure or own.kurtosis != other.kurtosis or not cut:
        return False
    reaches = seen.low - seen.rounding >= other.low and seen.high + seen.rounding <= other.high
    return reaches and seen.has_std(other.std, other.kurtosis) and seen.has_mean(other.mean, other.std)
