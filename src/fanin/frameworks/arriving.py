"""Losses and norms on their way, looked at once they are there: of every framework but PyTorch."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from fanin.errors import BadInput

MOST: Final = 64  # steps on their way; a host that runs so far ahead of its device waits for the oldest


class Arrived(NamedTuple):
    """Of one step; None what was not given."""

    step: int
    loss: float | None
    norm: float | None
    clipped: float | None


class Arriving:
    """`add` the numbers of each step, take what has arrived from `ready`; nothing waits, but for `all`.

    Arrays that are computed behind the caller's back, as JAX's are, say by `is_ready` whether they are there; any other
    number is there at once.

    Example:
        >>> arriving = Arriving()
        >>> arriving.add(1, 0.5)
        >>> list(arriving.ready())
        [Arrived(step=1, loss=0.5, norm=None, clipped=None)]
    """

    def __init__(self) -> None:
        self._sent: deque[tuple[int, tuple[Any, Any, Any]]] = deque()

    def add(self, step: int, loss: Any, norm: Any = None, clipped: Any = None) -> None:
        """Numbers, arrays or tensors of one element, or None.

        Raises:
            BadInput: anything else.
        """
        self._sent.append((step, (_sent(loss, "loss"), _sent(norm, "gradient norm"), _sent(clipped, "share"))))

    def ready(self) -> Iterator[Arrived]:
        """Those that have arrived, in order."""
        while self._sent and (len(self._sent) > MOST or all(map(_is_here, self._sent[0][1]))):
            yield self._first()

    def all(self) -> Iterator[Arrived]:
        """The rest, waiting for it."""
        while self._sent:
            yield self._first()

    def _first(self) -> Arrived:
        step, numbers = self._sent.popleft()
        return Arrived(step, *(None if number is None else float(number) for number in numbers))


def _is_here(number: Any) -> bool:
    return not hasattr(number, "is_ready") or bool(number.is_ready())


def _sent(number: Any, name: str) -> Any:
    """An array that says when it is ready, as it is; of anything else the number."""
    if math.prod(getattr(number, "shape", ())) != 1:
        raise BadInput(
            f"w.step takes a scalar {name}; got an array of shape {tuple(number.shape)}. Reduce it first, as by a mean."
        )
    if number is None or hasattr(number, "is_ready"):
        return None if number is None else number.reshape(())
    try:
        return float(number)
    except (TypeError, ValueError) as error:
        raise BadInput(f"w.step takes a number or a scalar array as its {name}; got {type(number).__name__}") from error
