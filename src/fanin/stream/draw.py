"""Who draws: a compiled kernel for ranges and runs as soon as it is worth its start, the NumPy reference for the rest.

Both give the same bits. numba takes a quarter of a second to import, and seconds to compile the first time on a
machine; the reference draws millions of values in that time, so a kernel starts once that many were asked of it.
"""

from __future__ import annotations

import math
import os
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final, TypeAlias

import numpy as np

from fanin.stream import reference
from fanin.stream.destination import Listed, Tile, checked, tiles
from fanin.stream.elements import Elements, Runs, check_elements, shape_of
from fanin.stream.keys import Key
from fanin.stream.laws import Format, Law, Values
from fanin.stream.parallel import SHARE, for_each, share_out
from fanin.stream.philox import map_words

WORTH_A_START: Final = 1 << 22  # elements
CALL: Final = 1 << 12  # elements that the reference draws in the time of its overhead
PATIENCE_IN_SECONDS = 1.0

Kernel: TypeAlias = Callable[..., None]

_kernels: dict[str, Kernel] = {}
_drawn_without: Counter[str] = Counter()
_starting = threading.Lock()
_said: set[str] = set()


def draw(key: Key, elements: Elements, form: Format, law: Law, out: Values | None) -> Values:
    """The law's values for the elements, into `out` if it is given."""
    if type(elements) is range and elements.step == 1 and elements.start >= 0 and elements.stop < 1 << 63:
        count = len(elements)
        if 0 < count < 2 * SHARE and (kernel := _kernels.get(form.name)) is not None:
            # The way of small tensors, of which a model may have thousands: no more than what must be looked at.
            if out is None:
                values = np.empty(count, form.stored)
            elif type(out) is np.ndarray and out.dtype is form.stored and out.size == count and out.flags.carray:
                values = out
            else:
                return _draw(key, elements, form, law, out)
            flat = values if values.ndim == 1 else values.reshape(-1)
            written = flat if form.written is form.stored else flat.view(form.written)
            kernel(key, elements.start, 1, count, 0, form.code, law, written)
            return values
    return _draw(key, elements, form, law, out)


def _draw(key: Key, elements: Elements, form: Format, law: Law, out: Values | None) -> Values:
    check_elements(elements)
    shape = shape_of(elements)
    values = np.empty(shape, form.stored) if out is None else out
    target = checked(values, math.prod(shape), form.stored)
    if not target.size:
        return values
    wanted = _listed(elements)
    kernel = (_kernels.get(form.name) or _started(form, target.size)) if isinstance(wanted, Runs) else None

    def fill(wanted: Listed, position: int, flat: Values) -> None:
        """Those from `position` on, into contiguous memory."""
        if kernel is not None and isinstance(wanted, Runs):
            where = _signed(wanted.start), _signed(wanted.step), wanted.length, position
            kernel(key, *where, form.code, law, flat.view(form.written))
        else:
            map_words(key, _some(wanted, position, flat.size), lambda w: reference.values(w, law, form), flat)

    def fill_tile(tile: Tile) -> None:
        values = np.empty(tile.target.size, form.stored)
        fill(tile.elements, tile.position, values)
        tile.target[...] = values.reshape(tile.target.shape)

    if not target.flags.carray:
        (_one_by_one if kernel is None else for_each)(fill_tile, list(tiles(target, wanted)))
    elif kernel is None:
        map_words(key, elements, lambda w: reference.values(w, law, form), target)
    else:
        flat = target.reshape(-1)
        share_out(lambda start, stop: fill(wanted, start, flat[start:stop]), flat.size)
    return values


def _listed(elements: Elements) -> Listed:
    """The same elements, a range as runs."""
    if not isinstance(elements, range):
        return elements
    length, count = (len(elements), 1) if elements.step == 1 else (1, len(elements))
    return Runs(elements.start, elements.step, count, length)


def _some(elements: Listed, position: int, count: int) -> Elements:
    """So many of the elements, from `position` on."""
    if not isinstance(elements, Runs):
        return elements.reshape(-1)[position : position + count]
    if elements.count == 1:
        return range(elements.start + position, elements.start + position + count)
    return elements[position : position + count]


def _signed(number: int) -> int:
    """The same 64 bits, as a number that numba takes for an int64."""
    return (number + (1 << 63)) % (1 << 64) - (1 << 63)


def _one_by_one(task: Callable[[Tile], None], pieces: Sequence[Tile]) -> None:
    for piece in pieces:
        task(piece)


def _started(form: Format, count: int) -> Kernel | None:
    """The kernel, once so much was drawn without it that its start is worth the time; None before."""
    _drawn_without[form.name] += count + CALL
    if _drawn_without[form.name] < WORTH_A_START:
        return None
    return start(form)


def start(form: Format) -> Kernel | None:
    """The kernel of a format, started now unless it is there already; None where numba cannot be imported."""
    with _starting:
        if form.name not in _kernels and "import" not in _said:
            _start(form)
    return _kernels.get(form.name)


def _start(form: Format) -> None:
    try:
        from fanin.stream import kernels
    except ImportError as error:  # as when NumPy is newer than numba knows
        _say_once("import", f"numba cannot be imported ({error}); values are drawn by NumPy: the same, but slowly.")
        return
    with said_if_slow(kernels.cached()):
        _kernels[form.name] = kernels.ready(form)


@contextmanager
def said_if_slow(cached: bool) -> Iterator[None]:
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


def _new_lock() -> None:
    global _starting  # noqa: PLW0603 - a thread that the forked process does not have may hold it
    _starting = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_new_lock)
