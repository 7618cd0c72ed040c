"""From an initializer to the law of a weight as the rules see it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fanin.initializers import Initializer, Law, PerPart, Structure, Target
from fanin.signals.values import Weight


def weight_of(initializer: Initializer, target: Target) -> Weight:
    """Mean and variance of one element, by rows that are alike, and the structure.

    What packs parts along its first axis has the rows of each part; packed otherwise, the mixture of all.

    Example:
        >>> from fanin.graph import Parts
        >>> from fanin.initializers import Ones, Zeros
        >>> gates = Target("bias", (8,), parts=Parts(("i", "f", "g", "o")))
        >>> weight_of(PerPart(Zeros(), {"f": Ones()}), gates).mean
        array([0., 1., 0., 0.])
    """
    rows = target.shape[0] if target.shape else 1
    if isinstance(initializer, PerPart):
        pieces = initializer.pieces(target)
        laws = [what.law(alone) for _, what, alone in pieces]
        rest = target.shape[1:]
        by_row = all(part.shape in (rest, (part.size, *rest)) for part, *_ in pieces)
        if by_row and any(law != laws[0] for law in laws[1:]):
            return _weight(target, laws, [part.size for part, *_ in pieces])
    return _weight(target, [initializer.law(target)], [rows])


def _weight(target: Target, laws: Sequence[Law], sizes: Sequence[int]) -> Weight:
    structures = {law.structure for law in laws}
    return Weight(
        target.name,
        target.shape,
        np.array([law.mean for law in laws]),
        np.array([law.std**2 for law in laws]),
        np.array(sizes),
        structures.pop() if len(structures) == 1 else Structure.DEPENDENT,
    )
