"""`Watching` as a callback of Hugging Face's Trainer.

Trainer(model, args, train_dataset=…, callbacks=[WatchCallback(every=50, to="runs/")])
"""

from __future__ import annotations

from typing import Any

from fanin.errors import MissingExtra
from fanin.monitor.account import Watch
from fanin.monitor.watching import Watching

try:
    from transformers import TrainerCallback
except ImportError as error:
    raise MissingExtra("transformers", "transformers", "fanin.monitor.transformers") from error


class WatchCallback(TrainerCallback):  # type: ignore[misc]  # Any, where transformers is not installed
    """Watches `train`, a step for each step of the optimizer.

    The Trainer tells its callbacks no loss. It is taken from what the model returns, `output.loss`, of the last batch
    of a step; where the model returns none, no loss is judged.

    Args:
        every, to, tensorboard, say: as for `fanin.watch`.

    Attributes:
        watch: what was seen, once training has begun.
    """

    def __init__(self, every: int = 50, to: Any = None, **options: Any) -> None:
        self._settings: dict[str, Any] = {"every": every, "to": to, **options}
        self._watching: Watching | None = None
        self._handle: Any = None
        self._loss: Any = None

    @property
    def watch(self) -> Watch | None:
        """The account of the run."""
        return self._watching.result if self._watching else None

    def on_train_begin(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """The weights are on their device now."""
        self._close()  # of a run that was interrupted
        model = given["model"]
        self._watching = Watching(model, **self._settings)
        self._handle = model.register_forward_hook(self._keep_loss)
        self._watching.__enter__()

    def on_optimizer_step(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """Behind the update, before the gradients are taken away."""
        if self._watching is not None:
            loss, self._loss = self._loss, None
            self._watching.step(loss)

    def on_train_end(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """The hooks go."""
        self._close()

    def _keep_loss(self, module: Any, inputs: Any, output: Any) -> None:
        if module.training:
            found = output.get("loss") if hasattr(output, "get") else None
            self._loss = found.detach().mean() if found is not None else None

    def _close(self) -> None:
        if self._handle is not None:
            self._handle.remove()
            self._handle = None
        if self._watching is not None:
            self._watching.close()
