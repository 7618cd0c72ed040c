"""What the loss is worth where the model says nothing: the loss of outputs, or of logits, that are all 0.

The user's loss is called with zeros in the place of what the model returns; where that ends in a softmax or a sigmoid,
with what these make of zeros. A loss that the model computes itself is found in the graph, as its cross-entropy.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from fanin.errors import BadInput
from fanin.frameworks.torch.scalar import Loss, scalar_of
from fanin.frameworks.torch.state import unchanged_randomness
from fanin.frameworks.torch.trace import Traced
from fanin.graph import Graph, Node, Ref, Role
from fanin.graph.attention import SOFTMAX, attentions
from fanin.graph.paths import Paths
from fanin.signals import Signals
from fanin.signals.circumstances import Chance

_LOG_SOFTMAX: Final = frozenset({"log_softmax", "_log_softmax"})
_SIGMOID: Final = frozenset({"sigmoid"})
_BINARY: Final = frozenset({"binary_cross_entropy_with_logits", "binary_cross_entropy"})
_CROSS_ENTROPY: Final = frozenset({"cross_entropy_loss", "nll_loss", "nll_loss_nd", "nll_loss2d", "nll_loss_forward"})
_VIEWS: Final = frozenset(
    {"view", "reshape", "_unsafe_view", "flatten", "unflatten", "clone", "contiguous", "alias", "to", "_to_copy"}
)
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


def stake(traced: Traced, model: torch.nn.Module, loss: Loss | None) -> Stake | None:
    """What is at stake in the user's loss or, where there is none or it only picks one, in the graph's own."""
    by_user = _of_users_loss(traced, model, loss) if loss else None
    return by_user or _of_graph(traced.graph)


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


def _of_users_loss(traced: Traced, model: torch.nn.Module, loss: Loss) -> Stake | None:
    """None where the loss has no finite value at 0, or is one of the numbers that the model returns."""
    graph = traced.graph
    device = next((p.device for p in model.parameters() if not p.is_meta), torch.device("cpu"))
    dtypes = {fx.name: fx.meta.get("val") for fx in traced.program.graph.nodes}
    ends = [_End.of(graph, ref, _like(dtypes.get(ref.name), ref), device) for ref in graph.outputs]
    outputs = [end.value for end in ends]
    leaves = [x for x in outputs if x.requires_grad]
    watch = _Watch()
    try:
        with unchanged_randomness(), torch.enable_grad():
            with watch:
                scalar = scalar_of(loss, traced.output(outputs))
            slopes = torch.autograd.grad(scalar, leaves, allow_unused=True)
    except (BadInput, RuntimeError):  # the pass itself says what is wrong, or it takes no zeros
        return None
    seen = {id(x) for x, slope in zip(leaves, slopes, strict=True) if slope is not None}
    decisive = [end for end in ends if id(end.value) in seen]
    value = float(scalar.detach())
    if not math.isfinite(value) or not decisive or all(end.value.numel() == 1 for end in decisive):
        return None
    if len(decisive) > 1:
        return Stake("", None, None, value, how=_words(value, None))
    classes, dim = decisive[0].classes or watch.classes_of(decisive[0].value) or (None, None)
    return Stake(decisive[0].node, classes, dim, value, how=_words(value, classes))


@dataclass(frozen=True)
class _End:
    """One tensor that the model returns, where its logits are 0."""

    node: str
    value: torch.Tensor
    classes: tuple[int, int] | None = None

    @classmethod
    def of(cls, graph: Graph, ref: Ref, like: torch.Tensor | None, device: torch.device) -> _End:
        dtype = like.dtype if like is not None else torch.float32
        value = torch.zeros(ref.shape, dtype=dtype, device=device)
        node, last = _behind_views(graph, ref.name), ref.name if ref.result == 0 else ""
        classes: tuple[int, int] | None = None
        if node and node.op in _LOG_SOFTMAX | SOFTMAX:
            size, dim = _classes(node)
            value.fill_(-math.log(size) if node.op in _LOG_SOFTMAX else 1 / size)
            last, classes = _source(node), (size, dim)
        elif node and node.op in _SIGMOID:
            value.fill_(0.5)
            last = _source(node)
        return cls(last, value.requires_grad_(value.is_floating_point()), classes)


def _like(value: Any, ref: Ref) -> torch.Tensor | None:
    one = value[ref.result] if isinstance(value, (tuple, list)) else value
    return one if isinstance(one, torch.Tensor) else None


class _Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Sees over how many classes a loss takes a softmax."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._softmaxes: list[tuple[int, bool]] = []  # classes, whether they are the last axis
        self._binary = False

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        name = func.overloadpacket.__name__
        if name in _LOG_SOFTMAX | SOFTMAX:
            x, dim = args[0], args[1] % max(args[0].dim(), 1)
            self._softmaxes.append((x.shape[dim], dim == x.dim() - 1))
        self._binary = self._binary or name in _BINARY
        return func(*args, **(kwargs or {}))

    def classes_of(self, x: torch.Tensor) -> tuple[int, int | None] | None:
        """How many there are, and which axis of x counts them."""
        if len(self._softmaxes) != 1:
            return (2, None) if self._binary and not self._softmaxes else None
        size, last = self._softmaxes[0]
        axes = (x.dim() - 1, 1) if last else (1, x.dim() - 1)
        return next(((size, d) for d in axes if 0 <= d < x.dim() and x.shape[d] == size), None)


def _words(value: float, classes: int | None) -> str:
    if classes == 2 and math.isclose(value, math.log(2), rel_tol=1e-3):
        return "ln 2, of a choice between two"
    if classes and math.isclose(value, math.log(classes), rel_tol=1e-3):
        return f"ln {classes}, of {classes} classes that are all as likely"
    return "the same loss of outputs that are all 0"


def _of_graph(graph: Graph) -> Stake | None:
    """The cross-entropy that the model computes; else a softmax that it returns."""
    for node in reversed(graph.nodes):
        if (found := _cross_entropy(graph, node)) is not None:
            return found
    return next(_returned(graph), None)


def _cross_entropy(graph: Graph, node: Node) -> Stake | None:
    """Of logits, or behind a log-softmax."""
    source = _behind_views(graph, _source(node))
    if node.op == "binary_cross_entropy_with_logits":
        classes, dim, logits = 2, None, _source(node)
    elif node.op not in _CROSS_ENTROPY:
        return None
    elif node.op == "cross_entropy_loss":
        shape = node.arguments["self"].shape
        dim = 1 if len(shape) > 1 else 0
        classes, logits = shape[dim], _source(node)
    elif source and source.op in _LOG_SOFTMAX:
        (classes, dim), logits = _classes(source), _source(source)
    else:
        return None
    mean = node.arguments.get("reduction", _MEAN) == _MEAN and node.arguments.get("pos_weight") is None
    value = math.log(classes) if mean and classes > 1 else math.nan
    return Stake(logits, classes, dim, value, node.name, _words(value, classes))


def _returned(graph: Graph) -> Iterator[Stake]:
    """Softmaxes that are the model's outputs, but for those of attention and of routers."""
    paths = Paths(graph)
    attends = {found.softmax for found in attentions(paths)}
    for ref in graph.outputs:
        node = _behind_views(graph, ref.name)
        if node and node.op in _LOG_SOFTMAX | SOFTMAX and node.name not in attends and not _routes(paths, node):
            classes, dim = _classes(node)
            yield Stake(_source(node), classes, dim, how="no loss is known")


def _routes(paths: Paths, node: Node) -> bool:
    weights = (path for name in paths.back(node.name, _until_weights(paths)) for path in paths.weights.get(name, ()))
    return any(Role.ROUTER in paths.graph.by_path[path].roles for path in weights)


def _until_weights(paths: Paths) -> Any:
    return lambda name: () if name in paths.weights else paths.sources[name]


def _classes(node: Node) -> tuple[int, int]:
    """Of a softmax: how many, and their axis."""
    dim = int(node.arguments.get("dim", -1)) % max(len(node.shape), 1)
    return node.shape[dim], dim


def _source(node: Node) -> str:
    """What an operation is called with first."""
    ref = node.arguments.get("self")
    return ref.name if isinstance(ref, Ref) and ref.result == 0 else ""


def _behind_views(graph: Graph, name: str) -> Node | None:
    """The operation that made a tensor, seen through views and casts."""
    node = graph.by_name.get(name)
    while node and node.op in _VIEWS:
        node = graph.by_name.get(_source(node))
    return node
