"""Who draws: compiled kernels for ranges as soon as they are worth their start, the NumPy reference for all the rest.

Both give the same bits. numba takes a quarter of a second to import, and seconds to compile the first time on a
machine; the reference draws millions of values in that time, so a kernel starts once that many were asked of it.
"""

from __future__ import annotations

import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import numpy as np

from fanin.errors import BadInput
from fanin.stream.elements import Elements, check_elements, shape_of
from fanin.stream.keys import Key
from fanin.stream.laws import Values
from fanin.stream.parallel import SHARE, share_out
from fanin.stream.philox import Words, map_words

WORTH_A_START: Final = 1 << 22  # elements
CALL: Final = 1 << 12  # elements that the reference draws in the time of its overhead
PATIENCE_IN_SECONDS = 1.0

_kernels: dict[str, Callable[..., None]] = {}
_drawn_without: Counter[str] = Counter()
_starting = threading.Lock()
_said: set[str] = set()


def draw(
    key: Key,
    elements: Elements,
    name: str,
    stored: np.dtype[Any],
    arguments: tuple[float, ...],
    reference: Callable[[Words], Values],
    out: Values | None,
) -> Values:
    """`reference(words(key, elements))`, by the kernel of that name where there is one, into `out` if it is given."""
    if type(elements) is range and elements.step == 1 and elements.start >= 0 and elements.stop <= 1 << 64:
        count = len(elements)
        kernel = _kernels.get(name) or _started(name, count)
        if kernel is not None:
            values = np.empty(count, stored) if out is None else _checked(out, (count,), stored)
            if name == "float16" or type(values) is not np.ndarray:
                target = values.view(np.uint16 if name == "float16" else values.dtype, np.ndarray)
            else:
                target = values
            start = elements.start
            if count < 2 * SHARE:
                kernel(*key, start >> 2, start & 3, *arguments, target)
            else:
                _fill_in_parallel(kernel, key, start, arguments, target)
            return values
    check_elements(elements)
    shape = shape_of(elements)
    values = np.empty(shape, stored) if out is None else _checked(out, shape, stored)
    map_words(key, elements, reference, values)
    return values


def _fill_in_parallel(
    kernel: Callable[..., None], key: Key, start: int, arguments: tuple[float, ...], values: Values
) -> None:
    def piece(begin: int, end: int) -> None:
        first = start + begin
        kernel(*key, first >> 2, first & 3, *arguments, values[begin:end])

    share_out(piece, len(values))


def _checked(out: Values, shape: tuple[int, ...], stored: np.dtype[Any]) -> Values:
    """`out`, if the values can be written straight into it."""
    if not isinstance(out, np.ndarray) or out.shape != shape or out.dtype != stored:
        got = f"{out.dtype} of shape {out.shape}" if isinstance(out, np.ndarray) else repr(out)
        raise BadInput(f"out: expected an array of {stored} of shape {shape}, got {got}.")
    if not out.flags.carray:
        raise BadInput("out: expected a contiguous, aligned array that can be written; got one that is not.")
    return out


def _started(name: str, count: int) -> Callable[..., None] | None:
    """The kernel, once so much was drawn without it that its start is worth the time; None before."""
    _drawn_without[name] += count + CALL
    if _drawn_without[name] < WORTH_A_START:
        return None
    with _starting:
        if name not in _kernels and "import" not in _said:
            _start(name)
    return _kernels.get(name)


def _start(name: str) -> None:
    try:
        from fanin.stream import kernels
    except ImportError as error:  # as when NumPy is newer than numba knows
        _say_once("import", f"numba cannot be imported ({error}); values are drawn by NumPy: the same, but slowly.")
        return
    with _said_if_slow(kernels.cached()):
        kernels.compile_now(name)
    _kernels[name] = kernels.FILLS[name]


@contextmanager
def _said_if_slow(cached: bool) -> Iterator[None]:
    """One line on stderr if the body takes long: a user should know what the machine is doing."""
    often = "once on this machine" if cached else "in every process, as no cache can be written: set NUMBA_CACHE_DIR"
    message = f"preparing its kernels (compiled {often}) …"
    timer = threading.Timer(PATIENCE_IN_SECONDS, _say_once, ("prepare", message))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _say_once(topic: str, message: str) -> None:
    if topic not in _said:
        _said.add(topic)
        if sys.stderr is not None:
            sys.stderr.write(f"fanin: {message}\n")
