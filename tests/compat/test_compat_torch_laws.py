"""The laws of `fanin.compat.torch`, measured: tolerances follow from the number of draws."""

from __future__ import annotations

import math
import warnings

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from torch import nn

from fanin.compat import torch as init
from fanin.initializers import CutNormal, Target
from fanin.testing.tolerance import mean_tolerance, std_tolerance

WINDOWS = [  # (mean, std, a, b); the last four take torch's rejection loop from seconds to minutes on a large weight
    (0.0, 1.0, -2.0, 2.0),
    (0.1, 0.02, 0.09, 0.2),
    (0.0, 1.0, 1.5, 4.0),
    (0.0, 1.0, 4.0, 5.0),
    (0.0, 1.0, -math.inf, -3.0),
    (-3.0, 0.5, -1.0, 7.0),
]


@pytest.mark.parametrize(("mean", "std", "a", "b"), WINDOWS)
def test_a_window_has_the_law_of_the_conditioned_normal(mean: float, std: float, a: float, b: float) -> None:
    n = 1 << 16
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        w = init.trunc_normal_(torch.empty(n, dtype=torch.float64), mean, std, a, b, seed=0, name="w").numpy()
    law = stats.truncnorm((a - mean) / std, (b - mean) / std, mean, std)
    kurtosis = float(law.stats("k")) + 3
    assert w.mean() == pytest.approx(law.mean(), abs=mean_tolerance(n, law.std()))
    assert w.std() == pytest.approx(law.std(), rel=std_tolerance(n, kurtosis))
    assert stats.kstest(w, law.cdf).pvalue > 1e-9
    declared = CutNormal(std, mean, a, b).law(Target("w", (n,)))
    assert declared.mean == pytest.approx(law.mean(), abs=1e-9 * std)
    assert declared.std == pytest.approx(law.std(), rel=1e-6)
    assert kurtosis == pytest.approx(declared.kurtosis, rel=1e-3)


@given(
    mean=st.floats(-3, 3),
    std=st.floats(0.01, 3),
    below=st.floats(-4, 4),
    width=st.floats(0.01, 8),
    dtype=st.sampled_from([torch.float32, torch.float64, torch.float16, torch.bfloat16]),
    seed=st.integers(0, 5),
)
def test_no_value_lies_beyond_a_bound_as_the_dtype_rounds_it(
    mean: float, std: float, below: float, width: float, dtype: torch.dtype, seed: int
) -> None:
    a, b = mean + below * std, mean + (below + width) * std
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        w = init.trunc_normal_(torch.empty(500, dtype=dtype), mean, std, a, b, seed=seed)
    assert w.min() >= torch.tensor(a, dtype=dtype)
    assert w.max() <= torch.tensor(b, dtype=dtype)


@pytest.mark.parametrize(
    ("mean", "std", "a", "b"),
    [(0.0, 0.39, 0.776, 0.776000776), (-2.9, 0.82, -1.546, -1.545998454), (1.33, 0.53, 0.928, 0.928000928)],
)
def test_bounds_that_rounding_would_cross(mean: float, std: float, a: float, b: float) -> None:
    """Of 1,024 values within the cuts, 7 to 48 became float32 numbers beyond a bound."""
    w = init.trunc_normal_(torch.empty(1 << 10), mean, std, a, b, seed=0, name="w")
    assert w.min() >= torch.tensor(a)
    assert w.max() <= torch.tensor(b)
    assert len(set(w.tolist())) > 3


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_bounds_of_a_hundred_sigmas_cut_nothing_and_nothing_lies_at_them(dtype: torch.dtype) -> None:
    w = init.trunc_normal_(torch.empty(1 << 16, dtype=dtype), std=0.02, seed=0, name="w")
    assert torch.equal(w, init.normal_(torch.empty(1 << 16, dtype=dtype), std=0.02, seed=0, name="w"))
    assert w.abs().max() < 0.02 * 6.3


def test_a_mean_outside_of_the_window_warns_at_the_callers_line() -> None:
    with pytest.warns(UserWarning, match=r"mean is more than 2 std from \[a, b\] in nn.init.trunc_normal_") as seen:
        init.trunc_normal_(torch.empty(3), 0.0, 1.0, 3.0, 4.0)
    assert seen[0].filename == __file__


