"""Moments by quadrature, against closed forms and published tables."""

from __future__ import annotations

import math

import numpy as np
import pytest

from fanin.activations import activation
from fanin.signals import latent

# φ: E φ, E φ², Var φ, E φ'², gain 1/√E φ²; at q = 1, μ = 0
AT_ONE = {
    "relu": (0.398942, 0.500000, 0.340845, 0.500000, 1.414214),
    "gelu": (0.282095, 0.425221, 0.345644, 0.455851, 1.533530),
    "gelu_tanh": (0.282039, 0.425194, 0.345648, 0.455818, 1.533581),
    "silu": (0.206621, 0.355776, 0.313083, 0.379482, 1.676532),
    "mish": (0.240404, 0.452342, 0.394548, 0.479084, 1.486848),
    "elu": (0.160521, 0.644945, 0.619179, 0.668102, 1.245198),
    "selu": (0.0, 1.000000, 1.000000, 1.071575, 1.000000),
    "tanh": (0.0, 0.394294, 0.394294, 0.464403, 1.592537),
    "sigmoid": (0.5, 0.293379, 0.043379, 0.044836, 1.846229),
    "softplus": (0.806059, 0.921246, 0.271515, 0.293379, 1.041867),
    "hardswish": (0.166217, 0.331567, 0.303939, 0.358532, 1.736657),
    "hardtanh": (0.0, 0.516059, 0.516059, 0.682689, 1.392036),
    "softsign": (0.0, 0.183014, 0.183014, 0.227671, 2.337533),
}
AT_HALF = {"relu": 0.608998, "gelu": 0.534533, "silu": 0.514846, "tanh": 0.472551, "selu": 0.490569}  # C(.5)
# n: mean and variance of the largest of n standard normal variables (Harter 1961)
LARGEST = {2: (0.564190, 0.681690), 3: (0.846284, 0.559467), 4: (1.029375, 0.491715), 9: (1.485013, 0.357353)}


@pytest.mark.parametrize("name", AT_ONE)
def test_moments_at_one(name: str) -> None:
    phi = activation(name)
    values, slopes = (np.asarray(f(latent.NODES), dtype=np.float64)[None] for f in (phi.function, phi.derivative))
    mean, second, slope = (float(latent.expectation(v)[0]) for v in (values, values**2, slopes**2))
    found = (mean, second, second - mean**2, slope, 1 / math.sqrt(second))
    assert found == pytest.approx(AT_ONE[name], abs=1e-3)


@pytest.mark.parametrize("name", AT_HALF)
def test_correlation_of_a_half(name: str) -> None:
    values = np.asarray(activation(name).function(latent.NODES), dtype=np.float64)[None]
    kernel = latent.covariance(values, np.array([0.5])) / latent.expectation(values**2)
    assert kernel[0] == pytest.approx(AT_HALF[name], abs=1e-3)


@pytest.mark.parametrize("n", LARGEST)
def test_order_statistics(n: int) -> None:
    from fanin.signals.rules.extremes import largest

    top = largest(n)[None]
    mean = float(latent.expectation(top)[0])
    assert (mean, float(latent.expectation(top**2)[0]) - mean**2) == pytest.approx(LARGEST[n], abs=1e-3)


def test_correlation_of_inverts_covariance() -> None:
    values = np.maximum(latent.NODES, 0)[None]
    rho = latent.correlation_of(values, latent.covariance(values, np.array([0.37])))
    assert rho[0] == pytest.approx(0.37, abs=1e-6)
