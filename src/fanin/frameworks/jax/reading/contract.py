"""dot_general by what it is contracted with: a linear layer, a product of signals, or an einsum."""

from __future__ import annotations

import math
from collections.abc import Sequence
from string import ascii_lowercase
from typing import Any, Final

import numpy as np

from fanin.frameworks.jax.reading.drafts import Known, Signal, Stored, Use, Value
from fanin.frameworks.jax.reading.program import Step
from fanin.frameworks.jax.reading.read import Reading
from fanin.frameworks.jax.reading.views import Atom, Axis, Shape, View, whole
from fanin.graph import Layout, Role
from fanin.graph.einsum import einsum_fans
from fanin.graph.operations import Slot

_EINSUM: Final = "einsum"


def dot_general(reading: Reading, step: Step) -> None:
    """A weight that is contracted over all that it shares with the signal is a linear layer; else a product."""
    (contract, batch), values = step.params["dimension_numbers"], reading.signals(step)
    if any(isinstance(v, Known) and v.value is not None and not np.any(v.value) for v in values):
        made = reading.program.types[step.outs[0]]
        reading.env[step.outs[0]] = Known(np.zeros(made.shape, made.dtype), made.shape)
        return  # of a state that begins with zeros, nothing comes
    sides = [isinstance(v, Stored) and reading.tensors[v.path].trained for v in values]
    if sides.count(True) == 1 and not batch[0]:
        own = sides.index(True)
        weight, signal = values[own], values[1 - own]
        if isinstance(weight, Stored) and _linear(reading, step, weight, signal, contract[own], contract[1 - own], own):
            return
    if all(isinstance(v, Signal) for v in values):
        _product(reading, step, values, contract, batch)
        return
    _by_equation(reading, step, values, contract, batch)


def _linear(
    reading: Reading, step: Step, weight: Stored, signal: Value, ins: Sequence[int], summed: Sequence[int], own: int
) -> bool:
    """Y = x Wᵀ over the last axis of x, whatever the order of axes was; False where an axis of the weight is cut."""
    tensor = reading.tensors[weight.path]
    if weight.view is None or not isinstance(signal, Signal):
        return False
    pairs = sorted(zip(summed, ins, strict=True))
    outs = [i for i in range(len(weight.view.shape)) if i not in ins]
    stored_outs = weight.view.order(tensor.shape, outs)
    stored_ins = weight.view.order(tensor.shape, [i for _, i in pairs])
    if stored_outs is None or stored_ins is None:
        return False
    n_out, n_in = (math.prod(tensor.shape[a] for a in axes) for axes in (stored_outs, stored_ins))
    stack = () if weight.row is None else (0,)
    free = [i for i in range(len(signal.view.shape)) if i not in summed]
    ones = tuple(a for a in range(len(tensor.shape)) if a not in {*stack, *stored_outs, *stored_ins})  # of size 1
    logical = (*(tensor.shape[a] for a in stack), n_out, n_in)
    reading.layouts.setdefault(weight.path, (Layout((*stack, *ones, *stored_outs, *stored_ins), logical), None))
    x = signal.view.transposed([*free, *(i for i, _ in pairs)])
    rows = tuple(x.shape[: len(free)])
    out, shape = step.outs[0], (*rows, n_out)
    x = x.reshaped((*rows, n_in)) or x
    name = reading.node(
        "linear",
        {"input": reading.seen_ref(x), "weight": Use(weight.path, weight.row), "bias": None},
        shape,
        out,
        bias_axis=len(rows),
        source=step.source,
    )
    sizes = [weight.view.shape[i] for i in outs]
    split = _digits(len(rows), sizes)
    axes = [((Atom(i, n, 1),)) for i, n in enumerate(rows)]
    ordered = [*split, *axes] if own == 0 else [*axes, *split]
    reading.env[out] = Signal(View(name, reading.program.types[out].shape, tuple(ordered)))
    return True


