"""From an exception in the user's forward pass to a message that names the layer, expected and got."""

from __future__ import annotations

import re
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

import torch

from fanin.errors import CannotTrace, FaninError, ShapeMismatch

_TORCH = str(Path(torch.__file__).parent)
_SHAPE_WORDS = re.compile(r"shape|size|dimension|channels|must match|Expected \d+D|normalized_shape", re.IGNORECASE)


def explain(error: Exception, model: torch.nn.Module, example: tuple[Any, ...]) -> FaninError:
    """ShapeMismatch where the example does not fit a layer, CannotTrace for all else."""
    frames = list(_frames(error.__traceback__))
    where, module = _innermost_module(frames, model)
    cause = _first_line(error)
    if isinstance(error, (RuntimeError, ValueError, TypeError)) and _SHAPE_WORDS.search(str(error)):
        got = _input_shape(frames, module)
        return ShapeMismatch(
            f"The example does not fit {where}. Expected {_expectation(module)}; got {got}. "
            f"The example has shape {_shapes(example)}. ({cause})"
        )
    line = _user_line(frames)
    return CannotTrace(
        f"The forward pass of {type(model).__name__} could not be recorded, in {where}{f' at {line}' if line else ''}: "
        f"{type(error).__name__}: {cause}. If it branches on the values of tensors, replace the branch by torch.where, "
        "or give the submodules on either side of it one at a time."
    )


def _frames(traceback: TracebackType | None) -> list[FrameType]:
    frames = []
    while traceback:
        frames.append(traceback.tb_frame)
        traceback = traceback.tb_next
    return frames


def _innermost_module(frames: list[FrameType], model: torch.nn.Module) -> tuple[str, torch.nn.Module]:
    """The submodule in whose forward the error arose, with its path."""
    paths = {id(module): path for path, module in model.named_modules()}
    for frame in reversed(frames):
        owner = frame.f_locals.get("self")
        if isinstance(owner, torch.nn.Module) and id(owner) in paths and paths[id(owner)]:
            return f"layer {paths[id(owner)]!r}, {owner}", owner
    return f"the model {type(model).__name__}", model


def _expectation(module: torch.nn.Module) -> str:
    if isinstance(module, torch.nn.Linear):
        return f"a last axis of {module.in_features}"
    if hasattr(module, "in_channels"):
        return f"{module.in_channels} channels"
    if hasattr(module, "num_features"):
        return f"{module.num_features} features"
    if hasattr(module, "normalized_shape"):
        return f"last axes of {tuple(module.normalized_shape)}"  # type: ignore[arg-type]  # LayerNorm and RMSNorm
    return "shapes that match in this layer"


def _input_shape(frames: list[FrameType], module: torch.nn.Module) -> str:
    """The shape of the tensor with which the module's forward was entered."""
    for frame in reversed(frames):
        if frame.f_locals.get("self") is module:
            tensors = [v for v in frame.f_locals.values() if isinstance(v, torch.Tensor)]
            if tensors:
                return f"shape {tuple(tensors[0].shape)}"
    return "another"


def _shapes(example: tuple[Any, ...]) -> str:
    shapes = [str(tuple(x.shape)) for x in torch.utils._pytree.tree_leaves(example) if isinstance(x, torch.Tensor)]
    return ", ".join(shapes) or "none"


def _user_line(frames: list[FrameType]) -> str:
    """The innermost line that is the user's own: the last frame of his before PyTorch's."""
    own = [
        f"{Path(f.f_code.co_filename).name}:{f.f_lineno}"
        for f in frames
        if not f.f_code.co_filename.startswith((_TORCH, "<", str(Path(__file__).parents[3])))
    ]
    return own[-1] if own else ""


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__).rstrip(".")
