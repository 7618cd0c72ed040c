import math

import numpy as np
import pytest

from fanin.signals.softmax import Mask, softmax_rows


def test_rows_without_logits_are_uniform() -> None:
    rows = softmax_rows(0.0, 64, 0.5, Mask(16, 16))
    assert rows.overlap == pytest.approx(1 / 16)
    assert rows.shared == pytest.approx(1 / 16)
    assert rows.slope == pytest.approx((1 - 1 / 16) / 16)
    assert rows.entropy == pytest.approx(math.log(16))


def test_a_causal_mask_is_the_same_whether_named_or_added() -> None:
    hidden = np.where(np.tril(np.ones((24, 24))) > 0, 0.0, np.finfo(np.float32).min)
    named, added = (softmax_rows(1.0, 16, 0.2, m) for m in (Mask(24, 24, causal=True), Mask(24, 24).plus(hidden)))
    assert named.overlap == pytest.approx(added.overlap)
    assert named.slope_shared == pytest.approx(added.slope_shared)


def test_a_causal_row_of_n_keys_counts_one_over_n() -> None:
    rows = softmax_rows(0.0, 64, 0.0, Mask(512, 512, causal=True))
    harmonic = sum(1 / n for n in range(1, 513)) / 512
    assert rows.overlap == pytest.approx(harmonic, rel=0.005)  # rows with many keys are thinned


@pytest.mark.parametrize("variance", [0.3, 1.0, 4.0])
@pytest.mark.parametrize("causal", [False, True])
def test_overlap_and_slope_are_those_of_a_drawn_softmax(variance: float, causal: bool) -> None:
    n, width, draws = 24, 32, 400
    random = np.random.default_rng(1)
    found = []
    for _ in range(draws):
        q, k = random.standard_normal((2, n, width))
        logits = math.sqrt(variance / width) * q @ k.T
        if causal:
            logits[np.triu_indices(n, 1)] = -np.inf
        a = np.exp(logits - logits.max(-1, keepdims=True))
        a /= a.sum(-1, keepdims=True)
        jacobian = a[:, :, None] * (np.eye(n) - a[:, None, :])
        found.append([(a**2).sum(-1).mean(), (jacobian**2).sum((1, 2)).mean()])
    rows = softmax_rows(variance, width, 0.0, Mask(n, n, causal))
    tolerance = 5 * np.std(found, 0) / math.sqrt(draws) / np.mean(found, 0) + 0.01  # 1 % for the drawing of `rows`
    assert abs(rows.overlap / np.mean(found, 0)[0] - 1) < tolerance[0]
    assert abs(rows.slope / np.mean(found, 0)[1] - 1) < tolerance[1]
    expansion = math.exp(variance) / n  # the mutant: Σ A² ≈ e^{s²}/n
    if variance > 2:
        assert abs(expansion / np.mean(found, 0)[0] - 1) > tolerance[0]


def test_one_key_takes_everything() -> None:
    rows = softmax_rows(2.0, 8, 0.0, Mask(5, 1))
    assert rows.overlap == pytest.approx(1.0)
    assert rows.slope == pytest.approx(0.0, abs=1e-12)


def test_thousands_of_keys_behind_a_causal_mask() -> None:
    """Then one matrix alone is more than is drawn at a time."""
    n = 2048
    rows = softmax_rows(0.01, 128, 0.0, Mask(n, n, causal=True))
    assert rows.overlap == pytest.approx(sum(1 / i for i in range(1, n + 1)) / n, rel=0.05)
