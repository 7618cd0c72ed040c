"""`Watching` for functional loops of JAX: the step tells what is to be seen, as a part of what it computes.

w = watch(every=50, to="runs/")
params, state, loss, seen = step(params, state, x, y, w.looks)  # statistics(params, grads, updates, when=…) inside
w.step(loss, seen=seen)
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

from fanin.errors import MissingExtra
from fanin.monitor.alarm import Alarm
from fanin.monitor.alarms import ALARMS
from fanin.monitor.sinks import Log
from fanin.monitor.watching import Watching

try:
    from fanin.frameworks.jax.watch import Statistics, Watcher, statistics
except ImportError as error:
    raise MissingExtra("JAX", "jax", "fanin.monitor.jax") from error

__all__ = ["Statistics", "WatchingSteps", "statistics", "watch"]


class WatchingSteps(Watching):
    """The open watch of a functional loop; see `watch`."""

    _watcher: Watcher

    @property
    def looks(self) -> bool:
        """Whether the next step is watched: for `statistics(…, when=w.looks)`, handed to the step as an argument."""
        return self._armed

    def step(self, loss: Any = None, gradient_norm: Any = None, *, seen: Any = None, model: Any = None) -> None:
        """One step is done. Nothing waits for the device but a step that is watched.

        Args:
            loss: of this step, a scalar array or a number.
            gradient_norm: as by `optax.global_norm`, before clipping; then the norm of every step is judged.
            seen: what `statistics` returned within the step.
            model: as it is now, where a batch is kept: (function, params), or the module.

        Raises:
            BadInput: the watch is not open, the loss is no scalar, or seen is something else.
        """
        self._watcher.takes(seen, model)
        super().step(loss, gradient_norm)


def watch(
    model: Any = None,
    *,
    batch: tuple[Any, ...] | None = None,
    loss: Callable[..., Any] | None = None,
    every: int = 50,
    to: str | os.PathLike[str] | None = None,
    tensorboard: bool = False,
    log: Log | None = None,
    alarms: Sequence[Alarm] = ALARMS,
    say: Callable[[str], None] | None = None,
) -> WatchingSteps:
    """Watch a loop whose steps are functions of arrays, as `fanin.watch` watches one of PyTorch.

    Weights, gradients and updates are what `statistics` sees within the step; what flows through layers is measured on
    a batch that is kept, at watched steps, if there is one.

    Args:
        model: where a batch is kept, as for `fanin.measure`: a module, or (function, params).
        batch: the arguments of one call, and the loss's target behind them.
        loss: of the output, or of output and target, such as one of optax's.
        every, to, tensorboard, log, alarms, say: as for `fanin.watch`.

    Raises:
        BadInput: a model without a batch, or a batch without a model; a folder that cannot be written to.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from fanin.monitor.jax import statistics, watch
        >>> params = {"w": jax.random.normal(jax.random.key(0), (8, 4)) / 3, "b": jnp.zeros(4)}
        >>> x = jax.random.normal(jax.random.key(1), (64, 8))
        >>> def loss_of(params):
        ...     return ((x @ params["w"] + params["b"] - x[:, :4]) ** 2).mean()
        >>> @jax.jit
        ... def step(params, looks):
        ...     loss, grads = jax.value_and_grad(loss_of)(params)
        ...     updates = jax.tree.map(lambda g: -0.1 * g, grads)
        ...     seen = statistics(params, grads, updates, when=looks)
        ...     return jax.tree.map(jnp.add, params, updates), loss, seen
        >>> with watch(every=10) as w:
        ...     for _ in range(30):
        ...         params, loss, seen = step(params, w.looks)
        ...         w.step(loss, seen=seen)
        >>> w.result.summary, [record.step for record in w.result.records]
        ('healthy', [1, 10, 20, 30])
        >>> sorted(p.path for p in w.result.records[0].signals.parameters)
        ['b', 'w']
    """
    watcher = Watcher(model, batch=batch, loss=loss)
    return WatchingSteps(model, every, to, tensorboard=tensorboard, log=log, alarms=alarms, say=say, watcher=watcher)
