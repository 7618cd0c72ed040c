"""What surrounds a pass of a Paddle model: the batch and the loss as the caller gives them, the data, the laws."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from itertools import islice
from typing import Any

import paddle

from fanin.errors import BadInput
from fanin.frameworks.batch import Batch, check_count, with_target
from fanin.frameworks.measured import arrays_seen, takes_target
from fanin.frameworks.paddle.model import feed, logical
from fanin.frameworks.paddle.trace import Traced
from fanin.graph import Graph
from fanin.plans import Plan
from fanin.plans.recognition.by_parts import as_seen
from fanin.signals.circumstances import InputSeen


def batches_of(model: Any, example: tuple[Any, ...], loss: Callable[..., Any] | None, count: int) -> tuple[Batch, ...]:
    """The one batch that is given, or the first of a `paddle.io.DataLoader`; a loss's target is the last of each.

    Raises:
        BadInput: no batch, an empty loader, or no target where the loss takes one.
    """
    check_count(count)
    given = [example]
    if len(example) == 1 and isinstance(example[0], paddle.io.DataLoader):
        given = [tuple(one) if isinstance(one, (list, tuple)) else (one,) for one in islice(example[0], count)]
        if not given:
            raise BadInput("The DataLoader is empty: there is no batch to look at.")
    return tuple(_batch(model, one, loss) for one in given)


def _batch(model: Any, example: tuple[Any, ...], loss: Callable[..., Any] | None) -> Batch:
    if not any(hasattr(x, "shape") for x in paddle.utils.flatten(list(example))):
        raise BadInput("Give one batch of tensors, diagnose(model, x, y, loss=…), or a paddle.io.DataLoader.")
    if loss is None:
        return Batch(example[: _most(model)], None)
    if not takes_target(loss.forward if isinstance(loss, paddle.nn.Layer) else loss):
        return Batch(example, loss)
    return with_target(example, loss, lambda loss, output, target: loss(output, target))


def _most(model: Any) -> int | None:
    """How many arguments a model takes; None for any number."""
    parameters = inspect.signature(model.forward).parameters.values()
    if any(p.kind is inspect.Parameter.VAR_POSITIONAL for p in parameters):
        return None
    return sum(
        p.kind in {inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD} for p in parameters
    )


def inputs_seen(traced: Traced, _: Any, example: tuple[Any, ...]) -> tuple[InputSeen, ...]:
    """Each floating-point tensor among the model's arguments.

    Raises:
        BadInput: one holds values that are no numbers, or infinite ones.
    """
    return arrays_seen(traced.graph, feed(traced, example))


def seen(model: Any, graph: Graph) -> Plan:
    """The plan "as built": the law of each parameter, from its values."""
    return as_seen(graph, logical(model))
