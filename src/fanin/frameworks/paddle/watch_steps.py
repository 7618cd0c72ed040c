"""Watched steps of a Paddle model, in `paddle.Model.fit` or in a loop of your own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import paddle

from fanin.errors import BadInput
from fanin.frameworks.paddle.parameters import parameters, read, require_values
from fanin.frameworks.paddle.step_forward import Forward, norm_of
from fanin.frameworks.watched import Sampled, stride
from fanin.frameworks.watched import Watcher as Watched
from fanin.signals.step import LayerStep

UPDATES: Final = ("step", "minimize")  # methods of an optimizer that read gradients
FUNCTIONS: Final = (
    "Activations are seen where they are layers, such as paddle.nn.ReLU; functions, such as F.relu, are not."
)


class Watcher(Watched):
    """Looks at one step from `arm` to `collect`: layers by hooks, gradients as the optimizer gets them.

    Args:
        optimizer: read when it updates, so that `clear_grad` may come before `w.step`; and its learning rate.

    Raises:
        BadInput: not a layer of Paddle, one without memory, or not an optimizer.
        NoParameters: the model has none.
    """

    def __init__(self, model: Any, optimizer: Any = None, *, histograms: bool = False) -> None:
        own = parameters(model)
        require_values(own)
        if optimizer is not None and not isinstance(optimizer, paddle.optimizer.Optimizer):
            raise BadInput(f"optimizer takes a paddle.optimizer.Optimizer; got {type(optimizer).__name__}.")
        super().__init__(type(model).__name__, histograms=histograms)
        self._own, self._optimizer = own, optimizer
        self._forward = Forward(model, histograms=histograms)
        self._read: dict[str, Sampled] = {}

    def notes(self) -> list[str]:
        """Where activations are functions, they are not seen; said where there is no layer of that kind."""
        return [] if self._forward.sees_activations else [FUNCTIONS]

    def arm(self) -> None:
        """From here on, the step is watched."""
        self._read = {}
        super().arm()
        self._forward.arm()
        if self._optimizer is not None:
            for name in UPDATES:
                setattr(self._optimizer, name, self._reading(getattr(self._optimizer, name)))

    def disarm(self) -> None:
        """The model and the optimizer are as they were."""
        super().disarm()
        self._forward.disarm()
        self._read = {}
        for name in UPDATES:
            vars(self._optimizer).pop(name, None) if self._optimizer is not None else None

    def _reading(self, update: Callable[..., Any]) -> Callable[..., Any]:
        """Gradients are read when it is called; `minimize` of some optimizers calls `step`."""

        def read_first(*args: Any, **kwargs: Any) -> Any:
            self._read = self._read or self._now()
            return update(*args, **kwargs)

        return read_first

    def _weights(self) -> dict[str, Sampled]:
        return {path: _sampled(t) for path, t in self._own.stored.items() if not t.stop_gradient}

    def _gradients(self) -> dict[str, Sampled]:
        return self._read or self._now()

    def _now(self) -> dict[str, Sampled]:
        """Those that are there; `clear_grad` leaves zeros behind, which are none."""
        held = {path: t.grad for path, t in self._own.stored.items()}
        found = {path: _sampled(g) for path, g in held.items() if g is not None}
        return found if any(g.norm != 0 for g in found.values()) else {}

    def _layers(self) -> tuple[LayerStep, ...]:
        return tuple(self._forward.steps())

    def _rates(self) -> tuple[float, ...]:
        return () if self._optimizer is None else (float(self._optimizer.get_lr()),)

    def _shape(self, path: str) -> tuple[int, ...]:
        return self._own.held[path].layout.shape


def _sampled(x: Any) -> Sampled:
    with paddle.no_grad():
        held = x.detach()
        size = int(held.size)
        norm = float(norm_of(held)) if size else 0.0
        return Sampled(norm, read(held.reshape([-1])[:: stride(size)]).copy(), size)
