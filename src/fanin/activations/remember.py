"""Results kept for the next call with equal arguments, where the arguments have a hash."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from functools import lru_cache, wraps
from typing import ParamSpec, TypeVar, cast

P = ParamSpec("P")
R = TypeVar("R")


def remember(size: int) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Like `functools.lru_cache`, but a function object without a hash is computed anew instead of refused.

    Example:
        >>> length = remember(8)(len)
        >>> length("abc"), length([1, 2])
        (3, 2)
    """

    def keeping(compute: Callable[P, R]) -> Callable[P, R]:
        kept = lru_cache(maxsize=size)(compute)

        @wraps(compute)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            try:
                hash((args, tuple(kwargs.items())))
            except TypeError:
                return compute(*args, **kwargs)
            return kept(*cast("tuple[Hashable, ...]", args), **cast("dict[str, Hashable]", kwargs))

        return call

    return keeping
