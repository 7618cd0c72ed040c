"""An activation written with PyTorch, seen by the quadrature."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fanin.activations import TABLE, activation, moments
from fanin.errors import BadInput
from fanin.frameworks import activation_of

NAMED: list[tuple[Any, str]] = [
    (F.gelu, "gelu"),
    (nn.GELU(), "gelu"),
    (nn.GELU(approximate="tanh"), "gelu_tanh"),
    (lambda z: z * torch.sigmoid(z), "silu"),
    (torch.tanh, "tanh"),
    (nn.ReLU(inplace=True), "relu"),
    (nn.Softplus(), "softplus"),
    (nn.Mish(), "mish"),
]


@pytest.mark.parametrize(("what", "name"), NAMED)
def test_a_function_of_tensors_has_the_moments_of_the_named_one(what: Any, name: str) -> None:
    found, expected = moments(activation_of(what)), moments(name)
    assert found.second_moment == pytest.approx(expected.second_moment, rel=1e-8)
    assert found.derivative_second_moment == pytest.approx(expected.derivative_second_moment, rel=1e-8)


def test_a_module_keeps_its_parameters_precision_and_mode() -> None:
    prelu = nn.PReLU(init=0.4).half()
    found = moments(activation_of(prelu))
    assert found.second_moment == pytest.approx(moments("leaky_relu", negative_slope=0.4).second_moment, rel=1e-3)
    assert prelu.weight.dtype is torch.float16
    assert prelu.training
    random = nn.RReLU(0.2, 0.4)  # in evaluation mode its slope is the mean of the two
    expected = moments("leaky_relu", negative_slope=0.3)
    assert moments(activation_of(random)).second_moment == pytest.approx(expected.second_moment)


def test_a_function_that_writes_in_place_does_not_reach_the_callers_array() -> None:
    x = np.array([-1.0, 2.0])
    assert activation_of(torch.relu_)(x).tolist() == [0.0, 2.0]
    assert x.tolist() == [-1.0, 2.0]


def test_what_is_no_function_of_tensors_is_handed_on() -> None:
    assert activation_of("gelu") == "gelu"
    assert activation_of(np.tanh) is np.tanh
    assert activation_of(TABLE["relu"]) is TABLE["relu"]
    assert activation(np.tanh)(np.zeros(1)).tolist() == [0.0]


def one_over_zero(z: Tensor) -> Tensor:
    return 1 / 0  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("what", "message"),
    [
        (nn.ReLU, r"ReLU is a class; pass a module made from it: ReLU\(\)"),
        (nn.Linear(2, 2), r"Linear failed on a float64 tensor of shape \(5,\): RuntimeError: mat1"),
        (nn.PReLU(4), "PReLU failed on a float64 tensor .* acts on each element"),
        (one_over_zero, "one_over_zero failed .* ZeroDivisionError: division by zero"),
        (lambda z: [z], "must return a tensor; got list"),
        (nn.Softmax(-1), "Softmax must act on each element alone"),
        (F.glu, "glu"),
    ],
)
def test_what_is_no_activation_is_refused(what: Callable[..., Any], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        moments(activation_of(what))


def test_a_function_whose_slope_autograd_does_not_see_is_flat() -> None:
    assert moments(activation_of(lambda z: (z > 0).to(z.dtype))).derivative_second_moment == 0
