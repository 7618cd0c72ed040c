"""A program without operations in place, in which the composite ones that a model calls are left whole."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import cache
from typing import Any, Final

from torch._ops import OpOverload
from torch.export import ExportedProgram
from torch.fx import GraphModule

_ARGUMENTS: Final = ("ep", "cia_to_decomp", "python_decomp_table", "joint_loss_index", "decompose_custom_triton_ops")


def functional(program: ExportedProgram) -> ExportedProgram:
    """`program.run_decompositions({})`, at a third of its cost for a small model.

    PyTorch finds its 500 composite operations, tells each, twice, that it is to be left whole, and takes that back:
    0.14 s, whatever the program. Here it tells those that the program has. Where a release of PyTorch has changed how
    that is said, the method itself is called.
    """
    said = _in_parts()
    made: ExportedProgram = program.run_decompositions({}) if said is None else _told_of_its_own(program, *said)
    return made


def _told_of_its_own(
    program: ExportedProgram, decompose: Callable[..., Any], is_composite: Callable[[Any], bool], whole: Any
) -> Any:
    # Those of branches, too.
    graphs = [part.graph for part in program.graph_module.modules() if isinstance(part, GraphModule)]
    called = {node.target for graph in graphs for node in graph.nodes}
    composite = [operation for operation in called if isinstance(operation, OpOverload) and is_composite(operation)]
    return decompose(
        program,
        cia_to_decomp=dict.fromkeys(composite, whole),
        python_decomp_table={},
        joint_loss_index=None,
        decompose_custom_triton_ops=False,
    )


@cache
def _in_parts() -> tuple[Callable[..., Any], Callable[[Any], bool], Callable[..., Any]] | None:
    """What `run_decompositions` calls in the end, what it asks of an operation, and the mark of one left whole."""
    try:
        from torch._export.utils import _is_preservable_cia_op, _special_op_to_preserve_cia
        from torch._subclasses.fake_tensor import unset_fake_temporarily
        from torch.export.exported_program import _decompose_exported_program
    except ImportError:
        return None
    if tuple(inspect.signature(_decompose_exported_program).parameters) != _ARGUMENTS:
        return None

    def decompose(*arguments: Any, **options: Any) -> Any:
        with unset_fake_temporarily():
            return _decompose_exported_program(*arguments, **options)

    return decompose, _is_preservable_cia_op, _special_op_to_preserve_cia
