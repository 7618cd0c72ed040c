"""A model's operations as one run of it does them, for what `torch.export` cannot follow: branches on values.

The run is recorded on the model's own tensors: where these are real, a branch is taken as the example says, and
numbers that are read from tensors stand in the graph as they were. What was recorded has no branches, so that it can be
exported like any other module, with the parameters, the paths of modules and the lines of the model.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
import torch.fx.traceback as of_nodes
from torch.fx.experimental.proxy_tensor import make_fx
from torch.nn.modules import module as every_module
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_flatten, tree_unflatten

from fanin.frameworks.torch.model.call import Call
from fanin.frameworks.torch.model.failure import line_in
from fanin.frameworks.torch.model.output import Build, taken_apart


class Run(NamedTuple):
    """What was recorded.

    Attributes:
        module: has the model's parameters and buffers under their names, and does the same operations.
        output: from the tensors that it returns to what the model returned.
        reads: the lines where a number was read from a tensor, as "file.py:12".
    """

    module: torch.nn.Module
    output: Build
    reads: tuple[str, ...]


def recorded_run(model: torch.nn.Module, call: Call) -> Run:
    """Run the model once; its parameters, buffers and attributes stay as they are only if the caller sees to it."""
    leaves, structure = tree_flatten((call.args, call.keywords))
    tensors = [x for x in leaves if isinstance(x, torch.Tensor)]
    parameters, buffers = dict(model.named_parameters()), dict(model.named_buffers())
    builds: list[Build] = []

    def forward(*given: torch.Tensor) -> tuple[torch.Tensor, ...]:
        flat = iter(given)
        stored = {name: next(flat) for name in (*parameters, *buffers)}
        args, keywords = tree_unflatten([next(flat) if isinstance(x, torch.Tensor) else x for x in leaves], structure)
        found, build = taken_apart(torch.func.functional_call(model, stored, args, keywords))
        builds.append(build)
        return found

    held = [p.detach().requires_grad_(p.requires_grad) for p in parameters.values()]
    held += [b.detach().clone() for b in buffers.values()]
    with of_nodes.preserve_node_meta(), _paths_noted(model), _NoNumpy(), torch.enable_grad():
        traced = make_fx(forward, pre_dispatch=True, record_stack_traces=True, _error_on_data_dependent_ops=False)(
            *held,
            *(x.detach().clone() for x in tensors),  # a forward pass may write into its input
        )
    reads = _without_reads(traced)
    return Run(_Replay(model, traced, (*parameters,), (*buffers,)), builds[-1], reads)


class _Replay(torch.nn.Module):
    """The recorded operations in place of the model's forward pass."""

    def __init__(
        self, model: torch.nn.Module, traced: torch.fx.GraphModule, parameters: Sequence[str], buffers: Sequence[str]
    ) -> None:
        super().__init__()
        for registry in ("_parameters", "_buffers", "_modules", "_non_persistent_buffers_set"):
            self.__dict__[registry] = getattr(model, registry)
        run = functools.partial(self._run, traced, parameters, buffers)
        self.__dict__["forward"] = functools.wraps(model.forward)(run)  # the inputs are called as the model calls them
        self.training = model.training

    def _run(
        self,
        traced: torch.fx.GraphModule,
        parameters: Sequence[str],
        buffers: Sequence[str],
        *args: Any,
        **keywords: Any,
    ) -> tuple[torch.Tensor, ...]:
        stored = [*map(self.get_parameter, parameters), *map(self.get_buffer, buffers)]
        tensors = [x for x in tree_flatten((args, keywords))[0] if isinstance(x, torch.Tensor)]
        with of_nodes.preserve_node_meta():
            result = torch.fx.Interpreter(traced).run(*stored, *tensors)
        return tuple(result)


class _NoNumpy(TorchFunctionMode):
    """What NumPy computes would stand in the graph as a constant, and the path to it would be lost."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func in (torch.Tensor.numpy, torch.Tensor.__array__):
            raise TypeError("a tensor is handed to NumPy")
        return func(*args, **(kwargs or {}))


def _without_reads(traced: torch.fx.GraphModule) -> tuple[str, ...]:
    """Take out what only gave Python a number; the number is where it was used."""
    lines: dict[str, None] = {}
    for node in reversed(traced.graph.nodes):
        if torch.Tag.data_dependent_output in getattr(node.target, "tags", ()) and not node.users:
            lines[line_in(node.meta.get("stack_trace") or "")] = None
            traced.graph.erase_node(node)
    traced.recompile()
    return tuple(line for line in reversed(lines) if line)


@contextmanager
def _paths_noted(model: torch.nn.Module) -> Iterator[None]:
    """Every operation is recorded with the modules that it runs in, as the exporter does it."""
    paths = {module: path for path, module in model.named_modules()}
    outer: list[dict[str, tuple[str, str]]] = []

    def enter(module: torch.nn.Module, _: Any) -> None:
        stack = dict(of_nodes.current_meta.get("nn_module_stack", {}))
        outer.append(stack)
        if module in paths:
            kind = f"{type(module).__module__}.{type(module).__qualname__}"
            of_nodes.current_meta["nn_module_stack"] = {**stack, str(len(stack)): (paths[module], kind)}

    def leave(_: torch.nn.Module, __: Any, ___: Any) -> None:
        of_nodes.current_meta["nn_module_stack"] = outer.pop()

    hooks: list[Callable[[], None]] = [
        every_module.register_module_forward_pre_hook(enter).remove,
        every_module.register_module_forward_hook(leave, always_call=True).remove,
    ]
    try:
        yield
    finally:
        for remove in hooks:
            remove()
