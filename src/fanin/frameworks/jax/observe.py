"""One real forward and backward pass over the traced program, with the moments of everything that flows."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp

from fanin.errors import BadInput, CannotWrite, FaninError, ShapeMismatch
from fanin.frameworks.closer import Look, Looked, alikeness, detail_of, details, looked_at
from fanin.frameworks.described import cotangents
from fanin.frameworks.held import Array
from fanin.frameworks.jax.adapter import as_numpy, current, with_values, write_
from fanin.frameworks.jax.loss import Loss, scalar_of
from fanin.frameworks.jax.opened import is_floating, opened
from fanin.frameworks.jax.reading import NOWHERE, Fixed, Program
from fanin.frameworks.jax.trace import Traced, call_of
from fanin.frameworks.measured import T, looks_of, name_of, parameter_signal
from fanin.graph import Parameter, Ref
from fanin.graph.layers import REARRANGES
from fanin.graph.layout import Layout
from fanin.plans import Plan
from fanin.signals import Detail, Moments, ParameterSignal, Signals
from fanin.signals.axes import Axes
from fanin.signals.model import RANDOM_COTANGENT
from fanin.signals.summary import bounds_of

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
        axes: for a closer look (`Signals.details`): what the axes of each node count, as `predict` knows it.
        classes: likewise: of logits, which axis counts the classes, by node.

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
    looks = {traced.at[n]: look for n, look in looks_of(graph, axes, classes).items() if n in traced.at}
    split = [t.trained and is_floating(v) for t, v in zip(own.tensors, own.values, strict=True)]

    def measured(trained: Sequence[Any], state: Sequence[Any], arrays: Sequence[Any]) -> Any:
        def scalar(shifts: Mapping[int, Any], trained: Sequence[Any]) -> Any:
            stats: dict[int, Any] = {}

            def touch(number: int, value: Any) -> Any:
                if number not in shifts:
                    return value
                stats[number] = _stats(value, bounds.get(number), looks.get(number))
                return value + shifts[number]

            pools = iter(trained), iter(state)
            values = [next(pools[0] if is_one else pools[1]) for is_one in split]
            outputs = evaluated(traced.program, [*values, *arrays], touch)
            result = jax.tree_util.tree_unflatten(traced.tree, outputs)
            value = scalar_of(loss, result) if loss else _random_cotangent(outputs)
            return value, stats

        types = traced.program.types
        shifts = {n: jnp.zeros(types[n].shape, types[n].dtype) for n in floating}
        (value, stats), (by_node, by_weight) = jax.value_and_grad(scalar, (0, 1), has_aux=True)(shifts, trained)
        again = Look() if looks else None
        return value, stats, {n: _stats(g, None, again) for n, g in by_node.items()}, by_weight

    trained = [v for v, is_one in zip(own.values, split, strict=True) if is_one]
    state = [v for v, is_one in zip(own.values, split, strict=True) if not is_one]
    try:
        # A trial of a repair, and a watched step, make the same pass on other weights. The loss is kept with it, so
        # that no other object takes its id.
        run, _ = traced.compiled.setdefault((id(loss), tuple(looks.items())), (jax.jit(measured), loss))
        value, stats, gradients, by_weight = run(trained, state, list(arrays))
    except FaninError:
        raise
    except Exception as error:  # whatever a step of the user's cannot do is explained and re-raised
        line = str(error).strip().partition("\n")[0]
        raise BadInput(f"{own.name} could not be run and differentiated: {type(error).__name__}: {line}") from error
    of_weight = dict(
        zip([t.path for t, is_one in zip(own.tensors, split, strict=True) if is_one], by_weight, strict=True)
    )
    return Signals(
        _of_nodes(traced, {n: _moments(s, looks.get(n)) for n, s in stats.items()}, alone=False),
        _of_nodes(traced, {n: _moments(s, None) for n, s in gradients.items()}, alone=True),
        {p.path: _parameter(p, stored[p.path], of_weight.get(p.path)) for p in graph.parameters},
        float(value),
        name_of(loss) if loss else RANDOM_COTANGENT,
        graph=graph,
        axes=axes or {},
        details=_of_nodes(traced, _details(stats, looks), alone=False),
        gradient_details=_of_nodes(traced, _details(gradients, {}), alone=True),
        parameter_details=details({p.path: as_numpy(stored[p.path]) for p in graph.parameters}, {}) if looks else {},
    )


def _details(stats: Mapping[int, Stats], looks: Mapping[int, Look]) -> dict[int, Detail]:
    return {n: detail_of(s.looked, looks.get(n, Look()).units) for n, s in stats.items() if s.looked}


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


class Stats(NamedTuple):
    """Of one array, on its device; mean and second moment in units of the largest magnitude and of its square.

    Attributes:
        looked: a closer look, where one was asked for.
    """

    unit: Any
    mean: Any
    second: Any
    zeros: Any
    lost: Any
    saturated: Any
    looked: Looked | None


def _stats(x: Any, bounds: tuple[float, float] | None, look: Look | None) -> Stats:
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
    looked = None if look is None or not wide.size or jnp.iscomplexobj(x) else looked_at(jnp, wide, look)
    return Stats(unit, jnp.mean(scaled), jnp.mean(scaled**2), jnp.mean(wide == 0), jnp.mean(~finite), saturated, looked)


def _moments(stats: Stats, look: Look | None) -> Moments:
    unit, mean, second, zeros, lost = map(float, stats[:5])
    saturated = None if stats.saturated is None else float(stats.saturated)
    if lost > 0:
        return Moments(math.nan, math.inf, zeros, lost, saturated)
    second *= unit * unit
    alike = alikeness(stats.looked, look.axes, second) if stats.looked and look and look.axes else (None, None)
    return Moments(mean * unit, second, zeros, 0.0, saturated, *alike)


def _of_nodes(traced: Traced, known: Mapping[int, T], *, alone: bool) -> dict[str, T]:
    """By node; a step that only rearranges what another made has that one's."""
    graph = traced.graph
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
    return parameter_signal(own, back)


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
