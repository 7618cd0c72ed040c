"""Activations, recognised by what they compute: XLA sees GELU as nine operations, and a user may write it by hand."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from fanin.activations import TABLE
from fanin.activations import activation as resolved
from fanin.frameworks.jax.reading.program import Step
from fanin.graph import ActivationCall

Values: TypeAlias = npt.NDArray[np.float64]

GRID: Final = np.concatenate([np.linspace(-8.0, 8.0, 129), [-0.013, 0.017, 20.0]]).astype(np.float32)
TOLERANCE: Final = 5e-6  # of float32 on that grid, relative to 1 + |φ|; GELU and its tanh form differ by 5e-4
ROUNDINGS: Final = 4  # constants of narrow dtypes are rounded, too
NUMBERS: Final = np.arange(16)  # indices, which are to be recognised as what they were
# The operations of PyTorch by the activation: its own name where none is said.
OPERATIONS: Final = {"gelu_tanh": "gelu", "logsigmoid": "log_sigmoid", "relu_squared": "relu_squared"}


@dataclass(frozen=True, eq=False)
class Expression:
    """A function of one signal, elementwise.

    Attributes:
        step: the last operation; None for the signal itself.
        args: of that operation: expressions, or numbers.
    """

    step: Step | None = None
    args: tuple[Any, ...] = ()

    def __call__(self, x: Any) -> Any:
        """Its values at an array."""
        return _evaluated(self, x, {})


SIGNAL: Final = Expression()


def _evaluated(what: Expression, x: Any, known: dict[int, Any]) -> Any:
    if what.step is None:
        return x
    if id(what) not in known:
        args = [_evaluated(a, x, known) if isinstance(a, Expression) else _wide(a) for a in what.args]
        known[id(what)] = args[0] if _only_rounds(what.step) else what.step.run(*_alike(args))[0]
    return known[id(what)]


def _only_rounds(step: Step) -> bool:
    """A change between floating dtypes: an activation is the same in each."""
    new = step.params.get("new_dtype")
    return step.primitive == "reduce_precision" or (new is not None and jnp.issubdtype(new, jnp.floating))


def _wide(number: Any) -> Any:
    array = np.asarray(number)
    return array.astype(np.float32) if jnp.issubdtype(array.dtype, jnp.floating) else array


def _alike(args: Sequence[Any]) -> list[Any]:
    """Numbers as arrays of the others' shape, as most operations want them."""
    shape = np.broadcast_shapes(*(np.shape(a) for a in args))
    return [jnp.broadcast_to(a, shape) for a in args]


def recognised(what: Expression, dtype: Any) -> ActivationCall | None:
    """The activation that computes the same; "identity" where nothing changes, None where fanin knows none."""
    whole = jnp.issubdtype(dtype, jnp.integer)
    grid = NUMBERS if whole else GRID
    with jax.ensure_compile_time_eval():
        try:
            values = np.asarray(what(jnp.asarray(grid)))
        except TypeError:  # an operation that wants one dtype on both sides: not an activation of a single signal
            return None
    if values.shape != grid.shape or values.dtype == np.bool_:
        return None
    if np.array_equal(values, grid):
        return ActivationCall("identity")
    if whole:
        return None
    wide = values.astype(np.float64)
    if not np.isfinite(wide).all():
        return None
    eps = float(jnp.finfo(dtype).eps)  # type: ignore[no-untyped-call]
    digits = 6 if eps < TOLERANCE else 3
    off, best = min(((_off(call, wide), call) for call in _candidates(wide, digits)), key=lambda pair: pair[0])
    return best if off <= max(TOLERANCE, ROUNDINGS * eps) else None


def _candidates(values: Values, digits: int) -> Iterator[ActivationCall]:
    """Every activation of the table, those with parameters as the values ask for, to so many digits."""
    at = dict(zip(GRID.tolist(), values.tolist(), strict=True))
    far, bounds = at[-8.0], (float(values.min()), float(values.max()))
    for name in TABLE:
        if name != "identity":
            yield ActivationCall(name)
    fitted = [("leaky_relu", {"negative_slope": -at[-1.0]})]
    if far < 0:
        fitted += [("elu", {"alpha": -at[-1.0] / (1 - np.exp(-1.0))}), ("celu", {"alpha": -far})]
    if at[0.0] > 0:
        fitted += [("softplus", {"beta": np.log(2.0) / at[0.0]})]
    if bounds[0] < bounds[1]:
        fitted += [("hardtanh", {"min_val": bounds[0], "max_val": bounds[1]})]
    for name, parameters in fitted:
        yield ActivationCall(name, {key: float(f"{value:.{digits}g}") for key, value in parameters.items()})


def _off(call: ActivationCall, values: Values) -> float:
    """The largest difference, relative to 1 + |φ|."""
    with np.errstate(all="ignore"):
        expected = resolved(call.name, **call.parameters)(GRID.astype(np.float64))
    return float(np.max(np.abs(values - expected) / (1 + np.abs(expected))))
