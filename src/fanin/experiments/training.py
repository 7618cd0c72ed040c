"""One trial: initialize, then forward, loss, backward, update, step by step."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import lru_cache

import torch
from torch import nn

from fanin.experiments.data import IGNORED, Data, Loss, digits, permutation
from fanin.experiments.nets import Perceptron
from fanin.experiments.study import Training, Trial, TrialSpec
from fanin.frameworks.torch import Traced, sweep, trace, write_
from fanin.plans import Plan, make_plan

Losses = tuple[tuple[float, ...], int | None]
"""At every step, up to the last finite one; and the step whose loss was not finite, if any."""


@lru_cache(maxsize=8)
def _net(depth: int, width: int, activation: str, data: str) -> tuple[Perceptron, Traced]:
    """The net and its graph, traced once; a trial overwrites every weight."""
    known = _data(data)
    net = Perceptron(depth, width, known.inputs.shape[1], known.outputs, activation)
    return net, trace(net, torch.from_numpy(known.inputs[:2]))


@lru_cache(maxsize=64)
def _plan(depth: int, width: int, activation: str, start: str) -> Plan:
    net, traced = _net(depth, width, activation, "digits")
    example = (torch.from_numpy(_data("digits").inputs[:2]),)
    return make_plan(traced.graph, start, sweep=sweep(traced, net, example))


@lru_cache(maxsize=1)
def _data(name: str) -> Data:
    return {"digits": digits}[name]()


def run_trial(spec: TrialSpec) -> Trial:
    """Build the net, start it as its recipe says, train it, test it: a function of the spec alone."""
    data = _data("digits")
    net, _ = _net(spec.depth, spec.width, spec.activation, "digits")
    write_(net, _plan(spec.depth, spec.width, spec.activation, spec.start), spec.seed)
    losses, diverged_at = train(net, data, spec.training, spec.seed)
    return Trial(spec, losses, accuracy(net, data), diverged_at)


def train(
    model: nn.Module, data: Data, how: Training, seed: int, on_step: Callable[[int], None] | None = None
) -> Losses:
    """Train in place from the weights that the model has; returns the losses and the step that was not finite, if any.

    The batches depend on the seed alone, so that trials of one seed see the same ones. `on_step` is called with the
    number of each step that is done.
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
            on_step(step)
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
        return torch.optim.Adam(model.parameters(), how.learning_rate, betas=(how.momentum, 0.999))
    return torch.optim.SGD(model.parameters(), how.learning_rate, how.momentum)


def batches(seed: int, samples: int, size: int) -> Iterator[torch.Tensor]:
    """Indices, epoch by epoch, each in an order of its own; what does not fill a batch is left out of the epoch."""
    epoch = 0
    while True:
        order = torch.from_numpy(permutation(seed, f"fanin/batches/{epoch}", samples))
        yield from order[: samples - samples % size].split(size)  # type: ignore[no-untyped-call]
        epoch += 1


def accuracy(model: nn.Module, data: Data) -> float:
    """Share of the test set that is classified right; outputs that are not finite are wrong."""
    model.eval()
    with torch.no_grad():
        outputs = model(torch.from_numpy(data.test_inputs))
    right = (outputs.argmax(1) == torch.from_numpy(data.test_targets)) & outputs.isfinite().all(1)
    return float(right.double().mean())
