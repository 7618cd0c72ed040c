"""What surrounds a pass: the batch and the loss as the caller gives them, the data, the laws of the weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from fanin.errors import BadInput
from fanin.frameworks import described
from fanin.frameworks.batch import Batch, check_count, with_target
from fanin.frameworks.described import sweep_of
from fanin.frameworks.held import Array
from fanin.frameworks.jax.adapter import as_numpy, current, with_values
from fanin.frameworks.jax.loss import slopes_of
from fanin.frameworks.jax.observe import logical
from fanin.frameworks.jax.opened import Opened, is_array, opened
from fanin.frameworks.jax.sequences import Gathered, gathered
from fanin.frameworks.jax.trace import Traced, call_of, is_key
from fanin.frameworks.measured import arrays_seen, name_of, takes_target
from fanin.graph import Graph
from fanin.plans import Plan, Sweep
from fanin.plans.recognition.by_parts import as_seen
from fanin.signals import Signals
from fanin.signals.circumstances import InputSeen
from fanin.signals.model import RANDOM_COTANGENT
from fanin.signals.propagate import Rule, Tune
from fanin.signals.rules import RULES


def batches_of(model: Any, example: tuple[Any, ...], loss: Callable[..., Any] | None, count: int) -> tuple[Batch, ...]:
    """The one batch that is given; of a loss with a target, that is the last of it.

    Raises:
        BadInput: no arrays, or no target where the loss takes one.
    """
    check_count(count)
    if not any(is_array(x) for x in jax.tree_util.tree_leaves(example)):
        raise BadInput("Give one batch as arrays, diagnose(model, x, y, loss=…): loaders are read for PyTorch only.")
    if loss is None or not (takes_target(loss) or _is_of_optax(loss)):
        return (Batch(example, loss),)
    return (with_target(example, loss, lambda loss, output, target: jnp.mean(loss(output, target))),)


def _is_of_optax(loss: Callable[..., Any]) -> bool:
    """All its losses take a target, though some have none by default."""
    return str(getattr(loss, "__module__", "")).startswith("optax.")


def given(traced: Traced, example: tuple[Any, ...]) -> dict[str, Any]:
    """The arrays of a call by the names of the graph's inputs; shapes alone are left out."""
    arrays = call_of(traced.opened, example).arrays
    named = zip(traced.call.names, arrays, strict=True)
    shown = {one.name for one in traced.graph.inputs}
    return {
        name: a
        for name, a in named
        if name in shown and not is_key(a) and not isinstance(a, jax.ShapeDtypeStruct | jax.core.Tracer)
    }


def inputs_seen(traced: Traced, _: Any, example: tuple[Any, ...]) -> tuple[InputSeen, ...]:
    """Each floating-point array among the model's arguments.

    Raises:
        BadInput: one holds values that are no numbers, or infinite ones.
    """
    return arrays_seen(traced.graph, {name: as_numpy(a) for name, a in given(traced, example).items()})


def reader(graph: Graph, own: Opened) -> Callable[[str], Array]:
    """The logical values of a parameter, by path."""

    def read(path: str) -> Array:
        return logical(graph.by_path[path], with_values(own)[path])

    return read


def seen(model: Any, graph: Graph) -> Plan:
    """The plan "as built": the law of each parameter, from its values."""
    return as_seen(graph, reader(graph, opened(model)))


def sweep(traced: Traced, model: Any, _: tuple[Any, ...]) -> Sweep:
    """Predict forward from a plan, tuning; where an operation has no rule, widths stay as the recipe has them."""
    swept = sweep_of(_described(traced, gathered(traced.graph)), reader(traced.graph, current(traced, model)))

    def tuned(plan: Plan, tune: Tune) -> Mapping[str, float]:
        try:
            return swept(plan, tune)
        except BadInput:  # the graph's notes name the operation
            return {}

    return tuned


def predict(
    traced: Traced,
    model: Any,
    example: tuple[Any, ...],
    plan: Plan | None = None,
    loss: Any = None,
    rules: Mapping[str, Rule] = RULES,
) -> Signals:
    """See `fanin.predict`.

    Raises:
        BadInput: an operation that has no rule, or a loss that fails.
    """
    arrays = {name: as_numpy(a) for name, a in given(traced, example).items()}
    read = reader(traced.graph, current(traced, model))
    slopes, name = (None, RANDOM_COTANGENT) if loss is None else (slopes_of(traced, loss), name_of(loss))
    in_sequence = gathered(traced.graph)
    found = described.predict(_described(traced, in_sequence), arrays, plan, read, rules, slopes, name)
    return in_sequence.signals(found, traced.graph)


def _described(traced: Traced, in_sequence: Gathered) -> described.Described:
    constants = {name: as_numpy(a) for name, a in traced.constants.items()}
    return described.Described(in_sequence.graph, {**constants, **in_sequence.constants})
