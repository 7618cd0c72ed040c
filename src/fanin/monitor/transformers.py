"""`Watching` as a callback of Hugging Face's Trainer.

Trainer(model, args, train_dataset=…, callbacks=[WatchCallback(every=50, to="runs/")])
"""

from __future__ import annotations

import os
from typing import Any

from fanin.errors import MissingExtra
from fanin.monitor.account import Watch
from fanin.monitor.watching import Watching

try:
    from transformers import TrainerCallback
    from transformers.trainer_callback import ExportableState
except ImportError as error:
    raise MissingExtra("transformers", "transformers", "fanin.monitor.transformers") from error


class WatchCallback(TrainerCallback, ExportableState):  # type: ignore[misc]  # Any, where transformers is missing
    """Watches `train`, a step for each step of the optimizer; the state goes into the Trainer's checkpoints.

    The Trainer tells its callbacks no loss. It is taken from what the model returns, `output.loss`, of the last batch
    of a step; where the model returns none, no loss is judged. Nor does it tell them of Ctrl-C: `close` takes away
    hooks that a watched step may have left then, and so does the next `train`.

    Args:
        every, to, tensorboard, keep_step, log, say: as for `fanin.watch`.

    Attributes:
        watch: what was seen, once training has begun.
    """

    def __init__(self, every: int = 50, to: Any = None, **options: Any) -> None:
        self._settings: dict[str, Any] = {"every": every, "to": None if to is None else os.fspath(to), **options}
        self._watching: Watching | None = None
        self._handle: Any = None
        self._loss: Any = None
        self._trainer: Any = None
        self._numbers: dict[str, float] = {}

    @property
    def watch(self) -> Watch | None:
        """The account of the run."""
        return self._watching.result if self._watching else None

    def log_to(self, trainer: Any) -> None:
        """Give the numbers of watched steps to `trainer.log`, and so to W&B, MLflow or whatever it reports to."""
        self._trainer = trainer
        self._settings["log"] = self._keep_numbers

    def on_train_begin(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """The weights are on their device now."""
        self.close()  # of a run that was interrupted
        model, optimizer = given["model"], given.get("optimizer")
        optimizer = getattr(optimizer, "optimizer", optimizer)  # within accelerate's
        self._watching = Watching(model, optimizer=optimizer, **self._settings)
        kept = (state.stateful_callbacks or {}).get(type(self).__name__)
        if state.global_step and isinstance(kept, dict) and kept["attributes"].get("kept"):
            self._watching.load_state_dict(kept["attributes"]["kept"])
        self._handle = model.register_forward_hook(self._keep_loss)
        self._watching.__enter__()

    def on_optimizer_step(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """Behind the update, before the gradients are taken away."""
        if self._watching is not None:
            loss, self._loss = self._loss, None
            self._watching.step(loss)

    def on_step_end(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """The Trainer has counted the step now."""
        numbers, self._numbers = self._numbers, {}
        if numbers:
            self._trainer.log(numbers)

    def on_train_end(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """The hooks go."""
        self.close()

    def state(self) -> dict[str, Any]:
        """For the Trainer's checkpoint; functions cannot go into it."""
        plain = {name: value for name, value in self._settings.items() if not callable(value)}
        return {"args": plain, "attributes": {"kept": self._watching.state_dict() if self._watching else None}}

    def close(self) -> None:
        """The hooks go; what was seen stays."""
        if self._handle is not None:
            self._handle.remove()
            self._handle = None
        if self._watching is not None:
            self._watching.close()

    def _keep_loss(self, module: Any, inputs: Any, output: Any) -> None:
        if module.training:
            found = output.get("loss") if hasattr(output, "get") else None
            self._loss = found.detach().mean() if found is not None else None

    def _keep_numbers(self, numbers: dict[str, float], *, step: int) -> None:
        self._numbers = dict(numbers)
