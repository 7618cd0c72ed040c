"""A PyTorch activation, module or function, seen as a function of NumPy arrays."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from fanin.activations import Activation, activation

Array = npt.NDArray[np.float64]


def array_activation(what: torch.nn.Module | Callable[[Any], Any]) -> Activation:
    """The same function in float64, with its derivative by autograd."""
    if isinstance(what, torch.nn.Module):
        what = copy.deepcopy(what).double()  # the user's module keeps its dtype

    def function(x: Array) -> Array:
        with torch.no_grad():
            return _array(what(torch.from_numpy(x)))

    def derivative(x: Array) -> Array:
        z = torch.from_numpy(x).requires_grad_()
        (slope,) = torch.autograd.grad(what(z).sum(), z)
        return _array(slope)

    function.__name__ = getattr(what, "__name__", type(what).__name__)
    return activation(function, derivative=derivative)


def _array(x: torch.Tensor) -> Array:
    return x.detach().double().numpy()
