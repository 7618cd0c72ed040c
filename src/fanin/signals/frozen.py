"""Frozen dataclasses with some fields changed: what the engine does a dozen times at every operation."""

from __future__ import annotations

from dataclasses import fields
from functools import cache
from typing import Any, TypeVar

T = TypeVar("T")


def replace(known: T, /, **changes: Any) -> T:
    """As `dataclasses.replace`, at a fifth of its cost: the fields are copied, and no constructor runs.

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
    names = _names(kind)
    if not changes.keys() <= names:
        unknown = ", ".join(sorted(changes.keys() - names))
        raise TypeError(f"{kind.__name__} is made from {', '.join(sorted(names))}; got {unknown}.")
    own = known.__dict__
    new: T = object.__new__(kind)
    new.__dict__.update({name: own[name] for name in names})  # and not what cached properties have left there
    new.__dict__.update(changes)
    return new


@cache
def _names(kind: Any) -> frozenset[str]:
    return frozenset(field.name for field in fields(kind) if field.init)
