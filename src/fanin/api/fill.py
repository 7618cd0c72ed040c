"""Filling one tensor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from fanin.frameworks import adapter_of_tensor
from fanin.graph import Axis, Fans, WeightUse, axes_of, fans
from fanin.initializers import Initializer, Target
from fanin.initializers import initializer as spelled

T = TypeVar("T")


def fill_(
    tensor: T,
    initializer: str | Initializer,
    *,
    name: str = "",
    seed: int | None = None,
    axes: Sequence[str] | None = None,
    fan: Fans | tuple[float, float] | None = None,
) -> T:
    """Fill one tensor in place and return it: the same seed, name and logical weight give the same bits everywhere.

    Args:
        tensor: a torch.Tensor or a numpy.ndarray, of any strides.
        initializer: or its spelling, such as "he_normal(negative_slope=0.1)".
        name: the path of the weight, as `initialize_` would call it.
        seed: as for `initialize_`.
        axes: what each axis counts, "out", "in" or "kernel"; (out, in, kernel, …) if None. The bits are those of that
            order, whatever the order of the tensor is: ("in", "out") for a dense kernel of Keras or Flax.
        fan: (fan_in, fan_out) where the shape does not say them: grouped, strided, transposed or packed weights. See
            `fanin.graph.fans`.

    Raises:
        BadInput: another kind of tensor, axes that do not fit it, a law that cannot serve it, or a bad seed.
        CannotWrite: a dtype that the stream does not have, or no memory to write into.

    Example:
        >>> import fanin, torch, numpy as np
        >>> fanin.fill_(torch.empty(2, 3), "he_normal", name="0.weight", seed=0)
        tensor([[-0.6758, -1.2582,  0.5563],
                [ 0.6242,  1.3770, -1.7304]])
        >>> kernel = np.empty((3, 2), np.float32)
        >>> fanin.fill_(kernel, "he_normal", name="0.weight", seed=0, axes=("in", "out")).T.round(4)
        array([[-0.6758, -1.2582,  0.5563],
               [ 0.6242,  1.377 , -1.7304]], dtype=float32)
    """
    adapter = adapter_of_tensor(tensor)
    rank = len(tensor.shape)  # type: ignore[attr-defined]  # all that the adapters fill have one
    named = axes_of(rank, axes)
    view = adapter.permuted(tensor, sorted(range(rank), key=lambda i: tuple(Axis).index(named[i])))
    shape = tuple(view.shape)
    if fan is None:
        counted = fans(shape, WeightUse(axes_of(rank))) if {Axis.OUT, Axis.IN} <= set(named) else None
    else:
        counted = fan if isinstance(fan, Fans) else Fans(*fan)
    target = Target(name, shape, adapter.dtype_of(tensor), counted)
    adapter.fill_(view, target, spelled(initializer), adapter.draw_seed() if seed is None else seed)
    return tensor
