"""Norms of sharded tensors, of all their shards together: one message for each mesh of devices."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from fanin.frameworks.torch.model.shards import is_sharded

Norms = dict[str, tuple[float | None, ...]]
"""Path → as many norms as were asked for."""


class ShardSums:
    """From norms of what this process holds to norms of the whole; every process must ask at the same step."""

    def __init__(self, parameters: Mapping[str, torch.Tensor]) -> None:
        self._groups: dict[Any, list[str]] = {}
        for path, tensor in parameters.items():
            if is_sharded(tensor):
                mesh, placements = tensor.device_mesh, tensor.placements  # type: ignore[attr-defined]
                divided = tuple(i for i, placement in enumerate(placements) if not placement.is_replicate())
                self._groups.setdefault((mesh, divided), []).append(path)

    def __bool__(self) -> bool:
        return bool(self._groups)

    def whole(self, norms: Mapping[str, Sequence[float | None]] | None, count: int) -> Norms:
        """Each parameter's `count` norms; None stays None. Without norms, this process tells the others that it failed.

        Raises:
            RuntimeError: a process failed; on all of them, so that none waits for another at the next step.
        """
        found: Norms = {path: tuple(own) for path, own in (norms or {}).items()}
        failed = 0.0
        for (mesh, divided), paths in self._groups.items():
            own = [found.get(path, (None,) * count) for path in paths]
            squares = [0.0 if x is None else x * x for row in own for x in row]
            message = torch.tensor([float(norms is None), *squares], dtype=torch.float64, device=mesh.device_type)
            for dimension in divided:
                torch.distributed.all_reduce(message, group=mesh.get_group(dimension))
            failures, *sums = message.tolist()
            failed += failures
            rows = (sums[i : i + count] for i in range(0, len(sums), count))
            for path, row, whole in zip(paths, own, rows, strict=True):
                found[path] = tuple(None if x is None else math.sqrt(s) for x, s in zip(row, whole, strict=True))
        if failed:
            raise RuntimeError("not all processes could watch it")
        return {path: found[path] for path in norms or {}}
