"""`Watching` as a callback of Keras, on its PyTorch back end.

model.fit(x, y, callbacks=[WatchCallback(every=50, to="runs/")])
"""

from __future__ import annotations

from typing import Any

from fanin.errors import BadInput, MissingExtra
from fanin.monitor.account import Watch
from fanin.monitor.watching import Watching

try:
    import keras
except ImportError as error:
    raise MissingExtra("Keras", "keras", "fanin.monitor.keras") from error


class WatchCallback(keras.callbacks.Callback):  # type: ignore[misc]  # Any, whether Keras is installed or not
    """Watches `fit`, a step for each batch. Gradients, weights, updates and losses are seen; the layers' outputs are
    not, since Keras calls layers past PyTorch's hooks.

    Args:
        every, to, tensorboard, log, say: as for `fanin.watch`.

    Attributes:
        watch: what was seen, once training has begun.

    Raises:
        BadInput: when training begins on another back end, which compiles its steps as a whole.
    """

    def __init__(self, every: int = 50, to: Any = None, **options: Any) -> None:
        super().__init__()
        self._settings: dict[str, Any] = {"every": every, "to": to, **options}
        self._watching: Watching | None = None
        self._sum = 0.0

    @property
    def watch(self) -> Watch | None:
        """The account of the run."""
        return self._watching.result if self._watching else None

    def on_train_begin(self, logs: Any = None) -> None:
        """The weights are built now."""
        if keras.backend.backend() != "torch":
            raise BadInput(
                f"Keras runs on {keras.backend.backend()}, which compiles a step as a whole, so that nothing in it is "
                "seen. Set KERAS_BACKEND=torch to watch it."
            )
        self.close()  # of a run that was interrupted
        self._watching = Watching(self.model, **self._settings)
        self._watching.__enter__()

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Keras averages the loss over an epoch."""
        self._sum = 0.0

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """A step; its own loss is told from the averages of this batch and the last, if they are all of one size."""
        if self._watching is None:
            return
        average = (logs or {}).get("loss")
        before, self._sum = self._sum, self._sum if average is None else float(average) * (batch + 1)
        self._watching.step(None if average is None else self._sum - before)

    def on_train_end(self, logs: Any = None) -> None:
        """The hooks go."""
        self.close()

    def close(self) -> None:
        """The hooks go; what was seen stays. Keras tells its callbacks of no Ctrl-C."""
        if self._watching is not None:
            self._watching.close()
