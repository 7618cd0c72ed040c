"""A model with a known fault, or with none."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import nn


@dataclass(frozen=True)
class Situation:
    """What `fanin.diagnose` is called with.

    Attributes:
        options: further keywords, such as an optimizer.
    """

    model: nn.Module
    example: tuple[Any, ...]
    loss: Callable[..., Any] | None = None
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Case:
    """One entry of the zoo.

    Attributes:
        build: the same situation in every call, whatever the state of the random generators.
        faults: codes that must be found; none of a healthy twin.
        consequences: codes that may be found with them, since one fault often causes another.
        hopeless: no start repairs it: the data or the architecture must change.
    """

    name: str
    build: Callable[[], Situation]
    faults: frozenset[str] = frozenset()
    consequences: frozenset[str] = frozenset()
    hopeless: bool = False

    @property
    def healthy(self) -> bool:
        """Nothing is planted."""
        return not self.faults
