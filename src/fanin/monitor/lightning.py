"""`Watching` as a callback of Lightning.

trainer = Trainer(callbacks=[WatchCallback(every=50, to="runs/")])
"""

from __future__ import annotations

from functools import partial
from typing import Any

from fanin.errors import MissingExtra
from fanin.monitor.account import Watch
from fanin.monitor.watching import Watching

try:
    from lightning.pytorch import Callback
except ImportError:  # the older name of the same package
    try:
        from pytorch_lightning import Callback
    except ImportError as error:
        raise MissingExtra("Lightning", "lightning", "fanin.monitor.lightning") from error


class WatchCallback(Callback):  # type: ignore[misc]  # Any, where Lightning is not installed
    """Watches `fit`, a step for each step of the optimizer; the state goes into Lightning's checkpoints.

    Args:
        every, to, tensorboard, keep_step, say: as for `fanin.watch`.
        log: as for `fanin.watch`; True gives the numbers of watched steps to the Trainer's own loggers, such as
            WandbLogger and MLFlowLogger.

    Attributes:
        watch: what was seen, once training has begun.
    """

    def __init__(self, every: int = 50, to: Any = None, log: Any = None, **options: Any) -> None:
        self._settings: dict[str, Any] = {"every": every, "to": to, **options}
        self._log = log
        self._watching: Watching | None = None
        self._state: dict[str, Any] | None = None
        self._step = 0

    @property
    def watch(self) -> Watch | None:
        """The account of the run."""
        return self._watching.result if self._watching else None

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """The weights are on their device now."""
        optimizers = trainer.optimizers
        given = optimizers[0] if len(optimizers) == 1 else None
        log = partial(_log_to, trainer) if self._log is True else self._log or None
        self._watching = Watching(pl_module, optimizer=given, log=log, **self._settings)
        if self._state is not None:
            self._watching.load_state_dict(self._state)
        self._step = trainer.global_step
        self._watching.__enter__()

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """A step, if the optimizer made one; batches whose gradients are accumulated are part of the next."""
        if self._watching is None or trainer.global_step == self._step:
            return
        self._step = trainer.global_step
        self._watching.step(outputs.get("loss") if isinstance(outputs, dict) else outputs)

    def teardown(self, trainer: Any, pl_module: Any, stage: str) -> None:
        """Also where training was interrupted."""
        if self._watching is not None:
            self._watching.close()

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        """The hooks go, whatever it was."""
        if self._watching is not None:
            self._watching.close()

    def state_dict(self) -> dict[str, Any]:
        """For Lightning's checkpoint."""
        return self._watching.state_dict() if self._watching else {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """From Lightning's checkpoint."""
        self._state = state_dict or None


def _log_to(trainer: Any, numbers: dict[str, float], *, step: int) -> None:
    for logger in trainer.loggers:
        logger.log_metrics(numbers, step=step)
