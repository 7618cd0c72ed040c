"""What surrounds a pass of a Paddle model: the batch and the loss as the caller gives them, the data, the laws."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from itertools import islice
from typing import Any, NamedTuple, NoReturn

import paddle

from fanin.errors import BadInput
from fanin.frameworks.measured import arrays_seen, name_of, takes_target
from fanin.frameworks.paddle.model import feed, logical
from fanin.frameworks.paddle.observe import Loss
from fanin.frameworks.paddle.trace import Traced
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
    """A loss of output and target, as one of the output."""

    def __init__(self, loss: Callable[..., Any], target: Any) -> None:
        self.loss, self.target = loss, target
        self.__name__ = name_of(loss)

    def __call__(self, output: Any) -> Any:
        """A scalar, if the loss gives one."""
        return self.loss(output, self.target)


def batches_of(model: Any, example: tuple[Any, ...], loss: Callable[..., Any] | None, count: int) -> tuple[Batch, ...]:
    """The one batch that is given, or the first of a `paddle.io.DataLoader`; a loss's target is the last of each.

    Raises:
        BadInput: no batch, an empty loader, or no target where the loss takes one.
    """
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        raise BadInput(f"batches is how many batches to look at, 1 or more; got {count!r}.")
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
    if len(example) < 2:
        raise BadInput(
            f"The loss, {name_of(loss)}, takes an output and a target. Give the target as the last of the batch, "
            "diagnose(model, x, y, loss=…), or a loss of the output alone."
        )
    return Batch(example[:-1], OfTarget(loss, example[-1]))


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
    return arrays_seen(traced.graph, list(feed(traced, example).values()))


def seen(model: Any, graph: Graph) -> Plan:
    """The plan "as built": the law of each parameter, from its values."""
    return as_seen(graph, logical(model))


def stake(traced: Traced, model: Any, loss: Loss | None) -> None:
    """What the loss is worth by chance is not looked for outside PyTorch."""


def chance(found: None, signals: Signals) -> Chance | None:
    """See `stake`."""


def training(_: Any, optimizer: Any) -> NoReturn:
    """The first step of an optimizer of Paddle is not looked at.

    Raises:
        BadInput: always.
    """
    raise BadInput(
        f"optimizer= is for PyTorch's optimizers; got {type(optimizer).__name__}. Leave it out: the size of the first "
        "step is not judged then."
    )
