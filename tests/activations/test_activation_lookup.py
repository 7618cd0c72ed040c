"""What a caller may write for an activation."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch

from fanin.activations import TABLE, activation
from fanin.activations.quadrature import Array
from fanin.activations.resolve import CentralDifference
from fanin.errors import BadInput, UnknownName


@pytest.mark.parametrize(
    ("spelling", "name"),
    [
        ("relu", "relu"),
        ("ReLU", "relu"),
        ("linear", "identity"),
        ("Swish", "silu"),
        ("Leaky-ReLU", "leaky_relu"),
        ("LeakyReLU", "leaky_relu"),
        ("relu²", "relu_squared"),
        ("ReLU2", "relu_squared"),
        ("squared relu", "relu_squared"),
        (" gelu-tanh ", "gelu_tanh"),
        ("Hard-Swish", "hardswish"),
    ],
)
def test_spellings(spelling: str, name: str) -> None:
    assert activation(spelling) is TABLE[name]


def test_parameters() -> None:
    leaky = activation("leaky_relu", negative_slope=0.2)
    assert leaky(np.array([-1.0, 2.0])).tolist() == [-0.2, 2.0]
    assert leaky.parameters == (("negative_slope", 0.2),)
    assert activation("leaky_relu", negative_slope=0.01) is TABLE["leaky_relu"]
    assert activation("hardtanh", max_val=3).bounds == (-1.0, 3.0)
    assert activation(leaky) is leaky


def test_unknown_names_suggest_the_nearest() -> None:
    with pytest.raises(UnknownName, match=r"no activation 'gleu'\. Did you mean 'gelu'"):
        activation("gleu")


@pytest.mark.parametrize(
    ("what", "arguments", "message"),
    [
        ("leaky_relu", {"slope": 0.2}, "no parameter 'slope'. Accepted: negative_slope."),
        ("hardtanh", {"min": 0.2, "max": 1.0}, "no parameter 'min', 'max'. Accepted: min_val, max_val."),
        ("tanh", {"alpha": 1.0}, "tanh has no parameter 'alpha'. It takes no parameters."),
        ("elu", {"alpha": "one"}, "elu needs a finite number for alpha, got 'one'"),
        ("elu", {"alpha": math.nan}, "elu needs a finite number for alpha, got nan"),
        ("celu", {"alpha": 0.0}, "celu needs alpha > 0, got 0"),
        ("softplus", {"beta": -1.0}, "softplus needs beta > 0, got -1"),
        ("hardtanh", {"min_val": 2.0}, "min_val < max_val, got 2 and 1"),
        ("tanh", {"derivative": np.cos}, "derivative= belongs to a function"),
        (TABLE["elu"], {"alpha": 2.0}, r"elu\(alpha=1\), which is already built, has no parameter 'alpha'"),
        (np.tanh, {"alpha": 2.0}, "a function has no parameter 'alpha'"),
        (3, {}, "a name, an Activation or a function on NumPy arrays; got 3"),
        (torch.relu, {}, "relu must take and return a float64 NumPy array"),
        (torch.nn.ReLU(), {}, "ReLU must take and return a float64 NumPy array"),
        (np.sum, {}, "sum must be elementwise"),
    ],
)
def test_what_cannot_be_used(what: Any, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        activation(what, **arguments)


def test_a_derivative_that_is_given_is_used() -> None:
    mine = activation(np.sin, derivative=np.cos)
    assert (mine.name, mine.derivative) == ("sin", np.cos)
    with pytest.raises(BadInput, match="must be elementwise"):
        activation(np.sin, derivative=lambda x: x[:1])


@pytest.mark.parametrize("name", TABLE)
def test_numeric_derivatives_are_good_to_1e_8(name: str) -> None:
    phi = TABLE[name]
    x = np.random.default_rng(0).normal(scale=4, size=20_000)
    numeric = activation(phi.function).derivative(x)
    np.testing.assert_allclose(numeric, phi.derivative(x), rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("distance", [1e-12, 1e-9, 1e-7, 1e-6, 1e-5, 1e-4])
@pytest.mark.parametrize("jump", [0.0, 1e-3, 1.0, 1e3])
def test_numeric_derivatives_do_not_look_across_a_kink_or_a_jump(distance: float, jump: float) -> None:
    def bent(x: Array) -> Array:
        return np.where(x > 0.3, np.sin(x) + jump, 0.1 * x)

    left, right = CentralDifference(bent)(np.array([0.3 - distance, 0.3 + distance]))
    tolerance = 1e-8 * max(1.0, jump / 10)  # rounding of φ itself, ε·jump/h
    assert left == pytest.approx(0.1, abs=tolerance)
    assert right == pytest.approx(math.cos(0.3 + distance), abs=tolerance)


def test_mutant_plain_central_difference_blows_up_at_a_jump() -> None:
    def step(x: Array) -> Array:
        return np.where(x > 0.3, 1.0, 0.0)

    near = np.array([0.3 - 1e-6])
    assert (step(near + 1e-5) - step(near - 1e-5))[0] / 2e-5 > 1e4
    assert CentralDifference(step)(near)[0] == 0


def test_equal_inputs_give_equal_activations() -> None:
    def mine(x: Array) -> Array:
        return np.tanh(x)

    assert activation(mine) == activation(mine)
    assert hash(activation(mine)) == hash(activation(mine))
    assert activation(mine) != activation(np.tanh)


def test_function_objects_are_named() -> None:
    unnamed: Callable[[Array], Array] = partial(np.multiply, 2.0)
    assert activation(unnamed).name == "partial"
