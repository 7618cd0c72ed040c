"""ZOO: small models with a fault planted in their start, each with a healthy twin, by which the checks are judged.

A `Case` builds a model, an example and a loss, and says which codes must be found. To add some: a file here with
`CASES`, and its name in the tuple below. PyTorch only.
"""

from typing import Final

from fanin.testing.zoo import data, depth, laws, loss, numbers, residual, tokens, units
from fanin.testing.zoo.case import Case, Situation

FAMILIES: Final = (depth, units, laws, tokens, residual, data, loss, numbers)
ZOO: Final[dict[str, Case]] = {case.name: case for family in FAMILIES for case in family.CASES}

__all__ = ["ZOO", "Case", "Situation"]
