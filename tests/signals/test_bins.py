"""Moments by bin of positions: what bins are, what is known in closed form, and what averages must not change."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fanin.signals import latent
from fanin.signals.attention import Along, Attended
from fanin.signals.attention_bins import BinnedAttended
from fanin.signals.axes import Kind, axis
from fanin.signals.bins import MOST, Bins, Counts, octaves, over_pairs, pairs, refined
from fanin.signals.bins_back import Spread, coarser, met
from fanin.signals.gradient import GradientMoments, total
from fanin.signals.rules.views_bins import Cut
from fanin.signals.softmax import Mask, softmax_rows
from fanin.signals.softmax_bins import BinnedRows, binned_rows
from fanin.signals.state import State, gaussian

COUNTS = st.lists(st.integers(1, 5), min_size=2, max_size=6).map(np.array)
LARGE = 1 << 30  # features, so many that no direction is along a query


def causal(positions: int, counts: Counts) -> BinnedRows:
    return binned_rows(0.0, 8, 0.0, Mask(positions, positions, causal=True), counts, counts)


def by_bin(of: np.ndarray, counts: Counts, *, different: bool = True) -> np.ndarray:
    """The average of a matrix over the pairs of each pair of bins, of different positions or of all."""
    into = np.repeat(np.eye(len(counts)), counts, 0)
    kept = of * (1 - np.eye(len(of))) if different else of
    return np.asarray(into.T @ kept @ into / np.maximum(pairs(counts) if different else np.outer(counts, counts), 1))


def sequence(positions: int, *, second: float = 1.0, alike: float = 0.25) -> State:
    return gaussian((axis(Kind.POSITION, positions), axis(Kind.FEATURE, 64)), [64], 0.0, second, alike, 0.0)


@given(st.integers(1, 1 << 15))
def test_octaves_divide_all_positions_in_few_bins(positions: int) -> None:
    counts = octaves(positions)
    assert counts.sum() == positions
    assert counts.min() >= 1
    assert len(counts) <= MOST


@given(COUNTS, st.integers(1, 29))
def test_a_refined_division_ends_where_either_does(counts: Counts, first: int) -> None:
    n = int(counts.sum())
    other = np.array([first, n - first]) if first < n else np.array([n])
    assert set(np.cumsum(refined(counts, other))) == set(np.cumsum(counts)) | set(np.cumsum(other))


@settings(deadline=None, max_examples=25)
@given(COUNTS)
def test_a_causal_mean_of_positions_is_known_exactly(counts: Counts) -> None:
    """With s² = 0 position t is the mean of t + 1: Σ A² = 1/(t + 1), and Σ A A' = 1/(max(t, t') + 1)."""
    n = int(counts.sum())
    t = np.arange(n) + 1.0
    rows, many = causal(n, counts), pairs(counts)
    starts = np.cumsum(counts) - counts
    assert rows.overlap.sum(1) == pytest.approx(np.add.reduceat(1 / t, starts) / counts)
    found = np.where(many > 0, rows.shared.sum(-1), 0)
    assert found == pytest.approx(by_bin(1 / np.maximum.outer(t, t), counts))
    assert rows.mass.sum(1) == pytest.approx(np.ones(len(counts)))


def test_causal_attention_of_exchangeable_values_in_closed_form() -> None:
    """q_t = k + (q − k)/(t + 1), K_tt' = k + (q − k)/(max(t, t') + 1); an overlap that all bins share is off by 3."""
    counts, q, k = np.array([1, 1, 2, 4, 8]), 1.0, 0.25
    t = np.arange(16) + 1.0
    starts = np.cumsum(counts) - counts
    value = Bins.alike(counts, 0.0, q, (k, 0.0))
    out = BinnedAttended(causal(16, counts), counts, value, 8, 0.0, LARGE).moments()
    expected = k + (q - k) * np.add.reduceat(1 / t, starts) / counts
    assert out.second == pytest.approx(expected)
    kept = pairs(counts) > 0
    assert out.across[0][kept] == pytest.approx((k + (q - k) * by_bin(1 / np.maximum.outer(t, t), counts))[kept])
    mutant = k + (q - k) * float((1 / t).mean())
    assert expected.max() > 2 * mutant > 1.4 * expected.min()


@settings(deadline=None, max_examples=25)
@given(COUNTS, st.sampled_from([0.0, 0.25, 1.0, 2.0]), st.floats(0, 0.9), st.booleans())  # s² on the grid
def test_bins_of_positions_that_are_alike_average_to_the_law_without_bins(
    counts: Counts, variance: float, alike: float, is_causal: bool
) -> None:
    n = int(counts.sum())
    mask = Mask(n, n, is_causal)
    state = sequence(n, alike=alike)
    value = Along.axis(state, 0)
    whole = Attended(softmax_rows(variance, 8, 0.0, mask), value, n, 8, 0.0, 64)
    rows = binned_rows(variance, 8, 0.0, mask, counts, counts)
    binned = BinnedAttended(rows, counts, state.in_bins(counts), 8, 0.0, 64)
    out, expected = binned.moments().averages(), whole.moments()
    assert out[1] == pytest.approx(float(expected.second[0]), rel=1e-6)
    assert out[2] == pytest.approx(float(expected.across_positions[0]), rel=1e-6)
    delta = GradientMoments(np.ones(1), np.full(1, 0.5), np.full(1, 0.25))
    second, across = binned.to_value(*delta.in_bins(state, counts))
    back = whole.to_value(delta)
    share = counts / counts.sum()
    assert float(share @ second) == pytest.approx(float(back.second[0]), rel=1e-6)
    apart = (float(back.across_positions[0]), float(back.across_samples[0]))
    assert over_pairs(counts, across) == pytest.approx(apart, rel=0.02)  # E m E m' of two queries in place of E m m'


def test_relu_of_two_scales_is_the_arc_cosine_kernel() -> None:
    """E relu relu' = √(q q') (√(1 − c²) + (π − arccos c) c)/2π; without the bins' own scales the mean of both."""
    counts, q, c = np.array([1, 3]), np.array([1.0, 9.0]), 0.5
    across = c * np.sqrt(np.outer(q, q))
    x = Bins(counts, np.zeros(2), q, np.stack([across, across]))
    out = x.of(np.maximum(x.at_nodes, 0))
    kernel = (math.sqrt(1 - c * c) + (math.pi - math.acos(c)) * c) / (2 * math.pi)
    assert out.second == pytest.approx(q / 2, rel=1e-3)
    assert out.across[0] == pytest.approx(kernel * np.sqrt(np.outer(q, q)), rel=2e-3)


