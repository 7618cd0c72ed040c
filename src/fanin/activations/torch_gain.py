"""The gains that `torch.nn.init.calculate_gain` hands out, and how they differ from those of the moments.

| name | torch | 1/√E φ², z ~ N(0, 1) | where torch's comes from |
|---|---|---|---|
| linear, conv… | 1 | 1 | exact |
| relu, leaky_relu | √(2/(1 + a²)) | the same | He et al. 2015 |
| tanh | 5/3 | 1.5925 | a convention; keeps E φ² near 0.43 in a deep net |
| sigmoid | 1 | 1.8462 | none: nothing is compensated |
| selu | 3/4 | 1 | found by experiment, for gradients; SELU's own paper needs 1 |

All other activations are unsupported there.
"""

from __future__ import annotations

import math

from fanin.activations.table import Activation
from fanin.errors import BadInput, UnknownName

LINEAR = ("linear", *(f"conv{d}d" for d in (1, 2, 3)), *(f"conv_transpose{d}d" for d in (1, 2, 3)))
CONSTANTS = {"sigmoid": 1.0, "tanh": 5 / 3, "relu": math.sqrt(2), "selu": 3 / 4}
WHY = {
    "identity": "exact",
    "relu": "exact (He et al. 2015)",
    "leaky_relu": "exact (He et al. 2015)",
    "tanh": "a convention (5/3)",
    "sigmoid": "a convention (1): E φ² is not kept",
    "selu": "found by experiment for gradients; SELU's fixed point needs 1",
}


def torch_gain(nonlinearity: str, param: float | None = None) -> float:
    """What `torch.nn.init.calculate_gain(nonlinearity, param)` returns, without torch.

    Args:
        nonlinearity: as in torch.nn.functional: linear, conv1d … conv_transpose3d, sigmoid, tanh, relu, leaky_relu,
            selu.
        param: the negative slope of leaky_relu; 0.01 if None. Other activations ignore it, as in torch.

    Raises:
        UnknownName: torch has no gain for it. `fanin.gain` has.
        BadInput: the slope is no number.

    Example:
        >>> torch_gain("tanh"), round(torch_gain("leaky_relu", 0.2), 6)
        (1.6666666666666667, 1.38675)

    Not for: a forward pass that keeps E φ²: use `moments(…).forward`, which is exact for every activation.
    """
    if nonlinearity in LINEAR:
        return 1.0
    if nonlinearity in CONSTANTS:
        return CONSTANTS[nonlinearity]
    if nonlinearity != "leaky_relu":
        raise UnknownName("gain in torch's table for", nonlinearity, [*LINEAR, *CONSTANTS, "leaky_relu"])
    if isinstance(param, bool) or not (param is None or isinstance(param, int | float)):
        raise BadInput(f"The negative slope of leaky_relu is a number; got {param!r}.")
    slope = 0.01 if param is None else param
    return math.sqrt(2 / (1 + slope**2))


def torch_gain_of(phi: Activation) -> tuple[float | None, str]:
    """Torch's gain for an Activation and where it comes from; None where torch has none.

    Example:
        >>> from fanin.activations import activation
        >>> torch_gain_of(activation("gelu"))
        (None, 'unsupported')
    """
    if phi.name not in WHY:
        return None, "unsupported"
    name = "linear" if phi.name == "identity" else phi.name
    return torch_gain(name, dict(phi.parameters).get("negative_slope")), WHY[phi.name]
