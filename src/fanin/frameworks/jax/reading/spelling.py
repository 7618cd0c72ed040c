"""Elementwise operations of JAX in PyTorch's words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from fanin.frameworks.jax.reading.drafts import Use
from fanin.frameworks.jax.reading.program import Step
from fanin.graph import Ref

# PyTorch's names for elementwise operations, with those of their arguments.
_ONE: Final = {
    **{name: name for name in ("abs", "ceil", "cos", "cosh", "erf", "erfc", "exp", "exp2", "expm1", "floor", "log")},
    **{name: name for name in ("log1p", "neg", "round", "rsqrt", "sign", "sin", "sinh", "sqrt", "square", "tan")},
    **{name: name for name in ("tanh", "atan", "asin", "acos", "asinh", "acosh", "atanh")},
    "logistic": "sigmoid",
    "not": "logical_not",
    "is_finite": "isfinite",
    "convert_element_type": "to",
    "reduce_precision": "to",
    "stop_gradient": "detach",
    "copy": "clone",
}
_TWO: Final = {
    **{name: name for name in ("add", "sub", "mul", "div", "pow", "eq", "ne", "lt", "le", "gt", "ge")},
    "rem": "remainder",
    "max": "maximum",
    "min": "minimum",
    "and": "logical_and",
    "or": "logical_or",
    "xor": "logical_xor",
}


def spelled(step: Step, args: Sequence[Any]) -> tuple[str, dict[str, Any]]:
    """An elementwise step as PyTorch's operation, with the arguments of its schema."""
    name = step.primitive
    if name == "integer_pow":
        return "pow", {"self": args[0], "exponent": step.params["y"]}
    if name == "clamp":
        return "clamp", {"self": args[1], "min": args[0], "max": args[2]}
    if name == "select_n" and len(args) == 3:
        return "where", {"condition": args[0], "self": args[2], "other": args[1]}
    if name in _TWO:
        return _binary(_TWO[name], *args)
    return _ONE.get(name, name), {"self" if i == 0 else f"arg{i}": a for i, a in enumerate(args)}


def _binary(op: str, a: Any, b: Any) -> tuple[str, dict[str, Any]]:
    """PyTorch has the tensor first: a number is `other`, and what does not commute has another name."""
    tensors = [isinstance(x, (Ref, Use)) for x in (a, b)]
    if tensors == [False, True]:
        if op in {"add", "mul", "maximum", "minimum", "eq", "ne"}:
            a, b = b, a
        elif op == "sub":
            return "rsub", {"self": b, "other": a, "alpha": 1}
        elif op == "div" and a == 1:
            return "reciprocal", {"self": b}
    if op in {"maximum", "minimum"} and not isinstance(b, (Ref, Use)):
        return ("clamp_min", {"self": a, "min": b}) if op == "maximum" else ("clamp_max", {"self": a, "max": b})
    if op == "pow":
        return op, {"self": a, "exponent": b}
    return op, {"self": a, "other": b, **({"alpha": 1} if op in {"add", "sub"} else {})}
