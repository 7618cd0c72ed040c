"""What a program's tensors are before any signal flows: inputs, buffers, and what is computed from them alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import torch
from torch.fx.node import Node as FxNode

from fanin.frameworks.torch.model.call import Call
from fanin.frameworks.torch.model.state import unchanged_randomness
from fanin.frameworks.torch.predicting.structured import cube_of, state_of
from fanin.frameworks.torch.tracing.input_axes import input_axes
from fanin.frameworks.torch.tracing.operations import op_of
from fanin.frameworks.torch.tracing.trace import Traced
from fanin.signals.axes import Axes, Kind, count, usual
from fanin.signals.state import State, gaussian
from fanin.signals.values import Constant, Unknown, Value

LARGEST: Final = 1 << 24  # elements of a constant that are worth their memory
SMALL: Final = 1 << 18  # bytes of one that is kept although nothing reads it
_TABLES: Final = ("embedding", "embedding_bag")
# Of the tensor that they are made like, only the shape counts.
_FILLED: Final = frozenset(
    {*(f"{what}_like" for what in ("zeros", "ones", "full")), *(f"new_{what}" for what in ("zeros", "ones", "full"))}
)
# What a norm's constructor writes into its buffers: on the meta device it is known all the same.
_CONSTRUCTED: Final = {"running_mean": 0, "running_var": 1, "num_batches_tracked": 0}


def known_tensors(traced: Traced, call: Call) -> dict[str, Value]:
    """Inputs as states or, where they are integers, by their values; constants by their values.

    Integers on the meta device get values that the model can be called with: indices below the size of the table that
    they are looked up in, masks that hide nothing, positions in order.
    """
    program = traced.program
    kinds = torch.export.graph_signature.InputKind
    leaves = iter(call.leaves)
    real: dict[FxNode, Any] = {}
    found: dict[str, Value] = {}
    placeholders = program.graph.find_nodes(op="placeholder")
    for spec, fx in zip(program.graph_signature.input_specs, placeholders, strict=True):
        if spec.kind is kinds.PARAMETER:
            continue
        value = next(leaves) if spec.kind is kinds.USER_INPUT else _stored(program, str(spec.target))
        if not isinstance(value, torch.Tensor):
            real[fx] = value
        elif value.is_floating_point() and spec.kind is kinds.USER_INPUT:
            found[fx.name] = input_state(value, input_axes(fx))
        elif not value.is_meta:
            real[fx] = value.detach().cpu()
        elif spec.kind is kinds.USER_INPUT:
            real[fx] = _sensible(fx, value)
        elif (last := str(spec.target).rpartition(".")[2]) in _CONSTRUCTED:
            real[fx] = torch.full(value.shape, _CONSTRUCTED[last], dtype=value.dtype)
        else:
            found[fx.name] = Unknown(tuple(value.shape), _name(value.dtype), usual(tuple(value.shape)))
    _evaluate(program.graph, real)
    return found | _constants(real, own_nodes(program))


def own_nodes(program: torch.export.ExportedProgram) -> set[FxNode]:
    """What is made of the model's own tensors and of numbers alone."""
    kinds = torch.export.graph_signature.InputKind
    placeholders = program.graph.find_nodes(op="placeholder")
    specs = zip(program.graph_signature.input_specs, placeholders, strict=True)
    own = {fx for spec, fx in specs if spec.kind is not kinds.USER_INPUT}
    for fx in program.graph.nodes:
        if fx.op == "call_function" and own.issuperset(fx.all_input_nodes):
            own.add(fx)
    return own


def _constants(real: Mapping[FxNode, Any], own: set[FxNode]) -> dict[str, Value]:
    """Those of the tensors that are known."""
    found: dict[str, Value] = {}
    for fx, value in real.items():
        like_a_signal = op_of(fx) in _FILLED and not all(i in real for i in fx.all_input_nodes)
        if like_a_signal and not all(user in real for user in fx.users):
            continue  # zeros that a signal is added to, say: a rule knows which of their axes count samples
        if isinstance(value, torch.Tensor):
            found[fx.name] = Constant(as_numpy(value), own=fx in own)
        elif isinstance(value, _Forgotten):
            found[fx.name] = Unknown(value.shape, value.dtype, usual(value.shape))
    return found


def as_numpy(x: torch.Tensor) -> np.ndarray[Any, Any]:
    """The values, of a dtype that NumPy has."""
    if x.dtype.itemsize < 4 and x.is_floating_point():
        x = x.float()
    return np.asarray(x.detach().resolve_conj().resolve_neg().numpy())


