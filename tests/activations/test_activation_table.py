"""Every function and derivative of the table against torch and its autograd, in float64."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from fanin.activations import TABLE, Activation, activation
from fanin.activations.table import ALIASES, FAMILIES
from fanin.errors import BadInput

TORCH: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "identity": lambda x: x * 1,
    "relu": torch.relu,
    "relu6": F.relu6,
    "relu_squared": lambda x: torch.relu(x) ** 2,
    "leaky_relu": F.leaky_relu,
    "prelu": lambda x: F.prelu(x, torch.tensor([0.25], dtype=torch.float64)),
    "elu": F.elu,
    "celu": F.celu,
    "selu": F.selu,
    "gelu": F.gelu,
    "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
    "silu": F.silu,
    "mish": F.mish,
    "hardswish": F.hardswish,
    "softplus": lambda x: F.softplus(x, threshold=600),
    "sigmoid": torch.sigmoid,
    "hardsigmoid": lambda x: F.relu6(x + 3) / 6,  # the backward of F.hardsigmoid rounds 1/6 to float32
    "logsigmoid": F.logsigmoid,
    "tanh": torch.tanh,
    "tanhshrink": F.tanhshrink,
    "hardtanh": F.hardtanh,
    "erf": torch.erf,
    "softsign": F.softsign,
    "sin": torch.sin,
}
WITH_PARAMETERS: list[tuple[Activation, Callable[[torch.Tensor], torch.Tensor]]] = [
    (activation("leaky_relu", negative_slope=0.2), lambda x: F.leaky_relu(x, 0.2)),
    (activation("leaky_relu", negative_slope=-0.5), lambda x: F.leaky_relu(x, -0.5)),
    (activation("elu", alpha=0.3), lambda x: F.elu(x, 0.3)),
    (activation("celu", alpha=2.0), lambda x: F.celu(x, 2.0)),
    (activation("softplus", beta=3.0), lambda x: F.softplus(x, 3.0, threshold=600)),
    (activation("hardtanh", min_val=-0.4, max_val=2.0), lambda x: F.hardtanh(x, -0.4, 2.0)),
]
CASES = [(TABLE[name], TORCH[name]) for name in TABLE] + WITH_PARAMETERS
X = np.concatenate([np.linspace(-13, 13, 5000), np.geomspace(1e-9, 700, 200), -np.geomspace(1e-9, 700, 200)])


def test_every_name_is_compared_with_torch() -> None:
    assert TORCH.keys() == TABLE.keys()


@pytest.mark.parametrize(("phi", "in_torch"), CASES, ids=[str(phi) for phi, _ in CASES])
def test_function_and_derivative_are_those_of_torch(
    phi: Activation, in_torch: Callable[[torch.Tensor], torch.Tensor]
) -> None:
    x = torch.tensor(X, dtype=torch.float64, requires_grad=True)
    y = in_torch(x)
    (slope,) = torch.autograd.grad(y.sum(), x)
    np.testing.assert_allclose(phi(X), y.detach().numpy(), rtol=1e-13, atol=1e-15)
    np.testing.assert_allclose(phi.derivative(X), slope.numpy(), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("name", ["relu", "relu6", "leaky_relu", "elu", "celu", "selu", "hardsigmoid", "hardtanh"])
def test_the_slope_at_zero_is_that_of_torch(name: str) -> None:
    x = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(TORCH[name](x).sum(), x)
    assert TABLE[name].slope_at_zero == pytest.approx(float(slope), abs=1e-15)


@pytest.mark.parametrize("phi", [phi for phi, _ in CASES], ids=str)
def test_bounds_are_the_tightest(phi: Activation) -> None:
    wide = np.concatenate([np.linspace(-9, 9, 200_001), [-1e9, 1e9]])
    values = phi(wide)
    assert np.isfinite(values).all()
    low, high = phi.bounds
    assert values.min() == pytest.approx(low, abs=1e-7) if math.isfinite(low) else values.min() < -20
    assert values.max() == pytest.approx(high, abs=1e-7) if math.isfinite(high) else values.max() > 20
    assert values.min() >= low - 1e-15
    assert values.max() <= high + 1e-15


@pytest.mark.parametrize("phi", [phi for phi, _ in CASES], ids=str)
def test_kinks_are_where_the_slope_jumps(phi: Activation) -> None:
    """No jump of φ' between neighbours 1e-4 apart, except across a declared kink."""
    x = np.arange(-80_000.5, 80_000) * 1e-4
    rough = np.abs(np.diff(phi.derivative(x))) > 1e-3
    declared = np.zeros_like(rough)
    for kink in phi.kinks:
        declared |= (x[:-1] <= kink) & (kink <= x[1:])
    assert not (rough & ~declared).any()


def test_which_activations_saturate() -> None:
    assert {name for name, phi in TABLE.items() if phi.saturates} == {
        *("tanh", "sigmoid", "erf", "hardtanh", "softsign", "hardsigmoid", "relu6"),
    }
    assert TABLE["sin"].bounds == (-1.0, 1.0)


def test_tails_keep_their_relative_accuracy() -> None:
    far = np.array([-36.0])
    assert TABLE["sigmoid"](far)[0] == pytest.approx(math.exp(-36), rel=1e-12)
    assert TABLE["gelu"](far)[0] == pytest.approx(-18 * math.erfc(36 / math.sqrt(2)), rel=1e-12)
    assert TABLE["tanh"].derivative(far)[0] == pytest.approx(4 * math.exp(-72), rel=1e-12)
    small = np.array([1e-4, 0.0199999, 0.0200001])
    series = small**3 * (1 / 3 - small**2 * (2 / 15 - small**2 * 17 / 315))
    np.testing.assert_allclose(TABLE["tanhshrink"](small), series, rtol=1e-11)


def test_the_literals_agree() -> None:
    assert all(phi.name == name for name, phi in TABLE.items())
    assert all(
        family() == TABLE[name] or family().parameters == TABLE[name].parameters for name, family in FAMILIES.items()
    )
    assert {name for name, phi in TABLE.items() if phi.parameters} == FAMILIES.keys()
    assert set(ALIASES.values()) <= TABLE.keys()
    assert not ALIASES.keys() & TABLE.keys()


def test_an_activation_is_checked_at_construction() -> None:
    with pytest.raises(BadInput, match="callable"):
        Activation("none", np.tanh, None)  # type: ignore[arg-type]
    with pytest.raises(BadInput, match="kinks must be finite"):
        Activation("odd", np.tanh, np.cos, kinks=(math.nan,))
    with pytest.raises(BadInput, match=r"bounds must be \(low, high\)"):
        Activation("odd", np.tanh, np.cos, bounds=(1.0, -1.0))
