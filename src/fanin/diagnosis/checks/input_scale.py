"""The data does not have a mean near 0 and a size near 1, and goes into a weight as it is.

## What it does
Looks at each floating-point input whose first operation is a weight. It is reported if its root mean square is above 10
or below 1/30, or if its features' means are more than 3 of their standard deviations from 0.

## Why it is bad
Every law for initial weights assumes inputs of second moment about 1: what the data has too much, all signals behind
have too much, up to the logits. A large common mean makes all samples look alike to the first layer, and the loss
steep in one direction and flat in all others: the learning rate that the one allows is too small for the rest.

## Example
    x = torch.from_numpy(image).permute(2, 0, 1).float()    # pixels 0 … 255

## Remedy
Change the data: subtract the mean of each feature and divide by its standard deviation, both of the training set.

## Known exceptions
Inputs that are looked up in a table, that go to a norm first, or that the model scales itself are not judged, and a
first weight that goes to a batch norm undoes any scale and offset. An input that is constant is no data.

## Source
LeCun, Bottou, Orr & Müller 1998, Efficient BackProp, section 4.3.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final, NamedTuple

from fanin.diagnosis.check import Check
from fanin.diagnosis.evidence import Evidence
from fanin.diagnosis.model import Finding, Severity
from fanin.graph import Node
from fanin.graph.layers import NORMS, PASSES_ON
from fanin.signals.circumstances import InputSeen

LARGE: Final = 10.0  # root mean square: logits of variance ¼ become such of variance 25
SMALL: Final = 1 / 30  # sound in −1 … 1 has about 0.05 and is used as it is
OFFSET: Final = 3.0  # standard deviations: pictures in 0 … 1 have about 2, and are used as they are
ENOUGH: Final = 8  # values of a feature, for a mean and a standard deviation of its own
APART: Final = 10.0  # standard deviations of features whose ratio is larger are in units of their own
# What hands values on as they are or puts some beside others.
MOVES: Final = (PASSES_ON - NORMS) | {"pad", "constant_pad_nd", "slice", "select", "unfold", "im2col"}
BATCH_NORMS: Final = frozenset(op for op in NORMS if "batch_norm" in op)


class Size(NamedTuple):
    """Of an input: the root mean square, and how many standard deviations its mean is from 0."""

    rms: float
    offset: float


def find(check: Check, evidence: Evidence) -> Finding | None:
    """The first such input."""
    for seen in evidence.inputs:
        reader = next(_readers(evidence, seen.name), None)
        if reader is None or _constant(seen):
            continue
        size, norms = _size(seen), _norms_behind(evidence, reader)
        scaled = not norms and not SMALL <= size.rms <= LARGE
        shifted = size.offset > OFFSET and not (norms and norms <= BATCH_NORMS)
        if scaled or shifted:
            return _finding(check, evidence, seen, size, reader)
    return None


def _finding(check: Check, evidence: Evidence, seen: InputSeen, size: Size, reader: Node) -> Finding:
    mean, std = seen.moments.mean, _std(seen)
    pixels = seen.integral and seen.low >= 0 and 1 < seen.high <= 255
    kind = f": whole numbers {seen.low:.0f} … {seen.high:.0f}, such as pixels as they are stored" if pixels else ""
    layer = next((s for s in evidence.layers if s.layer.node.name == reader.name), None)
    advice = f"change the data: subtract {mean:.3g} and divide by {std:.3g}"
    if _units_of_their_own(seen):
        least, most = min(s for s in seen.stds if s > 0), max(seen.stds)
        advice = (
            "change the data: subtract each feature's mean and divide by its standard deviation; these go from "
            f"{least:.3g} to {most:.3g} here"
        )
    return check.finding(
        evidence,
        Severity.WARNING,
        layer or reader,
        what=f"the input {seen.name} has mean {mean:.3g}, standard deviation {std:.3g} and root mean square "
        f"{size.rms:.3g}{kind}",
        why=f"it enters {_named(reader)} as it is, and weights are drawn for inputs of mean 0 and root "
        f"mean square 1 (here {SMALL:.2g} … {LARGE:g} pass, and means up to {OFFSET:g} standard deviations)",
        advice=advice,
        input_mean=mean,
        input_std=std,
        offset_in_stds=size.offset,
    )


def _named(reader: Node) -> str:
    return f"{reader.called} in {reader.module}" if reader.module else reader.called


def _readers(evidence: Evidence, name: str) -> Iterator[Node]:
    """The operations with a weight that read an input as it is."""
    pending, seen = [name], {name}
    while pending:
        for user in evidence.graph.users.get(pending.pop(), ()):
            if user.name in evidence.paths.weights:
                yield user
            elif user.op in MOVES and user.name not in seen:
                seen.add(user.name)
                pending.append(user.name)


def _norms_behind(evidence: Evidence, reader: Node) -> set[str]:
    """The norms that are all that see its result."""
    name = reader.name
    while len(users := evidence.graph.users.get(name, ())) == 1 and users[0].op in PASSES_ON - NORMS:
        name = users[0].name
    ops = {user.op for user in users}
    return ops if ops and ops <= NORMS else set()


def _size(seen: InputSeen) -> Size:
    """With the features' own means where there are enough values of each: squared, without what chance adds to them."""
    n = math.prod(seen.shape) / len(seen.means) if seen.means else 0
    mean2, variance = seen.moments.mean**2, _std(seen) ** 2
    if n >= ENOUGH:
        variance = math.fsum(s * s for s in seen.stds) / len(seen.stds) * n / (n - 1)
        mean2 = max(math.fsum(m * m for m in seen.means) / len(seen.means) - variance / n, 0.0)
    return Size(math.sqrt(seen.moments.second_moment), math.sqrt(mean2 / variance) if variance > 0 else 0.0)


def _std(seen: InputSeen) -> float:
    return math.sqrt(max(seen.moments.second_moment - seen.moments.mean**2, 0.0))


def _constant(seen: InputSeen) -> bool:
    """A placeholder, such as zeros."""
    return seen.low == seen.high


def _units_of_their_own(seen: InputSeen) -> bool:
    varying = [s for s in seen.stds if s > 0]
    return len(varying) > 1 and max(varying) > APART * min(varying)


CHECK = Check(
    code="D01",
    name="input not normalised",
    summary="The data does not have a mean near 0 and a size near 1, and goes into a weight as it is.",
    page=__doc__,
    find=find,
    advice="change the data: subtract the mean and divide by the standard deviation",
)
