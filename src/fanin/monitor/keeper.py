"""The step that broke, kept so that it can be made again: its first operation that is not finite, and a folder."""

from __future__ import annotations

import os
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any

from fanin.errors import BadInput, FaninError
from fanin.frameworks import training_adapter_of
from fanin.signals import Origin


@dataclass(frozen=True)
class Broken:
    """A step whose loss, or whose weights after it, are not finite.

    Attributes:
        origin: the first operation; None where it was not found.
        folder: where the step is; None where it was not written.
        trouble: what could not be done; "" is nothing.
    """

    origin: Origin | None = None
    folder: Path | None = None
    trouble: str = ""


class Keeper:
    """Keeps each step until the next one, from `open` to `close` or the first that breaks. Waits for every loss.

    Raises:
        BadInput: a sharded model.
    """

    def __init__(self, model: Any, to: str | os.PathLike[str], rank: int, *, sharded: bool) -> None:
        if sharded:
            raise BadInput("keep_step=True keeps whole models; this one is sharded. Watch it without.")
        self._model, self._to, self._rank = model, Path(to), rank
        self._adapter = training_adapter_of(model, "Keeping")
        self._keeping = self._adapter.Keeping(model)
        self._open = False

    def open(self) -> None:
        """From here on."""
        self._keeping.open()
        self._open = True

    def close(self) -> None:
        """The hooks go, and what was kept."""
        self._keeping.close()
        self._open = False

    def look(self, step: int, loss: Any) -> Broken | None:
        """A step has ended. None if it is finite; then the next one is kept."""
        if not self._open:
            return None
        number = self._keeping.number(loss)
        loss_is_finite = number is None or isfinite(number)
        if loss_is_finite and self._keeping.finite():
            self._keeping.keep()
            return None
        self._open = False
        kept = self._keeping.taken()
        origin, trouble = None, ""
        try:
            origin = kept.origin(self._model, loss_is_finite)
        except Exception as error:  # noqa: BLE001  # a model may not run outside of its loop; the finding stays
            trouble = f"step {step} could not be made again: {type(error).__name__}: {error}"
        if not kept.calls:
            return Broken(trouble=f"step {step} could not be made again: the model did not tell what it is called with")
        if self._rank and origin is None:  # another process has what it began with
            return Broken()
        return self._written(kept, step, number, origin, trouble)

    def _written(self, kept: Any, step: int, loss: float | None, origin: Origin | None, trouble: str) -> Broken:
        folder = self._to / (f"nan-step-{step}" + (f"-rank-{self._rank}" if self._rank else ""))
        said = {"step": step, "loss": loss, "origin": origin.to_dict() if origin else None}
        try:
            self._adapter.save_step(kept, folder, said)
        except (FaninError, OSError) as error:
            return Broken(origin, None, f"{trouble} The step could not be kept: {error}".strip())
        return Broken(origin, folder, trouble)


def replay(folder: str | os.PathLike[str], model: Any) -> Origin | None:
    """Make a kept step again, with the weights, the batch and the random state that it had, and say where it breaks.

    Args:
        folder: that the finding names, such as "runs/nan-step-131".
        model: of the same architecture, with whatever weights, on any device. It is as it was afterwards.

    Returns:
        The first operation whose result is not finite; None where nothing is, as after a repair of the code.

    Raises:
        BadInput: the folder holds no kept step, or one of another model.

    Example:
        >>> import tempfile, torch, fanin
        >>> class Log(torch.nn.Module):
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.linear = torch.nn.Linear(4, 4)
        ...
        ...     def forward(self, x):
        ...         return self.linear(x.log())
        >>> model, folder = Log(), tempfile.mkdtemp()
        >>> with fanin.watch(model, to=folder, keep_step=True, say=lambda text: None) as w:
        ...     w.step(model(torch.zeros(2, 4)).sum())
        >>> replay(f"{folder}/nan-step-1", Log()).operation
        'log'
    """
    kept = training_adapter_of(model, "load_step").load_step(Path(folder))
    kept.check(model)
    origin: Origin | None = kept.origin(model, loss_is_finite=True)
    return origin
