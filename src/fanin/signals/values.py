"""What a rule is given and what it gives back."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fanin.graph import Node
from fanin.initializers import Structure
from fanin.signals.axes import Axes
from fanin.signals.distribution import Sizes
from fanin.signals.flow import Gradient
from fanin.signals.frozen import replace
from fanin.signals.latent import Array
from fanin.signals.state import State
from fanin.signals.twins import Kin, covariance


@dataclass(frozen=True, eq=False)
class Constant:
    """A tensor whose values are known: a mask, a rotary table, a scalar. Integers count here, too.

    Attributes:
        own: it is made of the model's buffers and of numbers alone, so that nobody's samples are in it.
    """

    array: NDArray[Any]
    own: bool = False


@dataclass(frozen=True, eq=False)
class Unknown:
    """A tensor of which nothing is known but its shape: integers of the user's, or what no rule could follow.

    Attributes:
        bound: integers are drawn below it.
        choices: which of the integers below the bound a signal has chosen, for each position and sample.
    """

    shape: tuple[int, ...]
    dtype: str
    axes: Axes
    bound: int | None = None
    choices: Choices | None = None


class Choices(NamedTuple):
    """How alike the choices of signals are.

    Attributes:
        each: choices that one position makes, all different.
        positions, samples: P(a choice here is a choice there), of two positions of one sample and of two samples.
    """

    each: int
    positions: float
    samples: float


@dataclass(frozen=True, eq=False)
class Weight:
    """A parameter, as a law and not as numbers.

    Attributes:
        path: of the parameter.
        shape: as the operation sees it.
        mean, variance: of one element, by rows of the first axis that are alike.
        sizes: rows of the first axis in each of those.
        structure: how the elements hang together.
        mean_of: path of the weight of which these are means.
        marginal: the values at the nodes of `latent`, by the same rows; None where they are Gaussian or all alike.
        pairs: whether outputs, and whether inputs, come in mirrored pairs.
        keeps_norms: Σ y² is Σ x² times a number, whatever was drawn; of mirrored ones that of their block.
        centred: the weights of each unit add up to 0, so that what its inputs have in common is gone.
        kurtosis: E (w − E w)⁴/Var² of one element.
    """

    path: str
    shape: tuple[int, ...]
    mean: Array
    variance: Array
    sizes: Sizes
    structure: Structure = Structure.INDEPENDENT
    mean_of: str = ""
    centred: bool = False
    marginal: Array | None = None
    pairs: tuple[bool, bool] = (False, False)
    keeps_norms: bool = False
    kurtosis: float = 3.0

    def seen(self, shape: tuple[int, ...], rows: tuple[int, int] | None) -> Weight:
        """Through a view: these rows, in this shape."""
        if rows is not None and len(self.sizes) > 1 and shape and rows[1] - rows[0] == shape[0]:
            ends = np.cumsum(self.sizes)
            kept = np.flatnonzero((ends > rows[0]) & (ends - self.sizes < rows[1]))
            sizes = np.minimum(ends[kept], rows[1]) - np.maximum(ends[kept] - self.sizes[kept], rows[0])
            marginal = None if self.marginal is None else self.marginal[kept]
            mean, variance = self.mean[kept], self.variance[kept]
            return replace(self, shape=shape, mean=mean, variance=variance, sizes=sizes, marginal=marginal)
        if shape == self.shape:
            return self
        one = np.array([shape[0] if shape else 1])
        if len(self.sizes) == 1:
            return replace(self, shape=shape, sizes=one)
        share = self.sizes / self.sizes.sum()
        mean, variance = np.array([share @ self.mean]), np.array([share @ self.variance])
        return replace(self, shape=shape, mean=mean, variance=variance, sizes=one, marginal=None)

    def times(self, by: float) -> Weight:
        """Every value multiplied."""
        marginal = None if self.marginal is None else self.marginal * by
        return replace(self, mean=self.mean * by, variance=self.variance * by**2, marginal=marginal)

    @property
    def second(self) -> Array:
        """E w²."""
        return self.variance + self.mean**2


Value: TypeAlias = "State | Constant | Weight | Unknown"
Pulled: TypeAlias = "Iterator[tuple[str, Gradient | WeightGradient]]"


@dataclass(frozen=True)
class WeightGradient:
    """E (∂loss/∂w)² over a parameter's elements."""

    second: float


Pull: TypeAlias = Callable[[Sequence[Gradient]], Pulled]


def nothing(_: Sequence[Gradient]) -> Pulled:
    """The pull of an operation that no gradient passes."""
    return iter(())


class Outcome(NamedTuple):
    """The values that an operation makes, and how the gradients of those come back to its arguments."""

    values: tuple[Value, ...]
    pull: Pull = nothing


@dataclass(frozen=True, eq=False)
class Call:
    """One operation with the values of its arguments, by the names of its schema; those in lists are "tensors.0", ….

    Attributes:
        node: which operation, where.
        values: the tensors among the arguments.
        plain: all other arguments.
        known: parameters by path, and inputs and constants by name: what there is before any signal flows.
        kin: where each tensor comes from.
    """

    node: Node
    values: Mapping[str, Value]
    plain: Mapping[str, Any] = field(default_factory=dict)
    known: Mapping[str, Value] = field(default_factory=dict, repr=False)
    kin: Mapping[str, Kin] = field(default_factory=dict, repr=False)

    def __getitem__(self, name: str) -> Any:
        """A tensor's value, a number, or None."""
        return self.values.get(name, self.plain.get(name))

    def get(self, name: str, default: Any) -> Any:
        """An argument, or the default where it is missing or None."""
        found = self[name]
        return default if found is None else found

    def state(self, name: str = "input") -> State:
        """A tensor that must be a state for the rule to hold.

        Raises:
            NoRule: it is none.
        """
        for alias in (name, "self") if name == "input" else (name,):
            found = self.values.get(alias)
            if isinstance(found, State):
                return found
        raise NoRule(f"{name} is no signal with known moments")

    def twins(self, left: str, right: str) -> Array | None:
        """E x y by segment of two tensors that the same weights made of different inputs; None where they are not."""
        x, y = self.values.get(left), self.values.get(right)
        if not (isinstance(x, State) and isinstance(y, State) and left in self.kin and right in self.kin):
            return None
        return covariance(x, y) if self.kin[left].twin_of(self.kin[right]) else None

    def listed(self, name: str) -> list[tuple[str, Value]]:
        """The tensors of a list argument, with their names."""
        found, at = [], 0
        while (key := f"{name}.{at}") in self.values:
            found.append((key, self.values[key]))
            at += 1
        return found

    @property
    def first(self) -> str:
        """The name of the first tensor argument."""
        return next(iter(self.values))


class NoRule(Exception):
    """Why a rule does not hold for this call; the engine then runs the operation on a sample."""


def states(call: Call) -> dict[str, State]:
    """The arguments that are states."""
    return {name: value for name, value in call.values.items() if isinstance(value, State)}


def as_array(x: Any) -> Array:
    """As float64."""
    return np.asarray(x, dtype=np.float64)
