"""Frozen dataclasses with some fields changed: what the engine does a dozen times at every operation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from functools import cache
from operator import itemgetter
from typing import Any, TypeVar

T = TypeVar("T")


def replace(known: T, /, **changes: Any) -> T:
    """As `dataclasses.replace`, at a third of its cost: the fields are copied, and no constructor runs.

    For dataclasses without slots whose constructor only stores its arguments: no `__post_init__` is called. Fields
    with `init=False` are as in a new object; they need a plain default.

    Raises:
        TypeError: a name that the constructor does not take.

    Example:
        >>> from fanin.signals.draws import NOTHING
        >>> replace(NOTHING, start=3).start, NOTHING.start
        (3, 0)
    """
    kind: Any = type(known)
    names, taken = _fields(kind)
    own = known.__dict__
    new: T = object.__new__(kind)
    found = new.__dict__
    found.update(own if len(own) == len(names) else zip(names, taken(own), strict=True))  # none that was computed
    found.update(changes)
    if len(found) > len(names):
        unknown = ", ".join(sorted(changes.keys() - set(names)))
        raise TypeError(f"{kind.__name__} is made from {', '.join(sorted(names))}; got {unknown}.")
    return new


@cache
def _fields(kind: Any) -> tuple[tuple[str, ...], Callable[[Mapping[str, Any]], tuple[Any, ...]]]:
    """Names of what the constructor takes, and what picks their values."""
    names = tuple(field.name for field in fields(kind) if field.init)
    return names, itemgetter(*names) if len(names) > 1 else lambda own: tuple(own[name] for name in names)
