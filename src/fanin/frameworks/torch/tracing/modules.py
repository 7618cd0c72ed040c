"""From a module alone, without an example, to what can be said of its parameters.

Nothing is run, so nothing is known of how signals flow between modules, but for those in an `nn.Sequential`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Final, NamedTuple

import torch

from fanin.frameworks.torch.model.kinds import Kind, activation_of, kind_of, passes_on
from fanin.frameworks.torch.model.names import checked_parameters, naming, owned_by, owners
from fanin.frameworks.torch.model.whole import uncompiled, unwrapped
from fanin.graph import ActivationCall, Graph, Node, Parameter, Role
from fanin.graph.operations import UNKNOWN, Slot

SAFE: Final = ActivationCall("relu")
OUTPUT: Final = "output"
NOTE: Final = (
    "Made without an example input, from modules alone: residual branches, attention, readouts and the activations "
    "between modules are not known. Pass one batch to see them."
)


class _Layer(NamedTuple):
    """A module with parameters of its own.

    Attributes:
        name: its node's.
        own: its parameters' names in it → their paths.
    """

    path: str
    name: str
    module: torch.nn.Module
    kind: Kind
    own: Mapping[str, str]


def read_modules(model: torch.nn.Module) -> Graph:
    """A graph of layers that are not connected, each with the activation that it feeds, seen or assumed.

    Behind a layer in an `nn.Sequential` the activation is seen. Elsewhere, where the model has activation modules of
    one kind only, it is taken to be that; else ReLU, whose gain is safe: somewhat too large for a layer that feeds
    nothing, never too small for depth.

    Raises:
        BadInput: not a module, or lazy layers that have no shape yet.
        NoParameters: the model has none.
    """
    parameters = checked_parameters(model)
    model = unwrapped(model)
    layers = tuple(_layers(model))
    uses = {path: (layer, layer.kind.slots.get(name, UNKNOWN)) for layer in layers for name, path in layer.own.items()}
    of = owners(model)
    described = tuple(
        replace(_parameter(path, tensor, also, uses), owner=owned_by(of, path, *also))
        for path, (tensor, also) in parameters.items()
    )
    return Graph(type(model).__name__, tuple(_nodes(model, layers)), described, notes=(NOTE,), modules_only=True)


def _layers(model: torch.nn.Module) -> Iterator[_Layer]:
    logical = naming(model)
    for path, module in model.named_modules():
        if (kind := kind_of(module)) is not None:
            names = [name for name, _ in module.named_parameters(recurse=False)]
            own = {name: logical(f"{path}.{name}" if path else name) for name in names}
            yield _Layer(path, logical(path) or kind.op, module, kind, own)


def _nodes(model: torch.nn.Module, layers: Iterable[_Layer]) -> Iterator[Node]:
    """For each layer with weights its operation, and what is seen or assumed behind it."""
    seen = _seen_behind(model)
    assumed = _assumed(model)
    attention = {id(m.out_proj) for m in model.modules() if isinstance(m, torch.nn.MultiheadAttention)}
    for layer in layers:
        if not any(slot.role is Role.WEIGHT for slot in layer.kind.slots.values()):
            continue
        inputs = (f"{layer.name}:input", *layer.own.values())
        yield Node(layer.name, layer.kind.op, inputs, (), "", arguments=_arguments(layer.module))
        ends = layer.kind.ends or id(layer.module) in attention
        behind = seen.get(layer.path, "the rest of the model" if ends else assumed)
        if isinstance(behind, ActivationCall):
            yield Node(f"{layer.name}:activation", behind.name, (layer.name,), (), "", behind)
        elif behind != OUTPUT:
            yield Node(f"{layer.name}:next", behind, (layer.name,), (), "")


def _arguments(module: torch.nn.Module) -> Mapping[str, Any]:
    """Of the operation, as far as fans depend on them."""
    return {name: getattr(module, name) for name in ("groups", "stride") if hasattr(module, name)}


def _parameter(
    path: str, tensor: torch.nn.Parameter, also: tuple[str, ...], uses: Mapping[str, tuple[_Layer, Slot]]
) -> Parameter:
    shape, dtype = tuple(tensor.shape), str(tensor.dtype).removeprefix("torch.")
    frozen = not tensor.requires_grad
    found = next((uses[name] for name in (path, *also) if name in uses), None)
    if found is None:
        return Parameter(path, shape, dtype, also=also, frozen=frozen)
    layer, slot = found
    fans = slot.fans(_arguments(layer.module), shape) if slot.fans else None
    return Parameter(path, shape, dtype, slot.role, fans, also, layer.name, frozen, slot.packs(shape))


def _assumed(model: torch.nn.Module) -> ActivationCall:
    """The activation of layers behind which none is seen, with the reason for it."""
    kinds = {str(phi): phi for module in model.modules() if (phi := activation_of(module)) is not None}
    if len(kinds) == 1:
        (only,) = kinds.values()
        return replace(only, assumed="the model's only activation module; without an example it is not seen here")
    return replace(SAFE, assumed="assumed; without an example the activation is not seen")


def _seen_behind(model: torch.nn.Module) -> Mapping[str, ActivationCall | str]:
    """Path of a layer in an `nn.Sequential` → the activation behind it, or the operation that is there instead."""
    found: dict[str, ActivationCall | str] = {}
    inner = {
        id(uncompiled(name, child)[1]) for m in model.modules() if _is_chain(m) for name, child in m.named_children()
    }
    for path, module in model.named_modules():
        if _is_chain(module) and id(module) not in inner:
            chain = list(_flat(path, module))
            for i, (own, layer) in enumerate(chain):
                if (kind := kind_of(layer)) is not None and not kind.passes_on:
                    behind = _behind(chain[i + 1 :], is_all=module is model)
                    if behind is not None:
                        found[own] = behind
    return found


def _behind(rest: list[tuple[str, torch.nn.Module]], *, is_all: bool) -> ActivationCall | str | None:
    """The first in the rest of a chain that is an activation or a layer; None if that is not seen."""
    for _, module in rest:
        if (phi := activation_of(module)) is not None:
            return phi
        if not passes_on(module):
            kind = kind_of(module)
            return kind.op if kind else None
    return OUTPUT if is_all else None


def _is_chain(module: torch.nn.Module) -> bool:
    """Whether its children run one after the other: a `Sequential` that does not say otherwise."""
    return isinstance(module, torch.nn.Sequential) and type(module).forward is torch.nn.Sequential.forward


def _flat(path: str, chain: torch.nn.Module) -> Iterator[tuple[str, torch.nn.Module]]:
    """The modules of a chain in the order they run, those of chains within it in their place."""
    for name, child in chain.named_children():
        own, module = uncompiled(f"{path}.{name}" if path else name, child)
        if _is_chain(module):
            yield from _flat(own, module)
        else:
            yield own, module
