"""Elementwise steps of several signals, or with parameters: biases, gates, scales, residual additions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from fanin.frameworks.jax.reading.drafts import NOWHERE, Draft, Known, Signal, Stored, Use, Value
from fanin.frameworks.jax.reading.program import Step
from fanin.frameworks.jax.reading.read import Reading
from fanin.frameworks.jax.reading.softmax import log_softmax, softmax
from fanin.frameworks.jax.reading.spelling import spelled
from fanin.frameworks.jax.reading.views import Shape, View
from fanin.graph import Layout, Ref


def elementwise(reading: Reading, step: Step) -> None:
    """Of several signals, or with parameters."""
    out = step.outs[0]
    values = [reading.signal(reading.value(o), out) for o in step.ins]
    if step.primitive in {"convert_element_type", "reduce_precision", "copy"}:
        reading.env[out] = values[0]
    elif (
        (step.primitive == "add" and _biased(reading, step, values))
        or (step.primitive == "div" and softmax(reading, step, values))
        or (step.primitive == "sub" and log_softmax(reading, step, values))
    ):
        return
    elif (views := _in_step(reading, values)) is not None:
        _in_own_order(reading, step, values, views)
    else:
        op, arguments = spelled(step, [_aligned(reading, v, out) for v in values])
        reading.made(op, arguments, step)


def _in_step(reading: Reading, values: Sequence[Value]) -> View | None:
    """The view that all signals share, so that the operation can be said of what they are views of."""
    views = [v.view for v in values if isinstance(v, Signal)]
    plain = all(isinstance(v, Signal) or (isinstance(v, Known) and np.size(v.value) == 1) for v in values)
    if not plain or not views or views[0].repeats:
        return None
    alike = all(
        v.axes == views[0].axes and reading.shape_of(v.source) == reading.shape_of(views[0].source) for v in views
    )
    return views[0] if alike else None


def _in_own_order(reading: Reading, step: Step, values: Sequence[Value], view: View) -> None:
    shape, out = reading.shape_of(view.source), step.outs[0]
    args = [Ref(v.view.source, 0, shape) if isinstance(v, Signal) else reading.ref(v, out) for v in values]
    op, arguments = spelled(step, args)
    name = reading.node(op, arguments, shape, out, source=step.source)
    reading.env[out] = Signal(view.of(name))


def _aligned(reading: Reading, value: Value, number: int) -> Any:
    """A parameter as the operation broadcasts it: a step of its own where its axes are not the last."""
    if not isinstance(value, Stored) or value.view is None:
        return reading.ref(value, number)
    stored, shape = reading.tensors[value.path].shape, value.view.shape
    seen = tuple(1 if not axis else n for axis, n in zip(value.view.axes, shape, strict=True))
    if seen[len(seen) - len(stored) :] == stored and set(seen[: len(seen) - len(stored)]) <= {1}:
        return reading.ref(value, number)
    name = reading.node("view", {"self": reading.ref(value, number), "size": seen}, seen, NOWHERE)
    return Ref(name, 0, seen)


def _biased(reading: Reading, step: Step, values: Sequence[Value]) -> bool:
    """A vector that is added along the outputs of the layer before it is its bias."""
    for x, b in (values, values[::-1]):
        if not (isinstance(x, Signal) and isinstance(b, Stored) and b.view and reading.tensors[b.path].trained):
            continue
        draft = reading.drafts.get(x.view.source)
        source = step.ins[0 if x is values[0] else 1]
        if draft is None or draft.bias_axis is None or not isinstance(source, int) or reading.uses[source] > 1:
            continue
        order = _bias_order(reading, x.view, b, draft)
        if order is not None:
            size = draft.shape[draft.bias_axis]
            stack = () if b.row is None else (reading.tensors[b.path].shape[0],)
            reading.layouts.setdefault(b.path, (Layout(order, (*stack, size)), None))
            draft.arguments["bias"], draft.bias_axis, draft.value = Use(b.path, b.row), None, step.outs[0]
            reading.env[step.outs[0]] = x
            return True
    return False


def _bias_order(reading: Reading, x: View, b: Stored, draft: Draft) -> Shape | None:
    """The stored axes of the bias in the order of the layer's outputs; None if it does not lie along them."""
    assert b.view is not None
    stored = reading.tensors[b.path].shape
    found: list[tuple[int, int]] = []
    for own, other, size in zip(x.axes, b.view.axes, x.shape, strict=True):
        of_outputs = [a for a in own if a.axis == draft.bias_axis and a.size > 1]
        if len(of_outputs) != len([a for a in own if a.size > 1]) and of_outputs:
            return None
        others = [a for a in other if a.size > 1]
        if not of_outputs and not others:
            continue
        if (
            len(of_outputs) != 1
            or len(others) != 1
            or others[0].size != size
            or others[0].size != stored[others[0].axis]
        ):
            return None
        found.append((-of_outputs[0].inner, others[0].axis))
    axes = tuple(axis for _, axis in sorted(found))
    stack = () if b.row is None else (0,)
    ones = tuple(a for a in range(len(stored)) if a not in {*stack, *axes})
    complete = (
        math.prod(stored[len(stack) :]) == draft.shape[draft.bias_axis or 0] if draft.bias_axis is not None else False
    )
    return (*stack, *ones, *axes) if complete else None
