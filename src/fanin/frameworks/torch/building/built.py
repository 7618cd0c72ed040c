"""The plan that a constructor follows without saying so: the law of each parameter as the model is built."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, TypeAlias

import torch

from fanin.frameworks.torch.building.drawn_laws import DrawnLaws, Stretch
from fanin.frameworks.torch.building.law_of_operation import OF_SHAPE, constant
from fanin.frameworks.torch.building.record import CannotReplay, Recording
from fanin.frameworks.torch.model.allocate import is_sharded
from fanin.frameworks.torch.model.names import naming
from fanin.frameworks.torch.model.poison import local, poisoned
from fanin.frameworks.torch.model.quantiles import quantiles
from fanin.graph import Graph, Parameter, Part, Parts
from fanin.initializers import Initializer, Keep, Law, PerPart, Structure
from fanin.plans import Plan
from fanin.plans.model import Entry
from fanin.signals.latent import Array

MOST_PARTS: Final = 256  # laws of one tensor that are worth a line each
FEWEST_VALUES: Final = 1 << 12  # whose moments are good to some percent
MOST_DRAWS: Final = 64
Blocks: TypeAlias = Mapping[tuple[int, int], Initializer]  # by their first row and the one after their last


@dataclass(frozen=True)
class Built:
    """What a model's constructor gives its parameters.

    Attributes:
        plan: the laws, as concrete as the constructor drew them; Keep where none of fanin's is that of the tensor.
        kept: mean and standard deviation of each of the latter, from the values that the recording gives it.
        unknown: path → why, for parameters whose values nobody knows.
        spread: how the values of those are spread, at the nodes of `latent`, that are drawn each by itself and kept.
    """

    plan: Plan
    kept: Mapping[str, Law]
    unknown: Mapping[str, str]
    spread: Mapping[str, Array] = field(default_factory=dict)


def built(recorded: Recording, model: torch.nn.Module, graph: Graph, seed: int = 0) -> Built:
    """The plan of the model "as built", nothing allocated but one tensor at a time where a law must be measured.

    Args:
        recorded: what `on_meta` gave, under which the model was made. Real parameters of the model are measured.
        seed: of what is drawn to be measured.

    Example:
        >>> from fanin.frameworks.torch import on_meta, trace
        >>> with on_meta() as recorded:
        ...     net = torch.nn.Sequential(torch.nn.Linear(16, 8), torch.nn.LayerNorm(8))
        >>> plan = built(recorded, net, trace(net, torch.zeros(1, 16)).graph).plan
        >>> [str(entry.initializer) for entry in plan]
        ['Uniform(low=-0.25, high=0.25)', 'Uniform(low=-0.25, high=0.25)', 'ones', 'zeros']
    """
    laws = recorded.laws()
    logical = naming(model)
    as_registered = {
        logical(f"{path}.{name}" if path else name): (recorded.registered(module, name), tensor)
        for path, module in model.named_modules()
        for name, tensor in module.named_parameters(recurse=False)
    }
    entries, kept, unknown, spread = [], {}, {}, {}
    for parameter in graph.parameters:
        before, tensor = as_registered[parameter.path]
        whole = before if before is not None and is_sharded(tensor) else tensor
        entry = _entry(parameter, recorded, laws, whole)
        if entry is None:
            try:
                values = _values(recorded, whole, seed)
                law = _measured(values, drawn=whole.is_meta and recorded.random(whole))
            except CannotReplay as why:
                unknown[parameter.path] = str(why)
                entry = Entry(parameter, Keep(), f"as built: {why}")
            else:
                entry = _of_values(parameter, law)
                if isinstance(entry.initializer, Keep):
                    kept[parameter.path] = law
                    if law.std > 0 and not values.is_complex():
                        spread[parameter.path] = quantiles(values.reshape(-1))
        entries.append(entry)
    return Built(Plan("as built", tuple(entries)), kept, unknown, spread)


def _entry(parameter: Parameter, recorded: Recording, laws: DrawnLaws, tensor: torch.Tensor) -> Entry | None:
    if not tensor.is_meta or recorded.changed(tensor):
        return None
    found = laws.of(tensor)
    if any(s.law is None for s in found) or sum(s.stop - s.start for s in found) != tensor.numel():
        return None
    why = "as built: " + ", ".join(dict.fromkeys(name for s in found for name in s.by))
    if len(found) == 1:
        law = found[0].law
        assert law is not None
        alone = isinstance(law, OF_SHAPE) and parameter.parts is not None  # drawn over all the parts at once
        return Entry(replace(parameter, parts=None) if alone else parameter, law, why)
    return _of_rows(parameter, found, why)


def _of_rows(parameter: Parameter, found: list[Stretch], why: str) -> Entry | None:
    """A law for each of several blocks of rows: those that the parameter is known to pack, or else by their numbers."""
    inner = sum(s.stop - s.start for s in found) // parameter.shape[0]
    if len(found) > MOST_PARTS or any(s.start % inner or s.stop % inner for s in found):
        return None
    blocks: Blocks = {(s.start // inner, s.stop // inner): s.law for s in found if s.law is not None}
    if any(s.shape is not None and s.shape[0] * inner != s.stop - s.start for s in found):
        return None
    declared = parameter.parts
    if declared and not declared.slices and declared.axis == 0:
        named = _of_parts(declared.of(parameter.shape), blocks)
        if len(named) == len(declared.names):
            return Entry(parameter, _per_part(named, blocks, None), why)
    named = {f"{start}:{stop}": law for (start, stop), law in blocks.items()}
    parts = Parts(tuple(named), sizes=tuple(stop - start for start, stop in blocks))
    return Entry(replace(parameter, parts=None), _per_part(named, blocks, parts), why)


def _of_parts(parts: Sequence[Part], blocks: Blocks) -> dict[str, Initializer]:
    """The law of each part that lies in one block."""
    named = {}
    for part in parts:
        stop = part.start + part.size
        for (begin, end), law in blocks.items():
            within = begin <= part.start and stop <= end and not isinstance(law, OF_SHAPE)
            if within or (begin, end) == (part.start, stop):
                named[part.name] = law
    return named


def _per_part(named: Mapping[str, Initializer], blocks: Blocks, parts: Parts | None) -> PerPart:
    """The law of most rows for each, and the exceptions."""
    rows = {law: sum(stop - start for (start, stop), own in blocks.items() if own == law) for law in named.values()}
    each = max(rows, key=lambda law: rows[law])
    return PerPart(each, {name: law for name, law in named.items() if law != each}, parts)


def _of_values(parameter: Parameter, law: Law) -> Entry:
    """Values that are all alike are a constant; others stay what they are."""
    if law.structure is Structure.FIXED and law.low == law.high:
        return Entry(parameter, constant(law.mean), "as built: all values are alike")
    return Entry(parameter, Keep(), "as built: no law of fanin's; measured on the constructor's values")


def _values(recorded: Recording, tensor: torch.Tensor, seed: int) -> torch.Tensor:
    """Of several draws where one is small and a seed has a part in it; along a first axis."""
    drawn = tensor.is_meta and recorded.random(tensor)
    draws = min(MOST_DRAWS, -(-FEWEST_VALUES // max(tensor.numel(), 1))) if drawn else 1
    return torch.stack([_value(recorded, tensor, seed + draw) for draw in range(draws)])


def _measured(x: torch.Tensor, *, drawn: bool) -> Law:
    """Moments of the values, fixed where no seed has a part in them."""
    if not x.numel():
        return Law(0.0, 0.0, 0.0, 0.0, structure=Structure.FIXED)
    mean = x.mean()
    std = float((x - mean).abs().square().mean().sqrt())
    structure = Structure.DEPENDENT if drawn else Structure.FIXED
    low, high = (-math.inf, math.inf) if drawn or x.is_complex() else (float(x.min()), float(x.max()))
    return Law(float(mean.real), std, low, high, structure=structure)


def _value(recorded: Recording, tensor: torch.Tensor, seed: int) -> torch.Tensor:
    """In double precision."""
    value = recorded.value(tensor, seed) if tensor.is_meta else local(tensor).cpu()
    if tensor.is_meta and poisoned(value):
        raise CannotReplay("the constructor leaves its memory as it is, without a value")
    return value.to(torch.complex128 if value.is_complex() else torch.float64)
