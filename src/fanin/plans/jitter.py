"""A little noise on the weights of a plan that start with an exact symmetry."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from fanin.errors import BadInput
from fanin.graph import Role
from fanin.initializers import Initializer, Jittered, Keep, Mirrored, PerPart, Structure, Target, initializer
from fanin.initializers.base import is_finite_number
from fanin.plans.model import Entry, Plan

WEIGHTS: Final = frozenset({Role.WEIGHT, Role.RECURRENT, Role.EMBEDDING})


def jittered(plan: Plan, relative_std: float) -> Plan:
    """The plan with noise of that share of its rms on each weight that is fixed or mirrored; on parts, part by part.

    Fixed are identity, Dirac, ZerO, bilinear, Fourier and constant weights. Norms, biases and scales keep their exact
    values, and so do zeros, such as those at the end of residual branches, which are there for a branch to begin with
    nothing: noise of a share of 0 is 0. What is frozen stays, since it has no training in which units could come apart.

    Raises:
        BadInput: a negative share.

    Reference: Chen, Goodfellow & Shlens 2016, "Net2Net", adds noise to units that it copies for the same reason.
    """
    if not (is_finite_number(relative_std) and relative_std >= 0):
        raise BadInput(f"jitter must be a finite number, at least 0; got {relative_std!r}.")
    if relative_std == 0:
        return plan
    return replace(plan, entries=tuple(_jittered(e, relative_std) for e in plan))


def _jittered(entry: Entry, relative_std: float) -> Entry:
    if entry.parameter.role not in WEIGHTS or entry.parameter.frozen:
        return entry
    changed = _noisy(entry.initializer, entry.target, relative_std)
    if changed == entry.initializer:
        return entry
    why = f"{entry.why}; {relative_std:.3g} of its rms as noise, so that units are not exact copies"
    return replace(entry, initializer=changed, why=why)


def _noisy(what: Initializer, target: Target, relative_std: float) -> Initializer:
    if isinstance(what, Keep):
        return what
    if isinstance(what, PerPart):
        noisy = {part.name: _noisy(one, alone, relative_std) for part, one, alone in what.pieces(target)}
        each = initializer(what.each)
        others = [n for name, n in noisy.items() if name not in dict(what.but)]
        but = tuple((name, noisy.get(name, initializer(one))) for name, one in dict(what.but).items())
        return replace(what, each=others[0] if others else each, but=but)
    law = what.law(target)
    exact = (law.structure is Structure.FIXED and (law.std or law.mean)) or isinstance(what, Mirrored)
    return Jittered(what, relative_std) if exact else what
