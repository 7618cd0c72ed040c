"""Watched steps of a Keras model, on any back end: weights before and after, and a pass over a batch that is kept."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from fanin.errors import BadInput, FaninError
from fanin.frameworks.keras.model import predict
from fanin.frameworks.keras.observe import observe
from fanin.frameworks.keras.replay import to_numpy
from fanin.frameworks.keras.trace import Traced, trace
from fanin.frameworks.keras.variables import variables
from fanin.frameworks.watched import Sampled, axes_in, layer_steps, stride
from fanin.frameworks.watched import Watcher as Watched
from fanin.signals import Signals
from fanin.signals.axes import Axes
from fanin.signals.step import LayerStep

COMPILED = (
    "Keras compiles a step as a whole on {backend}: weights, updates and losses are seen. For the gradients and the "
    "outputs of layers too, keep a batch to measure them on: WatchCallback(batch=(x, y))."
)
OF_BATCH = "Outputs of layers{and_gradients} are of the batch that is kept, measured before the update."
NO_LAYERS = "The outputs of layers are not seen; keep a batch to measure them on: WatchCallback(batch=(x, y))."


class Watcher(Watched):
    """Looks at one step of `fit`, or of a loop of your own.

    Weights are read by the back end's own operations. Gradients are the optimizer's on PyTorch, which keeps them; on
    JAX and TensorFlow, which compile a step as a whole, they are those of the kept batch, as the outputs of layers are
    everywhere.

    Args:
        optimizer: for learning rates; that of the compiled model, if there is one.
        batch: (x, y) as for `fit`, measured before each watched update, with the model's own loss.

    Raises:
        BadInput: not a model of Keras, not built yet, or a batch that is no pair.
        NoParameters: it has nothing to train.
    """

    def __init__(self, model: Any, optimizer: Any = None, *, histograms: bool = False, batch: Any = None) -> None:
        if batch is not None and not (isinstance(batch, (tuple, list)) and len(batch) == 2):
            raise BadInput(f"batch takes a pair (x, y), as fit does; got {type(batch).__name__}.")
        super().__init__(type(model).__name__, histograms=histograms)
        self._model, self._optimizer, self._batch = model, optimizer, batch
        self._held = variables(model).held
        self._traced: Traced | None = None
        self._axes: Mapping[str, Axes] = {}
        self._measured: Signals | None = None
        self._has_gradients = keras.backend.backend() == "torch"
        self.sees_gradients = self._has_gradients or batch is not None

    def notes(self) -> list[str]:
        """What is seen otherwise than the words say."""
        if self._batch is not None:
            return [OF_BATCH.format(and_gradients="" if self._has_gradients else " and gradients")]
        return [NO_LAYERS if self._has_gradients else COMPILED.format(backend=keras.backend.backend())]

    def arm(self) -> None:
        """The kept batch is measured, and weights are read."""
        _synchronise(self._model)
        if self._batch is not None:
            self._measured = self._pass(*self._batch)
        super().arm()

    def disarm(self) -> None:
        """Nothing is held."""
        super().disarm()
        self._measured = None

    def _weights(self) -> dict[str, Sampled]:
        _synchronise(self._model)
        own = variables(self._model)
        return {path: _sampled(v.value) for path, v in own.stored.items() if v.trainable}

    def _gradients(self) -> dict[str, Sampled]:
        if self._has_gradients:
            held = {path: v.value.grad for path, v in variables(self._model).stored.items()}
            return {path: _sampled(g) for path, g in held.items() if g is not None}
        seen = self._measured.parameters if self._measured else {}
        return {
            path: Sampled(
                float(np.sqrt(p.gradient.second_moment * self._size(path))), np.zeros(0, np.float32), self._size(path)
            )
            for path, p in seen.items()
            if p.gradient is not None
        }

    def _layers(self) -> tuple[LayerStep, ...]:
        return layer_steps(self._measured) if self._measured else ()

    def _rates(self) -> tuple[float, ...]:
        optimizer = self._optimizer or getattr(self._model, "optimizer", None)
        rate = getattr(optimizer, "learning_rate", None)
        return () if rate is None else (float(to_numpy(getattr(rate, "value", rate))),)

    def _shape(self, path: str) -> tuple[int, ...]:
        return self._held[path].layout.shape

    def _size(self, path: str) -> int:
        return int(np.prod(self._held[path].layout.shape))

    def _pass(self, x: Any, y: Any) -> Signals:
        example = (x,) if not isinstance(x, tuple) else x
        if self._traced is None:
            self._traced = trace(self._model, *example)
            try:
                known = predict(self._traced, self._model, example).axes
            except FaninError:  # an operation without a rule; axes are as usual then
                known = {}
            self._axes = axes_in(self._traced.graph, known)
        target = keras.tree.map_structure(keras.ops.convert_to_tensor, y)
        return observe(self._traced, self._model, example, lambda output: self._loss(x, target, output), self._axes)

    def _loss(self, x: Any, y: Any, output: Any) -> Any:
        """As the model computes it; what its trackers count on the way is dropped."""
        compute = self._model.compute_loss
        training = {"training": True} if "training" in inspect.signature(compute).parameters else {}
        with keras.StatelessScope():
            return compute(x=x, y=y, y_pred=output, **training)


def _synchronise(model: Any) -> None:
    """On JAX, `fit` holds the weights outside of the model until somebody asks."""
    if hasattr(model, "jax_state_sync"):
        model.jax_state_sync()


def _sampled(x: Any) -> Sampled:
    """The norm is the back end's; a sample comes to the host."""
    x = x.detach() if hasattr(x, "detach") else x
    flat = keras.ops.reshape(x, (-1,))
    size = int(flat.shape[0])
    wide = keras.ops.cast(flat, "float32") if keras.backend.standardize_dtype(x.dtype) != "float64" else flat
    norm = float(to_numpy(keras.ops.sqrt(keras.ops.sum(keras.ops.square(wide))))) if size else 0.0
    return Sampled(norm, np.array(to_numpy(wide[:: stride(size)])), size)
