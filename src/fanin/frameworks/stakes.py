"""What the loss is worth where the model says nothing: the loss of outputs, or of logits, that are all 0.

The user's loss is called with zeros in the place of what the model returns; where that ends in a softmax or a sigmoid,
with what these make of zeros. A loss that the model computes itself is found in the graph, as its cross-entropy. Of
what a framework's loss is made cannot be seen everywhere; a cross-entropy is told by what it does:

    softmax(z + c) = softmax(z), so that Σ_classes ∂L/∂z = 0 at any z;
    of a choice between two L = ln 2 at z = 0, and n ∂L/∂z = σ(z) − y with 0 ≤ y ≤ 1 for each of n.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from fanin.errors import BadInput
from fanin.frameworks.held import Array
from fanin.frameworks.losses import Slopes
from fanin.graph import Graph, Node, Ref, Role
from fanin.graph.attention import SOFTMAX, attentions
from fanin.graph.paths import Paths
from fanin.signals import Signals
from fanin.signals.circumstances import Chance

LOG_SOFTMAX: Final = frozenset({"log_softmax", "_log_softmax"})
SIGMOID: Final = frozenset({"sigmoid"})
_CROSS_ENTROPY: Final = frozenset({"cross_entropy_loss", "nll_loss", "nll_loss_nd", "nll_loss2d", "nll_loss_forward"})
_VIEWS: Final = frozenset(
    {"view", "reshape", "_unsafe_view", "flatten", "unflatten", "clone", "contiguous", "alias", "to", "_to_copy"}
)
NEAR: Final = 1e-3  # what float32 leaves of a target
_MEAN: Final = 1  # the reduction


@dataclass(frozen=True)
class Stake:
    """Where logits are, what they decide, and what is paid for zeros.

    Attributes:
        logits: the node that makes what the loss sees; "" where it is not one.
        classes: how many there are; None of a loss that is no cross-entropy.
        dim: the axis that counts them; None of binary logits.
        loss: of logits that are all 0; NaN where no loss is known.
        at: the node whose value the loss is; "" where it is the one that is differentiated.
        how: where it comes from.
    """

    logits: str
    classes: int | None
    dim: int | None
    loss: float = math.nan
    at: str = ""
    how: str = ""

    @property
    def class_axes(self) -> dict[str, int]:
        """Node → the axis over which its variance is to be measured."""
        return {} if self.dim is None or self.classes is None else {self.logits: self.dim}


@dataclass(frozen=True)
class End:
    """One tensor that the model returns, where its logits are 0.

    Attributes:
        node: that makes the logits; "" where it is not one.
        fill: the value of every element.
        classes: how many, and their axis, where the model ends in a softmax.
    """

    node: str
    fill: float = 0.0
    classes: tuple[int, int] | None = None

    @classmethod
    def of(cls, graph: Graph, ref: Ref) -> End:
        """Of an output."""
        node = behind_views(graph, ref.name)
        if node and node.op in LOG_SOFTMAX | SOFTMAX:
            size, dim = classes_of(node)
            return cls(source_of(node), -math.log(size) if node.op in LOG_SOFTMAX else 1 / size, (size, dim))
        if node and node.op in SIGMOID:
            return cls(source_of(node), 0.5)
        return cls(ref.name if ref.result == 0 else "")


def stake_of(graph: Graph, slopes: Slopes | None) -> Stake | None:
    """What is at stake in the user's loss or, where there is none or it only picks one, in the graph's own."""
    return (_of_users_loss(graph, slopes) if slopes else None) or of_graph(graph)


def _of_users_loss(graph: Graph, slopes: Slopes) -> Stake | None:
    """None where the loss has no finite value at 0, or is one of the numbers that the model returns."""
    ends = [End.of(graph, ref) for ref in graph.outputs]
    shapes = [ref.shape for ref in graph.outputs]
    arrays = [np.full(shape, end.fill, np.float32) for end, shape in zip(ends, shapes, strict=True)]
    try:
        value, at_zero = slopes(arrays)
        _, elsewhere = slopes([x + _noise(x.shape) for x in arrays])
    except (BadInput, RuntimeError, ValueError):  # the pass itself says what is wrong, or it takes no zeros
        return None
    decisive = [i for i, g in enumerate(at_zero) if g is not None and bool(np.any(g != 0))]
    if not math.isfinite(value) or not decisive or all(math.prod(shapes[i]) == 1 for i in decisive):
        return None
    if len(decisive) > 1:
        return Stake("", None, None, value, how=words(value, None))
    (at,) = decisive
    classes, dim = ends[at].classes or (None, None)
    if classes is None:
        classes, dim = _cross_entropy_of(value, at_zero[at], elsewhere[at])
    return Stake(ends[at].node, classes, dim, value, how=words(value, classes))


def _noise(shape: Sequence[int]) -> Array:
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


def _cross_entropy_of(value: float, at_zero: Array | None, elsewhere: Array | None) -> tuple[int | None, int | None]:
    """Over how many classes, and along which axis of the logits; of binary ones there is none.

    Args:
        elsewhere: the slopes where the logits are `_noise`.
    """
    if at_zero is None or elsewhere is None:
        return None, None
    for axis in dict.fromkeys((at_zero.ndim - 1, 1)):
        counts = 0 <= axis < at_zero.ndim and at_zero.shape[axis] > 1
        if counts and _cancels(at_zero, axis) and _cancels(elsewhere, axis):
            return at_zero.shape[axis], axis
    targets = 1 / (1 + np.exp(-_noise(elsewhere.shape))) - elsewhere.size * elsewhere
    binary = math.isclose(value, math.log(2), rel_tol=1e-3) and -NEAR < targets.min() < targets.max() < 1 + NEAR
    return (2, None) if binary else (None, None)


def _cancels(slope: Array, axis: int) -> bool:
    """Whether slopes sum to zero along an axis, as those of a softmax's logits do."""
    wide = slope.astype(np.float64)
    return bool(np.all(np.abs(wide.sum(axis)) <= 1e-4 * np.abs(wide).sum(axis) + 1e-12))


