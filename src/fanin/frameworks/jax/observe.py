"""One real forward and backward pass over the traced program, with the moments of everything that flows."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from fanin.errors import BadInput, CannotWrite, FaninError, ShapeMismatch
from fanin.frameworks.described import cotangents
from fanin.frameworks.held import Array
from fanin.frameworks.jax.adapter import as_numpy, current, with_values, write_
from fanin.frameworks.jax.opened import is_floating, opened
from fanin.frameworks.jax.reading import NOWHERE, Fixed, Program
from fanin.frameworks.jax.trace import Traced, call_of
from fanin.graph import Parameter, Ref
from fanin.graph.layers import REARRANGES
from fanin.graph.layout import Layout
from fanin.plans import Plan
from fanin.signals import Moments, ParameterSignal, Signals
from fanin.signals.axes import Axes
from fanin.signals.model import RANDOM_COTANGENT
from fanin.signals.summary import bounds_of

Loss: TypeAlias = Callable[[Any], Any]
Touch: TypeAlias = Callable[[int, Any], Any]


def observe(
    traced: Traced,
    model: Any,
    example: tuple[Any, ...],
    loss: Loss | None = None,
    axes: Mapping[str, Axes] | None = None,
    classes: Mapping[str, int] | None = None,
) -> Signals:
    """Run the traced steps on the model's own arrays and measure every node, under one `jax.jit`.

    Nothing of the model changes: its new state, such as running means, is dropped.

    Args:
        loss: from the model's output to a scalar. Without one, that of ⟨output, v⟩/batch, v ~ N(0, 1).
        axes, classes: of a closer look, which there is none of outside PyTorch.

    Raises:
        BadInput: arrays without values, a loss that fails or is no scalar, or what cannot be differentiated.
        ShapeMismatch: the example is not of the shapes that the model was traced with.
    """
    own = current(traced, model)
    stored = with_values(own)
    arrays = _checked(traced, example)
    graph = traced.graph
    names = [*(one.name for one in graph.inputs), *(node.name for node in graph.nodes)]
    seen = sorted({traced.at[name] for name in names if name in traced.at})
    floating = [n for n in seen if jnp.issubdtype(traced.program.types[n].dtype, jnp.floating)]
    limits = bounds_of(graph)
    bounds = {traced.at[name]: pair for name, pair in limits.items() if name in traced.at}
    split = [t.trained and is_floating(v) for t, v in zip(own.tensors, own.values, strict=True)]

    def measured(trained: Sequence[Any], state: Sequence[Any], arrays: Sequence[Any]) -> Any:
        def scalar(shifts: Mapping[int, Any], trained: Sequence[Any]) -> Any:
            stats: dict[int, Any] = {}

            def touch(number: int, value: Any) -> Any:
                if number not in shifts:
                    return value
                stats[number] = _stats(value, bounds.get(number))
                return value + shifts[number]

            pools = iter(trained), iter(state)
            values = [next(pools[0] if is_one else pools[1]) for is_one in split]
            outputs = evaluated(traced.program, [*values, *arrays], touch)
            result = jax.tree_util.tree_unflatten(traced.tree, outputs)
            value = _scalar(loss, result) if loss else _random_cotangent(outputs)
            return value, stats

        types = traced.program.types
        shifts = {n: jnp.zeros(types[n].shape, types[n].dtype) for n in floating}
        (value, stats), (by_node, by_weight) = jax.value_and_grad(scalar, (0, 1), has_aux=True)(shifts, trained)
        return value, stats, {n: _stats(g, None) for n, g in by_node.items()}, by_weight

    trained = [v for v, is_one in zip(own.values, split, strict=True) if is_one]
    state = [v for v, is_one in zip(own.values, split, strict=True) if not is_one]
    try:
        value, stats, gradients, by_weight = jax.jit(measured)(trained, state, list(arrays))
    except FaninError:
        raise
    except Exception as error:  # whatever a step of the user's cannot do is explained and re-raised
        line = str(error).strip().partition("\n")[0]
        raise BadInput(f"{own.name} could not be run and differentiated: {type(error).__name__}: {line}") from error
    of_weight = dict(
        zip([t.path for t, is_one in zip(own.tensors, split, strict=True) if is_one], by_weight, strict=True)
    )
    return Signals(
        _of_nodes(traced, stats, alone=False),
        _of_nodes(traced, gradients, alone=True),
        {p.path: _parameter(p, stored[p.path], of_weight.get(p.path)) for p in graph.parameters},
        float(value),
        name_of(loss) if loss else RANDOM_COTANGENT,
        graph=graph,
    )


def evaluated(program: Program, values: Sequence[Any], touch: Touch) -> list[Any]:
    """Run the steps; every value passes through `touch`."""
    env = {number: touch(number, value) for number, value in zip(program.inputs, values, strict=True)}

    def read(operand: Any) -> Any:
        return operand.value if isinstance(operand, Fixed) else env[operand]

    for step in program.steps:
        results = step.run(*map(read, step.ins))
        env |= {out: touch(out, result) for out, result in zip(step.outs, results, strict=True)}
    return [read(o) for o in program.outputs]


@contextmanager
def drawn(model: Any, plan: Plan, seed: int) -> Iterator[None]:
    """Within the block a module of NNX is as the plan draws it; afterwards it is as it was.

    Raises:
        CannotWrite: a model that is a value: measure what `initialize` returns.
    """
    own = opened(model)
    if own.write_ is None:
        raise CannotWrite(
            f"A {own.name} of JAX cannot be changed for a while. Measure what the plan makes of it instead: "
            "measure(fanin.initialize(model, x, recipe=plan, seed=0), x)."
        )
    try:
        write_(model, plan, seed)
        yield
    finally:
        own.write_(own.values)


def has_values(model: Any) -> bool:
    """Whether its parameters are arrays, not shapes."""
    return not any(isinstance(v, jax.ShapeDtypeStruct) for _, v in opened(model).trained)


def _checked(traced: Traced, example: tuple[Any, ...]) -> list[Any]:
    got = call_of(traced.opened, example).arrays
    wanted = [(tuple(a.shape), str(a.dtype)) for a in traced.call.arrays]
    found = [(tuple(a.shape), str(a.dtype)) for a in got]
    if wanted != found:
        raise ShapeMismatch(f"The graph was recorded with {wanted}; got {found}. Trace the model again.")
    if abstract := [a for a in got if isinstance(a, jax.ShapeDtypeStruct)]:
        raise BadInput(f"To measure what flows, real arrays are needed; got the shape {abstract[0].shape} alone.")
    return [jnp.asarray(a) for a in got]


def _stats(x: Any, bounds: tuple[float, float] | None) -> tuple[Any, ...]:
    """In units of the largest magnitude, so that squares neither overflow nor vanish."""
    wide = jnp.abs(x).astype(jnp.float32) if jnp.iscomplexobj(x) else x.astype(jnp.promote_types(x.dtype, jnp.float32))
    finite = jnp.isfinite(wide)
    largest = jnp.max(jnp.abs(jnp.where(finite, wide, 0)), initial=0)
    unit = jnp.where(largest > 0, largest, 1)
    scaled = jnp.where(finite, wide, 0) / unit
    saturated = None
    if bounds:
        margin = 0.01 * (bounds[1] - bounds[0])
        saturated = jnp.mean((wide < bounds[0] + margin) | (wide > bounds[1] - margin))
    return unit, jnp.mean(scaled), jnp.mean(scaled**2), jnp.mean(wide == 0), jnp.mean(~finite), saturated


def _moments(stats: Sequence[Any]) -> Moments:
    unit, mean, second, zeros, lost = map(float, stats[:5])
    saturated = None if stats[5] is None else float(stats[5])
    if lost > 0:
        return Moments(math.nan, math.inf, zeros, lost, saturated)
    return Moments(mean * unit, second * unit * unit, zeros, 0.0, saturated)


def _of_nodes(traced: Traced, stats: Mapping[int, Any], *, alone: bool) -> dict[str, Moments]:
    """By node; a step that only rearranges what another made has that one's moments."""
    graph = traced.graph
    known = {number: _moments(s) for number, s in stats.items()}
    found = {one.name: known[number] for one in graph.inputs if (number := traced.at[one.name]) in known}
    for node in graph.nodes:
        number = traced.at.get(node.name, NOWHERE)
        source = node.inputs[0] if node.inputs else ""
        if number in known:
            found[node.name] = known[number]
        elif node.op in REARRANGES and source in found and not (alone and len(graph.users.get(source, ())) > 1):
            found[node.name] = found[source]
    return {node.name: found[node.name] for node in graph.nodes if node.name in found}


