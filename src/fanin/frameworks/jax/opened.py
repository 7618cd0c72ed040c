"""What a model of JAX is to fanin: arrays by path, and a pure function of them and of an example."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from typing import Any, Final

import jax
import jax.numpy as jnp

from fanin.errors import BadInput, NoParameters
from fanin.frameworks.jax.reading import Marking, Tensor

TRIED: Final = {"jax": (0, 10), "flax": (0, 12), "equinox": (0, 13)}  # the oldest versions that were tried


@dataclass(frozen=True)
class Opened:
    """A model taken apart.

    Attributes:
        name: of its class or function.
        tensors: its parameters, then its state, in its own order.
        values: their arrays, or shapes (`jax.ShapeDtypeStruct`), or tracers; as many as `tensors`.
        call: from those and an example to the output.
        rebuilt: from those to a model like the one given, or to its variables.
        marking: marks layers known by class while a model is traced.
        write_: puts values into the model itself; None where it cannot be changed.
        batched: one call takes one sample, so that a batch goes through `jax.vmap`.
        named: the names of the arguments of a call.
        shared: classes of arguments that all samples of a batch share.
    """

    name: str
    tensors: tuple[Tensor, ...]
    values: tuple[Any, ...]
    call: Callable[..., Any] | None
    rebuilt: Callable[[Sequence[Any]], Any]
    marking: Callable[[Marking], AbstractContextManager[None]] | None = None
    write_: Callable[[Sequence[Any]], None] | None = None
    batched: bool = False
    named: tuple[str, ...] = ()
    shared: tuple[type, ...] = ()

    @property
    def trained(self) -> list[tuple[Tensor, Any]]:
        """The parameters with their values."""
        return [(t, v) for t, v in zip(self.tensors, self.values, strict=True) if t.trained]


def opened(model: Any) -> Opened:
    """Take a model apart, whichever library it is of.

    Raises:
        BadInput: none of them, or leaves that are no arrays.
        NoParameters: it has none.
    """
    from fanin.frameworks.jax import models

    _warn_of_older()
    found = models.opened(model)
    if not found.trained:
        raise NoParameters(f"{found.name} has no parameters: there is nothing to initialize.")
    return found


@cache
def _warn_of_older() -> None:
    """Say once which library is older than what fanin was tried with; it may do all the same."""
    for name, tried in TRIED.items():
        if name in sys.modules:
            have = version(name)
            if tuple(int(part) for part in have.split(".")[:2]) < tried:
                warnings.warn(
                    f"{name} {have} is older than what fanin was tried with, {'.'.join(map(str, tried))}; if a model "
                    f"cannot be read, upgrade it: pip install -U {name}.",
                    stacklevel=4,
                )


def path_of(keys: Sequence[Any]) -> str:
    """`layers.0.kernel`: the keys of a leaf, without the box that Flax puts it in."""
    boxed = len(keys) > 1 and isinstance(keys[-1], jax.tree_util.GetAttrKey) and keys[-1].name in {"value", "raw_value"}
    return str(jax.tree_util.keystr(tuple(keys[:-1] if boxed else keys), simple=True, separator="."))


def tensors_of(
    leaves: Sequence[tuple[Any, Any]],
    what: str,
    *,
    trained: Callable[[Any, Any], bool],
    owner: Callable[[str], tuple[str, ...]] = lambda _: (),
) -> tuple[Tensor, ...]:
    """Each leaf, which must be an array, or the shape of one.

    Raises:
        BadInput: leaves that are none; lists them.
    """
    wrong = [f"{path_of(keys)} ({type(leaf).__name__})" for keys, leaf in leaves if not is_array(leaf)]
    if wrong:
        shown = ", ".join(wrong[:5]) + (", …" if len(wrong) > 5 else "")
        raise BadInput(
            f"{what} must hold arrays only; {len(wrong)} of its leaves are none: {shown}. "
            "Keep settings outside of the parameters, or in static fields."
        )
    return tuple(
        Tensor(
            path := path_of(keys),
            tuple(leaf.shape),
            dtype_of(leaf),
            trained(keys, leaf),
            owner(path.rpartition(".")[0]),
        )
        for keys, leaf in leaves
    )


def is_array(leaf: Any) -> bool:
    """Whether it has a shape and a dtype: an array, a tracer, or a `jax.ShapeDtypeStruct`."""
    return hasattr(leaf, "shape") and hasattr(leaf, "dtype")


def is_floating(leaf: Any) -> bool:
    """Whether it may be trained."""
    return bool(jnp.issubdtype(leaf.dtype, jnp.inexact))


def dtype_of(leaf: Any) -> str:
    """Its name, as the stream has it."""
    return str(leaf.dtype)


def classes_of(module: object) -> tuple[str, ...]:
    """Its classes, the most special first, as `Parameter.owner` has them."""
    return tuple(f"{c.__module__}.{c.__qualname__}" for c in type(module).__mro__ if c is not object)
