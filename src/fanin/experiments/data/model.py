"""What a net is trained on: arrays and the loss that they are for."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from fanin.stream import Domain, key, words

IGNORED: Final = -100  # the class of a position that does not count, as torch's cross_entropy has it


class Loss(StrEnum):
    """What is made small."""

    CROSS_ENTROPY = "cross_entropy"
    SQUARED_ERROR = "squared_error"  # its mean over samples and dimensions


@dataclass(frozen=True, eq=False)
class Data:
    """A set split in two; inputs are numbers of about mean 0 and second moment 1, or tokens.

    Attributes:
        outputs: classes, or dimensions of a regression.
        inputs, test_inputs: (samples, …), float32 or int64.
        targets, test_targets: (samples, …), int64 classes 0 … outputs − 1 or `IGNORED`; float32 for squared errors.
        loss: which one.
        tokens: how many there are, where the inputs are tokens.
    """

    name: str
    outputs: int
    inputs: npt.NDArray[Any]
    targets: npt.NDArray[Any]
    test_inputs: npt.NDArray[Any]
    test_targets: npt.NDArray[Any]
    loss: Loss = Loss.CROSS_ENTROPY
    tokens: int = 0

    @property
    def chance(self) -> float:
        """The training loss of the best constant: the entropy of the classes, or the targets' mean variance."""
        if self.loss is Loss.SQUARED_ERROR:
            return float(self.targets.reshape(-1, self.outputs).astype(np.float64).var(0).mean())
        counts = np.bincount(self.targets[self.targets != IGNORED].ravel(), minlength=self.outputs)
        shares = counts[counts > 0] / counts.sum()
        return float(-(shares * np.log(shares)).sum())


def split(
    name: str,
    outputs: int,
    inputs: npt.NDArray[Any],
    targets: npt.NDArray[Any],
    *,
    test: int,
    loss: Loss = Loss.CROSS_ENTROPY,
    tokens: int = 0,
) -> Data:
    """Keep the first `test` samples for the test."""
    return Data(name, outputs, inputs[test:], targets[test:], inputs[:test], targets[:test], loss, tokens)


def permutation(seed: int, name: str, n: int) -> npt.NDArray[np.int64]:
    """A permutation of 0 … n − 1 from the stream: the order of n random words, ties by index."""
    return np.argsort(words(key(seed, name, domain=Domain.PERMUTATION), range(n)), kind="stable").astype(np.int64)


def integers(seed: int, name: str, shape: tuple[int, ...], below: int) -> npt.NDArray[np.int64]:
    """Random integers 0 … below − 1 from the stream: the upper bits of word × below, biased by at most below/2³²."""
    drawn = words(key(seed, name), range(int(np.prod(shape)))).astype(np.uint64)
    return (drawn * np.uint64(below) >> np.uint64(32)).astype(np.int64).reshape(shape)
