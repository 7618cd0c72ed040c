"""Draw some of a model's values again, and compare: what a process does not hold, it does not look at."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
import torch

from fanin.errors import BadInput
from fanin.frameworks.torch.model.names import named_parameters
from fanin.frameworks.torch.model.shards import local_of, parts_of
from fanin.frameworks.torch.writing.fill import TEMPORARY, Part
from fanin.frameworks.torch.writing.obstacles import to_read
from fanin.plans import Plan
from fanin.plans.model import Entry, writes
from fanin.plans.verification import Difference, Verification
from fanin.stream import Runs
from fanin.stream.elements import index_array

Some: TypeAlias = range | npt.NDArray[np.integer[Any]]  # elements of the whole tensor
BLOCK: Final = 1 << 12  # elements: drawing fewer takes no less time


def verify(model: torch.nn.Module, plan: Plan, seed: int, blocks: int | None = 8) -> Verification:
    """Compare the model with what the stream gives for the plan; see `fanin.verify`.

    Raises:
        BadInput: the seed is not an integer in [0, 2¹²⁸), or blocks is not an integer above 0.
    """
    if not isinstance(plan, Plan):
        raise BadInput(f"Expected a plan, such as fanin.initialize_ returned; got {type(plan).__name__}.")
    if blocks is not None and not (isinstance(blocks, int) and blocks > 0):
        raise BadInput(f"blocks: expected an integer above 0, or None to compare every element; got {blocks!r}.")
    digest = plan.digest(seed)
    tensors = {path: tensor for path, (tensor, _) in named_parameters(model).items()}
    found = _of_names(tensors, plan)
    compared = held = 0
    for entry in plan:
        tensor = tensors.get(entry.parameter.path)
        if tensor is None or not writes(entry):
            continue
        memory = None if torch.nn.parameter.is_lazy(tensor) else local_of(tensor)
        if problems := to_read(tensor, memory, entry.parameter):
            found.append(Difference(entry.parameter.path, "; ".join(problems)))
            continue
        assert memory is not None  # or there is a problem
        parts = [(place, elements) for place, elements in parts_of(tensor, memory) if elements]
        one = _compared(parts, entry, seed, blocks)
        compared += one.compared
        held += sum(len(elements) for _, elements in parts)
        found += one.differences
    order = {path: i for i, path in enumerate([e.parameter.path for e in plan])}
    found.sort(key=lambda d: order.get(d.path, len(order)))
    return Verification(digest, tuple(found), compared, held, tuple(e.parameter.path for e in plan if not writes(e)))


def _of_names(tensors: Mapping[str, torch.Tensor], plan: Plan) -> list[Difference]:
    planned = {e.parameter.path for e in plan}
    tied = {name: e.parameter.path for e in plan for name in e.parameter.also}
    found = [Difference(path, "in the plan, not in the model") for path in planned if path not in tensors]
    for path in tensors:
        if path in tied:
            found.append(Difference(path, f"tied to {tied[path]} in the plan, a tensor of its own in the model"))
        elif path not in planned:
            found.append(Difference(path, "in the model, not in the plan"))
    return found


class _Compared(NamedTuple):
    compared: int
    differences: list[Difference]


def _compared(parts: Sequence[Part], entry: Entry, seed: int, blocks: int | None) -> _Compared:
    """What is drawn element by element, block by block; all else at once, as a writer draws it."""
    target = entry.target
    alone = entry.initializer.sampling(target) is not None
    chosen = _blocks(parts, blocks, TEMPORARY if alone else sum(len(e) for _, e in parts))
    groups = ([one] for one in chosen) if alone else filter(None, [list(chosen)])
    count, differing = 0, 0
    first: tuple[int, complex, complex] | None = None
    for group in groups:
        elements = group[0][1] if len(group) == 1 else np.concatenate([index_array(some) for _, some in group])
        got = torch.cat([values for values, _ in group])
        drawn = entry.initializer.draw(target, seed, elements)
        expected = torch.from_numpy(np.ascontiguousarray(drawn)).view(got.dtype)
        count += len(got)
        if not torch.equal(_bytes(got), _bytes(expected)):
            wrong = torch.nonzero((_bytes(got) != _bytes(expected)).any(1)).flatten()
            differing += len(wrong)
            indices = index_array(elements)
            at = int(wrong[np.argmin(indices[wrong.numpy()])])
            if first is None or indices[at] < first[0]:
                first = (int(indices[at]), expected[at].item(), got[at].item())
    if first is None:
        return _Compared(count, [])
    place = tuple(int(i) for i in np.unravel_index(first[0], target.shape))
    what = f"{differing:,} of {count:,} compared values differ"
    return _Compared(count, [Difference(target.name, what, place, first[1], first[2])])


def _blocks(parts: Sequence[Part], blocks: int | None, largest: int) -> Iterator[tuple[torch.Tensor, Some]]:
    """Values of the memory, on the CPU, and which elements of the whole they are: all, or `blocks` chosen at random."""
    if blocks is None:
        for place, elements in parts:
            for begin in range(0, len(elements), largest):
                yield _at(place, elements, begin, min(begin + largest, len(elements)))
        return
    starts = [(i, begin) for i, (_, elements) in enumerate(parts) for begin in range(0, len(elements), BLOCK)]
    for i, begin in (starts[int(k)] for k in _chosen(len(starts), blocks)):
        place, elements = parts[i]
        yield _at(place, elements, begin, min(begin + BLOCK, len(elements)))


def _chosen(count: int, blocks: int) -> npt.NDArray[np.int64]:
    """`blocks` numbers below `count`, others in each call; no one's random state is touched."""
    return np.sort(np.random.default_rng().choice(count, min(blocks, count), replace=False))


def _at(place: torch.Tensor, elements: range | Runs, begin: int, end: int) -> tuple[torch.Tensor, Some]:
    """At these positions of a part, in its row-major order; memory that is not contiguous is not copied whole."""
    some = elements[begin:end]
    if place.is_contiguous():
        return place.view(-1)[begin:end].cpu(), some
    where = np.unravel_index(np.arange(begin, end), place.shape)
    return place[tuple(torch.from_numpy(axis).to(place.device) for axis in where)].cpu(), some


def _bytes(values: torch.Tensor) -> torch.Tensor:
    """Bit patterns: a NaN is equal to itself, and 0 is not −0."""
    return values.contiguous().view(torch.uint8).view(len(values), values.element_size())
