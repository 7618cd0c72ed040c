"""From a model and an example to the graph of what runs, without an array: `jax.make_jaxpr` over shapes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from fanin.errors import BadInput, CannotTrace, ShapeMismatch
from fanin.frameworks.jax.opened import Opened, is_array
from fanin.frameworks.jax.reading import (
    READERS,
    Marking,
    Program,
    Reading,
    Signal,
    Stored,
    Tensor,
    Type,
    finished,
    flat,
    unknown,
    whole,
)
from fanin.graph import Graph, graph_of

BATCH: Final = "batch"  # the axis that layers of Equinox, such as BatchNorm, ask for by name


class Call(NamedTuple):
    """How a model is called: arrays, each with its name, and what puts them where they belong.

    Attributes:
        shared: of each array whether all samples of a batch share it.
    """

    arrays: tuple[Any, ...]
    names: tuple[str, ...]
    shared: tuple[bool, ...]
    run: Callable[[Sequence[Any], Sequence[Any]], Any]


@dataclass(frozen=True)
class Traced:
    """What a model does with a batch.

    Attributes:
        at: node → the value of the program where it is measured.
        tree: the structure of the output.
        constants: what is neither a signal nor a parameter, by the name that the graph gives it.
        compiled: what measures it, once it has been compiled, by the loss and by how it is looked at.
    """

    graph: Graph
    program: Program
    at: Mapping[str, int]
    call: Call
    opened: Opened
    tree: Any
    constants: Mapping[str, Any] = field(default_factory=dict)
    compiled: dict[Any, Any] = field(default_factory=dict, compare=False, repr=False)


def traced(model: Opened, example: Sequence[Any]) -> Traced:
    """The graph for one batch, of which only shapes and dtypes matter.

    Raises:
        BadInput: nothing to call, or an example without arrays.
        ShapeMismatch: the model cannot be called with it.
        CannotTrace: it does not run on abstract arrays.
    """
    call = call_of(model, example)
    shapes = [jax.ShapeDtypeStruct(v.shape, v.dtype) for v in model.values]
    given = [jax.ShapeDtypeStruct(a.shape, a.dtype) for a in call.arrays]
    call, closed, out, marking = _made(model, call, shapes, given)
    program = flat(closed)
    reading = Reading(program, {t.path: t for t in model.tensors}, layers=marking)
    for number, tensor in zip(program.inputs, model.tensors, strict=False):
        reading.env[number] = Stored(tensor.path, whole(tensor.path, tensor.shape))
    for number, name, array in zip(program.inputs[len(model.tensors) :], call.names, given, strict=True):
        reading.inputs[name] = Type(tuple(array.shape), array.dtype)
        reading.env[number] = Signal(whole(name, tuple(array.shape)))
    reading.run(READERS, unknown)
    held, calls, inputs, outputs = finished(reading, program.outputs)
    graph = graph_of(model.name, held, calls, inputs, outputs, tuple(_notes(reading)))
    at = {draft.name: draft.value for draft in reading.drafts.values() if draft.value in program.types}
    at |= dict(zip(call.names, program.inputs[len(model.tensors) :], strict=True))
    constants = {
        **reading.constants,
        **{
            t.path: _state(t, v)
            for t, v in zip(model.tensors, model.values, strict=True)
            if not t.trained and not is_key(v)
        },
    }
    return Traced(graph, program, at, call, model, jax.tree_util.tree_structure(out), constants)


def is_key(value: Any) -> bool:
    """Of a random generator: typed, or as it was before JAX had such types."""
    old = value.dtype == np.uint32 and value.shape[-1:] in {(2,), (4,)}
    return bool(jnp.issubdtype(value.dtype, jax.dtypes.prng_key)) or old


def _state(tensor: Tensor, value: Any) -> Any:
    """An array of the model's state; of shapes only, what norms begin with."""
    if isinstance(value, jax.ShapeDtypeStruct | jax.core.Tracer):
        return np.full(tensor.shape, float(tensor.path.endswith("var")), np.float32)
    return value


def _notes(reading: Reading) -> Iterator[str]:
    """What the graph does not show."""
    for primitive in dict.fromkeys(reading.opaque.values()):
        names = [name for name, other in reading.opaque.items() if other == primitive]
        yield (
            f"{primitive} ({', '.join(names[:3])}{', …' if len(names) > 3 else ''}) is a step that fanin does not look "
            "into: what activations, branches or weights are within it is not known; declare them with overrides."
        )


