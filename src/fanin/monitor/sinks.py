"""Where a run is written: JSON lines, and TensorBoard beside them."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, Self

from fanin.monitor.account import Onset, Record
from fanin.monitor.lines import JsonLines
from fanin.signals import Histogram
from fanin.signals.step import LayerStep, ParameterStep


class Sinks:
    """Those that are open. A method returns what went wrong, if anything; that sink is closed then."""

    def __init__(self, lines: JsonLines | None, board: Any) -> None:
        self._lines, self._board = lines, board

    @classmethod
    def opened(cls, folder: str | os.PathLike[str], board: Callable[[str | os.PathLike[str]], Any] | None) -> Self:
        """In a folder, which is made if it is not there.

        Raises:
            BadInput: it cannot be written to.
            MissingExtra: TensorBoard is asked for and not installed.
        """
        lines = JsonLines(folder)
        try:
            return cls(lines, board(folder) if board else None)
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
        """A watched step, on TensorBoard."""
        return self._on_board(lambda board: board.write(record.step, scalars(record), histograms(record)))

    def tell(self, onset: Onset) -> str | None:
        """A finding, on TensorBoard."""
        return self._on_board(lambda board: board.say(onset.step, str(onset)))

    def close(self) -> None:
        """Nothing more will be said."""
        for sink in (self._lines, self._board):
            if sink is not None:
                sink.close()
        self._lines = self._board = None

    def _on_board(self, what: Callable[[Any], None]) -> str | None:
        if self._board is None:
            return None
        try:
            what(self._board)
        except OSError as error:
            self._board = None
            return f"nothing more is written for TensorBoard: {error.strerror}"
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
