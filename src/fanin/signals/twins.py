"""Two signals that the same weights have made of two inputs, as the branches of a siamese net.

Feature by feature they are as alike as two samples of a batch: what a sample has in common with another of its own
branch it has in common with one of the other. So their covariance is that across samples, and not the product of means.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np

from fanin.graph import Graph, Ref
from fanin.signals.latent import Array
from fanin.signals.state import State

ALIKE: Final = 2.0  # second moments within this factor: inputs of two kinds are no twins
TWO: Final = "what comes back to weights through two branches that share them is taken for independent"
# The same entries; where their axes have another order, no operation takes them for those of a twin entry by entry.
_HANDED_ON: Final = frozenset({"alias", "clone", "contiguous", "detach", "permute", "transpose", "t", "numpy_T", "mT"})


class Kin(NamedTuple):
    """Where a signal comes from.

    Attributes:
        function: a number; the same for the same operations, with the same parameters, whatever their inputs.
        signal: the same where the inputs are the same, too.
        learned: whether a parameter takes part.
    """

    function: int
    signal: int
    learned: bool

    def twin_of(self, other: Kin) -> bool:
        """Whether the same weights have made both, of different inputs."""
        return self.learned and self.function == other.function and self.signal != other.signal


def kin(graph: Graph) -> dict[str, Kin]:
    """By the name of each input, parameter and node.

    Example:
        >>> from fanin.graph import Node
        >>> calls = [Node(n, "linear", (x, "w"), (2, 3), "float32", arguments={"input": Ref(x), "weight": Ref("w")})
        ...          for n, x in (("left", "a"), ("right", "b"))]
        >>> from fanin.graph import Input, Parameter
        >>> ends = tuple(Input(name, (2, 3), "float32") for name in "ab")
        >>> found = kin(Graph("Net", tuple(calls), (Parameter("w", (3, 3), "float32"),), ends))
        >>> found["left"].twin_of(found["right"])
        True
    """
    numbers: dict[Hashable, int] = {}

    def number(*what: Hashable) -> int:
        return numbers.setdefault(what, len(numbers))

    found = {p.path: Kin(number(p.path), number(p.path), True) for p in graph.parameters}
    for i in graph.inputs:
        found[i.name] = Kin(number("input", i.shape, i.dtype), number("input", i.name), False)
    for node in graph.nodes:
        parts = [_part(name, argument, found, number) for name, argument in node.arguments.items()]
        if node.op in _HANDED_ON and node.inputs and node.inputs[0] in found:
            found[node.name] = found[node.inputs[0]]
            continue
        of = (node.op, str(node.activation), node.shape)
        found[node.name] = Kin(
            number(of, tuple(p.function for p in parts)),
            number(of, tuple(p.signal for p in parts)),
            any(p.learned for p in parts),
        )
    return found


def _part(name: str, argument: Any, found: Mapping[str, Kin], number: Any) -> Kin:
    """Of one argument, whichever it is."""
    if isinstance(argument, Ref):
        whole = found.get(argument.name) or Kin(number(argument.name), number(argument.name), False)
        seen = (name, argument.result, argument.shape, argument.rows)
        return Kin(number(seen, whole.function), number(seen, whole.signal), whole.learned)
    if isinstance(argument, Sequence) and not isinstance(argument, str):
        parts = [_part(name, a, found, number) for a in argument]
        function, signal = number(name, *(p.function for p in parts)), number(name, *(p.signal for p in parts))
        return Kin(function, signal, any(p.learned for p in parts))
    plain = number(name, repr(argument))
    return Kin(plain, plain, False)


def covariance(x: State, y: State) -> Array | None:
    """E x_c y_c of twins, by segment: that of two samples; None where they only seem to be twins.

    What a batch norm has made to add up to 0 over the samples of one branch does not do so over those of two.
    """
    if len(x.sizes) != len(y.sizes):
        return None
    with np.errstate(all="ignore"):
        ratio = np.nan_to_num(x.average(x.second) / y.average(y.second))
    if not 1 / ALIKE <= ratio <= ALIKE:
        return None
    means = x.mean * y.mean
    both = np.sqrt(np.maximum(x.across_samples, 0.0) * np.maximum(y.across_samples, 0.0))
    return np.asarray(np.where(both > means, both, means))
