"""Watched steps of a functional loop: statistics inside the step, under `jax.jit`, and a pass over a kept batch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Self

import jax
import jax.numpy as jnp
import numpy as np
from jax.lax import cond

from fanin.errors import BadInput, FaninError
from fanin.frameworks.batch import Batch
from fanin.frameworks.jax.adapter import trace
from fanin.frameworks.jax.circumstances import batches_of, predict
from fanin.frameworks.jax.observe import observe
from fanin.frameworks.jax.opened import is_array, is_floating, path_of
from fanin.frameworks.jax.trace import Traced
from fanin.frameworks.watched import Watcher as Watched
from fanin.frameworks.watched import axes_in, layer_steps
from fanin.signals import Signals
from fanin.signals.axes import Axes
from fanin.signals.step import LayerStep, ParameterStep, StepSignals

OF_BATCH: Final = "Outputs of layers, and gradients at them, are of the batch that is kept, measured after the update."
NO_LAYERS: Final = (
    "The outputs of layers are not seen; keep a batch to measure them on: watch(…, batch=(x, y), loss=…), "
    "and w.step(loss, seen=…, model=…)."
)


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["weights", "gradients", "updates", "computed"],
    meta_fields=["paths", "shapes"],
)
@dataclass(frozen=True)
class Statistics:
    """Of one step, on its device: L2 norms, one of each parameter. A pytree, which a jitted step may return.

    Attributes:
        weights: ‖w‖ before the update.
        gradients: ‖∂L/∂w‖; NaN where there is none, which `has_gradient` tells from one that is not a number.
        updates: ‖Δw‖; likewise.
        computed: whether it was asked for; else all are 0.
        paths, shapes: of the parameters, known when the step is compiled.
    """

    weights: Any
    gradients: Any
    updates: Any
    computed: Any
    paths: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]


def statistics(params: Any, grads: Any = None, updates: Any = None, *, after: Any = None, when: Any = True) -> Any:
    """What is seen of one step. Pure, for inside `jax.jit`; nothing waits for the device.

    Args:
        params: a pytree, before the update; leaves that are not floating-point arrays are left out.
        grads: of the same structure, as the optimizer gets them.
        updates: Δw, as optax returns them; or
        after: the parameters after the update.
        when: may be traced; where it is false, nothing is computed. `w.looks` says it of the next step.

    Raises:
        BadInput: no floating-point array, both or neither of updates and after, or trees of other paths.
    """
    own = _leaves(params)
    if not own:
        raise BadInput("statistics takes the parameters as a pytree of floating-point arrays; there is none in it.")
    if (updates is None) == (after is None):
        raise BadInput("statistics takes exactly one of updates=, as optax returns them, and after=.")
    slopes = _matching(own, grads, "grads") if grads is not None else None
    moved = _matching(own, updates if after is None else after, "updates" if after is None else "after")

    def looked(_: None) -> tuple[Any, Any, Any]:
        steps = moved if after is None else {path: moved[path] - x for path, x in own.items()}
        nothing = jnp.zeros(0)
        return _norms(own), nothing if slopes is None else _norms(slopes), _norms(steps)

    def skipped(_: None) -> tuple[Any, Any, Any]:
        zeros = jnp.zeros(len(own))
        return zeros, jnp.zeros(0) if slopes is None else zeros, zeros

    weights, gradients, steps = cond(when, looked, skipped, None)
    shapes = tuple(tuple(x.shape) for x in own.values())
    return Statistics(weights, gradients, steps, jnp.asarray(when), tuple(own), shapes)


def _leaves(tree: Any) -> dict[str, Any]:
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    return {path_of(keys): x for keys, x in leaves if is_array(x) and is_floating(x)}


def _matching(own: dict[str, Any], tree: Any, name: str) -> dict[str, Any]:
    found = _leaves(tree)
    if lacking := [path for path, x in own.items() if path not in found or found[path].shape != x.shape]:
        raise BadInput(
            f"{name} has no array for {len(lacking)} parameter(s), or one of another shape: {', '.join(lacking[:5])}. "
            "It takes a pytree of the same structure as params."
        )
    return {path: found[path] for path in own}


def _norms(arrays: dict[str, Any]) -> Any:
    return jnp.stack([jnp.linalg.norm(x.astype(_wide(x)).reshape(-1)).astype(jnp.float32) for x in arrays.values()])


def _wide(x: Any) -> Any:
    return jnp.promote_types(x.dtype, jnp.float32)


@dataclass(frozen=True)
class _Kept:
    """A batch, with the graph that it is measured on."""

    batch: Batch
    traced: Traced
    axes: Mapping[str, Axes]

    @classmethod
    def of(cls, model: Any, batch: Batch) -> Self:
        made = trace(model, *batch.example)
        try:
            known = predict(made, model, batch.example).axes
        except FaninError:  # an operation without a rule; axes are as usual then
            known = {}
        return cls(batch, made, axes_in(made.graph, known))

    def measured(self, model: Any) -> Signals:
        return observe(self.traced, model, self.batch.example, self.batch.loss, self.axes)


class Watcher(Watched):
    """Takes what the step tells, and measures the kept batch at watched steps.

    Args:
        model: as for `fanin.measure`, where a batch is kept: a module, or (function, params).
        batch: what it is called with, and the loss's target behind it, if it takes one.
        loss: of the output, or of output and target.
    """

    def __init__(self, model: Any = None, *, batch: tuple[Any, ...] | None = None, loss: Any = None) -> None:
        if (model is None) is not (batch is None):
            raise BadInput("To measure a batch that is kept, give both: watch(model, batch=(x, y), loss=…).")
        super().__init__("a step of JAX" if model is None else _name(model))
        self._seen: Statistics | None = None
        self._model: Any = None
        self._kept: _Kept | None = None
        if batch is not None:
            given = tuple(batch) if isinstance(batch, (tuple, list)) else (batch,)
            self._kept = _Kept.of(model, batches_of(model, given, loss, 1)[0])

    def takes(self, seen: Any, model: Any) -> None:
        """What `w.step` was given."""
        if seen is not None and not isinstance(seen, Statistics):
            raise BadInput(f"seen takes what statistics(…) returned; got {type(seen).__name__}.")
        self._seen, self._model = seen, model

    def notes(self) -> list[str]:
        """What is seen otherwise than the words say."""
        return [OF_BATCH if self._kept is not None else NO_LAYERS]

    def arm(self) -> None:
        """The step itself tells what is to be seen of it."""

    def disarm(self) -> None:
        """Nothing is held."""
        self._seen = self._model = None

    def collect(self) -> StepSignals:
        """Fetched in one go."""
        try:
            layers = self._layers()
            if self._seen is None:
                return StepSignals(layers, (), gradients_seen=False)
            return StepSignals(layers, tuple(_parameters(jax.device_get(self._seen))), gradients_seen=self._told())
        finally:
            self.disarm()

    def not_finite(self) -> tuple[str, ...]:
        """Paths of parameters whose gradient, else whose value before the update, is not finite."""
        if self._seen is None or not bool(self._seen.computed):
            return ()
        seen = jax.device_get(self._seen)
        for norms in (seen.gradients, seen.weights):
            pairs = zip(seen.paths, norms, strict=False)
            if broken := tuple(path for path, norm in pairs if not np.isfinite(norm)):
                return broken
        return ()

    def _told(self) -> bool:
        return self._seen is not None and self._seen.gradients.shape[0] > 0

    def _layers(self) -> tuple[LayerStep, ...]:
        return () if self._kept is None or self._model is None else layer_steps(self._kept.measured(self._model))


def _parameters(seen: Statistics) -> list[ParameterStep]:
    if not bool(seen.computed):
        return []
    gradients: list[Any] = list(seen.gradients) or [None] * len(seen.paths)
    columns = zip(seen.paths, seen.shapes, seen.weights, gradients, seen.updates, strict=True)
    return [
        ParameterStep(path, _logical(path, shape), float(w), None if g is None else float(g), float(u))
        for path, shape, w, g, u in columns
    ]


def _logical(path: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Kernels of Flax count their outputs last; PyTorch's weights, and Equinox's, first."""
    is_kernel = path.rpartition(".")[2] in {"kernel", "embedding"} and len(shape) > 1
    return (shape[-1], *shape[:-1]) if is_kernel else shape


def _name(model: Any) -> str:
    of = model[0] if isinstance(model, tuple) else model
    return str(getattr(of, "__name__", type(of).__name__))
