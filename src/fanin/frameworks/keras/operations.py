"""What each operation of `keras.ops` is in PyTorch's words.

To teach one: a line in `OPERATIONS`, class → a function of the description and the call, or in `POINTWISE`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from fanin.frameworks.keras.activations import activation_of, describe_activation, pointwise
from fanin.frameworks.keras.arithmetic import attention, binary, einsum, matmul, power, reduction, softmax
from fanin.frameworks.keras.describe import Describe, Description, generic
from fanin.frameworks.keras.record import Recorded
from fanin.frameworks.keras.views import (
    concatenate,
    expand_dims,
    get_item,
    pad,
    reshape,
    same,
    split,
    squeeze,
    swapaxes,
    transpose,
)
from fanin.frameworks.keras.windows import pool


def describe_operation(d: Description, call: Recorded) -> None:
    """One operation of `keras.ops`, or an activation that takes the back end's own tensors."""
    kind = type(call.what).__name__
    activation = activation_of(call.what)
    if activation is not None:
        describe_activation(d, call, activation)
    elif kind in OPERATIONS:
        OPERATIONS[kind](d, call)
    elif kind in POINTWISE:
        pointwise(d, call, POINTWISE[kind])
    else:
        generic(d, call)


POINTWISE: Final[Mapping[str, str]] = {
    **{"Exp": "exp", "Log": "log", "Sqrt": "sqrt", "Rsqrt": "rsqrt", "Square": "square", "Negative": "neg"},
    **{"Absolute": "abs", "Abs": "abs", "Cos": "cos", "Log1p": "log1p", "Expm1": "expm1"},
}


OPERATIONS: Final[Mapping[str, Describe]] = {
    **{"Add": binary("add"), "Subtract": binary("sub"), "Multiply": binary("mul")},
    **dict.fromkeys(("Divide", "TrueDivide"), binary("div")),
    **{"Maximum": binary("maximum"), "Minimum": binary("minimum"), "Power": power},
    **dict.fromkeys(("Cast", "ConvertToTensor", "Copy", "StopGradient"), same),
    **{"Reshape": reshape, "Transpose": transpose, "Swapaxes": swapaxes, "Concatenate": concatenate},
    **{"ExpandDims": expand_dims, "Squeeze": squeeze, "GetItem": get_item, "Split": split, "Pad": pad},
    **{"Mean": reduction("mean"), "Sum": reduction("sum"), "Var": reduction("var"), "Std": reduction("std")},
    **dict.fromkeys(("Max", "Amax"), reduction("amax")),
    **dict.fromkeys(("Min", "Amin"), reduction("amin")),
    **{"Softmax": softmax("softmax"), "LogSoftmax": softmax("log_softmax")},
    **{"MaxPool": pool("max_pool"), "AveragePool": pool("avg_pool")},
    **{"Matmul": matmul, "Einsum": einsum, "DotProductAttention": attention},
}
