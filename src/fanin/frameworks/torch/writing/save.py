"""A model's start as a safetensors file, and back from one; plain PyTorch loads it too."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch

from fanin.errors import BadInput, MissingExtra
from fanin.files import replacing
from fanin.frameworks.files import sort_header
from fanin.frameworks.torch.model.shards import is_sharded


def save(model: torch.nn.Module, path: Path, metadata: Mapping[str, str], _: object = None) -> int:
    """Write parameters and persistent buffers under their names in `state_dict`, and return the size in bytes.

    A tensor that has several names is written once, under the first in the alphabet, as `safetensors.torch.save_model`
    does; `load_model` knows. The file is there whole or not at all.

    Raises:
        BadInput: a sharded model, tensors on the meta device, or a file that cannot be written.
        MissingExtra: safetensors is not installed.
    """
    try:
        from safetensors.torch import save_model
    except ImportError as error:
        raise MissingExtra("safetensors", "torch", "Writing a model's weights") from error
    tensors = model.state_dict()
    if sharded := [name for name, tensor in tensors.items() if is_sharded(tensor)]:
        raise BadInput(f"{sharded[0]} is sharded, and one file holds whole tensors: save with torch.distributed.")
    if on_meta := [name for name, tensor in tensors.items() if tensor.is_meta]:
        raise BadInput(f"{on_meta[0]} is on the meta device and has no value; materialize the model first.")
    with replacing(path) as temporary:
        save_model(model, str(temporary), {"format": "pt", **metadata})
        sort_header(temporary)
        return temporary.stat().st_size


def load(model: torch.nn.Module, path: Path) -> dict[str, str]:
    """Put the file's weights into the model, on any device, and return the file's metadata.

    Raises:
        BadInput: no such file, none of safetensors, or tensors that are not the model's.
        MissingExtra: safetensors is not installed.
    """
    try:
        from safetensors import SafetensorError, safe_open
        from safetensors.torch import load_model
    except ImportError as error:
        raise MissingExtra("safetensors", "torch", "Reading a model's weights") from error
    if not path.is_file():
        raise BadInput(f"There is no file {str(path)!r}.")
    try:
        with safe_open(str(path), framework="pt") as file:
            metadata: dict[str, str] = file.metadata() or {}
        load_model(model, str(path))
    except (SafetensorError, RuntimeError) as error:
        raise BadInput(f"{path} does not hold this model's weights: {error}") from error
    return metadata
