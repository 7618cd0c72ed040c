"""Scalars and histograms of a run for TensorBoard, by PyTorch's own writer."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Final

from fanin.errors import MissingExtra
from fanin.signals import Histogram

SOON: Final = 2  # seconds from a point to the disk


class Board:
    """An open writer.

    Raises:
        MissingExtra: TensorBoard is not installed.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self._writer = _writer()(os.fspath(folder))

    def write(self, step: int, scalars: Mapping[str, float], histograms: Mapping[str, Histogram]) -> None:
        """All of one step; on the disk before this returns."""
        for tag, value in scalars.items():
            self._writer.add_scalar(tag, value, step)
        for tag, seen in histograms.items():
            width = (seen.high - seen.low) / len(seen.counts)
            centers = [seen.low + (i + 0.5) * width for i in range(len(seen.counts))]
            self._writer.add_histogram_raw(
                tag,
                min=seen.low,
                max=seen.high,
                num=sum(seen.counts),
                sum=sum(c * n for c, n in zip(centers, seen.counts, strict=True)),
                sum_squares=sum(c * c * n for c, n in zip(centers, seen.counts, strict=True)),
                bucket_limits=[seen.low + (i + 1) * width for i in range(len(seen.counts))],
                bucket_counts=list(seen.counts),
                global_step=step,
            )
        self._writer.flush()

    def say(self, step: int, text: str) -> None:
        """A finding, among the texts."""
        self._writer.add_text("findings", text.replace("\n", "  \n"), step)
        self._writer.flush()

    def close(self) -> None:
        """Nothing more will be said."""
        self._writer.close()


class Run:
    """One run's curves while they grow, from step 1; what an earlier process wrote of this run no longer counts.

    Raises:
        MissingExtra: TensorBoard is not installed.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self._writer = _writer()(os.fspath(folder), purge_step=1, flush_secs=SOON)
        self._written: dict[str, int] = {}

    def add(self, tag: str, step: int, value: float) -> None:
        """One point; a step that is there already is left as it is."""
        if step > self._written.get(tag, 0):
            self._writer.add_scalar(tag, value, step)
            self._written[tag] = step

    def close(self) -> None:
        """All of it is on the disk."""
        self._writer.close()


def check_board() -> None:
    """That TensorBoard's files can be written.

    Raises:
        MissingExtra: it is not installed.
    """
    _writer()


def _writer() -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise MissingExtra("TensorBoard", "watch", "Writing for TensorBoard") from error
    return SummaryWriter
