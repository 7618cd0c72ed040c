"""Scalars, histograms and texts of a run for TensorBoard, by its own writer of events: no framework is needed."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from typing import Any

from fanin.errors import MissingExtra
from fanin.signals import Histogram


class Board:
    """An open writer.

    Raises:
        MissingExtra: TensorBoard is not installed.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        check_board()
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        self._writer = EventFileWriter(os.fspath(folder))

    def write(self, step: int, scalars: Mapping[str, float], histograms: Mapping[str, Histogram]) -> None:
        """All of one step; on the disk before this returns."""
        for tag, value in scalars.items():
            self._add(step, tag=tag, simple_value=value)
        for tag, seen in histograms.items():
            self._add(step, tag=tag, histo=_histogram(seen))
        self._writer.flush()

    def say(self, step: int, text: str) -> None:
        """A finding, among the texts."""
        self._add(step, **_text("findings/text_summary", text.replace("\n", "  \n")))
        self._writer.flush()

    def close(self) -> None:
        """Nothing more will be said."""
        self._writer.close()

    def _add(self, step: int, **value: Any) -> None:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary

        summary = Summary(value=[Summary.Value(**value)])
        self._writer.add_event(Event(wall_time=time.time(), step=step, summary=summary))


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


def write_curves(folder: str | os.PathLike[str], curves: Mapping[str, Sequence[float]]) -> None:
    """Each curve over its steps, from 1, as one run of TensorBoard's.

    Raises:
        MissingExtra: TensorBoard is not installed.
    """
    board = Board(folder)
    for step in range(1, max((len(values) for values in curves.values()), default=0) + 1):
        board.write(step, {tag: values[step - 1] for tag, values in curves.items() if len(values) >= step}, {})
    board.close()


def check_board() -> None:
    """That TensorBoard's files can be written.

    Raises:
        MissingExtra: it is not installed.
    """
    try:
        import tensorboard.summary.writer.event_file_writer  # noqa: F401
    except ImportError as error:
        raise MissingExtra("TensorBoard", "watch", "Writing for TensorBoard") from error
