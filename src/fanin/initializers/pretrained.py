"""Values from a file of weights."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from fanin.errors import BadInput, UnknownName
from fanin.initializers.base import Initializer, Law, Structure, Target, all_elements, rounded
from fanin.initializers.by_index import pieces
from fanin.stream import Elements

# The float types of a safetensors file; a bfloat16 is the upper half of a float32.
_STORED: Final = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}
_LARGEST_HEADER = 100_000_000  # bytes, as in the format's own reader


@dataclass(frozen=True)
class Pretrained(Initializer):
    """A tensor of a safetensors file, rounded once to the target's dtype; only the elements asked for are read.

    The file need not be there when a plan is made; if it is, the tensor's name, type and shape are checked then.

    Args:
        path: of the file.
        name: of the tensor in it; the target's own name if empty.
        sha256: of the file, checked before the first value is used; not checked if empty.

    Raises:
        BadInput: path is empty, or sha256 no such digest; later, the file cannot be read or is another one, or the
            tensor has another shape, a type that is no float, or values that are not finite.
        UnknownName: the file has no tensor of that name.

    Reference: the format, https://huggingface.co/docs/safetensors. It is read here, since its own reader for NumPy
    has no bfloat16.
    """

    whole: ClassVar[bool] = True

    path: str = "weights.safetensors"
    name: str = ""
    sha256: str = ""

    def __post_init__(self) -> None:
        if not isinstance(self.path, (str, Path)) or not str(self.path):
            raise BadInput(f"Pretrained: path must name a safetensors file; got {self.path!r}.")
        object.__setattr__(self, "path", str(self.path))
        if self.sha256 and (len(self.sha256) != 64 or not set(self.sha256) <= set("0123456789abcdef")):
            raise BadInput(f"Pretrained: sha256 must be 64 hexadecimal digits in lower case; got {self.sha256!r}.")

    def law(self, target: Target) -> Law:
        """Unknown: whatever the file holds."""
        if Path(self.path).exists():
            self._stored(target)
        return Law(math.nan, math.nan, structure=Structure.FIXED)

    def draw(self, target: Target, seed: int, elements: Elements | None = None) -> npt.NDArray[Any]:
        """The stored values; the seed plays no part."""
        asked = all_elements(target, elements)
        kind, values = self._stored(target)
        if self.sha256 and _digest(self.path, Path(self.path).stat().st_mtime_ns) != self.sha256:
            raise BadInput(f"{self.path} is not the file that was meant: its SHA-256 is not {self.sha256}.")
        drawn = [rounded(np.empty(0), target.dtype)]
        for indices in pieces(asked):
            found = values[indices]
            if kind == "BF16":
                found = (found.astype(np.uint32) << np.uint32(16)).view(np.float32)
            exact = found.astype(np.float64)
            if not np.isfinite(exact).all():
                raise BadInput(f"{self.path} holds values in {self.name or target.name!r} that are not finite.")
            drawn.append(rounded(exact, target.dtype))
        return np.concatenate(drawn)

    def _stored(self, target: Target) -> tuple[str, npt.NDArray[Any]]:
        """The type of the tensor and its values, flat, not yet read."""
        name = self.name or target.name
        file = Path(self.path)
        try:
            begin, header = _header(self.path, file.stat().st_mtime_ns)
        except (OSError, ValueError) as error:
            raise BadInput(f"Pretrained: cannot read {self.path!r} as a safetensors file: {error}.") from error
        if name not in header:
            raise UnknownName(f"tensor in {file.name}", name, header)
        entry = header[name]
        if entry.kind not in _STORED:
            raise BadInput(f"{name!r} in {file.name} is of type {entry.kind}; expected one of {', '.join(_STORED)}.")
        if entry.shape != target.shape:
            raise BadInput(f"{name!r} in {file.name} has shape {entry.shape}; {target.name!r} has {target.shape}.")
        if not target.size:
            return entry.kind, np.empty(0, _STORED[entry.kind])
        values = np.memmap(self.path, _STORED[entry.kind], "r", begin + entry.first, (target.size,))
        return entry.kind, values


class _Entry(NamedTuple):
    kind: str
    shape: tuple[int, ...]
    first: int  # byte, after the header


@lru_cache(maxsize=64)
def _header(path: str, changed: int) -> tuple[int, dict[str, _Entry]]:
    """Where the values begin, and what tensors there are; read again once the file has changed.

    Raises:
        ValueError: not a safetensors file, or one that was cut off.
    """
    with Path(path).open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if length > _LARGEST_HEADER:
            raise ValueError(f"it begins with a header of {length:,} bytes")
        data = json.loads(file.read(length))
    if not isinstance(data, dict):
        raise ValueError("its header is no table of tensors")
    room = Path(path).stat().st_size - 8 - length
    entries = {}
    for name, tensor in data.items():
        if name == "__metadata__":
            continue
        try:
            (first, last), shape, kind = tensor["data_offsets"], tuple(tensor["shape"]), str(tensor["dtype"])
            stored = math.prod(shape) * np.dtype(_STORED[kind]).itemsize if kind in _STORED else last - first
        except (KeyError, TypeError) as error:
            raise ValueError(f"its header does not describe {name!r}") from error
        if not 0 <= first <= last <= room or last - first != stored:
            raise ValueError(f"{name!r} does not fit into it")
        entries[name] = _Entry(kind, shape, first)
    return 8 + length, entries


@lru_cache(maxsize=64)
def _digest(path: str, changed: int) -> str:
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
