"""Scalars, histograms and texts of a run for TensorBoard, by its own writer of events: no framework is needed."""

from __future__ import annotations

import os
import time
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
        self._writer = _writer(folder)

    def write(self, step: int, scalars: Mapping[str, float], histograms: Mapping[str, Histogram]) -> None:
        """All of one step; on the disk before this returns."""
        for tag, value in scalars.items():
            _add(self._writer, step, tag=tag, simple_value=value)
        for tag, seen in histograms.items():
            _add(self._writer, step, tag=tag, histo=_histogram(seen))
        self._writer.flush()

    def say(self, step: int, text: str) -> None:
        """A finding, among the texts."""
        _add(self._writer, step, **_text("findings/text_summary", text.replace("\n", "  \n")))
        self._writer.flush()

    def close(self) -> None:
        """Nothing more will be said."""
        self._writer.close()


def _histogram(seen: Histogram) -> Any:
    """As TensorBoard keeps it: the upper limit of each bin, and its count."""
    from tensorboard.compat.proto.histogram_pb2 import HistogramProto

    width = (seen.high - seen.low) / len(seen.counts)
    centers = [seen.low + (i + 0.5) * width for i in range(len(seen.counts))]
    return HistogramProto(
        min=seen.low,
        max=seen.high,
        num=sum(seen.counts),
        sum=sum(c * n for c, n in zip(centers, seen.counts, strict=True)),
        sum_squares=sum(c * c * n for c, n in zip(centers, seen.counts, strict=True)),
        bucket_limit=[seen.low + (i + 1) * width for i in range(len(seen.counts))],
        bucket=list(seen.counts),
    )


def _text(tag: str, text: str) -> dict[str, Any]:
    """A value of the text plugin."""
    from tensorboard.compat.proto.summary_pb2 import SummaryMetadata
    from tensorboard.compat.proto.tensor_pb2 import TensorProto
    from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
    from tensorboard.plugins.text.plugin_data_pb2 import TextPluginData

    content = TextPluginData(version=0).SerializeToString()
    plugin = SummaryMetadata.PluginData(plugin_name="text", content=content)
    one = TensorShapeProto(dim=[TensorShapeProto.Dim(size=1)])
    tensor = TensorProto(dtype="DT_STRING", string_val=[text.encode()], tensor_shape=one)
    return {"tag": tag, "metadata": SummaryMetadata(plugin_data=plugin), "tensor": tensor}


class Run:
    """One run's curves while they grow, from step 1; what an earlier process wrote of this run no longer counts.

    Raises:
        MissingExtra: TensorBoard is not installed.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self._writer = _writer(folder, flush_secs=SOON)
        self._written: dict[str, int] = {}
        from tensorboard.compat.proto.event_pb2 import Event, SessionLog

        start = SessionLog(status=SessionLog.START)  # points of an earlier process from this step on are dropped
        self._writer.add_event(Event(wall_time=time.time(), step=1, session_log=start))

    def add(self, tag: str, step: int, value: float) -> None:
        """One point; a step that is there already is left as it is."""
        if step > self._written.get(tag, 0):
            _add(self._writer, step, tag=tag, simple_value=value)
            self._written[tag] = step

    def close(self) -> None:
        """All of it is on the disk."""
        self._writer.close()


def check_board() -> None:
    """That TensorBoard's files can be written.

    Raises:
        MissingExtra: it is not installed.
    """
    try:
        import tensorboard.summary.writer.event_file_writer  # noqa: F401
    except ImportError as error:
        raise MissingExtra("TensorBoard", "watch", "Writing for TensorBoard") from error


def _writer(folder: str | os.PathLike[str], **how: Any) -> Any:
    check_board()
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

    return EventFileWriter(os.fspath(folder), **how)


def _add(writer: Any, step: int, **value: Any) -> None:
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary

    summary = Summary(value=[Summary.Value(**value)])
    writer.add_event(Event(wall_time=time.time(), step=step, summary=summary))