def chance(found: Stake | None, signals: Signals) -> Chance | None:
    """With what a pass has measured."""
    if found is None:
        return None
    seen, detail = signals.values.get(found.logits), signals.details.get(found.logits)
    spread = detail.spread if detail else None
    if found.classes == 2 and found.dim is None and seen:
        spread = seen.second_moment / 4
    first = signals.values[found.at].mean if found.at in signals.values else signals.loss
    if math.isnan(found.loss):
        first = math.nan  # there is nothing to hold it against
    return Chance(found.loss, found.how, found.classes, seen, found.logits, first, spread)


def words(value: float, classes: int | None) -> str:
    """Where the loss of zeros comes from."""
    if classes == 2 and math.isclose(value, math.log(2), rel_tol=1e-3):
        return "ln 2, of a choice between two"
    if classes and math.isclose(value, math.log(classes), rel_tol=1e-3):
        return f"ln {classes}, of {classes} classes that are all as likely"
    return "the same loss of outputs that are all 0"


def of_graph(graph: Graph) -> Stake | None:
    """The cross-entropy that the model computes; else a softmax that it returns."""
    for node in reversed(graph.nodes):
        if (found := _cross_entropy(graph, node)) is not None:
            return found
    return next(_returned(graph), None)


def _cross_entropy(graph: Graph, node: Node) -> Stake | None:
    """Of logits, or behind a log-softmax."""
    source = behind_views(graph, source_of(node))
    if node.op == "binary_cross_entropy_with_logits":
        classes, dim, logits = 2, None, source_of(node)
    elif node.op not in _CROSS_ENTROPY:
        return None
    elif node.op == "cross_entropy_loss":
        shape = node.arguments["self"].shape
        dim = 1 if len(shape) > 1 else 0
        classes, logits = shape[dim], source_of(node)
    elif source and source.op in LOG_SOFTMAX:
        (classes, dim), logits = classes_of(source), source_of(source)
    else:
        return None
    mean = node.arguments.get("reduction", _MEAN) == _MEAN and node.arguments.get("pos_weight") is None
    value = math.log(classes) if mean and classes > 1 else math.nan
    return Stake(logits, classes, dim, value, node.name, words(value, classes))


def _returned(graph: Graph) -> Iterator[Stake]:
    """Softmaxes that are the model's outputs, but for those of attention and of routers."""
    paths = Paths(graph)
    attends = {found.softmax for found in attentions(paths)}
    for ref in graph.outputs:
        node = behind_views(graph, ref.name)
        if node and node.op in LOG_SOFTMAX | SOFTMAX and node.name not in attends and not _routes(paths, node):
            classes, dim = classes_of(node)
            yield Stake(source_of(node), classes, dim, how="no loss is known")


def _routes(paths: Paths, node: Node) -> bool:
    weights = (path for name in paths.back(node.name, _until_weights(paths)) for path in paths.weights.get(name, ()))
    return any(Role.ROUTER in paths.graph.by_path[path].roles for path in weights)


def _until_weights(paths: Paths) -> Any:
    return lambda name: () if name in paths.weights else paths.sources[name]


def classes_of(node: Node) -> tuple[int, int]:
    """Of a softmax: how many, and their axis."""
    dim = int(node.arguments.get("dim", -1)) % max(len(node.shape), 1)
    return node.shape[dim], dim


def source_of(node: Node) -> str:
    """What an operation is called with first."""
    ref = node.arguments.get("self")
    return ref.name if isinstance(ref, Ref) and ref.result == 0 else ""


def behind_views(graph: Graph, name: str) -> Node | None:
    """The operation that made a tensor, seen through views and casts."""
    node = graph.by_name.get(name)
    while node and node.op in _VIEWS:
        node = graph.by_name.get(source_of(node))
    return node
