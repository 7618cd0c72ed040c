"""Laws whose variance follows from fans and a gain, as torch counts them: Glorot (xavier) and He (kaiming)."""

from __future__ import annotations

import math
import warnings

from torch import Generator, Tensor

from fanin.activations import activation, moments, torch_gain
from fanin.activations.torch_gain import torch_gain_of
from fanin.compat.torch.call import draw_, overridable, share
from fanin.errors import BadInput, UnknownName
from fanin.graph import Fans
from fanin.initializers import VarianceScaling


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """Torch's gain where torch has one; for any other activation that fanin knows, the exact 1/√E φ².

    Torch's own are kept as they are: 5/3 for tanh, 1 for sigmoid and 3/4 for selu are conventions. The exact gain of
    any activation is `fanin.gain(nonlinearity).forward`. Names are read as fanin reads them ("GELU", "leaky-relu").

    Args:
        nonlinearity: gelu, silu, elu, mish, softplus, hardswish, identity, … beside those of torch.
        param: the negative slope of leaky_relu, 0.01 if None. Others ignore it, as in torch.

    Raises:
        UnknownName: no such activation.
        BadInput: the slope is no number, or E φ² = 0.

    Example:
        >>> calculate_gain("tanh"), round(calculate_gain("gelu"), 6)
        (1.6666666666666667, 1.53353)
    """
    try:
        return torch_gain(nonlinearity, param)
    except UnknownName:
        phi = activation(nonlinearity)
    if phi.name == "leaky_relu":
        return torch_gain("leaky_relu", param)
    gain, _ = torch_gain_of(phi)
    return moments(phi).forward if gain is None else gain


def _calculate_fan_in_and_fan_out(tensor: Tensor) -> tuple[int, int]:
    """(inputs · kernel, outputs · kernel) of a weight (outputs, inputs, *kernel), from its shape alone.

    A grouped, strided or transposed convolution has other fans, as has a packed weight: a depthwise one of 64 channels
    and 3 × 3 gets (9, 576) here and has (9, 9). `fanin.graph.fans` counts them, and `fanin.initialize_` uses those.
    """
    if tensor.dim() < 2:
        raise BadInput(
            "Fan in and fan out can not be computed for tensor with fewer than 2 dimensions; got shape "
            f"{tuple(tensor.shape)}. Use normal_ or uniform_."
        )
    outputs, inputs, *kernel = tensor.shape
    return inputs * math.prod(kernel), outputs * math.prod(kernel)


def _calculate_correct_fan(tensor: Tensor, mode: str) -> int:
    """The fan that "fan_in" or "fan_out", in any case, names."""
    modes = ("fan_in", "fan_out")
    if mode.lower() not in modes:
        raise UnknownName("mode", mode, modes)
    return _calculate_fan_in_and_fan_out(tensor)[modes.index(mode.lower())]


@overridable
def xavier_uniform_(
    tensor: Tensor,
    gain: float = 1.0,
    generator: Generator | None = None,
    *,
    seed: int | None = None,
    name: str = "",
) -> Tensor:
    """U(±gain √(6/(fan_in + fan_out))), with torch's fans.

    Args:
        tensor: (outputs, inputs, *kernel), filled in place. Complex: the variance of both parts together is that of a
            real tensor; torch's is twice that.
        gain: at least 0.
        generator, seed, name: as for `uniform_`.

    Raises:
        BadInput: fewer than two axes; and as for `uniform_`.
        CannotWrite: as for `uniform_`.

    Example:
        >>> import torch
        >>> xavier_uniform_(torch.empty(1, 2), seed=0, name="weight")
        tensor([[-0.4507, -0.9111]])

    Reference: Glorot & Bengio 2010, eq. 16.
    """
    what = VarianceScaling(float(gain) * share(tensor), "fan_avg", "uniform")
    return draw_(tensor, what, generator, seed, name, Fans(*_calculate_fan_in_and_fan_out(tensor)))


@overridable
def xavier_normal_(
    tensor: Tensor,
    gain: float = 1.0,
    generator: Generator | None = None,
    *,
    seed: int | None = None,
    name: str = "",
) -> Tensor:
    """N(0, gain² · 2/(fan_in + fan_out)), with torch's fans.

    Args, Raises: as for `xavier_uniform_`.

    Reference: Glorot & Bengio 2010, eq. 12.
    """
    what = VarianceScaling(float(gain) * share(tensor), "fan_avg", "normal")
    return draw_(tensor, what, generator, seed, name, Fans(*_calculate_fan_in_and_fan_out(tensor)))


@overridable
def kaiming_uniform_(
    tensor: Tensor,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
    *,
    seed: int | None = None,
    name: str = "",
) -> Tensor:
    """U(±gain √(3/fan)), with torch's fans and `calculate_gain(nonlinearity, a)`.

    Args:
        tensor: as for `xavier_uniform_`. One without elements is left alone, with a warning.
        a: the negative slope, for leaky_relu alone.
        mode: "fan_in" keeps the second moment of the signal, "fan_out" that of the gradient.
        nonlinearity: as for `calculate_gain`.
        generator, seed, name: as for `uniform_`.

    Raises:
        BadInput: fewer than two axes, another mode, an unknown nonlinearity; and as for `uniform_`.
        CannotWrite: as for `uniform_`.

    Example:
        >>> import torch
        >>> kaiming_uniform_(torch.empty(1, 2), nonlinearity="gelu", seed=0, name="weight")
        tensor([[-0.5986, -1.2100]])

    Reference: He et al. 2015, eq. 10 and 14.
    """
    return _kaiming_(tensor, a, mode, nonlinearity, "uniform", generator, seed, name)


@overridable
def kaiming_normal_(
    tensor: Tensor,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
    *,
    seed: int | None = None,
    name: str = "",
) -> Tensor:
    """N(0, gain²/fan), with torch's fans and `calculate_gain(nonlinearity, a)`.

    Args, Raises, Reference: as for `kaiming_uniform_`.
    """
    return _kaiming_(tensor, a, mode, nonlinearity, "normal", generator, seed, name)


def _kaiming_(
    tensor: Tensor,
    a: float,
    mode: str,
    nonlinearity: str,
    distribution: str,
    generator: Generator | None,
    seed: int | None,
    name: str,
) -> Tensor:
    if 0 in tensor.shape:
        warnings.warn("Initializing zero-element tensors is a no-op", stacklevel=4)
        return tensor
    _calculate_correct_fan(tensor, mode)  # refuses what is no mode, and vectors
    what = VarianceScaling(calculate_gain(nonlinearity, a) * share(tensor), mode.lower(), distribution)
    return draw_(tensor, what, generator, seed, name, Fans(*_calculate_fan_in_and_fan_out(tensor)))