def _stored(program: torch.export.ExportedProgram, name: str) -> Any:
    return program.state_dict.get(name, program.constants.get(name))


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


class _Forgotten:
    """A large constant that only other constants were computed from."""

    def __init__(self, x: torch.Tensor) -> None:
        self.shape, self.dtype = tuple(x.shape), _name(x.dtype)


def _evaluate(graph: torch.fx.Graph, real: dict[FxNode, Any]) -> None:
    """Everything that can be computed from what is known. What is drawn at random is not, nor what is too large."""
    waiting = Counter(i for fx in graph.nodes for i in fx.all_input_nodes)
    with unchanged_randomness(), torch.no_grad():
        for fx in graph.nodes:
            if fx.op == "call_function" and _is_constant(fx, real):
                try:
                    real[fx] = call_on_cpu(fx, real)
                except Exception:  # noqa: BLE001  # no kernel on the CPU, say: then it is no constant
                    continue
            for i in fx.all_input_nodes:
                waiting[i] -= 1
                _forget(i, waiting[i], real)


def _is_constant(fx: FxNode, real: Mapping[FxNode, Any]) -> bool:
    """All inputs have values, and the result is neither random nor huge."""
    if torch.Tag.nondeterministic_seeded in getattr(fx.target, "tags", ()):
        return False
    value = fx.meta.get("val")
    results = value if isinstance(value, (tuple, list)) else (value,)
    sizes = [v.numel() for v in results if isinstance(v, torch.Tensor)]
    inputs = () if op_of(fx) in _FILLED else fx.all_input_nodes
    return all(i in real and not isinstance(real[i], _Forgotten) for i in inputs) and max(sizes, default=0) <= LARGEST


def call_on_cpu(fx: FxNode, real: Mapping[FxNode, Any]) -> Any:
    """The result of an operation whose arguments have values; of what it is only filled like, the shape counts."""
    args, kwargs = torch.fx.node.map_arg((fx.args, fx.kwargs), lambda n: real[n] if n in real else _alike(n))
    if "device" in kwargs:
        kwargs = {**kwargs, "device": torch.device("cpu")}
    found = fx.target(*args, **kwargs)  # type: ignore[operator]
    return torch.zeros_like(found) if op_of(fx).startswith(("empty", "new_empty")) else found


def _alike(fx: FxNode) -> torch.Tensor:
    """A tensor of a signal's shape, which takes no memory."""
    x = fx.meta["val"]
    return torch.empty((), dtype=x.dtype).expand(tuple(x.shape))


def _forget(fx: FxNode, still_read: int, real: dict[FxNode, Any]) -> None:
    value = real.get(fx)
    if still_read or not isinstance(value, torch.Tensor) or value.untyped_storage().nbytes() <= SMALL:
        return
    if all(user in real for user in fx.users):
        real[fx] = _Forgotten(value)


def _sensible(fx: FxNode, value: torch.Tensor) -> torch.Tensor:
    """Integers or truth values that the model can be called with."""
    if value.dtype is torch.bool or "mask" in fx.name:
        return torch.ones(value.shape, dtype=value.dtype)
    rows = _rows_of_table(fx)
    if "position" in fx.name and value.dim():
        return torch.arange(value.shape[-1], dtype=value.dtype).expand(value.shape)
    if rows is None:
        return torch.zeros(value.shape, dtype=value.dtype)
    return torch.randint(0, rows, value.shape, generator=torch.Generator().manual_seed(0)).to(value.dtype)


def _rows_of_table(fx: FxNode) -> int | None:
    """Of the smallest table that the integers are looked up in."""
    size, seen, queue, found = fx.meta["val"].numel(), {fx}, [fx], []
    while queue:
        here = queue.pop()
        for user in here.users:
            value = user.meta.get("val")
            if op_of(user) in _TABLES:
                found.append(int(user.args[0].meta["val"].shape[0]))  # type: ignore[union-attr]  # a table
            elif user not in seen and isinstance(value, torch.Tensor) and value.numel() == size:
                seen.add(user)
                queue.append(user)
    return min(found, default=None)


def input_state(x: torch.Tensor, axes: Axes) -> State:
    """White noise of second moment 1 where nothing is known, else the moments of the batch."""
    features = max(count(axes, Kind.FEATURE), 1)
    if x.is_meta or x.numel() == 0:
        return gaussian(axes, [features], 0.0, 1.0, 0.0, 0.0)
    return state_of([cube_of(x.detach().cpu(), axes)], axes, np.array([features]))
