"""What a recorded program is called with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch.utils import _pytree as pytree

from fanin.errors import BadInput
from fanin.frameworks.torch.model.call import Call
from fanin.frameworks.torch.model.layer import given
from fanin.frameworks.torch.tracing.trace import Traced


def flat_inputs(
    traced: Traced, leaves: Mapping[str, torch.Tensor], path_of: Callable[[str], str], call: Call
) -> list[Any]:
    """The program's flat inputs in its own order: parameters, buffers, constants, and the user's.

    Buffers are copies and the user's tensors are detached, since some operations write into their inputs and hooks are
    set on every result.
    """
    kinds = torch.export.graph_signature.InputKind
    program, owned = traced.program, traced.graph.by_path
    given = iter(_checked(program, call))
    flat: list[Any] = []
    for spec in program.graph_signature.input_specs:
        name = str(spec.target)
        if spec.kind is kinds.PARAMETER:
            flat.append(leaves[owned[path_of(name)].path])
        elif spec.kind is kinds.BUFFER:
            flat.append((program.state_dict if spec.persistent else program.constants)[name].detach().clone())
        elif spec.kind is kinds.USER_INPUT:
            value = next(given)
            flat.append(value.detach() if isinstance(value, torch.Tensor) else value)
        else:
            flat.append(program.constants[name])
    return flat


def _checked(program: torch.export.ExportedProgram, call: Call) -> list[Any]:
    """The call's leaves, if they look like those that the program was recorded with: it holds their shapes."""
    kinds = torch.export.graph_signature.InputKind
    specs = zip(program.graph_signature.input_specs, program.graph.find_nodes(op="placeholder"), strict=True)
    recorded = [node.meta["val"] for spec, node in specs if spec.kind is kinds.USER_INPUT]
    if given(call.leaves) != given(recorded):
        raise BadInput(
            f"The graph was recorded with {given(recorded)}; got {given(call.leaves)}. Trace the model again."
        )
    if pytree.tree_structure((call.args, call.keywords)) != program.call_spec.in_spec:
        raise BadInput("The graph was recorded with arguments of other names or structure. Trace the model again.")
    return call.leaves
