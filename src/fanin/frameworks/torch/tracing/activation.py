"""A PyTorch activation, module or function, seen as a function of NumPy arrays."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from fanin.activations import Activation, activation
from fanin.errors import BadInput
from fanin.frameworks.torch.model.failure import first_line

Array = npt.NDArray[np.float64]


def array_activation(what: torch.nn.Module | Callable[[Any], Any]) -> Activation:
    """The same function in float64, with its derivative by autograd; a module as it is in evaluation mode.

    Raises:
        BadInput: a module's class instead of a module, or a function that fails on a tensor or returns none.
    """
    name = getattr(what, "__name__", type(what).__name__)
    if isinstance(what, type):
        raise BadInput(f"{name} is a class; pass a module made from it: {name}().")
    if isinstance(what, torch.nn.Module):
        what = copy.deepcopy(what).to("cpu", torch.float64).eval()  # the user's own stays as it is

    def apply(z: torch.Tensor) -> torch.Tensor:
        try:
            result = what(z.clone())  # it may write in place
        except Exception as error:  # whatever the user's function raises is explained and re-raised
            raise BadInput(
                f"{name} failed on a float64 tensor of shape {tuple(z.shape)}: "
                f"{type(error).__name__}: {first_line(error)}. "
                "An activation takes a tensor of any shape and acts on each element."
            ) from error
        if not isinstance(result, torch.Tensor):
            raise BadInput(f"{name} must return a tensor; got {type(result).__name__}.")
        return result

    def function(x: Array) -> Array:
        with torch.no_grad():
            return _array(apply(torch.from_numpy(x)))

    def derivative(x: Array) -> Array:
        with torch.enable_grad():
            z = torch.from_numpy(x).requires_grad_()
            total = apply(z).sum()
            slope = torch.autograd.grad(total, z)[0] if total.requires_grad else torch.zeros_like(z)
        return _array(slope)

    probes = np.linspace(-1.0, 1.0, 5)
    if not np.allclose(function(probes)[:1], function(probes[:1])):
        raise BadInput(f"{name} must act on each element alone; its first result changes with the others.")
    function.__name__ = name
    return activation(function, derivative=derivative)


def _array(x: torch.Tensor) -> Array:
    return x.detach().double().numpy()
