"""A program without operations in place, in which the composite ones that a model calls are left whole."""

from __future__ import annotations

import inspect
import operator
from collections.abc import Callable
from functools import cache
from typing import Any, Final

import torch
from torch._ops import OpOverload
from torch.export import ExportedProgram
from torch.fx import GraphModule, Node

from fanin.frameworks.torch.tracing.no_grad import with_detached

_COMPOSITE: Final = torch._C.DispatchKey.CompositeImplicitAutograd
_ARGUMENTS: Final = ("ep", "cia_to_decomp", "python_decomp_table", "joint_loss_index", "decompose_custom_triton_ops")

# Composite operations that may hand back what they are given, which makes no difference where nothing is overwritten.
_HARMLESS: Final = {
    *("chunk", "contiguous", "dropout", "flatten", "movedim", "mT"),
    *("narrow", "numpy_T", "reshape", "split", "to", "unflatten"),
}


def functional(program: ExportedProgram) -> ExportedProgram:
    """A program in which no operation works in place: the given one where none does, which halves the time of a trace.

    Else, and where a composite operation has to be taken apart, it is made anew (`decomposed`), and what runs without
    gradients says so itself.
    """
    program, said = with_detached(program), _in_parts()
    if said is None or not all(_stays(node, said[1]) for node in program.graph.nodes):
        return decomposed(program)
    program.graph.eliminate_dead_code()
    return program


def _stays(node: Node, left_whole: Callable[[Any], bool]) -> bool:
    """Whether making a program anew would leave an operation as it is, or put in its place what does the same."""
    operation = node.target
    if node.op != "call_function" or operation is operator.getitem:
        return node.op != "get_attr"  # which is a branch
    if not isinstance(operation, OpOverload) or operation._schema.is_mutable:
        return False
    composite = operation.has_kernel_for_dispatch_key(_COMPOSITE)
    return not composite or left_whole(operation) or operation._schema.name.removeprefix("aten::") in _HARMLESS


def decomposed(program: ExportedProgram) -> ExportedProgram:
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
