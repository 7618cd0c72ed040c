"""One real forward and backward pass over the recorded calls, with the moments of everything that flows."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import keras

from fanin.errors import BadInput, ShapeMismatch
from fanin.frameworks.closer import Look
from fanin.frameworks.described import cotangents
from fanin.frameworks.held import Array
from fanin.frameworks.keras.loss import Loss, scalar_of
from fanin.frameworks.keras.model import write_
from fanin.frameworks.keras.replay import Touch, differentiated, replay
from fanin.frameworks.keras.trace import Traced
from fanin.frameworks.keras.variables import read, variables
from fanin.frameworks.measured import fill, looks_of, moments, name_of, parameter_signal, with_details
from fanin.graph import Ref
from fanin.plans import Plan
from fanin.signals import Moments, Signals
from fanin.signals.axes import Axes
from fanin.signals.model import RANDOM_COTANGENT
from fanin.signals.summary import bounds_of


def observe(
    traced: Traced,
    model: Any,
    example: tuple[Any, ...],
    loss: Loss | None = None,
    axes: Mapping[str, Axes] | None = None,
    classes: Mapping[str, int] | None = None,
) -> Signals:
    """Run the recorded calls on the model's own variables, as in training, and measure every node.

    The model's variables, the statistics of its norms and the states of its generators stay as they are.

    Args:
        loss: from the model's output to a scalar of the back end. Without one, that of ⟨output, v⟩/batch, v ~ N(0, 1).
        axes: for a closer look (`Signals.details`): what the axes of each node count, as `predict` knows it.
        classes: likewise: of logits, which axis counts the classes, by node.

    Raises:
        BadInput: no example, a loss that fails or is no scalar.
        ShapeMismatch: the example is not of the shapes that the model was traced with.
    """
    own = variables(model)
    given = _arrays(traced, example)
    paths = list(own.held)
    stored = [own.stored[path] for path in paths]
    floating = {
        id(x): x
        for call in traced.recorder.calls
        for x in call.outputs
        if keras.backend.is_float_dtype(keras.backend.standardize_dtype(x.dtype))
    }

    def run(parameters: Sequence[Any], touch: Touch) -> Any:
        output = replay(traced, stored, parameters, given, touch)
        return scalar_of(loss, output) if loss else _random_cotangent(traced, output)

    found = differentiated(run, [v.value for v in stored], floating)
    seen, slopes = _by_node(traced, found.values), _by_node(traced, found.gradients)
    looks = looks_of(traced.graph, axes, classes)
    logical = {path: own.held[path].layout.logical(read(v)) for path, v in zip(paths, stored, strict=True)}
    parameters = {
        path: parameter_signal(logical[path], None if g is None else own.held[path].layout.logical(g))
        for path, g in zip(paths, found.parameters, strict=True)
    }
    moments_seen = _of_nodes(traced, seen, slopes, looks)
    name = name_of(loss) if loss else RANDOM_COTANGENT
    signals = Signals(*moments_seen, parameters, found.scalar, name, graph=traced.graph, axes=axes or {})
    return with_details(signals, traced.graph, looks, seen, slopes, logical)


@contextmanager
def drawn(model: Any, plan: Plan, seed: int) -> Iterator[None]:
    """Within the block the variables are as the plan draws them; afterwards they are as they were, bit for bit."""
    own = variables(model)
    before = [(variable, keras.ops.copy(variable.value)) for variable in own.stored.values()]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # what layers were given comes back
            write_(model, plan, seed)
        yield
    finally:
        for variable, old in before:
            variable.assign(old)


def has_values(_: Any) -> bool:
    """A built model always has."""
    return True


def _arrays(traced: Traced, example: tuple[Any, ...]) -> list[Any]:
    arrays = [x for x in keras.tree.flatten(example) if hasattr(x, "shape")]
    if not arrays:
        raise BadInput("One batch is needed to measure what flows: measure(model, x).")
    wanted, got = [tuple(x.shape) for x in traced.inputs], [tuple(map(int, x.shape)) for x in arrays]
    if wanted != got:
        raise ShapeMismatch(f"The graph was recorded with {wanted}; got {got}. Trace the model again.")
    return arrays


def _by_node(traced: Traced, arrays: Mapping[int, Array]) -> dict[str, Array]:
    """Where a node's tensor was met."""
    tensors = traced.description.tensors
    at = {node.name: tensors[node.name] for node in traced.graph.nodes if node.name in tensors}
    return {name: arrays[tensor] for name, tensor in at.items() if tensor in arrays}


def _of_nodes(
    traced: Traced, seen: Mapping[str, Array], slopes: Mapping[str, Array], looks: Mapping[str, Look]
) -> tuple[dict[str, Moments], dict[str, Moments]]:
    """By node; a node that only rearranges what another made has that one's moments."""
    bounds = bounds_of(traced.graph)
    values = {name: moments(x, bounds.get(name), looks[name].axes if looks else None) for name, x in seen.items()}
    gradients = {name: moments(x) for name, x in slopes.items()}
    for of, alone in ((values, False), (gradients, True)):
        fill(traced.graph, of, alone=alone)
    order = [node.name for node in traced.graph.nodes]
    return tuple({name: of[name] for name in order if name in of} for of in (values, gradients))  # type: ignore[return-value]


def _random_cotangent(traced: Traced, output: Any) -> Any:
    """⟨output, v⟩/batch."""
    tensors = keras.tree.flatten(output)
    refs = [Ref("", 0, tuple(map(int, x.shape))) for x in tensors]
    total: Any = 0.0
    for x, v in zip(tensors, cotangents(refs), strict=True):
        if keras.backend.is_float_dtype(keras.backend.standardize_dtype(x.dtype)):
            wide = keras.ops.cast(x, "float32")
            total = total + keras.ops.sum(wide * keras.ops.convert_to_tensor(v)) / max(v.shape[0] if v.ndim else 1, 1)
    return total
