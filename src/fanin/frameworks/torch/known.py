"""What a traced program's tensors are before any signal flows: inputs, buffers, and what is computed from them alone."""

from __future__ import annotations

from typing import Any

import torch
from torch.fx.node import Node as FxNode

from fanin.frameworks.torch.call import call_of
from fanin.frameworks.torch.trace import Traced
from fanin.signals.axes import usual
from fanin.signals.state import State, gaussian
from fanin.signals.values import Constant, Value

LARGEST = 1 << 24  # elements of a constant that are worth their memory


def known_tensors(traced: Traced, model: torch.nn.Module, example: tuple[Any, ...]) -> dict[str, Value]:
    """Inputs as states or, where they are integers, by their values; constants by their values."""
    program = traced.program
    kinds = torch.export.graph_signature.InputKind
    leaves = iter(call_of(model, example).leaves)
    real: dict[FxNode, torch.Tensor] = {}
    found: dict[str, Value] = {}
    placeholders = program.graph.find_nodes(op="placeholder")
    for spec, fx in zip(program.graph_signature.input_specs, placeholders, strict=True):
        if spec.kind is kinds.USER_INPUT:
            value = next(leaves)
            if isinstance(value, torch.Tensor):
                if value.is_floating_point():
                    found[fx.name] = input_state(value)
                elif not value.is_meta:
                    real[fx] = value.cpu()
                else:
                    real[fx] = torch.zeros(value.shape, dtype=value.dtype)
        elif spec.kind is not kinds.PARAMETER:
            name = str(spec.target)
            tensor = program.state_dict.get(name, program.constants.get(name))
            if isinstance(tensor, torch.Tensor) and not tensor.is_meta:
                real[fx] = tensor.detach().cpu()
    for fx in program.graph.nodes:
        if fx.op == "call_function" and all(i in real for i in fx.all_input_nodes) and _worth(fx):
            try:
                with torch.no_grad():
                    args, kwargs = torch.fx.node.map_arg((fx.args, fx.kwargs), lambda n: real[n])
                    if "device" in kwargs:
                        kwargs = {**kwargs, "device": torch.device("cpu")}
                    real[fx] = fx.target(*args, **kwargs)
            except Exception:
                continue
    for fx, tensor in real.items():
        if isinstance(tensor, torch.Tensor):
            found[fx.name] = Constant(tensor.numpy() if tensor.dtype is not torch.bfloat16 else tensor.float().numpy())
    return found


def _worth(fx: FxNode) -> bool:
    value = fx.meta.get("val")
    return not isinstance(value, torch.Tensor) or value.numel() <= LARGEST


def input_state(x: torch.Tensor) -> State:
    """White noise of second moment 1 where nothing is known, else the moments of the batch."""
    axes = usual(tuple(x.shape))
    c = usual_features(axes)
    if x.is_meta or x.numel() == 0:
        return gaussian(axes, [c], 0.0, 1.0, 0.0, 0.0)
    w = x.detach().double().cpu()
    if w.dim() < 2:
        return gaussian(axes, [c], float(w.mean()), float((w * w).mean()), 0.0, 0.0)
    cube = (w.reshape(w.shape[0], -1, w.shape[-1]) if w.dim() <= 3 else w.flatten(2).transpose(1, 2)).numpy()
    b, p, n = cube.shape
    second = float((cube**2).mean())
    of_sample = cube.sum(1)
    k = float(((of_sample**2).sum() - (cube**2).sum()) / (b * p * (p - 1) * n)) if p > 1 else 0.0
    s = float(((cube.sum((0, 1)) ** 2).sum() - (of_sample**2).sum()) / (b * (b - 1) * p * p * n)) if b > 1 else 0.0
    return gaussian(axes, [c], float(cube.mean()), second, k, s)


def usual_features(axes: Any) -> int:
    from fanin.signals.axes import Kind, count

    return count(axes, Kind.FEATURE)
