"""A start as a safetensors file of logical weights, under the names that they are drawn with.

PyTorch loads it as it is, since its layout is the logical one; a model of any framework takes it by the initializer
`Pretrained`, which fills each parameter in the framework's own layout.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from fanin.errors import BadInput, MissingExtra
from fanin.files import replacing
from fanin.frameworks.held import Array, as_numbers, verified
from fanin.graph import Held
from fanin.graph.layout import as_stored
from fanin.initializers.pretrained import Pretrained
from fanin.plans import Plan, Verification


def save(plan: Plan, read: Callable[[str], Array], path: Path, metadata: Mapping[str, str]) -> int:
    """Write every parameter of a plan, and return the size in bytes. The file is there whole or not at all.

    Args:
        read: the logical values of a parameter, by its path; of bfloat16 as float32.

    Raises:
        BadInput: the file cannot be written.
        MissingExtra: safetensors is not installed.
    """
    try:
        from safetensors.numpy import save_file
    except ImportError as error:
        raise MissingExtra("safetensors", "torch", "Writing a model's weights") from error
    tensors = {e.parameter.drawn_as: np.ascontiguousarray(read(e.parameter.path)) for e in plan}
    with replacing(path) as temporary:
        save_file(tensors, str(temporary), {"format": "pt", **metadata})
        sort_header(temporary)
        return temporary.stat().st_size


def sort_header(path: Path) -> None:
    """Put the names in a file's header in order, in place, so that the same start is the same file, byte for byte.

    Tensors lie in an order that depends on nothing else; the header is written by a table that is in another order in
    each process. It keeps its length.
    """
    with path.open("r+b") as file:
        length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(length))
        ordered = json.dumps(header, ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode()
        if len(ordered) <= length:
            file.seek(8)
            file.write(ordered.ljust(length))


def metadata_of(path: Path) -> dict[str, str]:
    """What a safetensors file says of itself.

    Raises:
        BadInput: no such file, or none of safetensors.
    """
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(min(length, path.stat().st_size)))
        return {str(k): str(v) for k, v in header.get("__metadata__", {}).items()}
    except FileNotFoundError as error:
        raise BadInput(f"There is no file {str(path)!r}.") from error
    except (OSError, ValueError, AttributeError) as error:
        raise BadInput(f"Cannot read {str(path)!r} as a safetensors file: {error}.") from error


def verify_file(plan: Plan, path: Path, seed: int, blocks: int | None = 8) -> Verification:
    """Compare a file of logical weights with the stream, as `save` writes it; the model is not needed.

    Raises:
        BadInput: the file cannot be read, or lacks a tensor.
    """
    stored = Pretrained(str(path))
    entries = {e.parameter.path: e for e in plan}
    held = [Held(p.path, p.shape, as_stored(p.shape), p.dtype) for p in (e.parameter for e in plan)]

    def read(one: Held) -> Array:
        return as_numbers(stored.draw(entries[one.path].target, 0), one.dtype).reshape(one.shape)

    return verified(plan, held, read, seed, blocks)
