"""A jaxpr as one flat list of steps: calls inlined, short loops unrolled, every value with a number of its own.

What reads a model (`read.py`) and what measures it (`observe.py`) walk the same list.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Final, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn, Literal
from jax.extend.source_info_util import summarize

# Steps that compute each element of the result from the same element of their arguments.
ELEMENTWISE: Final = frozenset(
    {
        *("abs", "add", "and", "cbrt", "ceil", "clamp", "convert_element_type", "copy", "cos", "cosh", "div", "eq"),
        *("erf", "erf_inv", "erfc", "exp", "exp2", "expm1", "floor", "ge", "gt", "integer_pow", "is_finite", "le"),
        *("log", "log1p", "logistic", "lt", "max", "min", "mul", "ne", "neg", "not", "or", "pow", "reduce_precision"),
        *("rem", "round", "rsqrt", "select_n", "sign", "sin", "sinh", "sqrt", "square", "stop_gradient", "sub", "tan"),
        *("tanh", "atan", "asin", "acos", "asinh", "acosh", "atanh", "xor"),
    }
)
LONGEST: Final = 64  # iterations of a scan that are unrolled
_CALLS: Final[Mapping[str, str]] = {
    **dict.fromkeys(("jit", "pjit", "closed_call", "core_call", "checkpoint", "remat", "remat2"), "jaxpr"),
    "custom_jvp_call": "call_jaxpr",
    "custom_vjp_call": "call_jaxpr",
}


class Fixed(NamedTuple):
    """A value that stands in the program itself."""

    value: Any


Operand: TypeAlias = "int | Fixed"


class Type(NamedTuple):
    """Shape and dtype of a value."""

    shape: tuple[int, ...]
    dtype: Any


@dataclass(frozen=True)
class Step:
    """One operation.

    Attributes:
        primitive: its name in JAX.
        run: from the values of `ins` to a list of those of `outs`.
        within: of a function with a derivative of its own (`jax.custom_jvp`), its steps, which compute the same.
    """

    primitive: str
    ins: tuple[Operand, ...]
    outs: tuple[int, ...]
    params: Mapping[str, Any]
    run: Callable[..., Sequence[Any]] = field(repr=False)
    source: str = ""
    within: Program | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Program:
    """Steps in the order they run; values are numbers, `types` says what each is."""

    inputs: tuple[int, ...]
    steps: tuple[Step, ...]
    outputs: tuple[Operand, ...]
    types: Mapping[int, Type]

    def type_of(self, operand: Operand) -> Type:
        """Shape and dtype of an operand."""
        if isinstance(operand, Fixed):
            return Type(np.shape(operand.value), jnp.result_type(operand.value))
        return self.types[operand]


def flat(closed: ClosedJaxpr) -> Program:
    """The program of a jaxpr."""
    return _flat(closed, _Flattening())


def _flat(closed: ClosedJaxpr, flattening: _Flattening) -> Program:
    inputs = tuple(flattening.new(v.aval) for v in closed.jaxpr.invars)
    outputs = flattening.inline(closed.jaxpr, [Fixed(c) for c in closed.consts], inputs)
    return Program(inputs, tuple(flattening.steps), tuple(outputs), flattening.types)


class _Flattening:
    """Its own steps; numbers and types are shared by all programs that lie in one."""

    def __init__(self, within: _Flattening | None = None) -> None:
        self.steps: list[Step] = []
        self.types: dict[int, Type] = within.types if within else {}
        self._numbers: count[int] = within._numbers if within else count()

    def new(self, aval: Any) -> int:
        number = next(self._numbers)
        self.types[number] = Type(tuple(aval.shape), aval.dtype)
        return number

    def inline(self, jaxpr: Jaxpr, consts: Sequence[Operand], args: Sequence[Operand]) -> list[Operand]:
        env: dict[Any, Operand] = dict(zip((*jaxpr.constvars, *jaxpr.invars), (*consts, *args), strict=True))

        def read(atom: Any) -> Operand:
            return Fixed(atom.val) if isinstance(atom, Literal) else env[atom]

        for eqn in jaxpr.eqns:
            outs = self._step(eqn, [read(a) for a in eqn.invars])
            env |= zip(eqn.outvars, outs, strict=True)
        return [read(a) for a in jaxpr.outvars]

    def _step(self, eqn: JaxprEqn, ins: list[Operand]) -> Sequence[Operand]:
        name = eqn.primitive.name
        if name == "scan" and eqn.params["length"] <= LONGEST:
            return self._unrolled(eqn, ins)
        inner = eqn.params.get(_CALLS[name]) if name in _CALLS else None
        within = None
        if inner is not None:
            closed = inner if isinstance(inner, ClosedJaxpr) else ClosedJaxpr(inner, ())
            within = _flat(closed, _Flattening(self)) if name.startswith("custom") else None
            if within is None or not all(step.primitive in ELEMENTWISE for step in within.steps):
                return self.inline(closed.jaxpr, [Fixed(c) for c in closed.consts], ins)
        outs = tuple(self.new(v.aval) for v in eqn.outvars)
        self.steps.append(Step(name, tuple(ins), outs, eqn.params, _bound(eqn), _place(eqn), within))
        return outs

    def _unrolled(self, eqn: JaxprEqn, ins: list[Operand]) -> list[Operand]:
        p = eqn.params
        first, behind = p["num_consts"], p["num_consts"] + p["num_carry"]
        consts, carry, xs = ins[:first], ins[first:behind], ins[behind:]
        body: ClosedJaxpr = p["jaxpr"]
        made: list[list[Operand]] = []
        iterations = range(p["length"])
        for i in reversed(iterations) if p["reverse"] else iterations:
            row = [
                self._made("row", [x], [v.aval], {"index": i})
                for x, v in zip(xs, body.jaxpr.invars[behind:], strict=True)
            ]
            outs = self.inline(body.jaxpr, [Fixed(c) for c in body.consts], [*consts, *carry, *row])
            carry = outs[: p["num_carry"]]
            made.append(outs[p["num_carry"] :])
        rows = made[::-1] if p["reverse"] else made
        stacked = eqn.outvars[p["num_carry"] :]
        return [*carry, *(self._made("stack", [row[j] for row in rows], [v.aval], {}) for j, v in enumerate(stacked))]

    def _made(self, name: str, ins: Sequence[Operand], avals: Sequence[Any], params: Mapping[str, Any]) -> Operand:
        """A step that unrolling adds."""
        (aval,) = avals
        out = self.new(aval)
        runs: dict[str, Callable[..., Sequence[Any]]] = {
            "row": lambda x: [x[params["index"]]],
            "stack": lambda *rows: [jnp.stack(rows)],
        }
        self.steps.append(Step(name, tuple(ins), (out,), params, runs[name]))
        return out


_LIBRARIES: Final = re.compile(r"[/\\](flax|equinox|fanin[/\\]frameworks)[/\\]")


def _place(eqn: JaxprEqn) -> str:
    """file:line of the user's own code."""
    frames = summarize(eqn.source_info, num_frames=16).splitlines()
    own = next((frame for frame in frames if not _LIBRARIES.search(frame)), "")
    file, _, line = own.partition(" ")[0].rpartition(":")[0].rpartition(":")
    return f"{file}:{line}" if line.isdigit() else ""


def _bound(eqn: JaxprEqn) -> Callable[..., Sequence[Any]]:
    """The equation as a function of its arguments; derivatives of its own are kept."""

    def run(*args: Any) -> Sequence[Any]:
        result = eqn.primitive.bind(*args, **eqn.primitive.get_bind_params(eqn.params))
        return list(result) if eqn.primitive.multiple_results else [result]

    return run


def concrete(step: Step, values: Sequence[Any]) -> Sequence[Any]:
    """What a step makes of values that are known, also while something else is traced."""
    with jax.ensure_compile_time_eval():
        return step.run(*values)
