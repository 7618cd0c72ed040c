"""What a value of a program is while it is read, and the nodes that are being made of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, TypeAlias

from fanin.frameworks.jax.reading.pointwise import Expression
from fanin.frameworks.jax.reading.views import Shape, View
from fanin.graph import ActivationCall, Ref

NOWHERE: Final = -1  # the value of a node that stands for no step of the program


class Known(NamedTuple):
    """A value that no parameter and no input takes part in; None where it is not worth computing."""

    value: Any
    shape: Shape


class Signal(NamedTuple):
    """What a node makes, or an input, as it is seen."""

    view: View


class Stored(NamedTuple):
    """A parameter, or an array of the model's state, as it is seen; `view` is None where its axes are cut.

    Attributes:
        turned: the axes of the parameter that run backwards.
        row: which of its layers, of one that stacks those of a loop along its first axis.
    """

    path: str
    view: View | None
    turned: tuple[int, ...] = ()
    row: int | None = None


class Pointwise(NamedTuple):
    """A function of one signal that may become an activation."""

    base: View
    what: Expression


Value: TypeAlias = "Known | Signal | Stored | Pointwise"


class Use(NamedTuple):
    """A parameter among the arguments of a draft; becomes `Held` when all uses are known."""

    path: str
    row: int | None = None


@dataclass
class Draft:
    """A node that is being read: what follows may add a bias to it, or show that it is part of a softmax."""

    name: str
    op: str
    arguments: dict[str, Any]
    shape: Shape
    dtype: str
    value: int  # of the program: where it is measured
    activation: ActivationCall | None = None
    module: str = ""
    module_type: str = ""
    source: str = ""
    notes: tuple[str, ...] = ()
    bias_axis: int | None = None  # the axis of outputs, where a bias may still be added


@dataclass(frozen=True)
class Tensor:
    """An array that the model holds."""

    path: str
    shape: Shape
    dtype: str
    trained: bool = True
    owner: tuple[str, ...] = ()


def tensors_in(arguments: Mapping[str, Any]) -> Iterator[Any]:
    """The `Ref`s and `Use`s among arguments, in lists too."""
    for argument in arguments.values():
        if isinstance(argument, (Ref, Use)):
            yield argument
        elif isinstance(argument, (list, tuple)):
            yield from (a for a in argument if isinstance(a, (Ref, Use)))
