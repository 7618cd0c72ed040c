"""Tasks that only a net with memory can do: the answer comes many steps after what it needs (Arjovsky 2016, §4)."""

from __future__ import annotations

import numpy as np

from fanin.experiments.data.model import IGNORED, Data, Loss, integers, split
from fanin.stream import key, uniform


def copy(
    *, delay: int = 180, symbols: int = 10, alphabet: int = 8, samples: int = 4096, test_share: float = 0.1
) -> Data:
    """Remember symbols through a silence, and say them one by one when asked; only the answers count.

    A sequence is `symbols` of an alphabet, `delay` blanks, and `symbols` marks: 200 steps with the defaults. A net
    without memory can do no better than ln(alphabet).
    """
    blank, mark = alphabet, alphabet + 1
    shown = integers(0, "fanin/data/copy", (samples, symbols), alphabet)
    inputs = np.concatenate((shown, np.full((samples, delay), blank), np.full((samples, symbols), mark)), 1)
    targets = np.concatenate((np.full((samples, symbols + delay), IGNORED), shown), 1)
    name = f"copy over {delay} steps"
    return split(name, alphabet, inputs, targets, test=round(test_share * samples), tokens=alphabet + 2)


def adding(*, length: int = 100, samples: int = 4096, test_share: float = 0.1) -> Data:
    """Add the two numbers that are marked, one in each half of a sequence of uniform numbers in [−1, 1].

    Inputs are (samples, length, 2): a number, and 1 where it is marked. The answer's variance is 2/3.
    """
    numbers = uniform(key(0, "fanin/data/adding"), range(samples * length), 1.0).reshape(samples, length)
    half = length // 2
    marked = np.zeros_like(numbers)
    rows = np.arange(samples)
    for name, start, count in (("first", 0, half), ("second", half, length - half)):
        marked[rows, start + integers(0, f"fanin/data/adding/{name}", (samples,), count)] = 1
    targets = (numbers * marked).sum(1, keepdims=True).astype(np.float32)
    inputs = np.stack((numbers, marked), 2).astype(np.float32)
    test = round(test_share * samples)
    return split(f"adding over {length} steps", 1, inputs, targets, test=test, loss=Loss.SQUARED_ERROR)
