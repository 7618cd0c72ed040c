"""Write and verify a plan where tensors pass through NumPy: what every adapter but PyTorch's does alike.

An adapter says what its model holds (`Held`) and how an array gets into it and out of it; names, layouts and the
comparison are here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from fanin.errors import BadInput, CannotWrite
from fanin.graph import Held
from fanin.plans import Plan
from fanin.plans.model import Entry, writes
from fanin.plans.verification import Difference, Verification
from fanin.stream import key
from fanin.stream.laws import FORMATS

Array: TypeAlias = npt.NDArray[Any]
BLOCK: Final = 1 << 12  # elements that are drawn again at a time


def drawn(plan: Plan, held: Iterable[Held], seed: int) -> Iterator[tuple[Held, Array]]:
    """Each parameter that the plan writes, with its values as the framework stores them, drawn one at a time.

    Of a dtype that NumPy does not have, they are the float32 numbers that are equal to them.

    Raises:
        BadInput: the seed is not an integer in [0, 2¹²⁸).
        CannotWrite: the plan and the model disagree; lists every such parameter.
    """
    key(seed, "")
    by_path = {one.path: one for one in held}
    agree(plan, by_path)
    return ((by_path[e.parameter.path], _stored(e, by_path[e.parameter.path], seed)) for e in plan if writes(e))


def agree(plan: Plan, held: Mapping[str, Held]) -> None:
    """The plan must be for what the model holds.

    Raises:
        CannotWrite: it is not; lists every parameter that stands in the way.
    """
    planned = {e.parameter.path: e for e in plan}
    problems = [f"{path}: in the plan, not in the model" for path in planned if path not in held]
    for path, one in held.items():
        if path not in planned:
            problems.append(f"{path}: in the model, not in the plan")
        elif writes(planned[path]):
            problems += [f"{path}: {what}" for what in _misfit(planned[path], one)]
    if problems:
        shown = "; ".join(problems[:5]) + ("; …" if len(problems) > 5 else "")
        raise CannotWrite(f"Nothing was written. {len(problems)} parameter(s) stand in the way: {shown}.")


def _misfit(entry: Entry, held: Held) -> Iterator[str]:
    p = entry.parameter
    if p.shape != held.layout.shape:
        yield f"shape {p.shape} in the plan, {held.layout.shape} in the model"
    if p.dtype != held.dtype:
        yield f"{p.dtype} in the plan, {held.dtype} in the model"
    elif held.dtype not in FORMATS:
        yield f"{held.dtype} cannot be drawn; expected one of {', '.join(FORMATS)}"


def _stored(entry: Entry, held: Held, seed: int) -> Array:
    values = entry.initializer.draw(entry.target, seed)
    return held.layout.stored(as_numbers(values, held.dtype), held.shape)


def as_numbers(values: Array, dtype: str) -> Array:
    """Values of the stream as numbers: bit patterns of bfloat16 as the float32 that they are.

    Example:
        >>> as_numbers(np.array([0x3F80, 0xC000], np.uint16), "bfloat16")
        array([ 1., -2.], dtype=float32)

    Raises:
        CannotWrite: NumPy has no such numbers, and neither has float32 in their place.
    """
    if dtype == "bfloat16":
        return (values.astype(np.uint32) << 16).view(np.float32)
    if dtype not in {"float16", "float32", "float64"}:
        raise CannotWrite(f"Nothing was written: values of {dtype} cannot be handed over through NumPy.")
    return values


def verified(
    plan: Plan, held: Iterable[Held], read: Callable[[Held], Array], seed: int, blocks: int | None = 8
) -> Verification:
    """Compare what a model holds with what the stream gives for the plan; see `fanin.verify`.

    Args:
        read: the stored values of a parameter, as numbers (`as_numbers`).

    Raises:
        BadInput: no plan, the seed is not an integer in [0, 2¹²⁸), or blocks is not an integer above 0.
    """
    if not isinstance(plan, Plan):
        raise BadInput(f"Expected a plan, such as fanin.initialize_ returned; got {type(plan).__name__}.")
    if blocks is not None and not (isinstance(blocks, int) and blocks > 0):
        raise BadInput(f"blocks: expected an integer above 0, or None to compare every element; got {blocks!r}.")
    digest = plan.digest(seed)
    by_path = {one.path: one for one in held}
    found: list[Difference] = []
    compared = total = 0
    for entry in plan:
        path = entry.parameter.path
        if path not in by_path:
            found.append(Difference(path, "in the plan, not in the model"))
        elif writes(entry) and (problems := list(_misfit(entry, by_path[path]))):
            found.append(Difference(path, "; ".join(problems)))
        elif writes(entry):
            one = by_path[path]
            count, difference = _compared(entry, one.layout.logical(read(one)).ravel(), seed, blocks)
            compared, total = compared + count, total + entry.target.size
            found += [difference] if difference else []
    planned = {e.parameter.path for e in plan}
    found += [Difference(path, "in the model, not in the plan") for path in by_path if path not in planned]
    return Verification(digest, tuple(found), compared, total, tuple(e.parameter.path for e in plan if not writes(e)))


def _compared(entry: Entry, got: Array, seed: int, blocks: int | None) -> tuple[int, Difference | None]:
    """How many elements were compared, and the first that differs; what hangs together is drawn at once."""
    target = entry.target
    alone = entry.initializer.sampling(target) is not None
    chosen = _chosen(got.size, blocks) if alone else np.arange(got.size)
    expected = as_numbers(entry.initializer.draw(target, seed, chosen if alone else None), target.dtype)
    wrong = np.flatnonzero(_bits(got[chosen]) != _bits(expected))
    if not len(wrong):
        return len(chosen), None
    at = int(chosen[wrong[0]])
    place = tuple(int(i) for i in np.unravel_index(at, target.shape))
    what = f"{len(wrong):,} of {len(chosen):,} compared values differ"
    return len(chosen), Difference(
        entry.parameter.path, what, place, float(expected[wrong[0]]), float(got[chosen][wrong[0]])
    )


def _chosen(size: int, blocks: int | None) -> npt.NDArray[np.int64]:
    """The elements of `blocks` blocks, others in each call; no one's random state is touched."""
    count = -(-size // BLOCK)
    if blocks is None or blocks >= count:
        return np.arange(size)
    starts = np.sort(np.random.default_rng().choice(count, blocks, replace=False)) * BLOCK
    return np.concatenate([np.arange(start, min(start + BLOCK, size)) for start in starts])


def _bits(values: Array) -> Array:
    """Bit patterns: a NaN is equal to itself, and 0 is not −0."""
    return np.ascontiguousarray(values).view(f"u{values.dtype.itemsize}")