def _made(model: Opened, call: Call, shapes: Sequence[Any], given: Sequence[Any]) -> tuple[Call, Any, Any, Marking]:
    """The jaxpr; one that takes single samples is called through `vmap`, unless it takes batches itself."""
    tries = [_mapped(call, given), call] if model.batched else [call]
    for number, one in enumerate(tries):
        marking = Marking()
        try:
            with _marked(model, marking):
                closed, out = jax.make_jaxpr(one.run, return_shape=True)(shapes, given)
        except Exception as error:  # whatever the user's model raises is explained and re-raised
            if number + 1 < len(tries):
                continue
            raise _explained(model, given, error) from error
        return one, closed, out, marking
    raise AssertionError


def _marked(model: Opened, marking: Marking) -> AbstractContextManager[None]:
    return model.marking(marking) if model.marking else nullcontext()


def _mapped(call: Call, given: Sequence[Any]) -> Call:
    """Over the first axis of every array of the example; keys are one for all."""
    axes = [
        0 if a.shape and not is_key(a) and shared is False else None
        for a, shared in zip(given, call.shared, strict=True)
    ]

    def run(values: Sequence[Any], arrays: Sequence[Any]) -> Any:
        return jax.vmap(lambda own: call.run(values, own), in_axes=(axes,), axis_name=BATCH)(list(arrays))

    return call._replace(run=run)


def call_of(model: Opened, example: Sequence[Any]) -> Call:
    """Positional arguments, and a mapping of keywords at the end; what is no array is passed as it is."""
    if model.call is None:
        raise BadInput(f"{model.name} says nothing of what is done with its arrays, so that it cannot be called.")
    keywords: Mapping[str, Any] = {}
    positional = list(example)
    if positional and isinstance(positional[-1], Mapping) and set(positional[-1]) & set(model.named):
        keywords = positional.pop()
    leaves, tree = jax.tree_util.tree_flatten((tuple(positional), dict(keywords)))
    dynamic = [is_array(leaf) for leaf in leaves]
    arrays = tuple(leaf for leaf, is_one in zip(leaves, dynamic, strict=True) if is_one)
    if not arrays:
        raise BadInput(f"{model.name}: expected one batch of arrays to call it with; got {_types(example)}.")
    function = model.call

    def run(values: Sequence[Any], own: Sequence[Any]) -> Any:
        given = iter(own)
        filled = [next(given) if is_one else leaf for leaf, is_one in zip(leaves, dynamic, strict=True)]
        args, named = jax.tree_util.tree_unflatten(tree, filled)
        return function(values, *args, **named)

    shared = [
        isinstance(x, model.shared)
        for x in (*positional, *keywords.values())
        for leaf in jax.tree_util.tree_leaves(x)
        if is_array(leaf)
    ]
    return Call(arrays, _names(model, positional, keywords), tuple(shared), run)


def _names(model: Opened, positional: Sequence[Any], keywords: Mapping[str, Any]) -> tuple[str, ...]:
    """Of each array in the example, by the argument that it is in."""
    named = [*model.named, *(f"input_{i}" for i in range(len(model.named), len(positional)))]
    pairs = [*zip(named, positional, strict=False), *keywords.items()]
    found: list[str] = []
    for name, value in pairs:
        arrays = [leaf for leaf in jax.tree_util.tree_leaves(value) if is_array(leaf)]
        found += [name] if len(arrays) == 1 else [f"{name}_{i}" for i in range(len(arrays))]
    return tuple(found)


def _types(example: Sequence[Any]) -> str:
    return ", ".join(type(e).__name__ for e in example) or "nothing"


def _explained(model: Opened, given: Sequence[Any], error: Exception) -> Exception:
    called = ", ".join(f"{a.dtype}{list(a.shape)}" for a in given)
    line = f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"
    if isinstance(error, jax.errors.JAXTypeError):
        return CannotTrace(
            f"{model.name} does not run on arrays without values, as jax.jit runs it: {line}. "
            "Mark what decides its control flow as static, or pass it as a Python value."
        )
    return ShapeMismatch(f"{model.name} could not be called with {called}: {line}.")
