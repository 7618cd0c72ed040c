"""`Watching` as a callback of Paddle's high-level API.

paddle.Model(net).fit(data, callbacks=[WatchCallback(every=50, to="runs/")])
"""

from __future__ import annotations

from typing import Any

from fanin.errors import MissingExtra
from fanin.monitor.resumed import Resumed
from fanin.monitor.watching import Watching

try:
    import paddle
except ImportError as error:
    raise MissingExtra("Paddle", "paddle", "fanin.monitor.paddle") from error


class WatchCallback(Resumed, paddle.callbacks.Callback):  # type: ignore[misc]  # Any, whether Paddle is installed or not
    """Watches `paddle.Model.fit`, a step for each batch.

    Args:
        every, to, tensorboard, log, say, alarms: as for `fanin.watch`.

    Attributes:
        watch: what was seen, once training has begun.
    """

    def __init__(self, every: int = 50, to: Any = None, **options: Any) -> None:
        super().__init__()
        self._settings: dict[str, Any] = {"every": every, "to": to, **options}

    def on_train_begin(self, logs: Any = None) -> None:
        """The model is prepared now."""
        self.close()  # of a run that was interrupted
        self.begin(Watching(self.model.network, optimizer=self.model._optimizer, **self._settings))

    def on_train_batch_end(self, step: int, logs: Any = None) -> None:
        """A step; of several losses, their sum is what was minimized."""
        if self._watching is not None:
            losses = (logs or {}).get("loss")
            self._watching.step(None if losses is None else float(sum(losses)) if _several(losses) else float(losses))

    def on_train_end(self, logs: Any = None) -> None:
        """The hooks go."""
        self.close()


def _several(losses: Any) -> bool:
    return isinstance(losses, (list, tuple))
