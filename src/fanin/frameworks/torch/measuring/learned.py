"""The factors of a plan's widths that gradient descent finds, on what the plan draws and one batch."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeAlias

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from fanin.errors import BadInput
from fanin.frameworks.torch.measuring.drawn import drawn
from fanin.frameworks.torch.measuring.objectives import (
    LossOf,
    Objective,
    Weights,
    after_one_step,
    differentiable,
    gradient_quotient,
)
from fanin.frameworks.torch.measuring.scalar import Loss, own_outputs, scalar_of
from fanin.frameworks.torch.model.call import call_of
from fanin.frameworks.torch.model.names import named_parameters, naming
from fanin.frameworks.torch.model.state import fixed_randomness, undisturbed
from fanin.frameworks.torch.model.whole import any_sharded, unwrapped
from fanin.frameworks.torch.tracing.program_inputs import flat_inputs
from fanin.frameworks.torch.tracing.replay import Replay
from fanin.frameworks.torch.tracing.trace import Traced
from fanin.plans import Plan
from fanin.plans.learned import GradInit, Method

Progress: TypeAlias = Callable[[int, float], None]


def learned_factors(
    traced: Traced,
    model: torch.nn.Module,
    example: tuple[Any, ...],
    plan: Plan,
    free: Sequence[str],
    how: Method,
    *,
    loss: Loss,
    seed: int,
    steps: int,
    progress: Progress | None = None,
) -> dict[str, float]:
    """By path, the factor of each free parameter with which the objective was least; the model stays as it was.

    Descent is on the logarithms of the factors. Dropout and the like draw the same in every step, so that the objective
    is one function; buffers, as a norm's running statistics, are not updated.

    Raises:
        BadInput: the model is sharded, the loss raises, is no differentiable scalar, is not finite at the start, or
            cannot be differentiated twice.
    """
    if any_sharded(model):
        raise BadInput(
            "The model is sharded, and factors are learned in one process. Calibrate it before it is sharded."
        )
    own = unwrapped(model)
    with drawn(own, plan, seed), undisturbed(own), torch.enable_grad(), _twice():
        start = {path: p.detach().clone() for path, (p, _) in named_parameters(own).items()}
        trained = {path for path, (p, _) in named_parameters(own).items() if p.requires_grad and p.is_floating_point()}
        logs = torch.zeros(len(free), dtype=torch.float64, requires_grad=True)

        def weights() -> Weights:
            wide = dict(zip(free, logs.exp().unbind(), strict=True))
            found = {}
            for path, value in start.items():
                leaf = value.detach().requires_grad_(path in trained)
                found[path] = leaf * wide[path].to(leaf) if path in wide else leaf
            return found

        def loss_of(given: Weights) -> torch.Tensor:
            fixed_randomness()
            flat = flat_inputs(traced, given, naming(own), call_of(own, example))
            outputs = own_outputs(traced.program, Replay(traced).run(*flat))
            return scalar_of(loss, traced.output(outputs))

        best = _descended(logs, lambda: _objective(loss_of, weights(), how), how, steps, progress)
    return dict(zip(free, best.exp().tolist(), strict=True))


def _objective(loss: LossOf, weights: Weights, how: Method) -> Objective:
    return after_one_step(loss, weights, how) if isinstance(how, GradInit) else gradient_quotient(loss, weights, how)


def _descended(
    logs: torch.Tensor, objective: Callable[[], Objective], how: Method, steps: int, progress: Progress | None
) -> torch.Tensor:
    """The logarithms with which the objective was least: a bound that is kept counts before its value."""
    optimizer: torch.optim.Optimizer
    if isinstance(how, GradInit):
        optimizer = torch.optim.Adam([logs], lr=how.rate)
    else:
        optimizer = torch.optim.SGD([logs], lr=how.rate, momentum=how.momentum)
    best, least = logs.detach().clone(), (True, math.inf)
    for step in range(steps + 1):
        found = objective()
        value = float(found.value.detach())
        if not math.isfinite(value):
            if step == 0:
                raise BadInput(
                    f"The objective is {value} as the plan starts the model: its loss or gradients are not finite. "
                    "Calibrate by how='lsuv' first, and give that plan."
                )
            break
        if (found.broken, value) < least:
            best, least = logs.detach().clone(), (found.broken, value)
        if progress:
            progress(step, value)
        if step == steps or not found.value.requires_grad:
            break
        with differentiable():
            (slope,) = torch.autograd.grad(found.value, [logs], allow_unused=True)
        if slope is None or not bool(slope.isfinite().all()):
            break
        logs.grad = slope if isinstance(how, GradInit) else slope.sign()
        optimizer.param_groups[0]["lr"] = how.rate_at(step / steps)
        optimizer.step()
    return best


@contextmanager
def _twice() -> Iterator[None]:
    """By kernels whose gradients can be differentiated: the fused ones of attention and of cuDNN cannot."""
    with sdpa_kernel(SDPBackend.MATH), torch.backends.cudnn.flags(enabled=False):
        yield