@pytest.mark.parametrize("shape", [(200, 300), (40, 30, 5, 10)])
def test_scaled_laws_have_the_std_that_torch_documents(shape: tuple[int, ...]) -> None:
    kernel = math.prod(shape[2:])
    fan_in, fan_out, n = shape[1] * kernel, shape[0] * kernel, math.prod(shape)
    w = torch.empty(shape)
    for drawn, expected, kurtosis in (
        (init.xavier_uniform_(w.clone(), 2.0), 2 * math.sqrt(2 / (fan_in + fan_out)), 1.8),
        (init.xavier_normal_(w.clone()), math.sqrt(2 / (fan_in + fan_out)), 3.0),
        (init.kaiming_uniform_(w.clone(), 1.0), 1 / math.sqrt(fan_in), 1.8),
        (init.kaiming_normal_(w.clone(), mode="FAN_OUT", nonlinearity="relu"), math.sqrt(2 / fan_out), 3.0),
        (init.kaiming_normal_(w.clone(), nonlinearity="tanh"), 5 / 3 / math.sqrt(fan_in), 3.0),
    ):
        assert drawn.double().std().item() == pytest.approx(expected, rel=std_tolerance(n, kurtosis))


def test_fans_are_those_of_torch() -> None:
    for shape in ((3, 5), (4, 2, 3), (64, 1, 3, 3), (0, 3)):
        tensor = torch.empty(shape)
        ours, theirs = (module._calculate_fan_in_and_fan_out(tensor) for module in (init, nn.init))
        assert ours == theirs
        for mode in ("fan_in", "FAN_OUT"):
            ours, theirs = (module._calculate_correct_fan(tensor, mode) for module in (init, nn.init))
            assert ours == theirs


@pytest.mark.parametrize("dtype", [torch.complex64, torch.complex128])
def test_complex_weights_have_the_variance_of_real_ones(dtype: torch.dtype) -> None:
    """torch's uniform laws give them twice that."""
    n, fan = 300 * 200, 200
    w = torch.empty(300, 200, dtype=dtype)
    for drawn, expected, kurtosis in (
        (init.normal_(w.clone(), std=0.5, seed=0), 0.5, 3.0),
        (init.xavier_uniform_(w.clone(), seed=0), math.sqrt(2 / 500), 1.8),
        (init.xavier_normal_(w.clone(), seed=0), math.sqrt(2 / 500), 3.0),
        (init.kaiming_uniform_(w.clone(), nonlinearity="relu", seed=0), math.sqrt(2 / fan), 1.8),
        (init.kaiming_normal_(w.clone(), nonlinearity="relu", seed=0), math.sqrt(2 / fan), 3.0),
    ):
        parts = torch.view_as_real(drawn).double()
        for part in parts.unbind(-1):
            assert part.std().item() == pytest.approx(expected / math.sqrt(2), rel=std_tolerance(n, kurtosis))
        correlation = (parts[..., 0] * parts[..., 1]).mean().item() / (expected**2 / 2)
        assert abs(correlation) < mean_tolerance(n, 1.0)


def test_complex_numbers_of_other_laws() -> None:
    parts = torch.view_as_real(init.uniform_(torch.empty(1000, dtype=torch.complex64), 2.0, 3.0))
    assert parts.min() >= 2
    assert parts.max() <= 3
    conjugate = torch.empty(2, 3, dtype=torch.complex64).conj()
    assert torch.equal(
        init.normal_(conjugate, seed=0).resolve_conj(), init.normal_(torch.empty(2, 3, dtype=torch.complex64), seed=0)
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("shape", [(12, 5), (5, 12), (6, 2, 3)])
def test_orthogonal_is_orthogonal_in_every_dtype(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    for gain in (2.0, -2.0):
        q = init.orthogonal_(torch.empty(shape, dtype=dtype), gain).double().flatten(1)
        gram = q @ q.T if q.shape[0] <= q.shape[1] else q.T @ q
        unit = {torch.float16: 2.0**-11, torch.bfloat16: 2.0**-8}.get(dtype, 2.0**-24)
        error = 2 * unit * gain**2 * math.sqrt(max(q.shape))  # a rounding of each factor, and ‖row‖₁ ≤ √n ‖row‖₂
        assert (gram - gain**2 * torch.eye(len(gram))).abs().max() < error