def _digits(axis: int, sizes: Sequence[int]) -> list[Axis]:
    """One axis as several, the slowest first."""
    return [(Atom(axis, n, math.prod(sizes[i + 1 :])),) if n > 1 else () for i, n in enumerate(sizes)]


def _product(
    reading: Reading, step: Step, values: Sequence[Value], contract: Sequence[Any], batch: Sequence[Any]
) -> None:
    """Of two signals: (batch, m, k) @ (batch, k, n), as attention is written out."""
    a, b = (v.view for v in values if isinstance(v, Signal))
    if turned := _weighs(reading, b) and not _weighs(reading, a):  # PyTorch has the weights of an attention first
        a, b, contract, batch = b, a, contract[::-1], batch[::-1]
    free = [
        [i for i in range(len(v.shape)) if i not in {*batch[side], *contract[side]}] for side, v in enumerate((a, b))
    ]
    rows = tuple(a.shape[i] for i in batch[0])
    m, n, k = (math.prod(v.shape[i] for i in axes) for v, axes in ((a, free[0]), (b, free[1]), (a, contract[0])))
    left = a.transposed([*batch[0], *free[0], *contract[0]]).reshaped((*rows, m, k))
    right = b.transposed([*batch[1], *contract[1], *free[1]]).reshaped((*rows, k, n))
    if left is None or right is None:
        _by_equation(reading, step, values, contract, batch)
        return
    out, source = step.outs[0], step.source
    arguments = {"self": reading.seen_ref(left), "other": reading.seen_ref(right)}
    name = reading.node("matmul", arguments, (*rows, m, n), out, source=source)
    own = [_digits(len(rows) + side, [v.shape[i] for i in free[side]]) for side, v in enumerate((a, b))]
    first, second = reversed(own) if turned else own
    axes = [*((Atom(i, size, 1),) for i, size in enumerate(rows)), *first, *second]
    reading.env[out] = Signal(View(name, reading.program.types[out].shape, tuple(axes)))


def _weighs(reading: Reading, view: View) -> bool:
    """Whether it is what a softmax made, after dropout too."""
    draft = reading.drafts.get(view.source)
    if draft is not None and draft.op == "dropout":
        draft = reading.drafts.get(draft.arguments["input"].name)
    return draft is not None and draft.op == "softmax"


def _by_equation(
    reading: Reading, step: Step, values: Sequence[Value], contract: Sequence[Any], batch: Sequence[Any]
) -> None:
    """Anything else, as an einsum: experts side by side, a weight with a mask, a constant matrix."""
    shapes = [reading.program.type_of(o).shape for o in step.ins]
    letters = iter(ascii_lowercase)
    names: list[dict[int, str]] = [{}, {}]
    for pairs in (batch, contract):
        for i, j in zip(*pairs, strict=True):
            names[0][i] = names[1][j] = next(letters)
    for side, shape in enumerate(shapes):
        for i in range(len(shape)):
            names[side].setdefault(i, next(letters))
    terms = ["".join(own[i] for i in range(len(own))) for own in names]
    result = [names[0][i] for i in batch[0]]
    for side in (0, 1):
        result += [names[side][i] for i in range(len(shapes[side])) if i not in {*batch[side], *contract[side]}]
    equation = f"{terms[0]},{terms[1]}->{''.join(result)}"
    for side, value in enumerate(values):
        if isinstance(value, Stored) and value.view == whole(value.path, reading.tensors[value.path].shape):
            slot = Slot(Role.WEIGHT, _einsum_fans(equation, side, shapes[side]))
            shape = reading.tensors[value.path].shape
            reading.layouts.setdefault(value.path, (Layout(tuple(range(len(shape))), shape), slot))
    tensors = tuple(reading.ref(v, step.outs[0]) for v in values)
    reading.made(_EINSUM, {"equation": equation, "tensors": tensors}, step)


def _einsum_fans(equation: str, position: int, shape: Shape) -> Any:
    return lambda _, __: einsum_fans(equation, position, shape)
