"""A pointwise operation that has no rule, computed at the nodes of the latent rather than on a sample."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch.fx.node import Node as FxNode

from fanin.frameworks.torch.tracing.operations import arguments_of
from fanin.signals import latent
from fanin.signals.axes import shape_of
from fanin.signals.flow import Gradient, scaled
from fanin.signals.latent import Array
from fanin.signals.state import State
from fanin.signals.values import Call, Constant, Outcome, Pulled


def composed(fx: FxNode, call: Call) -> Outcome | None:
    """Exactly, if all signals are functions of one latent and everything else is a number; else None."""
    states = {name: value for name, value in call.values.items() if isinstance(value, State)}
    others = [value for value in call.values.values() if not isinstance(value, State)]
    tags = getattr(fx.target, "tags", ())
    if not states or torch.Tag.pointwise not in tags or torch.Tag.nondeterministic_seeded in tags:
        return None
    first = next(iter(states.values()))
    one_latent = all(
        s.root is first.root and shape_of(s.axes) == tuple(call.node.shape) and len(s.sizes) == len(first.sizes)
        for s in states.values()
    )
    if not one_latent or not all(isinstance(v, Constant) and v.array.size == 1 for v in others):
        return None
    try:
        values, slopes = _at_nodes(fx, call)
    except (RuntimeError, TypeError, NotImplementedError):
        return None
    lost = float((~np.isfinite(values)).max(0) @ latent.WEIGHTS)
    if lost > 0.5:
        return None
    out = first.of(_filled(values))
    if lost > 1e-9:
        out = out.marked(f"{lost:.2%} of what {call.node.op} makes is not finite, and was left out")
    return Outcome((replace(out, marks=out.marks.union(*(s.marks for s in states.values()))),), _pull(slopes))


def _pull(slopes: dict[str, Array]) -> Any:
    def pull(gradients: Sequence[Gradient]) -> Pulled:
        for name, slope in slopes.items():
            yield name, scaled(gradients[0], slope)

    return pull


def _at_nodes(fx: FxNode, call: Call) -> tuple[Array, dict[str, Array]]:
    """The function's values, and its derivative by each signal."""
    leaves: dict[str, torch.Tensor] = {}
    arguments: dict[str, Any] = {}
    for name, given in arguments_of(fx).items():
        value = call.values.get(name)
        if isinstance(value, State):
            x = torch.tensor(value.values)
            leaves[name] = x.requires_grad_() if _floating(given) else (x > 0.5)
            arguments[name] = leaves[name]
        elif isinstance(value, Constant):
            arguments[name] = torch.tensor(value.array).reshape(())
        else:
            arguments[name] = torch.float64 if isinstance(given, torch.dtype) and given.is_floating_point else given
    positional = [a.name for a in fx.target._schema.arguments if not a.kwarg_only]  # type: ignore[union-attr]
    args = [arguments.pop(name) for name in positional if name in arguments]
    with torch.enable_grad():
        result = fx.target(*args, **arguments)  # type: ignore[operator]
        if not isinstance(result, torch.Tensor) or result.is_complex():
            raise TypeError("not one real tensor")
        wanted = {name: x for name, x in leaves.items() if x.requires_grad}
        slopes = (
            torch.autograd.grad(result.sum(), list(wanted.values()), allow_unused=True) if result.requires_grad else []
        )
    found = {
        name: np.nan_to_num(s.numpy(), nan=0.0, posinf=0.0, neginf=0.0)
        for name, s in zip(wanted, slopes, strict=False)
        if s is not None
    }
    return result.detach().double().numpy(), found


def _floating(given: Any) -> bool:
    value = given.meta.get("val") if isinstance(given, FxNode) else None
    return not isinstance(value, torch.Tensor) or value.is_floating_point()


def _filled(values: Array) -> Array:
    """Where they are not finite, as the nearest finite node has them."""
    bad = ~np.isfinite(values)
    if not bad.any():
        return values
    filled = values.copy()
    for row, wrong in zip(filled, bad, strict=True):
        row[wrong] = np.interp(np.flatnonzero(wrong), np.flatnonzero(~wrong), row[~wrong])
    return filled
