"""What zero padding makes all samples have in common at one position, and what a batch norm makes of it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import fanin
from fanin.signals import Comparison
from fanin.signals.places import modes_behind
from fanin.signals.rules import sizes
from fanin.signals.taps import flat, taps

DRAWS, CHANNELS = 48, 64


@pytest.mark.parametrize("apart", [0.0, 0.7, 1e3])
@pytest.mark.parametrize("size", [2, 4, 7])
def test_the_modes_of_a_kernels_map_are_those_of_its_covariance(size: int, apart: float) -> None:
    """By its eigenvalues, from patches that are written out."""
    met = [taps(size, size, 3, 1, 1, 1, transposed=False)] * 2
    inside = torch.nn.functional.unfold(torch.ones(1, 1, size, size), 3, padding=1)[0].T.double().numpy()
    common = inside @ inside.T
    common += apart * np.diag(np.diag(common))
    off = np.eye(len(common)) - 1 / len(common)
    found = np.linalg.eigvalsh(off @ common @ off)
    assert modes_behind(met, flat([size, size]), apart) == pytest.approx(found.sum() ** 2 / (found**2).sum())


def test_where_no_tap_is_ever_outside_there_is_no_map() -> None:
    met = [taps(6, 4, 3, 1, 0, 1, transposed=False)] * 2
    assert modes_behind(met, flat([6, 6]), 0.0) == 15


@pytest.mark.parametrize("large", [0.1, 3.0])
def test_the_inverse_of_a_sum_of_unlike_squares_is_that_of_draws(large: float) -> None:
    """3 eigenvalues of one size and 28 of another, by 2·10⁵ draws, whose mean is known to 5 · 0.5/√(2·10⁵) = 0.6 %."""
    random = np.random.default_rng(0)
    v = large * random.chisquare(3, 200_000) + 0.1 * random.chisquare(28, 200_000)
    nu = float(sizes.freedom_of_inverse((3, np.array([large])), (28, np.array([0.1])))[0])
    assert nu / (nu - 2) == pytest.approx(float(v.mean() * (1 / v).mean()), rel=0.006)


@pytest.fixture(scope="module", params=[4, 8], ids=["4 × 4", "8 × 8"])
def comparison(request: pytest.FixtureRequest) -> Comparison:
    """Kernels in front of norms, on images with a mean: of each feature's variance most is at the border."""
    size, c = request.param, CHANNELS
    net = nn.Sequential(
        *(nn.Conv2d(8, c, 3, padding=1, bias=False), nn.BatchNorm2d(c), nn.ReLU()),
        *(nn.Conv2d(c, c, 3, padding=1, bias=False), nn.BatchNorm2d(c), nn.ReLU()),
        *(nn.Conv2d(c, c, 3, padding=1, bias=False), nn.BatchNorm2d(c)),
    )
    x = 1 + 0.3 * torch.randn(8, 8, size, size, generator=torch.Generator().manual_seed(0))
    plan = fanin.plan(net, x, recipe="he")
    return fanin.predict(net, x, plan=plan).compare(fanin.measure(net, x, plan=plan, seeds=range(DRAWS)))


def test_a_norm_divides_by_what_differs_from_place_to_place(comparison: Comparison) -> None:
    """From one gradient to the next, which have their draws in common. The mutant counts all samples: 0.7 and 0.86."""
    ratio = {row.name: row.gradient.ratio for row in comparison.rows if row.gradient}
    assert ratio["conv2d"] / ratio["relu"] == pytest.approx(1, rel=0.08)
    assert ratio["conv2d_1"] / ratio["relu_1"] == pytest.approx(1, rel=0.08)
