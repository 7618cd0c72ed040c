"""One real forward and backward pass of the recorded program, with the moments of everything that flows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeAlias

import paddle

from fanin.errors import BadInput
from fanin.frameworks.closer import Look
from fanin.frameworks.described import cotangents
from fanin.frameworks.held import Array
from fanin.frameworks.measured import fill, looks_of, moments, name_of, parameter_signal, with_details
from fanin.frameworks.paddle.describe import shape_of
from fanin.frameworks.paddle.model import fed, logical
from fanin.frameworks.paddle.parameters import dtype_of, parameters, require_values
from fanin.frameworks.paddle.record import quiet
from fanin.frameworks.paddle.run import fetch, static
from fanin.frameworks.paddle.trace import Traced, trace
from fanin.graph import Ref
from fanin.signals import Moments, Signals
from fanin.signals.axes import Axes
from fanin.signals.model import RANDOM_COTANGENT
from fanin.signals.summary import bounds_of

Loss: TypeAlias = Callable[[Any], Any]


def observe(
    traced: Traced,
    model: Any,
    example: tuple[Any, ...],
    loss: Loss | None = None,
    axes: Mapping[str, Axes] | None = None,
    classes: Mapping[str, int] | None = None,
) -> Signals:
    """Record the model with its loss, run that program on copies of the model's tensors, and measure every node.

    The model's parameters, their gradients, the statistics of its norms and Paddle's generators stay as they are.

    Args:
        loss: from the model's output to a scalar, in operations of Paddle. Without one, that of ⟨output, v⟩/batch.
        axes: for a closer look (`Signals.details`): what the axes of each node count, as `predict` knows it.
        classes: likewise: of logits, which axis counts the classes, by node.

    Raises:
        BadInput: no example, a loss that fails, is no scalar, or depends on no parameter.
        ShapeMismatch: the example is not of the shapes that the model was traced with.
    """
    require_values(parameters(model))
    whole = trace(model, *example, loss=loss or _random_cotangent)
    given = {name: x.numpy() if isinstance(x, paddle.Tensor) else x for name, x in fed(whole, example).items()}
    d, made = whole.description, whole.description.recorded
    if made.scalar.stop_gradient:
        raise BadInput("The loss does not depend on the model's parameters: nothing can be differentiated.")
    nodes = {name: v for name, v in d.values.items() if name in whole.graph.by_name and _is_floating(v)}
    weights = {path: v for path, v in _weights(whole).items() if not v.stop_gradient}
    with static(), quiet(), _fixed_randomness():
        with paddle.static.program_guard(made.program):
            reached = [v for v in (*nodes.values(), *weights.values()) if not v.stop_gradient]
            slopes = paddle.static.gradients([made.scalar], reached)
        known = {value.id: slope for value, slope in zip(reached, slopes, strict=True) if slope is not None}
        wanted = [made.scalar, *nodes.values(), *known.values()]
        scalar, *arrays = fetch(made, made.program, given, wanted)
    seen = dict(zip(nodes, arrays, strict=False))
    gradient_of = dict(zip(known, arrays[len(nodes) :], strict=True))
    return _signals(
        whole,
        seen,
        {name: gradient_of[v.id] for name, v in nodes.items() if v.id in gradient_of},
        {path: gradient_of.get(v.id) for path, v in weights.items()},
        logical(model),
        float(scalar.reshape(-1)[0]),
        name_of(loss) if loss else RANDOM_COTANGENT,
        looks_of(whole.graph, axes, classes),
        axes or {},
    )


def _signals(
    whole: Traced,
    seen: Mapping[str, Array],
    slopes: Mapping[str, Array],
    of_weights: Mapping[str, Array | None],
    read: Callable[[str], Array],
    scalar: float,
    loss_name: str,
    looks: Mapping[str, Look],
    axes: Mapping[str, Axes],
) -> Signals:
    graph, held = whole.graph, whole.description.parameters.held
    bounds = bounds_of(graph)
    values = {name: moments(x, bounds.get(name), looks[name].axes if looks else None) for name, x in seen.items()}
    gradients = {name: moments(x) for name, x in slopes.items()}
    for of, alone in ((values, False), (gradients, True)):
        fill(graph, of, alone=alone)
    logical = {p.path: read(p.path) for p in graph.parameters}
    parameters = {
        p.path: parameter_signal(
            logical[p.path], None if (g := of_weights.get(p.path)) is None else held[p.path].layout.logical(g)
        )
        for p in graph.parameters
    }
    ordered: list[dict[str, Moments]] = [
        {n.name: of[n.name] for n in graph.nodes if n.name in of} for of in (values, gradients)
    ]
    signals = Signals(ordered[0], ordered[1], parameters, scalar, loss_name, graph=graph, axes=axes)
    return with_details(signals, graph, looks, seen, slopes, logical)


def _weights(whole: Traced) -> dict[str, Any]:
    """The values in the program that are the model's parameters, by path."""
    made, path_of = whole.description.recorded, whole.description.parameters.path_of
    given = [op.results()[0] for op in made.program.global_block().ops if op.name() == "builtin.parameter"]
    return {path: value for value in given if (path := path_of.get(id(made.tensor_of(value)))) is not None}


def _is_floating(value: Any) -> bool:
    return dtype_of(value) in {"float16", "bfloat16", "float32", "float64"}


def _random_cotangent(output: Any) -> Any:
    """⟨output, v⟩/batch."""
    tensors = [x for x in paddle.utils.flatten([output]) if isinstance(x, paddle.pir.Value)]
    if any(n < 0 for x in tensors for n in x.shape):
        raise BadInput("How long an output is shows only in the run, since it is made in a loop: give a loss.")
    total: Any = paddle.zeros([])
    for x, v in zip(tensors, cotangents([Ref("", 0, shape_of(x)) for x in tensors]), strict=True):
        if _is_floating(x):
            batch = max(v.shape[0] if v.ndim else 1, 1)
            total = total + paddle.sum(x.astype("float32") * paddle.to_tensor(v)) / batch
    return total


@contextmanager
def _fixed_randomness() -> Iterator[None]:
    """Dropout and the like have the same masks in every pass; Paddle's generators are as they were afterwards."""
    before = paddle.get_rng_state()
    paddle.seed(0)
    try:
        yield
    finally:
        paddle.set_rng_state(before)
