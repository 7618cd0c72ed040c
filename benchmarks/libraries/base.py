"""What a library offers, as far as the table of benchmarks/peers.py asks: initializers with their laws, and layers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from fanin.initializers import Initializer


class Offer(NamedTuple):
    """How an initializer is written, and its function with the law that its documentation states."""

    written: str
    law: Initializer


@dataclass(frozen=True)
class Library:
    """A column of the table.

    Attributes:
        offers: by the family's name.
        layers: by the layer's name; mode and seed → a draw of the weight, by He's uniform law, U(±√(6/fan)).
    """

    name: str
    version: str
    offers: dict[str, Offer]
    layers: dict[str, Callable[[str, int], Any]] = field(default_factory=dict)
