"""What widths are learned on: how little a step changes the gradient, and the loss after one."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final, NamedTuple, TypeAlias

import torch

from fanin.errors import BadInput
from fanin.frameworks.torch.model.failure import first_line
from fanin.plans.learned import GradInit, MetaInit

Weights: TypeAlias = Mapping[str, torch.Tensor]
LossOf: TypeAlias = Callable[[Weights], torch.Tensor]
# How PyTorch calls the operation whose derivative it does not have.
_OPERATION: Final = re.compile(r"derivative for '?(?:aten::)?(\w+)|Function (\w+?)Backward|function (\w+) is not")


class Objective(NamedTuple):
    """What is to be small, and whether a bound that comes first is broken."""

    value: torch.Tensor
    broken: bool = False


def gradient_quotient(loss: LossOf, weights: Weights, how: MetaInit) -> Objective:
    """`mean r`, r = |(g − H g)/(g + ε sign g) − 1| of all elements that have a gradient, or `mean log(1 + r)`.

    H g is the slope of ‖g‖²/2.
    """
    g = _gradient(loss(weights), weights)
    half = torch.stack([one.square().sum() for one in g.values()]).sum() / 2
    h = _gradient(half, {path: weights[path] for path in g}) if half.requires_grad else {}
    total, count = torch.zeros_like(half), 0
    for path, one in g.items():
        sign = torch.where(one.detach() >= 0, 1.0, -1.0).to(one.dtype)
        changed = one - h[path] if path in h else one
        quotient = (changed / (one + how.eps * sign) - 1).abs()
        total = total + (quotient.log1p() if how.logarithms else quotient).sum()
        count += one.numel()
    return Objective(total / count)


def after_one_step(loss: LossOf, weights: Weights, how: GradInit) -> Objective:
    """`L(θ − η A(g))` where ‖g‖ ≤ γ, else ‖g‖: of the 2-norm and A(g) = g for SGD, the 1-norm and sign g for Adam."""
    g = _gradient(loss(weights), weights)
    if how.optimizer == "sgd":
        size = torch.stack([one.square().sum() for one in g.values()]).sum().sqrt()
    else:
        size = torch.stack([one.abs().sum() for one in g.values()]).sum()
    if not float(size.detach()) <= how.bound:
        return Objective(size, broken=True)
    steps = {path: one if how.optimizer == "sgd" else one.sign() for path, one in g.items()}
    return Objective(loss({p: w - how.step * steps[p] if p in steps else w for p, w in weights.items()}))


def _gradient(value: torch.Tensor, weights: Weights) -> dict[str, torch.Tensor]:
    """By path, differentiable once more; without those that the value does not depend on."""
    wanted = {path: w for path, w in weights.items() if w.requires_grad}
    with differentiable():
        found = torch.autograd.grad(value, list(wanted.values()), create_graph=True, allow_unused=True)
    return {path: one for path, one in zip(wanted, found, strict=True) if one is not None}


@contextmanager
def differentiable() -> Iterator[None]:
    """Says which operation it was, where a derivative of a gradient is missing.

    Raises:
        BadInput: an operation has none.
    """
    try:
        yield
    except (RuntimeError, NotImplementedError) as error:
        if "derivative" not in str(error) and "differentiate" not in str(error):
            raise
        found = _OPERATION.search(str(error))
        what = next((name for name in found.groups() if name), "").removesuffix("_backward").strip("_") if found else ""
        raise BadInput(
            f"The loss cannot be differentiated twice{f', because of {what}' if what else ''}"
            f": {first_line(error)}. Replace the operation by others of the same result, or use how='lsuv', which "
            "needs no gradient."
        ) from error
