"""The first step of an optimizer, found by letting one of its kind take it on a few numbers of our own."""

from __future__ import annotations

import copy
from collections import defaultdict
from typing import Any, Final

import torch

from fanin.errors import BadInput
from fanin.frameworks.torch.model.failure import first_line
from fanin.frameworks.torch.model.names import naming
from fanin.frameworks.torch.model.state import unchanged_randomness
from fanin.frameworks.torch.model.whole import unwrapped
from fanin.signals.circumstances import Training

_SIDE: Final = 8  # of the matrix that is tried; some optimizers take matrices only
_BY: Final = 4.0  # its gradient, then its values, then its sides are made so many times as large
_ALIKE: Final = 1.5  # less than this, and it is the same step; what follows the root of a side differs by 2


def training(model: torch.nn.Module, optimizer: Any) -> Training:
    """What the optimizer does first, and with which learning rates. The optimizer and the model stay as they are.

    Its class takes one step on a matrix of random numbers, with the settings of its first group but for weight decay:
    once as it is, and with a gradient, values and sides four times as large. What follows the gradient, its sign, or
    the weight's own size or shape is seen from the four steps.

    Raises:
        BadInput: not an optimizer of PyTorch's, none of its parameters is the model's, or it cannot be tried so.
    """
    if not isinstance(optimizer, torch.optim.Optimizer):
        raise BadInput(
            f"optimizer takes a torch.optim.Optimizer that was made with the model's parameters, such as "
            f"torch.optim.AdamW(model.parameters(), lr=1e-3); got {type(optimizer).__name__}."
        )
    inner = unwrapped(model)
    path_of = naming(inner)
    paths = {id(p): path_of(path) for path, p in inner.named_parameters()}
    groups = optimizer.param_groups
    rates = {paths[id(p)]: float(group["lr"]) for group in groups for p in group["params"] if id(p) in paths}
    if not rates:
        raise BadInput(
            "None of the optimizer's parameters belongs to this model. Make it with model.parameters() of this model, "
            "after the model is built."
        )
    rising = any(float(group.get("initial_lr", 0.0)) > float(group["lr"]) for group in groups)
    name = type(optimizer).__name__
    try:
        step = _step(optimizer)
        gradient, weight, side = (_step(optimizer, **{what: _BY}) for what in ("gradient", "weight", "side"))
    except Exception as error:  # whatever a user's optimizer raises is explained and re-raised
        raise BadInput(
            f"The optimizer {name} could not be tried on a small matrix: {type(error).__name__}: {first_line(error)}. "
            "Leave optimizer= out; nothing is said of the size of the first step then."
        ) from error
    fitted = any(not 1 / _ALIKE < other / step < _ALIKE for other in (weight, side)) if step else False
    return Training(name, rates, gradient < _ALIKE * step, step, fitted, rising)


def _step(optimizer: torch.optim.Optimizer, gradient: float = 1.0, weight: float = 1.0, side: float = 1.0) -> float:
    """The root mean square of the first step, in learning rates, for those of the gradient and the weight."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(2, round(side * _SIDE), round(side * _SIDE), generator=generator)
    g, w = noise / noise.square().mean((1, 2), keepdim=True).sqrt()
    rate = 1e-3  # of a size that every optimizer is used with
    tried = torch.nn.Parameter(weight * w)
    tried.grad = gradient * g
    group = {
        **optimizer.param_groups[0],
        "params": [tried],
        "lr": rate,
        "weight_decay": 0.0,
    }
    group |= {key: False for key in ("foreach", "fused", "capturable", "differentiable") if key in group}
    probe: Any = copy.copy(optimizer)
    probe.param_groups, probe.state = [group], defaultdict(dict)
    for hooks in ("_optimizer_step_pre_hooks", "_optimizer_step_post_hooks"):
        setattr(probe, hooks, {})
    with unchanged_randomness():
        type(optimizer).step(probe)  # of the class: a schedule puts a method of the real one into the instance
    return float((tried.detach() - weight * w).square().mean().sqrt()) / rate
