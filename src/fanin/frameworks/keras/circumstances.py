"""What surrounds a pass of a Keras model: the batch and the loss as the caller gives them, the data, the laws."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import keras
import numpy as np

from fanin.errors import BadInput
from fanin.frameworks.batch import Batch, check_count, with_target
from fanin.frameworks.keras.model import logical
from fanin.frameworks.keras.trace import Traced
from fanin.frameworks.measured import arrays_seen, takes_target
from fanin.graph import Graph
from fanin.plans import Plan
from fanin.plans.recognition.by_parts import as_seen
from fanin.signals.circumstances import InputSeen

_LOSSES: Final = ("keras.losses", "keras.src.losses")  # where its functions are


def batches_of(model: Any, example: tuple[Any, ...], loss: Callable[..., Any] | None, count: int) -> tuple[Batch, ...]:
    """The one batch that is given; of a loss with a target, that is the last of it.

    Raises:
        BadInput: no batch, an object to iterate over, or no target where the loss takes one.
    """
    check_count(count)
    if not any(hasattr(x, "shape") for x in keras.tree.flatten(example)):
        raise BadInput("Give one batch as arrays, diagnose(model, x, y, loss=…): loaders are read for PyTorch only.")
    if loss is None or not (is_of_keras(loss) or takes_target(loss)):
        return (Batch(example, loss),)
    return (with_target(example, loss, _applied),)


def _applied(loss: Callable[..., Any], output: Any, target: Any) -> Any:
    """Keras's own losses take the target first, and give a number for each sample, of which this is the mean."""
    return keras.ops.mean(loss(target, output)) if is_of_keras(loss) else loss(output, target)


def is_of_keras(loss: Any) -> bool:
    """Whether it is a loss of Keras, (target, output) → a number, or one for each sample."""
    return isinstance(loss, keras.losses.Loss) or str(getattr(loss, "__module__", "")).startswith(_LOSSES)


def inputs_seen(traced: Traced, _: Any, example: tuple[Any, ...]) -> tuple[InputSeen, ...]:
    """Each floating-point array among the model's arguments.

    Raises:
        BadInput: one holds values that are no numbers, or infinite ones.
    """
    arrays = [np.asarray(keras.ops.convert_to_numpy(x)) for x in keras.tree.flatten(example) if hasattr(x, "shape")]
    return arrays_seen(traced.graph, dict(zip((one.name for one in traced.graph.inputs), arrays, strict=False)))


def seen(model: Any, graph: Graph) -> Plan:
    """The plan "as built": the law of each parameter, from its values."""
    return as_seen(graph, logical(model))
