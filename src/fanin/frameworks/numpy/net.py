"""A net of NumPy arrays: the arrays by name, and what is done with them, declared layer by layer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from fanin.activations import TABLE
from fanin.activations import activation as resolved
from fanin.call import parse_call
from fanin.errors import BadInput, UnknownName
from fanin.graph import ActivationCall

Array: TypeAlias = npt.NDArray[Any]
# What a net may be declared with, beside activations: operations with a weight of so many axes, norms, and others.
WEIGHTS: Final = {"linear": 2, "conv1d": 3, "conv2d": 4, "conv3d": 5, "embedding": 2}
NORMS: Final = ("layer_norm", "rms_norm")
PLAIN: Final = ("add", "dropout", "softmax", "avg_pool2d", "max_pool2d", "flatten")


@dataclass(frozen=True)
class Declared:
    """One layer of a `Net`; `layer` makes it.

    Attributes:
        op: of PyTorch, such as "linear"; or an activation.
        parameters: argument of the operation → name of the array.
        axes: what each axis of the weight counts.
        reads: names of the layers whose results it takes; none for the one before.
        name: by which others refer to it; none for one made of its place.
    """

    op: str
    parameters: Mapping[str, str] = field(default_factory=dict)
    axes: tuple[str, ...] = ()
    activation: ActivationCall | None = None
    reads: tuple[str, ...] = ()
    name: str = ""
    arguments: Mapping[str, Any] = field(default_factory=dict)


def layer(
    op: str,
    *,
    weight: str = "",
    bias: str = "",
    axes: Sequence[str] = (),
    activation: str = "",
    reads: str | Sequence[str] = (),
    name: str = "",
    **arguments: Any,
) -> Declared:
    """Say what a net does with its arrays: one layer.

    Args:
        op: "linear", "conv1d" … "conv3d", "embedding", "layer_norm", "rms_norm", "add", "dropout", "softmax",
            "avg_pool2d", "max_pool2d", "flatten", or an activation.
        weight, bias: names of the arrays.
        axes: what each axis of the weight counts: ("in", "out") for x @ W; ("out", "in", "kernel", …) if not said.
        activation: what its result is fed to: "relu", "leaky_relu(negative_slope=0.2)".
        reads: names of the layers that it takes, if not the one before: ("first", "third") for an addition.
        arguments: groups=…, stride=… of a convolution.

    Raises:
        UnknownName: no such operation or activation.
        BadInput: an operation without its weight.

    Example:
        >>> layer("linear", weight="W1", bias="b1", axes=("in", "out"), activation="relu").op
        'linear'
    """
    own = (*WEIGHTS, *NORMS, *PLAIN)
    if op not in own and parse_call(op)[0] not in TABLE:
        raise UnknownName("layer of a NumPy net", op, (*own, *TABLE))
    if op in (*WEIGHTS, *NORMS) and not weight:
        raise BadInput(f"layer({op!r}) needs the name of its array: layer({op!r}, weight='W1').")
    parameters = {slot: array for slot, array in (("weight", weight), ("bias", bias)) if array}
    of = () if not reads else (reads,) if isinstance(reads, str) else tuple(reads)
    phi = activation if op in own else op
    kind = op if op in own else parse_call(op)[0]
    return Declared(kind, parameters, tuple(axes), _phi(phi) if phi else None, of, name, arguments)


def _phi(spelling: str) -> ActivationCall:
    """An activation from its spelling."""
    name, parameters = parse_call(spelling)
    resolved(name, **parameters)
    return ActivationCall(name, parameters)


class Net(Mapping[str, Array]):
    """Arrays by name, with the layers that use them; fanin plans, fills and verifies it as it does a model.

    It reads as the dict of arrays that it was made of; the arrays are the caller's own, and `initialize_` writes into
    them, `initialize` gives a net of new ones.

    Args:
        arrays: name → array, or name → shape for arrays that are to be made.
        layers: in the order in which they run; see `layer`.
        example: the shape of one batch that the net is called with; by default one row for the first weight.

    Raises:
        BadInput: a layer names an array that is not there, or of another rank; an array that no layer names has no role
            and needs an override.

    Example:
        >>> import fanin
        >>> net = Net(
        ...     {"W1": (64, 32), "b1": (32,), "W2": (32, 10)},
        ...     [
        ...         layer("linear", weight="W1", bias="b1", axes=("in", "out"), activation="relu"),
        ...         layer("linear", weight="W2", axes=("in", "out")),
        ...     ],
        ... )
        >>> plan = fanin.initialize_(net, recipe="he", seed=0)
        >>> plan["W1"].parameter.shape, round(plan["W1"].std, 4), net["W1"].shape
        ((32, 64), 0.1768, (64, 32))
    """

    def __init__(
        self,
        arrays: Mapping[str, Array | Sequence[int]],
        layers: Sequence[Declared],
        example: Sequence[int] = (),
    ) -> None:
        self.arrays: dict[str, Array] = {
            name: given if isinstance(given, np.ndarray) else np.zeros(tuple(given), np.float32)
            for name, given in arrays.items()
        }
        self.layers = tuple(layers)
        self.example = tuple(example)

    def __getitem__(self, name: str) -> Array:
        return self.arrays[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.arrays)

    def __len__(self) -> int:
        return len(self.arrays)

    def with_arrays(self, arrays: Mapping[str, Array]) -> Net:
        """The same layers, with other arrays."""
        return Net(arrays, self.layers, self.example)