def logical(parameter: Parameter, value: Any) -> Array:
    """In PyTorch's order of axes."""
    array = as_numpy(value)
    axes = parameter.stored or tuple(range(array.ndim))
    return Layout(axes, parameter.shape).logical(array)


def _parameter(parameter: Parameter, value: Any, gradient: Any) -> ParameterSignal:
    own = logical(parameter, value)
    back = None if gradient is None else logical(parameter, gradient)
    return ParameterSignal(
        moments(own),
        None if back is None else moments(back),
        _same_rows(own),
        back is not None and _same_rows(back),
    )


def moments(x: Array) -> Moments:
    """Of an array of NumPy, in float64."""
    if not x.size:
        return Moments(math.nan, math.nan)
    wide = x.astype(np.complex128 if x.dtype.kind == "c" else np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        mean, second = float(wide.mean().real), float(np.mean(np.abs(wide) ** 2))
    lost = 0.0 if math.isfinite(second) else float(np.mean(~np.isfinite(wide)))
    return Moments(mean, second, float(np.mean(wide == 0)), lost)


def _same_rows(x: Array) -> bool:
    return x.ndim >= 2 and x.shape[0] >= 2 and x.size > 0 and bool((x == x[:1]).all())


def _scalar(loss: Loss, output: Any) -> Any:
    try:
        value = loss(output)
    except Exception as error:  # whatever the user's loss raises is explained and re-raised
        line = str(error).strip().partition("\n")[0]
        raise BadInput(f"The loss, {name_of(loss)}, failed under jax.jit: {type(error).__name__}: {line}.") from error
    shape = getattr(value, "shape", None)
    if shape is None or math.prod(shape) != 1:
        got = type(value).__name__ if shape is None else f"shape {tuple(shape)}"
        raise BadInput(f"The loss must return an array with one element; got {got}. Reduce it with .mean() or .sum().")
    return jnp.reshape(value, ())


def _random_cotangent(outputs: Sequence[Any]) -> Any:
    """⟨output, v⟩/batch.

    Raises:
        BadInput: no output is a floating-point array.
    """
    floating = [o for o in outputs if jnp.issubdtype(jnp.result_type(o), jnp.floating)]
    if not floating:
        raise BadInput("Nothing in the model's output can be differentiated. Give a loss: measure(model, x, loss=…).")
    total: Any = jnp.zeros(())
    for x, v in zip(floating, cotangents([Ref("", 0, tuple(o.shape)) for o in floating]), strict=True):
        total = total + jnp.sum(x.astype(jnp.float32) * v) / max(v.shape[0] if v.ndim else 1, 1)
    return total


def name_of(loss: Any) -> str:
    """As it is called in reports."""
    of = loss.func if isinstance(loss, partial) else loss
    name = str(getattr(of, "__name__", type(of).__name__))
    return "a lambda" if name == "<lambda>" else name
