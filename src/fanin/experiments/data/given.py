"""A caller's own arrays as data."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from fanin.call import bind
from fanin.errors import BadInput
from fanin.experiments.data.model import IGNORED, Data, Loss, permutation

TEST_SHARE: Final = 0.2
Table = npt.NDArray[Any]


def given(data: Any, known: Any) -> Data:
    """`Data` as they are, a name of the table `known`, or arrays (inputs, targets[, test_inputs, test_targets]).

    Whole numbers as targets are classes, others are for squared errors; whole numbers as inputs are tokens. Without
    arrays for the test, a fifth is kept for it, by a fixed permutation.

    Raises:
        UnknownName: no data of that name.
        BadInput: something else, arrays of different lengths, or targets that no loss takes.
    """
    if isinstance(data, Data):
        return data
    if isinstance(data, str):
        found: Data = bind("data", data, known)()
        return found
    if not isinstance(data, tuple | list) or len(data) not in (2, 4):
        raise BadInput(
            "data: expected a name such as 'digits', (inputs, targets), or (inputs, targets, test_inputs, "
            f"test_targets); got {type(data).__name__}."
        )
    inputs, targets = _array("inputs", data[0]), _array("targets", data[1])
    if len(data) == 4:
        test_inputs, test_targets = _array("test_inputs", data[2]), _array("test_targets", data[3])
    else:
        _same_length(inputs, targets)
        order = permutation(0, "fanin/data/given", len(targets))
        kept = max(1, round(TEST_SHARE * len(targets)))
        test_inputs, test_targets = inputs[order[:kept]], targets[order[:kept]]
        inputs, targets = inputs[order[kept:]], targets[order[kept:]]
    _same_length(inputs, targets)
    _same_length(test_inputs, test_targets)
    tokens = int(max(inputs.max(), test_inputs.max())) + 1 if inputs.dtype == np.int64 else 0
    if targets.dtype == np.int64:
        if min(targets[targets != IGNORED].min(initial=0), test_targets[test_targets != IGNORED].min(initial=0)) < 0:
            raise BadInput(f"targets: classes are 0, 1, …, and {IGNORED} where none counts; got a negative one.")
        classes = int(max(targets.max(), test_targets.max())) + 1
        return Data("own data", classes, inputs, targets, test_inputs, test_targets, tokens=tokens)
    if targets.ndim == 1:
        targets, test_targets = targets[:, None], test_targets[:, None]
    outputs, loss = targets.shape[-1], Loss.SQUARED_ERROR
    return Data("own data", outputs, inputs, targets, test_inputs, test_targets, loss, tokens)


def _array(name: str, x: Any) -> Table:
    """float32, or int64 for whole numbers."""
    try:
        array = np.asarray(x)
    except ValueError:  # several of different shapes
        array = np.asarray(None)
    if array.dtype.kind in "iub":
        return np.ascontiguousarray(array, np.int64)
    if array.dtype.kind == "f":
        if len(wrong := np.argwhere(~np.isfinite(array))):
            at = tuple(map(int, wrong[0]))
            raise BadInput(f"{name}: expected finite numbers; got {array[at]} at index {[*at]}, {len(wrong)} in all.")
        return np.ascontiguousarray(array, np.float32)
    got = type(x).__name__ if array.dtype.kind == "O" else f"one of {array.dtype}"
    raise BadInput(f"{name}: expected an array of numbers, and only one; got {got}.")


def _same_length(inputs: Table, targets: Table) -> None:
    if inputs.ndim == 0 or targets.ndim == 0 or len(inputs) != len(targets) or len(inputs) < 2:
        raise BadInput(
            f"data: inputs and targets must have the same first axis, of two samples at least; "
            f"got {inputs.shape} and {targets.shape}."
        )
