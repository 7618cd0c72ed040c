"""gather: the rows of a table, by their numbers."""

from __future__ import annotations

from typing import Any

from fanin.frameworks.jax.reading.drafts import Signal, Stored, Use, Value
from fanin.frameworks.jax.reading.program import Step
from fanin.frameworks.jax.reading.read import Reading
from fanin.frameworks.jax.reading.views import whole
from fanin.graph import Layout


def gather(reading: Reading, step: Step) -> None:
    """Rows of a table by their numbers are an embedding."""
    table, indices = reading.signals(step)
    rows = _rows(reading, step, table, indices)
    out = step.outs[0]
    if rows is None or not isinstance(table, Stored):
        arguments = {"self": reading.ref(table, out), "index": reading.ref(indices, out)}
        reading.made("gather", arguments, step)
        return
    tensor = reading.tensors[table.path]
    reading.layouts.setdefault(table.path, (Layout((0, 1), tensor.shape), None))
    made = reading.program.types[out].shape
    shape = (*made[: len(made) - len(step.params["dimension_numbers"].offset_dims)], tensor.shape[1])
    which: Any = reading.ref(rows, out)
    if isinstance(rows, Signal):
        which = reading.seen_ref(rows.view.reshaped(shape[:-1]) or rows.view)
    arguments = {"weight": Use(table.path), "indices": which, "padding_idx": -1}
    name = reading.node("embedding", arguments, shape, out, source=step.source)
    reading.env[out] = Signal(whole(name, shape).reshaped(made) or whole(name, shape))


def _rows(reading: Reading, step: Step, table: Value, indices: Value) -> Value | None:
    """The numbers of the rows that are taken whole from a matrix of the model's; None for any other gather."""
    p, dims = step.params, step.params["dimension_numbers"]
    if not isinstance(table, Stored) or not reading.tensors[table.path].trained or table.view is None:
        return None
    stored, result = reading.tensors[table.path].shape, len(reading.program.types[step.outs[0]].shape)
    last = tuple(range(result - len(dims.offset_dims), result))
    plain = table.view == whole(table.path, stored) and len(stored) == 2 and not dims.operand_batching_dims
    if not plain or tuple(p["slice_sizes"]) != (1, stored[1]) or tuple(dims.offset_dims) != last:
        return None
    if tuple(dims.start_index_map) == (0,):
        return indices
    joined = reading.joined.get(step.ins[1]) if isinstance(step.ins[1], int) else None  # (row, 0), as x[i] is indexed
    return joined[dims.start_index_map.index(0)] if joined and 0 in dims.start_index_map else None
