"""Many models of one architecture, trained at once: their parameters are stacked, and one step moves all of them.

The models differ in their start, their learning rate and their batches, and do not touch each other. Deep nets of
narrow layers spend most of their time on calls; a stack of them shares each call (docs/start.md: how much it saves).
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel

from fanin.experiments.data import Data
from fanin.experiments.optimizers import OPTIMIZERS
from fanin.experiments.settings import Training
from fanin.experiments.training import Losses, OnStep, batches, loss_function

Start = Mapping[str, Tensor]
Stacked = dict[str, Tensor]


def train_together(
    model: nn.Module,
    starts: Sequence[Start],
    seeds: Sequence[int],
    rates: Sequence[float],
    data: Data,
    how: Training,
    on_step: OnStep | None = None,
    on_end: Callable[[Stacked], None] | None = None,
) -> list[Losses]:
    """What `train` finds for each model, up to the rounding of sums; the model itself is left as it is.

    Args:
        model: the architecture; each of the models has buffers of its own, such as a batch norm's running averages.
        starts: of each model, its parameters by path.
        seeds: of each model, which decide its batches.
        rates: of each model, in the place of `how.learning_rate`.
        on_step: called with the number of each step that is done, and the losses of all models at it.
        on_end: called with parameters and buffers as they are after the last step, stacked.

    Returns:
        Of each model its losses, up to the last finite one, and the step whose loss was not finite, if any.
    """
    stacked = {name: torch.stack([start[name] for start in starts]).requires_grad_() for name in starts[0]}
    parameters = list(stacked.values())
    update = OPTIMIZERS[how.optimizer](parameters, momentum=how.momentum, decay=how.weight_decay)
    each_rate = torch.tensor(rates, dtype=parameters[0].dtype)
    inputs, targets = torch.from_numpy(data.inputs), torch.from_numpy(data.targets)
    sources = {seed: batches(seed, len(targets), how.batch_size) for seed in seeds}
    buffers = {name: torch.stack([buffer] * len(starts)) for name, buffer in model.named_buffers()}
    losses_of = losses_function(model, data)
    seen: list[Tensor] = []
    model.train()
    with _plain_attention():
        for step in range(1, how.steps + 1):
            drawn = {seed: next(source) for seed, source in sources.items()}
            chosen = torch.stack([drawn[seed] for seed in seeds])
            losses = losses_of(stacked | buffers, inputs[chosen], targets[chosen])
            update(torch.autograd.grad(losses.sum(), parameters), each_rate)
            seen.append(losses.detach())
            if on_step:
                on_step(step, losses.tolist())
            if not bool(losses.isfinite().any()):
                break
    if on_end:
        on_end({name: w.detach() for name, w in (stacked | buffers).items()})
    return [_until_it_diverged(curve) for curve in torch.stack(seen, 1).tolist()]


def losses_function(model: nn.Module, data: Data) -> Callable[[Stacked, Tensor, Tensor], Tensor]:
    """(stacked parameters and buffers, inputs, targets) → the loss of each model.

    By `torch.func.vmap`; models with recurrent layers, which it cannot batch, one after the other.
    """
    criterion = loss_function(data.loss)

    def loss(parameters: Stacked, x: Tensor, y: Tensor) -> Tensor:
        return criterion(functional_call(model, parameters, (x,)), y)

    if not any(isinstance(module, nn.RNNBase) for module in model.modules()):
        together: Callable[[Stacked, Tensor, Tensor], Tensor] = vmap(loss)
        return together

    def one_by_one(stacked: Stacked, x: Tensor, y: Tensor) -> Tensor:
        alone = zip(*(w.unbind() for w in stacked.values()), strict=True)
        each = (dict(zip(stacked, weights, strict=True)) for weights in alone)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "RNN module weights are not part of single contiguous chunk")
            return torch.stack([loss(own, xi, yi) for own, xi, yi in zip(each, x, y, strict=True)])

    return one_by_one


def _plain_attention() -> AbstractContextManager[None]:
    """By matrix products: `vmap` batches those, but not the fused kernels."""
    context: AbstractContextManager[None] = sdpa_kernel(SDPBackend.MATH)
    return context


def _until_it_diverged(curve: Sequence[float]) -> Losses:
    for step, loss in enumerate(curve, 1):
        if not math.isfinite(loss):
            return tuple(curve[: step - 1]), step
    return tuple(curve), None
