"""What surrounds a pass of a Keras model: the batch and the loss as the caller gives them, the data, the laws."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, NoReturn

import keras
import numpy as np

from fanin.errors import BadInput
from fanin.frameworks.keras.model import logical
from fanin.frameworks.keras.observe import Loss
from fanin.frameworks.keras.trace import Traced
from fanin.frameworks.measured import arrays_seen, name_of, takes_target
from fanin.graph import Graph
from fanin.plans import Plan
from fanin.plans.recognition.by_parts import as_seen
from fanin.signals import Signals
from fanin.signals.circumstances import Chance, InputSeen


class Batch(NamedTuple):
    """The arguments of one call, and the loss of what it returns."""

    example: tuple[Any, ...]
    loss: Loss | None


class OfTarget:
    """A loss of output and target as one of the output; Keras's own take the target first."""

    def __init__(self, loss: Callable[..., Any], target: Any) -> None:
        self.loss, self.target = loss, target
        self.__name__ = name_of(loss)

    def __call__(self, output: Any) -> Any:
        """A scalar: of Keras's functions, which give a loss for each sample, the mean."""
        if is_of_keras(self.loss):
            return keras.ops.mean(self.loss(self.target, output))
        return self.loss(output, self.target)


def batches_of(model: Any, example: tuple[Any, ...], loss: Callable[..., Any] | None, count: int) -> tuple[Batch, ...]:
    """The one batch that is given; of a loss with a target, that is the last of it.

    Raises:
        BadInput: no batch, an object to iterate over, or no target where the loss takes one.
    """
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        raise BadInput(f"batches is how many batches to look at, 1 or more; got {count!r}.")
    if not any(hasattr(x, "shape") for x in keras.tree.flatten(example)):
        raise BadInput("Give one batch as arrays, diagnose(model, x, y, loss=…): loaders are read for PyTorch only.")
    if loss is None or not (is_of_keras(loss) or takes_target(loss)):
        return (Batch(example, loss),)
    if len(example) < 2:
        raise BadInput(
            f"The loss, {name_of(loss)}, takes an output and a target. Give the target as the last of the batch, "
            "diagnose(model, x, y, loss=…), or a loss of the output alone."
        )
    return (Batch(example[:-1], OfTarget(loss, example[-1])),)


def is_of_keras(loss: Any) -> bool:
    """Whether it is a loss of Keras, (target, output) → a number, or one for each sample."""
    return isinstance(loss, keras.losses.Loss) or str(getattr(loss, "__module__", "")).startswith("keras.")


def inputs_seen(traced: Traced, _: Any, example: tuple[Any, ...]) -> tuple[InputSeen, ...]:
    """Each floating-point array among the model's arguments.

    Raises:
        BadInput: one holds values that are no numbers, or infinite ones.
    """
    arrays = [np.asarray(keras.ops.convert_to_numpy(x)) for x in keras.tree.flatten(example) if hasattr(x, "shape")]
    return arrays_seen(traced.graph, arrays)


def seen(model: Any, graph: Graph) -> Plan:
    """The plan "as built": the law of each parameter, from its values."""
    return as_seen(graph, logical(model))


def stake(traced: Traced, model: Any, loss: Loss | None) -> None:
    """What the loss is worth by chance is not looked for outside PyTorch."""


def chance(found: None, signals: Signals) -> Chance | None:
    """See `stake`."""


def training(_: Any, optimizer: Any) -> NoReturn:
    """The first step of an optimizer of Keras is not looked at.

    Raises:
        BadInput: always.
    """
    raise BadInput(
        f"optimizer= is for PyTorch's optimizers; got {type(optimizer).__name__}. Leave it out: the size of the first "
        "step is not judged then."
    )
