"""A loss on arrays that stand for what a Paddle model returns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import paddle

from fanin.errors import BadInput
from fanin.frameworks.held import Array
from fanin.frameworks.losses import Slopes
from fanin.frameworks.paddle.parameters import read
from fanin.frameworks.paddle.record import scalar_of
from fanin.frameworks.paddle.trace import Traced
from fanin.frameworks.paddle.watch import is_value
from fanin.frameworks.stakes import Stake, stake_of


def stake(traced: Traced, _: Any, loss: Callable[[Any], Any] | None) -> Stake | None:
    """What the loss is worth by chance, and where its logits are."""
    return stake_of(traced.graph, slopes_of(traced, loss) if loss else None)


def slopes_of(traced: Traced, loss: Callable[[Any], Any]) -> Slopes:
    """The loss, and its gradient by Paddle, of arrays in the place of the model's outputs.

    What is returned raises BadInput where the model returns something that depends on no input.
    """
    returned = traced.description.recorded.returned
    leaves = paddle.utils.flatten([returned])
    places = [i for i, x in enumerate(leaves) if is_value(x)]

    def slopes(arrays: Sequence[Array]) -> tuple[float, Sequence[Array | None]]:
        if len(places) != len(traced.graph.outputs):
            raise BadInput(
                f"The model returns {len(places)} tensors, of which {len(traced.graph.outputs)} depend on what it is "
                "called with; a loss is predicted only where all of them do. Give one of what matters, or measure it."
            )
        filled = list(leaves)
        tensors = [paddle.to_tensor(x) for x in arrays]
        for place, tensor in zip(places, tensors, strict=True):
            tensor.stop_gradient = not tensor.is_floating_point()
            filled[place] = tensor
        scalar = scalar_of(loss, paddle.utils.pack_sequence_as([returned], filled)[0])
        floating = [t for t in tensors if not t.stop_gradient]
        found = paddle.grad([scalar], floating, allow_unused=True)
        of = {id(t): g for t, g in zip(floating, found, strict=True) if g is not None}
        return float(scalar), [read(of[id(t)]) if id(t) in of else None for t in tensors]

    return slopes
