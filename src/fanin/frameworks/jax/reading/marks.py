"""Layers that are known by their class: their steps are marked while a model is traced, and read as one.

A norm is a dozen operations in a jaxpr, and each library writes others. What goes into the layer and what comes out
passes through a primitive that does nothing; `LAYERS` says what lies between.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from threading import RLock
from typing import Any, Final, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

from fanin.frameworks.jax.reading.cells import stepped
from fanin.frameworks.jax.reading.drafts import Known, Signal, Stored, Use, Value
from fanin.frameworks.jax.reading.program import Step
from fanin.frameworks.jax.reading.read import Reading
from fanin.frameworks.jax.reading.views import whole
from fanin.graph import Layout, Ref

mark_p: Final = Primitive("mark")
mark_p.multiple_results = True


def _same(*values: Any, **_: Any) -> list[Any]:
    return list(values)


def _batched(args: Sequence[Any], dims: Sequence[int | None], **params: Any) -> tuple[Any, Sequence[int | None]]:
    """The batch goes to the front, where PyTorch has it."""
    moved = [a if d is None else batching.bdim_at_front(a, d, a.shape[d]) for a, d in zip(args, dims, strict=True)]
    return mark_p.bind(*moved, **params), [None if d is None else 0 for d in dims]


mark_p.def_impl(_same)
mark_p.def_abstract_eval(_same)
batching.primitive_batchers[mark_p] = _batched
ad.primitive_jvps[mark_p] = lambda primals, tangents, **_: (list(primals), list(tangents))
mlir.register_lowering(mark_p, lambda _, *values, **__: values)


class Norm(NamedTuple):
    """What a layer is, in PyTorch's words.

    Attributes:
        op: the operation.
        arguments: of it that are plain data.
        channels: the axis of features goes where PyTorch has it, behind the batch: its place among the axes of the
            layer's input; None where the features are the last.
        identity: it does nothing as it is set.
    """

    op: str
    arguments: Mapping[str, Any]
    channels: int | None = None
    identity: bool = False


class Cell(NamedTuple):
    """One step of a recurrent layer.

    Attributes:
        op: the operation.
        state: which of the arrays that go in are the state, which comes out anew.
    """

    op: str
    state: tuple[int, ...]


Read: TypeAlias = Callable[[Any, int], "Norm | None"]


def _layer_norm(layer: Any, rank: int) -> Norm | None:
    if not _features_last(layer, rank):
        return None
    return Norm("layer_norm", {"eps": _eps(layer)})


def _rms_norm(layer: Any, rank: int) -> Norm | None:
    return Norm("rms_norm", {"eps": _eps(layer)}) if _features_last(layer, rank) else None


def _features_last(layer: Any, rank: int) -> bool:
    """Whether the last axis, and it alone, is normalised and scaled, in Flax; Equinox has no choice."""
    chosen = [getattr(layer, name, -1) for name in ("reduction_axes", "feature_axes")]
    return all(axes in (-1, (-1,), [-1], rank - 1, (rank - 1,)) for axes in chosen)


def _batch_norm(layer: Any, _: int) -> Norm:
    running = getattr(layer, "use_running_average", None)
    evaluating = bool(getattr(layer, "inference", False) if running is None else running)
    arguments = {
        "training": not evaluating,
        "momentum": 1 - float(getattr(layer, "momentum", 0.99)),
        "eps": _eps(layer),
    }
    axis = getattr(layer, "axis", 1)
    return Norm("batch_norm", arguments, axis if isinstance(axis, int) else axis[0])


def _group_norm(layer: Any, rank: int) -> Norm | None:
    if not _features_last(layer, rank):
        return None
    groups = getattr(layer, "groups", None) or getattr(layer, "num_groups", None)
    if groups is None:
        return None
    return Norm("group_norm", {"num_groups": int(groups), "eps": _eps(layer)}, 1 if hasattr(layer, "groups") else -1)


def _instance_norm(layer: Any, _: int) -> Norm:
    return Norm("instance_norm", {"eps": _eps(layer), "use_input_stats": True}, -1)


def _dropout(layer: Any, _: int) -> Norm:
    rate = float(layer.p if hasattr(layer, "p") else layer.rate)
    off = bool(getattr(layer, "deterministic", None) or getattr(layer, "inference", None)) or rate == 0
    return Norm("dropout", {"p": rate, "train": not off}, identity=off)


def _eps(layer: Any) -> float:
    return float(layer.epsilon if hasattr(layer, "epsilon") else layer.eps)


# Classes of Flax (NNX and Linen) and Equinox by name.
LAYERS: Final[Mapping[str, Read]] = {
    "LayerNorm": _layer_norm,
    "RMSNorm": _rms_norm,
    "BatchNorm": _batch_norm,
    "GroupNorm": _group_norm,
    "InstanceNorm": _instance_norm,
    "Dropout": _dropout,
}
CELLS: Final[Mapping[str, str]] = {
    **dict.fromkeys(("LSTMCell", "OptimizedLSTMCell"), "lstm_cell"),
    **dict.fromkeys(("GRUCell", "MGUCell"), "gru_cell"),
    "SimpleCell": "rnn_tanh_cell",
}
# What the libraries call the parameters and the running moments, and PyTorch.
_PARAMETERS: Final = {"scale": "weight", "weight": "weight", "bias": "bias"}  # in the order of PyTorch's arguments
_MOMENTS: Final = {"mean": "running_mean", "var": "running_var"}


@dataclass
class Marking:
    """The layers that were called in one trace, in that order."""

    layers: list[Norm | Cell] = field(default_factory=list)
    names: list[tuple[str, ...]] = field(default_factory=list)

    def around(self, layer: Any, kind: str, arrays: Mapping[str, Any], call: Callable[..., Any], *args: Any) -> Any:
        """The layer's call, marked; as it is where the class is used in a way that has no name in PyTorch."""
        if kind in CELLS:
            return self._cell(kind, call, *args, state_first=type(layer).__module__.startswith("flax"))
        x, *rest = args
        if not hasattr(x, "ndim") or (norm := LAYERS[kind](layer, x.ndim)) is None:
            return call(*args)
        known = {name: arrays[name] for name in (*_PARAMETERS, *_MOMENTS) if arrays.get(name) is not None}
        number = len(self.layers)
        self.layers.append(norm)
        self.names.append(tuple(known))
        x, *_ = mark_p.bind(x, *known.values(), layer=number, enters=True)
        result = call(x, *rest)
        first, *rest = result if isinstance(result, tuple) else (result,)
        (first,) = mark_p.bind(first, layer=number, enters=False)
        return (first, *rest) if isinstance(result, tuple) else first

    def _cell(self, kind: str, call: Callable[..., Any], *args: Any, state_first: bool) -> Any:
        """All that goes in and all that comes out of one step of a recurrent layer."""
        leaves, tree = jax.tree_util.tree_flatten(args)
        counts = [len(jax.tree_util.tree_leaves(a)) for a in args]
        state = range(counts[0]) if state_first else range(counts[0], len(leaves))
        number = len(self.layers)
        self.layers.append(Cell(CELLS[kind], tuple(state)))
        self.names.append(())
        leaves = mark_p.bind(*map(jnp.asarray, leaves), layer=number, enters=True)
        made, tree_out = jax.tree_util.tree_flatten(call(*jax.tree_util.tree_unflatten(tree, leaves)))
        return jax.tree_util.tree_unflatten(tree_out, mark_p.bind(*made, layer=number, enters=False))


