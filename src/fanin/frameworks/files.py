"""A start as a safetensors file of logical weights, under the names that they are drawn with.

PyTorch loads it as it is, since its layout is the logical one; a model of any framework takes it by the initializer
`Pretrained`, which fills each parameter in the framework's own layout.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from fanin.errors import MissingExtra
from fanin.files import replacing
from fanin.frameworks.held import Array
from fanin.plans import Plan


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
        return temporary.stat().st_size
