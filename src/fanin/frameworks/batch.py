"""One batch as the caller gives it, and the loss of what the model returns: alike for every framework but PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from fanin.errors import BadInput
from fanin.frameworks.measured import name_of

Loss = Callable[[Any], Any]


class Batch(NamedTuple):
    """The arguments of one call, and the loss of what it returns."""

    example: tuple[Any, ...]
    loss: Loss | None


class OfTarget:
    """A loss of output and target as one of the output.

    Args:
        apply: of the loss, the output and the target; a framework's own may take them in another order.
    """

    def __init__(self, loss: Callable[..., Any], target: Any, apply: Callable[..., Any]) -> None:
        self.loss, self.target, self.apply = loss, target, apply
        self.__name__ = name_of(loss)

    def __call__(self, output: Any) -> Any:
        """A scalar, if the loss gives one."""
        return self.apply(self.loss, output, self.target)


def check_count(count: int) -> None:
    """How many batches to look at.

    Raises:
        BadInput: not 1 or more.
    """
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        raise BadInput(f"batches is how many batches to look at, 1 or more; got {count!r}.")


def with_target(example: tuple[Any, ...], loss: Callable[..., Any], apply: Callable[..., Any]) -> Batch:
    """The last of the batch is the target of the loss.

    Raises:
        BadInput: there is no target.
    """
    if len(example) < 2:
        raise BadInput(
            f"The loss, {name_of(loss)}, takes an output and a target. Give the target as the last of the batch, "
            "diagnose(model, x, y, loss=…), or a loss of the output alone."
        )
    return Batch(example[:-1], OfTarget(loss, example[-1], apply))