_patching = RLock()


@contextmanager
def patched(marking: Marking, classes: Sequence[type], arrays: Callable[[Any], Mapping[str, Any]]) -> Iterator[None]:
    """Calls of these classes are marked inside; they are what they were afterwards, whatever happens."""

    def wrapper(kind: str, original: Any) -> Callable[..., Any]:
        def __call__(self: Any, *args: Any, **keywords: Any) -> Any:  # noqa: N807 (it takes the place of one)
            if not args:
                return original(self, **keywords)
            return marking.around(self, kind, arrays(self), partial(original, self, **keywords), *args)

        return __call__

    with _patching, ExitStack() as undo:
        for cls in classes:
            original = cls.__dict__["__call__"]
            undo.callback(setattr, cls, "__call__", original)
            setattr(cls, "__call__", wrapper(cls.__name__, original))  # noqa: B010 (a class of another library)
        yield


def marked(reading: Reading, step: Step) -> None:
    """Enter: remember what goes in, and read nothing until the layer is left; leave: the layer's node."""
    layer = step.params["layer"]
    if isinstance(cell := reading.layers.layers[layer], Cell):
        stepped(reading, step, cell)
        return
    if step.params["enters"]:
        for source, out in zip(step.ins, step.outs, strict=True):
            reading.env[out] = reading.value(source)
        reading.entered[layer] = [reading.value(o) for o in step.ins]
        reading.within = layer
        return
    reading.within = None
    norm, names = reading.layers.layers[layer], reading.layers.names[layer]
    x, *own = reading.entered[layer]
    out = step.outs[0]
    x = reading.signal(x, out)
    if norm.identity or not isinstance(x, Signal):
        reading.env[out] = x if norm.identity or isinstance(x, Known) else reading.value(step.ins[0])
        return
    rank = len(x.view.shape)
    order = list(range(rank))
    if norm.channels is not None and rank > 1:
        order.insert(1, order.pop(norm.channels % rank))
    name = reading.seen(x.view.transposed(order))
    seen = Ref(name, 0, reading.shape_of(name))
    arguments: dict[str, Any] = {"input": seen, **_held(reading, dict(zip(names, own, strict=True)))}
    if norm.op in {"layer_norm", "rms_norm"}:
        weight = next((v.view for v in own if isinstance(v, Stored) and v.view), None)
        shape = weight.shape if weight else seen.shape[-1:]
        arguments["normalized_shape"] = list(shape)
    op = norm.op
    if op == "batch_norm" and not norm.arguments["training"] and "running_mean" in arguments:
        op = "_native_batch_norm_legit_no_training"
    made = reading.node(op, {**arguments, **norm.arguments}, seen.shape, out, source=step.source)
    back = sorted(range(rank), key=order.__getitem__)
    reading.env[out] = Signal(whole(made, seen.shape).transposed(back))


def _held(reading: Reading, own: Mapping[str, Value]) -> dict[str, Any]:
    """The layer's arrays by PyTorch's names."""
    found: dict[str, Any] = {}
    for name, value in own.items():
        theirs = _PARAMETERS.get(name) or _MOMENTS[name]
        if isinstance(value, Stored) and reading.tensors[value.path].trained:
            shape = reading.tensors[value.path].shape
            reading.layouts.setdefault(value.path, (Layout(tuple(range(len(shape))), shape), None))
            found[theirs] = Use(value.path, value.row)
        elif isinstance(value, Stored):
            found[theirs] = Ref(value.path, 0, reading.tensors[value.path].shape)
    return found
