"""`Watching` as a callback of Keras, on any of its back ends.

model.fit(x, y, callbacks=[WatchCallback(every=50, to="runs/", batch=(x[:64], y[:64]))])
"""

from __future__ import annotations

from typing import Any

from fanin.errors import MissingExtra
from fanin.monitor.resumed import Resumed
from fanin.monitor.watching import Watching

try:
    import keras
except ImportError as error:
    raise MissingExtra("Keras", "keras", "fanin.monitor.keras") from error


class WatchCallback(Resumed, keras.callbacks.Callback):  # type: ignore[misc]  # Any, whether Keras is installed or not
    """Watches `fit`, a step for each batch, or for each `steps_per_execution` of them.

    Weights, updates, learning rates and losses are seen on every back end. Keras compiles a step as a whole on JAX and
    TensorFlow, and on PyTorch it calls layers past PyTorch's hooks; so what flows through layers is measured on a batch
    that is kept, at watched steps, before the update and with the model's own loss. Its gradients are judged where
    those of the step itself cannot be seen.

    Args:
        every, to, tensorboard, log, say, alarms: as for `fanin.watch`.
        batch: (x, y) to be kept, as `fit` takes it; a pass over it, forward and back, is made at each watched step.

    Attributes:
        watch: what was seen, once training has begun.

    Raises:
        BadInput: when training begins, for a batch that is no pair.
    """

    def __init__(self, every: int = 50, to: Any = None, *, batch: Any = None, **options: Any) -> None:
        super().__init__()
        self._settings: dict[str, Any] = {"every": every, "to": to, **options}
        self._batch = batch
        self._sum, self._batches = 0.0, 0

    def on_train_begin(self, logs: Any = None) -> None:
        """The weights are built now."""
        from fanin.frameworks.keras.watch import Watcher

        self.close()  # of a run that was interrupted
        histograms = bool(self._settings.get("tensorboard"))
        watcher = Watcher(self.model, histograms=histograms, batch=self._batch)
        self.begin(Watching(self.model, watcher=watcher, **self._settings))

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Keras averages the loss over an epoch."""
        self._sum, self._batches = 0.0, 0

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """A step; its own loss is told from the averages of this batch and the last, if they are all of one size."""
        if self._watching is None:
            return
        average, made = (logs or {}).get("loss"), batch + 1 - self._batches
        before, self._batches = self._sum, batch + 1
        self._sum = before if average is None else float(average) * self._batches
        self._watching.step(None if average is None else (self._sum - before) / max(made, 1))

    def on_train_end(self, logs: Any = None) -> None:
        """Files are closed."""
        self.close()
