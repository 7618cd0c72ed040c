"""Run the recorded calls on real tensors, and differentiate them by the back end's own means.

All of it happens in a `keras.StatelessScope`: what layers assign on the way, the statistics of norms and the states of
generators, stays in the scope, and the model is as it was.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, TypeAlias

import keras
import numpy as np

from fanin.frameworks.held import Array
from fanin.frameworks.keras.trace import Traced

Touch: TypeAlias = Callable[[int, Any], Any]
Run: TypeAlias = Callable[[Sequence[Any], Touch], Any]


class Differentiated(NamedTuple):
    """One pass.

    Attributes:
        scalar: what was differentiated.
        values, gradients: by the id of the symbolic tensor.
        parameters: the gradient of each variable; None where it has no influence.
    """

    scalar: float
    values: Mapping[int, Array]
    gradients: Mapping[int, Array]
    parameters: Sequence[Array | None]


def replay(traced: Traced, variables: Sequence[Any], tensors: Sequence[Any], given: Sequence[Any], touch: Touch) -> Any:
    """What the model returns where its variables have these values, and it is called with these arrays.

    Args:
        touch: is shown each floating-point result, and says what goes on in its place.
    """
    real: dict[int, Any] = {id(s): keras.ops.convert_to_tensor(x) for s, x in zip(traced.inputs, given, strict=True)}
    real |= {id(symbol): value for symbol, value in traced.recorder.constants}

    def value(x: Any) -> Any:
        return real.get(id(x), x) if isinstance(x, keras.KerasTensor) else x

    with keras.StatelessScope(state_mapping=list(zip(variables, tensors, strict=True))):
        for call in traced.recorder.calls:
            args, kwargs = keras.tree.map_structure(value, (call.args, dict(call.kwargs)))
            with _bare(call.what) if call.bare else _as_it_is():
                made = call.what(*args, **kwargs)
            for symbol, result in zip(call.outputs, keras.tree.flatten(made), strict=True):
                floating = keras.backend.is_float_dtype(keras.backend.standardize_dtype(result.dtype))
                real[id(symbol)] = touch(id(symbol), result) if floating else result
    return keras.tree.map_structure(value, traced.result)


@contextmanager
def _bare(layer: Any) -> Iterator[None]:
    """The layer without its activation, which is a call of its own."""
    activation = layer.activation
    layer.activation = None
    try:
        yield
    finally:
        layer.activation = activation


@contextmanager
def _as_it_is() -> Iterator[None]:
    yield


def differentiated(run: Run, parameters: Sequence[Any], shapes: Mapping[int, Any]) -> Differentiated:
    """Values and gradients of everything that is touched on the way to a scalar.

    Args:
        shapes: the symbolic tensors that will be touched, by id.
    """
    return {"torch": _torch, "jax": _jax, "tensorflow": _tensorflow}[keras.backend.backend()](run, parameters, shapes)


def _torch(run: Run, parameters: Sequence[Any], _: Mapping[int, Any]) -> Differentiated:
    import torch

    values: dict[int, Array] = {}
    gradients: dict[int, Array] = {}

    def touch(name: int, x: Any) -> Any:
        values[name] = to_numpy(x)
        if x.requires_grad:
            x.register_hook(lambda g, name=name: gradients.update({name: to_numpy(g)}))
        return x

    leaves = [p.detach().requires_grad_() for p in parameters]  # aliases: .grad and hooks of the user's stay theirs
    with torch.random.fork_rng(), torch.enable_grad():
        torch.manual_seed(0)  # a Dropout without a seed draws its mask from PyTorch's own generator
        scalar = run(leaves, touch)
        found = torch.autograd.grad(scalar, leaves, allow_unused=True)
    return Differentiated(
        float(scalar.detach()), values, gradients, [None if g is None else to_numpy(g) for g in found]
    )


def _jax(run: Run, parameters: Sequence[Any], shapes: Mapping[int, Any]) -> Differentiated:
    """A zero is added to every result; the gradient of that zero is the result's."""
    import jax

    zeros = {name: keras.ops.zeros(x.shape, x.dtype) for name, x in shapes.items()}

    def nudged(parameters: Sequence[Any], zeros: Mapping[int, Any]) -> tuple[Any, dict[int, Any]]:
        values: dict[int, Any] = {}

        def touch(name: int, x: Any) -> Any:
            values[name] = x + zeros[name] if name in zeros else x
            return values[name]

        return run(parameters, touch), values

    (scalar, values), (of_parameters, of_values) = jax.value_and_grad(nudged, argnums=(0, 1), has_aux=True)(
        list(parameters), zeros
    )
    return Differentiated(
        float(scalar),
        {name: to_numpy(x) for name, x in values.items()},
        {name: to_numpy(g) for name, g in of_values.items()},
        [to_numpy(g) for g in of_parameters],
    )


def _tensorflow(run: Run, parameters: Sequence[Any], _: Mapping[int, Any]) -> Differentiated:
    import tensorflow as tf

    values: dict[int, Any] = {}

    def touch(name: int, x: Any) -> Any:
        values[name] = x
        return x

    leaves = [tf.convert_to_tensor(p) for p in parameters]
    with tf.GradientTape() as tape:
        tape.watch(leaves)
        scalar = run(leaves, touch)
    names = list(values)
    found = tape.gradient(scalar, [*leaves, *(values[name] for name in names)])
    arrays = [None if g is None else to_numpy(tf.convert_to_tensor(g)) for g in found]
    of_values = dict(zip(names, arrays[len(leaves) :], strict=True))
    return Differentiated(
        float(scalar),
        {name: to_numpy(x) for name, x in values.items()},
        {name: g for name, g in of_values.items() if g is not None},
        arrays[: len(leaves)],
    )


def to_numpy(x: Any) -> Array:
    """On the host."""
    return np.asarray(keras.ops.convert_to_numpy(x.detach() if hasattr(x, "detach") else x))
