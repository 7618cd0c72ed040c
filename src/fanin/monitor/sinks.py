"""Where a run is written: JSON lines, TensorBoard beside them, and the user's own logger."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, Protocol, Self

from fanin.monitor.account import Onset, Record
from fanin.monitor.lines import JsonLines
from fanin.signals import Histogram
from fanin.signals.step import LayerStep, ParameterStep


class Log(Protocol):
    """What takes numbers by name, as `wandb.log`, `mlflow.log_metrics` and Lightning's loggers do."""

    def __call__(self, numbers: dict[str, float], /, *, step: int) -> Any:
        """Of one step."""


class Sinks:
    """Those that are open. A method returns what went wrong, if anything; that sink is closed then."""

    def __init__(self, lines: JsonLines | None = None, board: Any = None, log: Log | None = None) -> None:
        self._lines, self._board, self._log = lines, board, log

    @classmethod
    def opened(
        cls,
        folder: str | os.PathLike[str] | None,
        board: Callable[[str | os.PathLike[str]], Any] | None,
        log: Log | None,
    ) -> Self:
        """In a folder, if any, which is made if it is not there.

        Raises:
            BadInput: it cannot be written to.
            MissingExtra: TensorBoard is asked for and not installed.
        """
        if folder is None:
            return cls(log=log)
        lines = JsonLines(folder)
        try:
            return cls(lines, board(folder) if board else None, log)
        except BaseException:
            lines.close()
            raise

    def write(self, kind: str, content: dict[str, Any]) -> str | None:
        """A line."""
        if self._lines is None:
            return None
        try:
            self._lines.write(kind, content)
        except OSError as error:
            path, self._lines = self._lines.path, None
            return f"nothing more is written to {path}: {error.strerror}"
        return None

    def show(self, record: Record) -> str | None:
        """A watched step, on TensorBoard and to the user's logger."""
        return self._on_board(lambda board: board.write(record.step, scalars(record), histograms(record))) or (
            self._logged(record)
        )

    def tell(self, onset: Onset) -> str | None:
        """A finding, on TensorBoard."""
        return self._on_board(lambda board: board.say(onset.step, str(onset)))

    def close(self) -> None:
        """Nothing more will be said."""
        for sink in (self._lines, self._board):
            if sink is not None:
                sink.close()
        self._lines = self._board = self._log = None

    def _on_board(self, what: Callable[[Any], None]) -> str | None:
        if self._board is None:
            return None
        try:
            what(self._board)
        except OSError as error:
            self._board = None
            return f"nothing more is written for TensorBoard: {error.strerror}"
        return None

    def _logged(self, record: Record) -> str | None:
        if self._log is None:
            return None
        try:
            self._log(scalars(record), step=record.step)
        except Exception as error:  # noqa: BLE001  # the logger's own troubles do not stop the training
            self._log = None
            return f"nothing more is given to log: {type(error).__name__}: {error}"
        return None


def scalars(record: Record) -> dict[str, float]:
    """Tag → number, grouped as TensorBoard groups them: by what stands before the slash."""
    signals = record.signals
    found: dict[str, float | None] = {"watch/loss": record.loss, "watch/gradient_norm": signals.gradient_norm}
    found |= {f"watch/learning_rate_{i}": rate for i, rate in enumerate(signals.learning_rates)}
    for layer in signals.layers:
        found |= {f"{name}/{layer.path}": value for name, value in _of_layer(layer).items()}
    for parameter in signals.parameters:
        found |= {f"{name}/{parameter.path}": value for name, value in _of_parameter(parameter).items()}
    return {tag: value for tag, value in found.items() if value is not None}


def _of_layer(layer: LayerStep) -> dict[str, float | None]:
    seen = layer.activated
    return {
        "output_second_moment": layer.value.second_moment,
        "output_mean": layer.value.mean,
        "output_gradient_squared_norm": layer.gradient,
        "activation_zeros": seen.value.zeros if seen else None,
        "activation_dead": seen.dead if seen else None,
        "activation_saturated": seen.value.saturated if seen else None,
    }


def _of_parameter(p: ParameterStep) -> dict[str, float | None]:
    return {"weight_norm": p.weight, "gradient_norm": p.gradient, "update_ratio": p.update_ratio}


def histograms(record: Record) -> dict[str, Histogram]:
    """Tag → the histogram, of those that were made."""
    found = {f"output/{layer.path}": layer.histogram for layer in record.signals.layers}
    for p in record.signals.parameters:
        found |= {f"weight/{p.path}": p.histogram, f"gradient/{p.path}": p.gradient_histogram}
    return {tag: seen for tag, seen in found.items() if seen is not None}
