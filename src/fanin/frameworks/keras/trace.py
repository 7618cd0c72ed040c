"""From a Keras model and an example to a `Graph`: on symbolic tensors, so that nothing is computed."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np

from fanin.errors import BadInput, CannotTrace, FaninError, ShapeMismatch
from fanin.frameworks.described import Described
from fanin.frameworks.keras.describe import Description
from fanin.frameworks.keras.layers import describer_of
from fanin.frameworks.keras.operations import describe_operation
from fanin.frameworks.keras.outside import opaque
from fanin.frameworks.keras.record import Recorder, recording, said
from fanin.frameworks.keras.variables import require_built, variables
from fanin.graph import Graph, Held, Input, LayerCall, Ref, graph_of


@dataclass(frozen=True)
class Traced(Described):
    """A model's graph, and the calls that it was made of.

    Attributes:
        inputs: the symbolic tensors that the model was called with.
        result: what it returned, of symbolic tensors.
    """

    recorder: Recorder = field(default=None, kw_only=True)  # type: ignore[assignment]  # always given
    description: Description = field(default=None, kw_only=True)  # type: ignore[assignment]
    inputs: tuple[Any, ...] = field(default=(), kw_only=True)
    result: Any = field(default=None, kw_only=True)


def trace(model: Any, *example: Any) -> Traced:
    """Record the operations of one call of `model(*example)`, as in training.

    A functional or sequential model knows its inputs, and needs no example; one that is not built is built by it.

    Raises:
        BadInput: not a Keras model, no example where one is needed, or one without arrays.
        NoParameters: the model has none.
        ShapeMismatch: the example does not fit; says what the layer says.
        CannotTrace: the model cannot be run on symbolic tensors, layer by layer or whole.
    """
    given = example or inputs_of(model)
    _build(model, given)
    own = variables(model)
    symbols = keras.tree.map_structure(symbolic, given)
    description = Description(model, own)
    inputs = [x for x in keras.tree.flatten(symbols) if isinstance(x, keras.KerasTensor)]
    if not inputs:
        raise BadInput(f"The example holds no array; got {', '.join(type(x).__name__ for x in example)}.")
    for i, x in enumerate(inputs):
        name = f"x_{i}" if i else "x"
        description.gives(x, Ref(name, 0, tuple(x.shape)))
    declared = [Input(f"x_{i}" if i else "x", tuple(x.shape), x.dtype) for i, x in enumerate(inputs)]
    recorder = Recorder(lambda layer: describer_of(layer) is not None)
    made = recorded_call(model, symbols, recorder)
    for symbol, value in recorder.constants:
        description.gives(symbol, description.constant(np.asarray(keras.ops.convert_to_numpy(value))))
    for call in recorder.calls:
        description.now = call
        if not isinstance(call.what, keras.layers.Layer):
            describe_operation(description, call)
        else:
            (describer_of(call.what) or opaque)(description, call)
    description.now = None
    results = tuple(x for x in keras.tree.flatten(made) if description.is_signal(x))
    outputs = [description.signals[id(x)].first or description.last(x) for x in results]
    notes = [
        f"{path} was not looked into ({why}): how signals flow in it is not known."
        for path, why in description.unseen.items()
    ]
    calls = needed(description.calls, outputs)
    graph = graph_of(type(model).__name__, own.held.values(), calls, declared, outputs, notes)
    return Traced(
        graph, description.constants, recorder=recorder, description=description, inputs=tuple(inputs), result=made
    )


def knows_inputs(model: Any) -> bool:
    """Whether it says what it is called with, so that no example is needed."""
    try:
        inputs_of(model)
    except BadInput:
        return False
    return True


def read_modules(model: Any) -> Graph:
    """The graph of a model that says what it is called with.

    Raises:
        BadInput: it does not say, so that an example is needed.
    """
    return trace(model).graph


def recorded_call(model: Any, symbols: Sequence[Any], recorder: Recorder) -> Any:
    """Call the model on the symbolic tensors; the line of the user's that a call comes from is above this one."""
    try:
        with recording(recorder):
            return model(*symbols, **_training(model))
    except FaninError:
        raise
    except ValueError as error:
        raise ShapeMismatch(f"{type(model).__name__} cannot be called with this example: {said(error)}.") from error
    except Exception as error:
        raise CannotTrace(
            f"{type(model).__name__} cannot be run on symbolic tensors: {type(error).__name__}: {said(error)}."
        ) from error


def _training(model: Any) -> dict[str, bool]:
    """Norms and dropout as in training."""
    return {"training": True} if "training" in inspect.signature(model.call).parameters else {}


def inputs_of(model: Any) -> tuple[Any, ...]:
    """What a model says that it is called with: a functional one its inputs, another the shapes that it was built with.

    Raises:
        BadInput: it does not say.
    """
    if not isinstance(model, keras.layers.Layer):
        raise BadInput(f"Expected a model or layer of Keras; got {type(model).__name__}.")
    structure = getattr(model, "_inputs_struct", None)
    structure = getattr(model, "inputs", None) if structure is None else structure
    if structure is not None and not (isinstance(structure, (list, dict, tuple)) and not structure):
        return (structure[0] if isinstance(structure, list) and len(structure) == 1 else structure,)
    built = model.get_build_config() or {}
    if isinstance(built.get("input_shape"), (list, tuple)):
        return (keras.KerasTensor(tuple(built["input_shape"])),)
    raise BadInput(f"{type(model).__name__} does not say what it is called with: give one batch, plan(model, x).")


def symbolic(x: Any) -> Any:
    """A symbolic tensor of the same shape and dtype; unknown axes have length 1. Anything else as it is."""
    if not hasattr(x, "shape") or not hasattr(x, "dtype"):
        return x
    shape = tuple(1 if n is None else int(n) for n in x.shape)
    return keras.KerasTensor(shape, keras.backend.standardize_dtype(x.dtype))


def _build(model: Any, given: Sequence[Any]) -> None:
    """A model that has no variables yet is called once on zeros of the example's shape, which makes them."""
    if not isinstance(model, keras.layers.Layer):
        raise BadInput(f"Expected a model or layer of Keras; got {type(model).__name__}.")
    try:
        require_built(model)
    except BadInput:
        zeros = keras.tree.map_structure(
            lambda x: (
                np.zeros([1 if n is None else int(n) for n in x.shape], keras.backend.standardize_dtype(x.dtype))
                if hasattr(x, "shape")
                else x
            ),
            tuple(given),
        )
        try:
            model(*zeros)
        except Exception as error:
            raise ShapeMismatch(f"{type(model).__name__} cannot be called with this example: {said(error)}.") from error


def needed(calls: Sequence[LayerCall], outputs: Sequence[Ref]) -> list[LayerCall]:
    """The calls that the outputs depend on; what only masks and shapes were computed with is left out.

    Layers with parameters, and what is assumed behind those that were not seen to run, stay.
    """
    wanted = {ref.name for ref in outputs}
    kept = []
    for call in reversed(calls):
        if call.name in wanted or not call.shape or _has_parameters(call):
            kept.append(call)
            wanted.add(call.name)
            for argument in call.arguments.values():
                refs = (
                    argument if isinstance(argument, (list, tuple)) and not isinstance(argument, Ref) else (argument,)
                )
                wanted |= {ref.name for ref in refs if isinstance(ref, Ref)}
    return kept[::-1]


def _has_parameters(call: LayerCall) -> bool:
    return any(isinstance(argument, Held) for argument in call.arguments.values())
