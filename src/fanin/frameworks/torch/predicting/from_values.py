"""The plan "as built" of a model whose constructor was not recorded: the law of each parameter, from its values."""

from __future__ import annotations

import torch

from fanin.frameworks.torch.model.names import named_parameters
from fanin.frameworks.torch.model.shards import is_sharded, local_of
from fanin.frameworks.torch.predicting.known import as_numpy
from fanin.graph import Fans, Graph, Parameter
from fanin.initializers import Keep, Target
from fanin.plans import Entry, Plan
from fanin.plans.recognition import recognise
from fanin.plans.recognition.by_parts import NAME, by_parts, fans_of_siblings
from fanin.plans.recognition.layers import in_one_voice


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
    siblings = fans_of_siblings(graph)
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
        found = by_parts(parameter, values, whole, also)
    return Entry(parameter, found.initializer, f"{NAME}: {found.why}", measured=found.seen)
