"""Measure what flows through a net before and after its training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from typing import Any, Final

import torch
from torch import Tensor, nn

from fanin.errors import FaninError
from fanin.experiments.flow import Flow
from fanin.experiments.subject import Subject
from fanin.experiments.training import loss_function
from fanin.frameworks.torch import Traced, observe
from fanin.signals import by_depth

SAMPLES: Final = 128  # of the training set, the first: means of squares over 128 × width numbers are good to a percent


def seen(
    subject: Subject, model: nn.Module, start: Mapping[str, Tensor], end: Mapping[str, Tensor]
) -> dict[str, dict[str, Any]]:
    """The flows at a trial's start and at its end, to be stored; the model's parameters are overwritten."""
    traced, batch, loss = _probe(subject)

    def flow(weights: Mapping[str, Tensor]) -> dict[str, Any] | None:
        model.train()
        model.load_state_dict(dict(weights), strict=False)
        try:
            layers = by_depth(traced.graph, observe(traced, model, (batch,), loss))
        except FaninError:  # weights that are not finite may have no gradient
            return None
        return asdict(
            Flow(
                tuple(seen.layer.module for seen in layers),
                tuple(seen.value.second_moment for seen in layers),
                tuple(seen.gradient_norm for seen in layers),
                tuple(alike(weights[seen.layer.weight]) for seen in layers),
            )
        )

    return {"signals": {"start": flow(start), "end": flow(end)}}


def alike(weight: Tensor) -> float:
    """N ‖w̄‖²/‖W‖² over the n slices along the first axis; 1 of zeros.

    Example:
        >>> alike(torch.ones(4, 3)), alike(torch.eye(4))
        (1.0, 0.25)
    """
    rows = weight.detach().double().flatten(1) if weight.dim() > 1 else weight.detach().double()[:, None]
    whole = float(rows.square().sum())
    return float(len(rows) * rows.mean(0).square().sum() / whole) if whole else 1.0


def _probe(subject: Subject) -> tuple[Traced, Tensor, partial[Tensor]]:
    """The net's graph on a batch of training samples, and the loss of its answers."""
    data = subject.data
    batch, targets = torch.from_numpy(data.inputs[:SAMPLES]), torch.from_numpy(data.targets[:SAMPLES])
    return subject.traced_on(SAMPLES), batch, partial(_loss, loss_function(data.loss), targets)


def _loss(criterion: Any, targets: Tensor, outputs: Tensor) -> Tensor:
    found: Tensor = criterion(outputs, targets)
    return found
