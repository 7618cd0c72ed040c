"""From the meta device to a model that can train, with nothing left to chance, or no change at all."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase

import torch

from fanin.errors import BadInput, StillUninitialized
from fanin.frameworks.torch.building.own_buffers import ask_modules
from fanin.frameworks.torch.building.record import CannotReplay, Recording
from fanin.frameworks.torch.model.allocate import Fresh, allocate, is_sharded, on_meta_device, settle, storage
from fanin.frameworks.torch.model.names import named_parameters
from fanin.frameworks.torch.model.poison import local, poisoned
from fanin.frameworks.torch.model.state import fixed_randomness, unchanged_randomness
from fanin.frameworks.torch.writing.write import write_
from fanin.plans import Plan
from fanin.plans.model import writes
from fanin.stream import key

Value = torch.Tensor | float | Callable[[torch.nn.Module], torch.Tensor | float]
Buffers = Mapping[str, Value]


def materialize_(
    model: torch.nn.Module,
    plan: Plan,
    seed: int,
    *,
    device: torch.device | str | None = None,
    buffers: Buffers | None = None,
    recorded: Recording | None = None,
    progress: Callable[[str], None] | None = None,
) -> None:
    """Allocate what is on the meta device, and give every parameter and buffer its value.

    New memory is poisoned with bit patterns that nothing computes. Then come, for what a plan does not decide, the
    recording of the constructor and the model's own methods; the plan's values; those given by the caller; and at last
    every tensor is searched for the poison.

    Args:
        progress: called with the path of each parameter after it is written.

    Raises:
        StillUninitialized: lists every parameter and buffer that nobody gave a value.
        BadInput, CannotWrite: see `fanin.materialize_`. After any error the model is on the meta device as it was.
    """
    key(seed, "")
    if not isinstance(plan, Plan):
        raise BadInput(f"Expected a plan, such as fanin.plan(model, x) makes; got {type(plan).__name__}.")
    where = _device(device)
    if lazy := [path for path, (tensor, _) in named_parameters(model).items() if torch.nn.parameter.is_lazy(tensor)]:
        raise BadInput(
            f"{len(lazy)} parameter(s) have no shape yet: {', '.join(lazy[:5])}{', …' if len(lazy) > 5 else ''}. "
            "Run the model once on the meta device to make its lazy layers, and call again."
        )
    fresh = on_meta_device(model)
    decided = {path for e in plan if writes(e) for path in (e.parameter.path, *e.parameter.also)}
    given = _given(buffers or {}, [tensor for tensor in fresh if tensor.path not in decided])
    real = [tensor for path, (tensor, _) in named_parameters(model).items() if path in decided and not tensor.is_meta]
    before = [(tensor, tensor.detach().clone()) for tensor in real]
    try:
        with unchanged_randomness(), torch.no_grad():
            allocate(fresh, where)
            why = _replay(recorded, decided, fresh, given, seed) if recorded else {}
            fixed_randomness(key(seed, "own methods").k0)
            with torch.device(where or torch.get_default_device()):
                why |= ask_modules(model, fresh, decided | given.keys())
            write_(model, plan, seed, progress=progress, keep_copies=False)
            for tensor in fresh:
                if tensor.path in given:
                    _copy(tensor, given[tensor.path])
            if left := [tensor for tensor in fresh if poisoned(tensor.real)]:
                raise StillUninitialized({_called(tensor): why.get(tensor.path, "") for tensor in left})
            settle(model)
    except BaseException:
        for tensor in fresh:
            tensor.put(tensor.meta)
        with torch.no_grad():
            for parameter, old in before:
                parameter.copy_(old)
        raise


def _device(device: torch.device | str | None) -> torch.device | None:
    try:
        found = None if device is None else torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise BadInput(f"device: expected one such as 'cpu' or 'cuda:0'; got {device!r}.") from error
    if (found or torch.get_default_device()).type == "meta":
        raise BadInput("The meta device holds no values. Give the device to materialize on: device='cuda', or 'cpu'.")
    return found


def _given(buffers: Buffers, fresh: list[Fresh]) -> dict[str, Value]:
    """Path → value, for all of these that the globs of the caller match; the last match wins."""
    names = {path: tensor.path for tensor in fresh for path in (place.path for place in tensor.places)}
    for glob in buffers:
        if not any(fnmatchcase(name, glob) for name in names):
            known = [tensor.path for tensor in fresh]
            raise BadInput(
                f"buffers: {glob!r} matches nothing on the meta device that the plan leaves to others. "
                f"There: {', '.join(known[:5]) or 'nothing'}{', …' if len(known) > 5 else ''}."
            )
    return {own: value for glob, value in buffers.items() for name, own in names.items() if fnmatchcase(name, glob)}


def _replay(
    recorded: Recording, decided: set[str], fresh: list[Fresh], given: Mapping[str, Value], seed: int
) -> dict[str, str]:
    """The constructor's values for all that the plan and the caller leave; path → why, for those it cannot give."""
    sources = {tensor.path: _as_built(recorded, tensor) for tensor in fresh}
    forbidden = {
        storage(sources[path]): f"it is computed from {path}, to which the plan gives another value"
        for path in sources
        if path in decided
    }
    why: dict[str, str] = {}
    for tensor in fresh:
        if tensor.path in decided or tensor.path in given:
            continue
        try:
            _copy(tensor, recorded.value(sources[tensor.path], seed, forbidden))
        except CannotReplay as reason:
            why[tensor.path] = str(reason)
    return why


def _as_built(recorded: Recording, tensor: Fresh) -> torch.Tensor:
    """The constructor's tensor, of which this is a part if it was sharded since."""
    first = tensor.places[0]
    whole = recorded.registered(first.module, first.name) if is_sharded(tensor.meta) else None
    return tensor.meta if whole is None else whole


def _copy(tensor: Fresh, value: Value) -> None:
    """Put a value given for the whole tensor into what this process has of it."""
    found = value if isinstance(value, (torch.Tensor, int, float)) else value(tensor.places[0].module)
    if not isinstance(found, torch.Tensor):
        tensor.real.fill_(found)
        return
    if found.is_meta or found.shape != tensor.real.shape:
        got = "a tensor on the meta device" if found.is_meta else f"shape {tuple(found.shape)}"
        raise BadInput(f"buffers: {tensor.path} has shape {tuple(tensor.real.shape)}; got {got}.")
    if is_sharded(tensor.real):
        from torch.distributed.tensor import distribute_tensor

        real: object = tensor.real
        mesh, placements = real.device_mesh, real.placements  # type: ignore[attr-defined]
        found = distribute_tensor(found.to(mesh.device_type), mesh, placements, src_data_rank=None)  # sends nothing
    local(tensor.real).copy_(local(found))


def _called(tensor: Fresh) -> str:
    what = tensor.places[0].what
    return f"{tensor.path} ({'parameter that the plan keeps' if what == 'parameter' else what})"
