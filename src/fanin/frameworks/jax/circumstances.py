"""What surrounds a pass: the batch and the loss as the caller gives them, the data, the laws of the weights."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, NoReturn

import jax
import jax.numpy as jnp
import numpy as np

from fanin.errors import BadInput
from fanin.frameworks import described
from fanin.frameworks.described import input_axes, sweep_of
from fanin.frameworks.held import Array
from fanin.frameworks.jax.adapter import as_numpy, current, with_values
from fanin.frameworks.jax.observe import Loss, logical, moments, name_of
from fanin.frameworks.jax.opened import Opened, is_array, opened
from fanin.frameworks.jax.trace import Traced, call_of, is_key
from fanin.graph import Graph
from fanin.plans import Plan, Sweep
from fanin.plans.recognition.by_parts import as_seen
from fanin.signals import Signals
from fanin.signals.axes import Kind
from fanin.signals.circumstances import Chance, InputSeen
from fanin.signals.propagate import Rule, Tune
from fanin.signals.rules import RULES


class Batch(NamedTuple):
    """The arguments of one call, and the loss of what it returns."""

    example: tuple[Any, ...]
    loss: Loss | None


class OfTarget:
    """A loss of output and target as one of the output; of one that gives a number for each sample, the mean."""

    def __init__(self, loss: Callable[..., Any], target: Any) -> None:
        self.loss, self.target = loss, target
        self.__name__ = name_of(loss)

    def __call__(self, output: Any) -> Any:
        """A scalar."""
        return jnp.mean(self.loss(output, self.target))


def batches_of(model: Any, example: tuple[Any, ...], loss: Callable[..., Any] | None, count: int) -> tuple[Batch, ...]:
    """The one batch that is given; of a loss with a target, that is the last of it.

    Raises:
        BadInput: no arrays, or no target where the loss takes one.
    """
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        raise BadInput(f"batches is how many batches to look at, 1 or more; got {count!r}.")
    if not any(is_array(x) for x in jax.tree_util.tree_leaves(example)):
        raise BadInput("Give one batch as arrays, diagnose(model, x, y, loss=…): loaders are read for PyTorch only.")
    if loss is None or not _takes_target(loss):
        return (Batch(example, loss),)
    if len(example) < 2:
        raise BadInput(
            f"The loss, {name_of(loss)}, takes an output and a target. Give the target as the last of the batch, "
            "diagnose(model, x, y, loss=…), or a loss of the output alone."
        )
    return (Batch(example[:-1], OfTarget(loss, example[-1])),)


def _takes_target(loss: Callable[..., Any]) -> bool:
    try:
        parameters = inspect.signature(loss).parameters.values()
    except (TypeError, ValueError):  # built-in functions may tell no signature
        return False
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return len([p for p in parameters if p.kind in kinds and p.default is inspect.Parameter.empty]) >= 2


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
    arrays, found = given(traced, example), []
    for one in traced.graph.inputs:
        x = as_numpy(arrays[one.name]) if one.dtype.startswith(("float", "bfloat")) and one.name in arrays else None
        if x is None or not x.size:
            continue
        if not (finite := np.isfinite(x)).all():
            at = tuple(int(i) for i in np.argwhere(~finite)[0])
            raise BadInput(
                f"The input {one.name}, of shape {x.shape}, holds {int((~finite).sum()):,} values that are no finite "
                f"numbers, the first at index {at}: the fault is in the data, and nothing can be said of the model."
            )
        kinds = [kind for axis in input_axes(traced.graph, one) for kind, _ in (axis or ((None, 1),))]
        found.append(_seen(one.name, x, tuple(i for i, kind in enumerate(kinds) if kind is not Kind.FEATURE)))
    return tuple(found)


def _seen(name: str, x: Array, over: tuple[int, ...]) -> InputSeen:
    """By feature, where there are at least two numbers to each."""
    wide = x.astype(np.float64)
    each = x.size // max(int(np.prod([x.shape[i] for i in range(x.ndim) if i not in over])), 1)
    known = len(over) < x.ndim and each >= 2
    means, stds = ((f(wide, axis=over).reshape(-1).tolist() if known else ()) for f in (np.mean, np.std))
    integral = bool((wide == np.round(wide)).all())
    return InputSeen(
        name, x.shape, moments(x), tuple(means), tuple(stds), integral, float(wide.min()), float(wide.max())
    )


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
    swept = sweep_of(_described(traced), reader(traced.graph, current(traced, model)))

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
    """See `fanin.predict`; gradients are those of ⟨output, v⟩/batch.

    Raises:
        BadInput: a loss, which would be differentiated on predicted outputs, or an operation that has no rule.
    """
    if loss is not None:
        raise BadInput("fanin.predict takes no loss for models of JAX: give none, or measure(model, x, loss=…).")
    arrays = {name: as_numpy(a) for name, a in given(traced, example).items()}
    return described.predict(_described(traced), arrays, plan, reader(traced.graph, current(traced, model)), rules)


def _described(traced: Traced) -> described.Described:
    return described.Described(traced.graph, {name: as_numpy(a) for name, a in traced.constants.items()})


def stake(traced: Traced, model: Any, loss: Loss | None) -> None:
    """What the loss is worth by chance is not looked for outside PyTorch."""


def chance(found: None, signals: Signals) -> Chance | None:
    """See `stake`."""


def training(_: Any, optimizer: Any) -> NoReturn:
    """The first step of an optimizer of JAX is not looked at.

    Raises:
        BadInput: always.
    """
    raise BadInput(
        f"optimizer= is for PyTorch's optimizers; got {type(optimizer).__name__}. Leave it out: the size of the first "
        "step is not judged then."
    )
