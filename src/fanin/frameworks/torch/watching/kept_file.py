"""A kept step as a folder: tensors in safetensors, all else in JSON; nothing in it is code."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import torch

from fanin.errors import BadInput, MissingExtra
from fanin.files import replacing, write_text
from fanin.frameworks.torch.watching.kept_step import KeptCall, KeptStep, Tensors
from fanin.strict_json import strict_json

SCHEMA: Final = "urn:fanin:kept-step/1"  # of the folder; another when a field changes or goes
TENSORS: Final = "tensors.safetensors"
STEP: Final = "step.json"
_PLAIN: Final = (str, int, float, bool, type(None))


def save_step(kept: KeptStep, folder: Path, said: Mapping[str, Any]) -> None:
    """Make the folder, which may be there already; `said` goes into the JSON, too.

    Raises:
        BadInput: it cannot be written to, or the model was called with something that is neither a tensor, a plain
            value, nor a list, tuple or mapping of them.
        MissingExtra: safetensors is not installed.
    """
    try:
        from safetensors.torch import save_file
    except ImportError as error:
        raise MissingExtra("safetensors", "torch", "Keeping a step") from error
    tensors: Tensors = {f"value.{name}": x for name, x in kept.values.items()}
    calls = [_written(call, f"call{i}", tensors) for i, call in enumerate(kept.calls)]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInput(f"Cannot make {folder}: {error.strerror}.") from error
    with replacing(folder / TENSORS) as temporary:
        save_file({name: x.detach().cpu().contiguous() for name, x in tensors.items()}, str(temporary))
    content = {"schema": SCHEMA, "torch": torch.__version__, "modes": dict(kept.modes), "calls": calls, **said}
    write_text(folder / STEP, strict_json(content), STEP)


def load_step(folder: Path) -> KeptStep:
    """What `save_step` wrote.

    Raises:
        BadInput: no such folder, or not of this kind.
        MissingExtra: safetensors is not installed.
    """
    try:
        from safetensors import SafetensorError
        from safetensors.torch import load_file
    except ImportError as error:
        raise MissingExtra("safetensors", "torch", "Reading a step that was kept") from error
    try:
        known = json.loads((folder / STEP).read_text(encoding="utf-8"))
        tensors = load_file(str(folder / TENSORS))
        if known["schema"] != SCHEMA:
            raise KeyError(known["schema"])
        values = {name.removeprefix("value."): x for name, x in tensors.items() if name.startswith("value.")}
        calls = tuple(_read(call, tensors) for call in known["calls"])
        return KeptStep(values, calls, {str(path): bool(mode) for path, mode in known["modes"].items()})
    except (OSError, ValueError, KeyError, TypeError, AttributeError, SafetensorError) as error:
        raise BadInput(
            f"{folder} holds no step that fanin.watch kept ({type(error).__name__}: {error}). "
            "Give the folder that the finding names, such as runs/nan-step-131."
        ) from error


def _written(call: KeptCall, name: str, tensors: Tensors) -> dict[str, Any]:
    """Plain data; tensors go into `tensors`."""
    return {
        "args": _plain(list(call.args), f"{name}.args", tensors),
        "keywords": _plain(call.keywords, f"{name}.keywords", tensors),
        "random": _plain(call.random, f"{name}.random", tensors),
        "autocast": [call.autocast[0], str(call.autocast[1])] if call.autocast else None,
        "gradients": _plain({str(i): x for i, x in call.gradients.items()}, f"{name}.gradients", tensors),
    }


def _read(plain: Mapping[str, Any], tensors: Mapping[str, torch.Tensor]) -> KeptCall:
    args, keywords, random, gradients = (
        _value(plain[name], tensors) for name in ("args", "keywords", "random", "gradients")
    )
    autocast = None
    if plain["autocast"]:
        device, dtype = plain["autocast"]
        autocast = (str(device), getattr(torch, str(dtype).removeprefix("torch.")))
    return KeptCall(tuple(args), keywords, random, autocast, {int(i): x for i, x in gradients.items()})


def _plain(value: Any, name: str, tensors: Tensors) -> Any:
    if isinstance(value, torch.Tensor):
        tensors[name] = value
        return {"tensor": name}
    if isinstance(value, _PLAIN):
        return {"value": value}
    if isinstance(value, list | tuple) and not hasattr(value, "_fields"):
        kind = "list" if isinstance(value, list) else "tuple"
        return {kind: [_plain(item, f"{name}.{i}", tensors) for i, item in enumerate(value)]}
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        return {"mapping": {key: _plain(item, f"{name}.{key}", tensors) for key, item in value.items()}}
    raise BadInput(f"The model was called with a {type(value).__name__}, which cannot be written as data.")


def _value(plain: Mapping[str, Any], tensors: Mapping[str, torch.Tensor]) -> Any:
    ((kind, held),) = plain.items()
    match kind:
        case "tensor":
            return tensors[held]
        case "value":
            return held
        case "mapping":
            return {key: _value(item, tensors) for key, item in held.items()}
        case "list" | "tuple":
            items = [_value(item, tensors) for item in held]
            return items if kind == "list" else tuple(items)
    raise KeyError(kind)
