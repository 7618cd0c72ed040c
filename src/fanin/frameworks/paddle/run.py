"""Run a recorded program, on the model's own parameters or without them, and fetch values from it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import paddle

from fanin.errors import BadInput
from fanin.frameworks.held import Array, as_numbers
from fanin.frameworks.paddle.parameters import dtype_of
from fanin.frameworks.paddle.record import Recorded, said


def evaluated(recorded: Recorded, values: Mapping[str, Any]) -> dict[str, Array]:
    """Values that depend on no input."""
    if not values:
        return {}
    with static():
        program = paddle.static.normalize_program(recorded.program, [], list(values.values()))
        fetched = fetch(recorded, program, {}, program_results(program))
    return dict(zip(values, fetched, strict=True))


def fetch(recorded: Recorded, program: Any, feed: Mapping[str, Any], values: Sequence[Any]) -> list[Array]:
    """Run a program once; what it writes in place, such as running statistics, is not the model's."""
    scope = paddle.static.Scope()
    place = paddle.CPUPlace()
    for name, tensor in recorded.tensors.items():
        scope.var(name).get_tensor().set(tensor.numpy(), place)
    executor = paddle.static.Executor(place)
    try:
        found = executor.run(program, feed=dict(feed), fetch_list=list(values), scope=scope)
    except Exception as error:
        raise BadInput(f"The model cannot be run on this batch: {type(error).__name__}: {said(error)}.") from error
    return [_numbers(x, value) for x, value in zip(found, values, strict=True)]


def _numbers(x: Any, value: Any) -> Array:
    array = np.asarray(x)
    return as_numbers(array, "bfloat16") if dtype_of(value) == "bfloat16" and array.dtype == np.uint16 else array


def program_results(program: Any) -> list[Any]:
    """What a normalised program fetches."""
    return [op.operands_source()[0] for op in program.global_block().ops if op.name() == "pd_op.fetch"]


@contextmanager
def static() -> Iterator[None]:
    """Paddle's static mode, for as long as the block lasts."""
    dynamic = paddle.in_dynamic_mode()
    paddle.enable_static()
    try:
        yield
    finally:
        if dynamic:
            paddle.disable_static()
