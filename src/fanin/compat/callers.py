"""Whose method is running: the layer and the variable for which an initializer was called.

A framework that calls `initializer(shape, dtype)` tells neither; both stand on the call stack.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any


def callers(kind: type) -> Iterator[Any]:
    """The objects of a class whose methods are running, innermost first.

    Example:
        >>> class Layer:
        ...     def build(self):
        ...         return list(callers(Layer)) == [self]
        >>> Layer().build()
        True
    """
    frame = inspect.currentframe()
    while frame:
        owner = frame.f_locals.get("self")
        if isinstance(owner, kind):
            yield owner
        frame = frame.f_back
