"""Data that is not normalised, and data that only looks so or is taken care of."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

import torch
from torch import Tensor, nn

from fanin.testing.zoo.case import Case, Situation

SAMPLES: Final = 32
LABELS: Final = torch.arange(SAMPLES) % 10
CROSS_ENTROPY: Final = partial(nn.functional.cross_entropy, target=LABELS)


def pictures(low: float, high: float, norm: bool = False, whole: bool = False) -> Situation:
    """A small convolutional net on random pictures in `low` … `high`.

    Args:
        norm: the first convolution goes to a batch norm.
        whole: pixels are whole numbers.
    """
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(0)
        between = nn.BatchNorm2d(8) if norm else nn.Identity()
        convolutions = (nn.Conv2d(3, 8, 3), between, nn.ReLU(), nn.Conv2d(8, 16, 3), nn.ReLU())
        net = nn.Sequential(*convolutions, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 10))
        images = torch.rand(SAMPLES, 3, 12, 12) * (high - low) + low
    return Situation(net, (images.round() if whole else images,), CROSS_ENTROPY)


def table(prepare: Callable[[Tensor], Tensor], norm: bool = False) -> Situation:
    """Rows of eight columns in units of their own, as they are measured, and what is done with them before.

    Args:
        norm: the net begins with a batch norm.
    """
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(0)
        means = torch.tensor([300.0, 0.1, 5.0, 20.0, 1000.0, 0.5, 3.0, 70.0])
        rows = means * (1 + 0.1 * torch.randn(SAMPLES, 8))
        first = (nn.BatchNorm1d(8),) if norm else ()
        net = nn.Sequential(*first, nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    return Situation(net, (prepare(rows),), CROSS_ENTROPY)


def _as_it_is(rows: Tensor) -> Tensor:
    return rows


def _normalised(rows: Tensor) -> Tensor:
    return (rows - rows.mean(0)) / rows.std(0)


def _of_unit_size(rows: Tensor) -> Tensor:
    """Divided, but not centred."""
    return rows / rows.square().mean(0).sqrt()


FAR: Final = frozenset({"L01", "B02", "F02"})
CASES: Final = (
    Case("pixels 0 … 255", partial(pictures, 0, 255, whole=True), frozenset({"D01"}), FAR, hopeless=True),
    Case("pictures 8 … 16", partial(pictures, 8, 16), frozenset({"D01"}), FAR, hopeless=True),
    Case("pictures 8 … 16 before a batch norm", partial(pictures, 8, 16, norm=True)),
    Case("pixels 0 … 1", partial(pictures, 0, 1)),
    Case("pictures 0.9 … 1", partial(pictures, 0.9, 1), frozenset({"D01"}), hopeless=True),
    Case("pictures of mean 0 and size 1", partial(pictures, -(3**0.5), 3**0.5)),
    Case("pictures divided once too often", partial(pictures, 0, 1 / 255), frozenset({"D01"}), hopeless=True),
    Case("a table as it was measured", partial(table, _as_it_is), frozenset({"D01"}), FAR, hopeless=True),
    Case("a table of unit size, not centred", partial(table, _of_unit_size), frozenset({"D01"}), hopeless=True),
    Case("a normalised table", partial(table, _normalised)),
    Case("a table behind a batch norm", partial(table, _as_it_is, norm=True)),
)
