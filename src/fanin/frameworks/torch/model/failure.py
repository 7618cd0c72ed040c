"""From an exception in the user's forward pass to a message that names the layer, expected and got."""

from __future__ import annotations

import re
import sysconfig
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

import torch
from torch.utils._pytree import tree_leaves

from fanin.errors import BadInput, CannotTrace, FaninError, ShapeMismatch
from fanin.frameworks.torch.model.call import Call
from fanin.frameworks.torch.model.layer import batch_is_missing, describe, given, takes

TORCH = str(Path(torch.__file__).parent)
_NOT_THE_USERS = (TORCH, str(Path(__file__).parents[1]), "<")  # "<": code that was never in a file
_STANDARD_LIBRARY = sysconfig.get_path("stdlib")
FRAME = re.compile(r'File "(?P<file>[^"]+)", line (?P<line>\d+)')  # of a printed traceback
CALLS = (RuntimeError, ValueError, TypeError, AssertionError, IndexError)  # what PyTorch raises of bad arguments
_VALUES = re.compile(r"data-dependent|not supported for tensor subclasses|unbacked", re.IGNORECASE)
_DTYPES = re.compile("scalar types|same dtype")
FITS = re.compile(
    r"shape|size|dimension|channels|must match|reduction dim|should contain|broadcast|scalar types|must be Tensor"
    r"|Expected \d+D|normalized_shape|same dtype|out of range",
    re.IGNORECASE,
)


def explain(error: Exception, model: torch.nn.Module, call: Call) -> FaninError:
    """ShapeMismatch where the example does not fit a layer, BadInput where it does not fit the call, or CannotTrace."""
    name, cause = type(model).__name__, first_line(error)
    frames, at = _frames(error.__traceback__), where(error)
    if foreign := sorted({type(x).__name__ for x in call.leaves if type(x).__module__ == "numpy"}):
        return BadInput(f"The example must be of tensors; got {', '.join(foreign)}. Convert it: torch.from_numpy(x).")
    if "DeviceMismatch" in type(error).__name__:
        return BadInput(f"The example and the model are not on one device{at}: {cause}.")
    if isinstance(error, TypeError) and frames[-1].f_code.co_filename.endswith("inspect.py"):
        return BadInput(f"{name} cannot be called with the {len(call.values)} value(s) of the example: {cause}.")
    if _VALUES.search(cause):
        without = any(x.is_meta for x in (*model.parameters(), *call.leaves) if isinstance(x, torch.Tensor))
        return CannotTrace(
            f"What {name} computes depends on the values of tensors{at}, "
            f"{'and on the meta device there are none' if without else 'and not all of it can be followed'}. "
            f"{'Trace the model with values, or replace' if without else 'Replace'} a branch by torch.where and "
            ".item() or .numpy() by operations on tensors, or give the submodules on either side of that line one at a "
            f"time. ({cause})"
        )
    path, module, inputs = _innermost_module(frames, model)
    raised_by_torch = bool(frames) and frames[-1].f_code.co_filename.startswith(TORCH)
    if raised_by_torch and isinstance(error, CALLS) and (takes(module) or FITS.search(cause)):
        return misfit(path, module, inputs, call, f"{cause}{at}")
    return CannotTrace(
        f"The forward pass of {name} failed in {describe(path, module)}{at}: {type(error).__name__}: {cause}."
    )


def misfit(path: str, module: torch.nn.Module, inputs: tuple[Any, ...], call: Call, cause: str) -> ShapeMismatch:
    """The example does not fit: what the layer takes and got, what is likely, and the words of PyTorch."""
    layer, expected, got = describe(path, module), takes(module), given(inputs[:1])
    if _DTYPES.search(cause) and inputs and isinstance(inputs[0], torch.Tensor):
        own = next((p.dtype for p in module.parameters() if p.is_floating_point()), None)
        expected = f"dtype {_name(own)}" if own and "same dtype" in cause else expected
        got = f"dtype {_name(inputs[0].dtype)}"
    sentences = [
        f"The example does not fit {layer}: {f'expected {expected}, got {got}' if expected else cause}.",
        _likely(module, inputs, cause),
        "" if expected and given(call.values) == got else f"The example has {given(call.values)}.",
        f"({cause})" if expected else "",
    ]
    return ShapeMismatch(" ".join(s for s in sentences if s))


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _likely(module: torch.nn.Module, inputs: tuple[Any, ...], cause: str) -> str:
    """What is wrong where the shapes alone do not say it."""
    tensors = [x for x in tree_leaves(inputs) if isinstance(x, torch.Tensor)]
    if "more than 1 value per channel" in cause:
        return "In training mode it needs more than one value per channel: a larger batch, or model.eval()."
    if "greater than actual input size" in cause:
        return "The image is smaller than the kernel."
    if tensors and batch_is_missing(module, tensors[0]):
        return "Is the batch axis missing?"
    return ""


def first_line(error: BaseException) -> str:
    """The first line of what it says, without the full stop."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__).rstrip(".")


def _frames(traceback: TracebackType | None) -> list[FrameType]:
    frames = []
    while traceback:
        frames.append(traceback.tb_frame)
        traceback = traceback.tb_next
    return frames


def _innermost_module(frames: list[FrameType], model: torch.nn.Module) -> tuple[str, torch.nn.Module, tuple[Any, ...]]:
    """The submodule in whose method the error arose, its path, and what it was called with."""
    paths = {id(module): path for path, module in model.named_modules()}
    found: tuple[str, torch.nn.Module, tuple[Any, ...]] = ("", model, ())
    for frame in frames:
        code = frame.f_code
        self, *arguments = [frame.f_locals.get(name) for name in code.co_varnames[: code.co_argcount]] or [None]
        if isinstance(self, torch.nn.Module) and id(self) in paths and code.co_name == "forward":
            found = paths[id(self)], self, tuple(x for x in arguments if x is not None)
    return found


def where(error: BaseException) -> str:
    """The innermost line of the user's own, as ", at file.py:12"; "" if there is none."""
    frames = _frames(error.__traceback__)
    own = [f"{Path(f.f_code.co_filename).name}:{f.f_lineno}" for f in frames if is_users(f.f_code.co_filename)]
    return f", at {own[-1]}" if own else ""


def is_users(file: str) -> bool:
    """Not a file of PyTorch's, of fanin's adapters or of Python's; other installed packages count as the user's."""
    standard = file.startswith(_STANDARD_LIBRARY) and "site-packages" not in file
    return not (standard or file.startswith(_NOT_THE_USERS))


def line_in(stack_trace: str) -> str:
    """The innermost frame of the user's as "file.py:12", without folders, so that output is the same anywhere."""
    frames = [m for m in FRAME.finditer(stack_trace) if is_users(m["file"])]
    return f"{Path(frames[-1]['file']).name}:{frames[-1]['line']}" if frames else ""
