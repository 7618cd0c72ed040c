"""Trials, and what can be said of them together."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from fanin.experiments.criterion import final_loss


class Spread(NamedTuple):
    """Mean and sample standard deviation over seeds; std is 0 for one seed, NaN where the mean is infinite."""

    mean: float
    std: float

    def __str__(self) -> str:
        if not math.isfinite(self.mean):
            return "diverged"
        return f"{self.mean:.3f} ± {self.std:.3f}"


@dataclass(frozen=True)
class Training:
    """What all trials of a study have in common: plain SGD with momentum, or Adam (`optimizer`: "sgd", "adam")."""

    steps: int = 400
    batch_size: int = 64
    learning_rate: float = 1e-3
    momentum: float = 0.9
    optimizer: str = "sgd"


@dataclass(frozen=True)
class TrialSpec:
    """What decides a trial: everything that it is a function of."""

    depth: int
    width: int
    activation: str
    start: str
    seed: int
    training: Training

    @property
    def net(self) -> str:
        """The net's name in tables."""
        return f"{self.depth}-layer {self.activation}"


@dataclass(frozen=True)
class Trial:
    """One training run.

    Attributes:
        losses: training loss at every step; it ends early where the run diverged.
        accuracy: on the test set, after the last step; outputs that are not finite count as wrong.
        diverged_at: the first step whose loss was not finite.
    """

    spec: TrialSpec
    losses: tuple[float, ...]
    accuracy: float
    diverged_at: int | None = None

    @property
    def final_loss(self) -> float:
        """Mean over the last tenth of the steps; infinite for a diverged run."""
        return final_loss(self.losses, self.diverged_at)


@dataclass(frozen=True)
class Trials:
    """Trials on the same data and batches, so that runs of one seed differ in their start alone."""

    trials: tuple[Trial, ...]

    def of(self, net: str, start: str) -> tuple[Trial, ...]:
        """The trials of one net and start."""
        return tuple(t for t in self.trials if (t.spec.net, t.spec.start) == (net, start))

    def accuracy(self, net: str, start: str) -> Spread:
        """Test accuracy over seeds."""
        return spread([t.accuracy for t in self.of(net, start)])

    def final_loss(self, net: str, start: str) -> Spread:
        """Training loss at the end over seeds; infinite as soon as one of them diverged."""
        return spread([t.final_loss for t in self.of(net, start)])

    def curve(self, net: str, start: str, window: int = 1) -> list[tuple[int, float, float, float]]:
        """(step, mean, lowest, highest) over seeds of the loss, averaged over windows of steps.

        The curve ends where the first seed diverged.
        """
        runs = [t.losses for t in self.of(net, start)]
        length = min((len(run) for run in runs), default=0)
        points = []
        for first in range(0, length - window + 1, window):
            means = [statistics.fmean(run[first : first + window]) for run in runs]
            points.append((first + window, statistics.fmean(means), min(means), max(means)))
        return points

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return asdict(self)


def spread(values: Sequence[float]) -> Spread:
    """Mean and sample standard deviation."""
    mean = statistics.fmean(values)
    if not math.isfinite(mean):
        return Spread(mean, math.nan)
    return Spread(mean, statistics.stdev(values) if len(values) > 1 else 0.0)
