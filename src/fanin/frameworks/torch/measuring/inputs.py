"""The data that a model is called with: on which device, of what size, and whether it is finite."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch

from fanin.errors import BadInput
from fanin.frameworks.torch.measuring.moments import moments
from fanin.frameworks.torch.model.call import Call, call_of
from fanin.frameworks.torch.model.whole import unwrapped
from fanin.frameworks.torch.tracing.input_axes import input_axes
from fanin.frameworks.torch.tracing.trace import Traced
from fanin.signals.axes import Axes, Kind
from fanin.signals.circumstances import InputSeen


def inputs_seen(traced: Traced, model: torch.nn.Module, example: tuple[Any, ...]) -> tuple[InputSeen, ...]:
    """Each floating-point tensor among the model's arguments.

    Raises:
        BadInput: one holds values that are no numbers, or infinite ones; the data is at fault then, not the model.
    """
    call = call_of(unwrapped(model), example)
    found = [(fx, x) for fx, x in _given(traced, call) if x.is_floating_point() and x.numel() and not x.is_meta]
    for fx, x in found:
        require_finite(x.detach(), f"The input {fx.name}")
    return tuple(_seen(str(fx.name), x.detach(), input_axes(fx)) for fx, x in found)


def require_finite(x: torch.Tensor, what: str) -> None:
    """The tensor holds numbers; a mask of 0 and −∞, which is added to scores, does too.

    Raises:
        BadInput: it does not; how many, and the first.
    """
    finite = torch.isfinite(x)
    if bool(finite.all()) or _is_mask(x, finite):
        return
    bad = (~finite).nonzero()
    nans = int(torch.isnan(x).sum())
    count, at = len(bad), tuple(bad[0].tolist())
    kinds = " and ".join(f"{n:,} {kind}" for n, kind in ((nans, "NaN"), (count - nans, "infinite")) if n)
    raise BadInput(
        f"{what}, of shape {tuple(x.shape)}, holds {kinds} of {x.numel():,} values, the first at index {at}: the fault "
        f"is in the data, and nothing can be said of the model. Fill or leave out what is missing before the batch is "
        "made, such as x.nan_to_num() or x[x.isfinite().flatten(1).all(1)]."
    )


def _is_mask(x: torch.Tensor, finite: torch.Tensor) -> bool:
    return bool((x[finite] == 0).all()) and bool((x[~finite] == -math.inf).all()) and bool(finite.any())


def _given(traced: Traced, call: Call) -> Iterator[tuple[Any, torch.Tensor]]:
    """The program's nodes for what the user passes, with the tensors."""
    kinds = torch.export.graph_signature.InputKind
    placeholders = traced.program.graph.find_nodes(op="placeholder")
    specs = zip(traced.program.graph_signature.input_specs, placeholders, strict=True)
    mine = [fx for spec, fx in specs if spec.kind is kinds.USER_INPUT]
    for fx, value in zip(mine, call.leaves, strict=False):
        if isinstance(value, torch.Tensor):
            yield fx, value


def _seen(name: str, x: torch.Tensor, axes: Axes) -> InputSeen:
    means, stds = _by_feature(x.double(), axes)
    low, high = x.aminmax()
    integral = bool((x == x.round()).all())
    return InputSeen(name, tuple(x.shape), moments(x), means, stds, integral, float(low), float(high))


def _by_feature(x: torch.Tensor, axes: Axes) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and std of each feature over samples and positions; nothing where there are fewer than two to a feature."""
    kinds = {i: kind for i, axis in enumerate(axes) for kind, _ in axis}
    over = [i for i in range(x.dim()) if kinds.get(i) is not Kind.FEATURE]
    if len(over) == x.dim() or x.numel() < 2 * math.prod(n for i, n in enumerate(x.shape) if i not in over):
        return (), ()
    mean, std = x.mean(over), x.std(over, correction=0)
    return tuple(mean.reshape(-1).tolist()), tuple(std.reshape(-1).tolist())
