"""Initializers that a user has given to layers, which a plan takes the place of: that is said, not done in silence."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import Final

from fanin.plans import Plan
from fanin.plans.model import writes

SHOWN: Final = 5


def warn_of_overridden(plan: Plan, given: Iterable[tuple[str, str]]) -> None:
    """Warn of every parameter that the plan writes and that has an initializer of its own.

    Called by an adapter's `write_`, which the user calls by `initialize_` or `repair_`: the warning points there.

    Args:
        given: path → the name of the initializer that its layer was given.
    """
    decided = {e.parameter.path: str(e.initializer) for e in plan if writes(e)}
    found = [f"{path} ({own} → {decided[path]})" for path, own in given if path in decided]
    if found:
        shown = ", ".join(found[:SHOWN]) + (", …" if len(found) > SHOWN else "")
        warnings.warn(
            f"The plan {plan.recipe} takes the place of {len(found)} initializer(s) that layers were given: {shown}. "
            "To keep what they drew: overrides={'path.or.glob': 'keep'}.",
            UserWarning,
            stacklevel=4,
        )