@given(COUNTS, st.data())
def test_a_cut_takes_moments_and_puts_the_gradient_back(counts: Counts, data: st.DataObject) -> None:
    n = int(counts.sum())
    chosen = np.array(sorted(data.draw(st.sets(st.integers(0, n - 1), min_size=1))))
    cut = Cut.of(counts, chosen)
    assert cut.counts.sum() == len(chosen)
    bins = np.arange(1.0, len(counts) + 1)
    assert cut.counts @ bins[cut.at] == pytest.approx(np.repeat(bins, counts)[chosen].sum())
    ones = np.ones(len(cut.at))
    second, across = cut.back(counts, ones, np.ones((2, len(ones), len(ones))))
    assert counts @ second == pytest.approx(len(chosen))  # Σ δ² is where it was
    assert (pairs(counts) * across[0]).sum() == pytest.approx(len(chosen) * (len(chosen) - 1))
    assert counts @ across[1] @ counts == pytest.approx(len(chosen) ** 2)


@given(COUNTS, st.data())
def test_coarser_bins_have_the_same_averages(counts: Counts, data: st.DataObject) -> None:
    ends = np.cumsum(counts)
    kept = sorted({*data.draw(st.sets(st.sampled_from(ends.tolist()))), int(ends[-1])})
    coarse = np.diff(kept, prepend=0).astype(np.int64)
    second = np.arange(1.0, len(counts) + 1)
    across = np.stack([np.minimum.outer(second, second), np.outer(second, second)]) / 10
    own, apart = coarser(counts, coarse, second, across)
    assert coarse @ own == pytest.approx(counts @ second)
    assert (pairs(coarse) * apart[0]).sum() == pytest.approx((pairs(counts) * across[0]).sum())
    assert coarse @ apart[1] @ coarse == pytest.approx(counts @ across[1] @ counts)


@given(COUNTS)
def test_a_weight_meets_all_pairs(counts: Counts) -> None:
    """E (Σ x δ)² of what is alike in all bins is N (q g + (P − 1) k h + (B − 1) P s r)."""
    p, b = int(counts.sum()), 3
    x = Bins.alike(counts, 0.0, 2.0, (0.5, 0.25))
    across = np.multiply.outer([0.3, 0.2], np.ones((len(counts), len(counts))))
    found = met(x, np.full(len(counts), 0.7), across, b)
    assert found == pytest.approx(b * p * (2 * 0.7 + (p - 1) * 0.5 * 0.3 + (b - 1) * p * 0.25 * 0.2))


@given(COUNTS)
def test_a_state_has_the_averages_of_its_bins(counts: Counts) -> None:
    second = np.arange(1.0, len(counts) + 1)
    across = 0.5 * np.stack([np.minimum.outer(second, second)] * 2)
    out = sequence(int(counts.sum())).binned(Bins(counts, np.zeros(len(counts)), second, across))
    assert float(out.second[0]) == pytest.approx(float(counts @ second / counts.sum()))
    assert float(out.across_positions[0]) == pytest.approx(over_pairs(counts, across)[0])
    assert out.scaled(2.0).bins is None  # what does not know bins drops them


def test_a_gradient_follows_the_slope_of_each_bin() -> None:
    """Δ·φ'(x) with φ = x²/2 and δ alike: E δ² x_b² = q_b; the population's slope alone would be the mean in each."""
    counts, q = np.array([1, 3]), np.array([1.0, 9.0])
    x = sequence(4).binned(Bins(counts, np.zeros(2), q, np.zeros((2, 2, 2))))
    assert x.bins is not None
    flow = GradientMoments(np.ones(1), np.zeros(1), np.zeros(1), bins=Spread.alike(counts, 0.0, 0.0)).flow()
    back = {carrier: part.times(x.values, x.bins.at_nodes) for carrier, part in flow.items()}
    seen = total(back, x)
    assert seen.in_bins(x, counts)[0] == pytest.approx(q, rel=1e-6)
    assert float(seen.second[0]) == pytest.approx(7.0, rel=1e-6)
    assert latent.expectation(x.values**2)[0] == pytest.approx(7.0, rel=1e-6)
