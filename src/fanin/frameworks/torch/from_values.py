"""The plan "as built" of a model whose constructor was not recorded: the law of each parameter, from its values."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from fanin.frameworks.torch.known import as_numpy
from fanin.frameworks.torch.names import named_parameters
from fanin.frameworks.torch.shards import is_sharded, local_of
from fanin.graph import Fans, Graph, Parameter
from fanin.initializers import Initializer, Keep, PerPart, Target
from fanin.plans import Entry, Plan
from fanin.plans.recognition import Recognised, recognise
from fanin.plans.recognition.layers import in_one_voice

NAME = "as built"


def seen(model: torch.nn.Module, graph: Graph) -> Plan:
    """Each parameter by `recognise`, one after the other, part by part where it packs.

    Of a sharded parameter this process looks at the elements that it holds, as independent values.

    Example:
        >>> from fanin.frameworks.torch import read_modules
        >>> torch.manual_seed(0)
        <torch._C.Generator object at ...>
        >>> net = torch.nn.Sequential(torch.nn.Linear(64, 128), torch.nn.LayerNorm(128))
        >>> [str(entry.initializer) for entry in seen(net, read_modules(net))]
        ['uniform 0.5774/√fan_in', 'keep', 'ones', 'zeros']
    """
    tensors = named_parameters(model)
    siblings = _fans_of_siblings(graph)
    entries = (_entry(p, tensors[p.path][0], siblings.get(p.path, ())) for p in graph.parameters)
    return Plan(NAME, in_one_voice(entries), graph.notes)


def _entry(parameter: Parameter, tensor: torch.Tensor, also: tuple[Fans, ...]) -> Entry:
    if tensor.is_meta:
        return Entry(parameter, Keep(), f"{NAME}: on the meta device, where it has no values")
    values = as_numpy(local_of(tensor).cpu())
    whole = Target(parameter.path, values.shape, parameter.dtype, parameter.fans)
    if is_sharded(tensor):
        found = recognise(values.reshape(-1), Target(whole.name, (values.size,), whole.dtype, whole.fans), also)
    else:
        found = _by_parts(parameter, values, whole, also)
    return Entry(parameter, found.initializer, f"{NAME}: {found.why}", measured=found.seen)


def _by_parts(parameter: Parameter, values: npt.NDArray[Any], whole: Target, also: tuple[Fans, ...]) -> Recognised:
    """One law if all parts have it, or else one for each; the whole as one tensor if a part has none."""
    together = recognise(values, whole, also)
    if parameter.parts is None or values.size == 0:
        return together
    found: dict[str, Recognised] = {}
    for part in parameter.parts.of(parameter.shape):
        axis = parameter.parts.axis
        own = np.take(values, range(part.start, part.start + part.size), axis).reshape(part.shape)
        found[part.name] = recognise(own, Target(part.name, part.shape, whole.dtype, whole.fans), also)
    laws: list[Initializer] = [one.initializer for one in found.values()]
    if any(isinstance(law, Keep) for law in laws):
        return together
    if len(set(laws)) == 1:
        return Recognised(laws[0], f"part by part: {next(iter(found.values())).why}", together.seen)
    if _plain(together.initializer) and all(map(_plain, laws)):
        return together
    (most, _), *_ = Counter(laws).most_common()
    but = {name: one.initializer for name, one in found.items() if one.initializer != most}
    why = "; ".join(f"{name}: {one.why}" for name, one in found.items()) if len(found) < 5 else "part by part"
    return Recognised(PerPart(most, but), why, together.seen)


def _plain(law: Initializer) -> bool:
    """Of independent values: what parts and whole may have in common."""
    return law.sampling(Target("", (1,), fans=Fans(1, 1))) is not None


def _fans_of_siblings(graph: Graph) -> dict[str, tuple[Fans, ...]]:
    """For a parameter without fans of its own, those of the weights that the same operation reads."""
    found: dict[str, tuple[Fans, ...]] = {}
    for p in graph.parameters:
        if p.fans is None and p.node is not None and p.node in graph.by_name:
            beside = (graph.by_path.get(name) for name in graph.by_name[p.node].inputs)
            found[p.path] = tuple(q.fans for q in beside if q is not None and q.fans is not None)
    return found
