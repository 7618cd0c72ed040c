"""What is at stake in a loss of a PyTorch model: the user's is run on zeros, and watched; see `stakes.py`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from fanin.errors import BadInput
from fanin.frameworks.stakes import LOG_SOFTMAX, End, Stake, of_graph, words
from fanin.frameworks.torch.measuring.scalar import Loss, scalar_of
from fanin.frameworks.torch.model.state import unchanged_randomness
from fanin.frameworks.torch.tracing.trace import Traced
from fanin.graph import Graph, Ref
from fanin.graph.attention import SOFTMAX

_BINARY: Final = frozenset({"binary_cross_entropy_with_logits", "binary_cross_entropy"})


def stake(traced: Traced, model: torch.nn.Module, loss: Loss | None) -> Stake | None:
    """What is at stake in the user's loss or, where there is none or it only picks one, in the graph's own."""
    by_user = _of_users_loss(traced, model, loss) if loss else None
    return by_user or of_graph(traced.graph)


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
        return Stake("", None, None, value, how=words(value, None))
    classes, dim = decisive[0].classes or watch.classes_of(decisive[0].value) or (None, None)
    return Stake(decisive[0].node, classes, dim, value, how=words(value, classes))


class _End(NamedTuple):
    """One tensor that the model returns, where its logits are 0."""

    node: str
    value: torch.Tensor
    classes: tuple[int, int] | None

    @classmethod
    def of(cls, graph: Graph, ref: Ref, like: torch.Tensor | None, device: torch.device) -> _End:
        end, dtype = End.of(graph, ref), like.dtype if like is not None else torch.float32
        value = torch.full(ref.shape, end.fill, device=device).to(dtype)
        return cls(end.node, value.requires_grad_(value.is_floating_point()), end.classes)


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
        if name in LOG_SOFTMAX | SOFTMAX:
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
