"""A loss on what a Keras model returns: real tensors, or arrays that stand for them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import keras
import numpy as np

from fanin.frameworks import measured
from fanin.frameworks.held import Array
from fanin.frameworks.keras.record import said
from fanin.frameworks.keras.replay import Touch, differentiated
from fanin.frameworks.keras.trace import Traced
from fanin.frameworks.losses import Slopes
from fanin.frameworks.stakes import Stake, stake_of

Loss: TypeAlias = Callable[[Any], Any]


def stake(traced: Traced, _: Any, loss: Loss | None) -> Stake | None:
    """What the loss is worth by chance, and where its logits are."""
    return stake_of(traced.graph, slopes_of(traced, loss) if loss else None)


def slopes_of(traced: Traced, loss: Loss) -> Slopes:
    """The loss, and its gradient by the back end, of arrays laid out as the graph's outputs are: channels first."""
    signals = [x for x in keras.tree.flatten(traced.result) if traced.description.is_signal(x)]
    shapes = [tuple(map(int, x.shape)) for x in signals]

    def slopes(arrays: Sequence[Array]) -> tuple[float, Sequence[Array | None]]:
        turned = [x if x.shape == shape else np.moveaxis(x, 1, -1) for x, shape in zip(arrays, shapes, strict=True)]
        tensors = [keras.ops.convert_to_tensor(np.ascontiguousarray(x, np.float32)) for x in turned]

        def run(leaves: Sequence[Any], _: Touch) -> Any:
            at = {id(signal): leaf for signal, leaf in zip(signals, leaves, strict=True)}
            return scalar_of(loss, keras.tree.map_structure(lambda x: at.get(id(x), x), traced.result))

        found = differentiated(run, tensors, {})
        back = zip(found.parameters, arrays, strict=True)
        return found.scalar, [g if g is None or g.shape == x.shape else np.moveaxis(g, -1, 1) for g, x in back]

    return slopes


def scalar_of(loss: Loss, output: Any) -> Any:
    """The loss of what a model returns.

    Raises:
        BadInput: it fails, or is no scalar.
    """
    value = measured.scalar_of(loss, output, kind="a tensor", reduce="keras.ops.mean", said=said)
    return keras.ops.reshape(value, ())
