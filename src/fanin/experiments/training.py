"""One training: forward, loss, backward, update, step by step."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import nn

from fanin.experiments.data import IGNORED, Data, Loss, permutation
from fanin.experiments.settings import Training

Losses = tuple[tuple[float, ...], int | None]
"""At every step, up to the last finite one; and the step whose loss was not finite, if any."""

OnStep = Callable[[int, Sequence[float]], None]
"""Called with the number of each step that is done, and the loss of each model at it."""


def train(model: nn.Module, data: Data, how: Training, seed: int, on_step: OnStep | None = None) -> Losses:
    """Train in place from the weights that the model has; returns the losses and the step that was not finite, if any.

    The batches depend on the seed alone, so that trials of one seed see the same ones. `on_step` is called with the
    number of each step that is done, and its loss.
    """
    inputs, targets = torch.from_numpy(data.inputs), torch.from_numpy(data.targets)
    criterion, optimizer = loss_function(data.loss), optimizer_of(model, how)
    model.train()
    losses: list[float] = []
    for step, batch in zip(range(1, how.steps + 1), batches(seed, len(targets), how.batch_size), strict=False):
        outputs = model(inputs[batch])  # forward
        loss = criterion(outputs, targets[batch])  # how wrong it is
        if not math.isfinite(value := loss.item()):
            return tuple(losses), step
        losses.append(value)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # the gradient of every parameter
        optimizer.step()  # against it, a little
        if on_step:
            on_step(step, (value,))
    return tuple(losses), None


def loss_function(loss: Loss) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
    """(outputs, targets) → a scalar; the classes of an output are along its last axis."""
    if loss is Loss.SQUARED_ERROR:
        return nn.functional.mse_loss
    return lambda outputs, targets: nn.functional.cross_entropy(
        outputs.flatten(0, -2), targets.flatten(), ignore_index=IGNORED
    )


def optimizer_of(model: nn.Module, how: Training) -> torch.optim.Optimizer:
    """PyTorch's own."""
    if how.optimizer == "adam":
        betas = (how.momentum, 0.999)
        return torch.optim.AdamW(model.parameters(), how.learning_rate, betas, weight_decay=how.weight_decay)
    return torch.optim.SGD(model.parameters(), how.learning_rate, how.momentum, weight_decay=how.weight_decay)


def batches(seed: int, samples: int, size: int) -> Iterator[torch.Tensor]:
    """Indices, epoch by epoch, each in an order of its own; what does not fill a batch is left out of the epoch."""
    epoch = 0
    while True:
        order = torch.from_numpy(permutation(seed, f"fanin/batches/{epoch}", samples))
        yield from order[: samples - samples % size].split(size)  # type: ignore[no-untyped-call]
        epoch += 1
