"""Build a model on the meta device, and remember how its constructor computes each tensor.

On the meta device `1 / base ** (torch.arange(0, d, 2) / d)` has a shape and no value, and with it is lost what no plan
decides: rotary frequencies, masks, position indices, running statistics. The operations are few and cheap, so they are
recorded here and run again, for real, for those tensors that need it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

from fanin.errors import BadInput
from fanin.frameworks.torch.building.meta_calls import INITIALIZERS, MetaCalls, nothing_skipped
from fanin.frameworks.torch.model.allocate import storage
from fanin.frameworks.torch.model.poison import poison_
from fanin.graph import Graph
from fanin.initializers import Initializer
from fanin.stream import key

if TYPE_CHECKING:
    from fanin.frameworks.torch.building.built import Built
    from fanin.frameworks.torch.building.drawn_laws import DrawnLaws


@contextmanager
def on_meta() -> Iterator[Recording]:
    """Tensors made in the block are on the meta device; the recording can give them their values later.

    Example:
        >>> with on_meta() as recorded:
        ...     powers = 2.0 ** torch.arange(4)
        >>> powers.is_meta, recorded.value(powers, seed=0).tolist()
        (True, [1.0, 2.0, 4.0, 8.0])
    """
    recorded = Recording()
    registered = torch.nn.modules.module
    with nothing_skipped() as look:

        def note(module: torch.nn.Module, name: str, tensor: torch.Tensor | None) -> None:
            look()  # a library may have been imported in the block
            recorded.note(module, name, tensor)

        hooks = [
            registered.register_module_parameter_registration_hook(note),
            registered.register_module_buffer_registration_hook(note),
        ]
        calls = MetaCalls(recorded.initialized, lambda x: recorded.value(x, None))
        try:
            with torch.device("meta"), calls, _Recorder(recorded):
                yield recorded
        finally:
            recorded.close()
            for hook in hooks:
                hook.remove()


_NUMBERS: Final = (  # from tensors to Python's numbers and truth values
    torch.ops.aten._local_scalar_dense.default,
    torch.ops.aten.is_nonzero.default,
    torch.ops.aten.equal.default,
)


class CannotReplay(Exception):
    """Why a tensor's value cannot be had from the recording."""


class Step(NamedTuple):
    """One operation that made or changed the memory of tensors."""

    run: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    out: Any
    reads: frozenset[int]


class Recording:
    """The operations of a block, in order; values are computed from them on the CPU, when asked for."""

    def __init__(self) -> None:
        self._tape: list[Step] = []
        self._writers: dict[int, list[int]] = {}  # storage → the steps that made or changed it
        self._registered: dict[tuple[int, str], tuple[torch.nn.Module, torch.Tensor]] = {}
        self._versions: dict[int, int] = {}

    def note(self, module: torch.nn.Module, name: str, tensor: torch.Tensor | None) -> None:
        """A module registers a parameter or a buffer."""
        if tensor is not None:
            self._registered[id(module), name] = (module, tensor)

    def close(self) -> None:
        """What is done to the tensors from now on is not in the recording."""
        self._versions = {id(tensor): tensor._version for _, tensor in self._registered.values()}

    def registered(self, module: torch.nn.Module, name: str) -> torch.Tensor | None:
        """What the constructor had put there, before it was sharded."""
        return self._registered.get((id(module), name), (None, None))[1]

    def add(self, step: Step, writes: set[int]) -> None:
        """Append an operation to the tape."""
        for written in writes:
            self._writers.setdefault(written, []).append(len(self._tape))
        self._tape.append(step)

    def initialized(self, by: Callable[..., torch.Tensor], arguments: dict[str, Any]) -> None:
        """One of PyTorch's initializers does nothing with a tensor because it is on the meta device."""
        tensor = arguments["tensor"].detach()
        self.add(Step(by, (), {**arguments, "tensor": tensor}, tensor, frozenset({storage(tensor)})), {storage(tensor)})

    def law(self, tensor: torch.Tensor) -> Initializer | None:
        """The law by which the constructor filled all of the tensor; None if it is none of fanin's, or several.

        Example:
            >>> with on_meta() as recorded:
            ...     weight = torch.empty(8, 8).normal_(std=0.5).mul_(0.1)
            >>> recorded.law(weight)
            Normal(std=0.05, mean=0.0)
        """
        found = self.laws().of(tensor)
        return found[0].law if len(found) == 1 and not self.changed(tensor) else None

    def built(self, model: torch.nn.Module, graph: Graph, seed: int = 0) -> Built:
        """The plan that the constructor of the model follows; see `built`."""
        from fanin.frameworks.torch.building.built import built

        return built(self, model, graph, seed)

    def laws(self) -> DrawnLaws:
        """Those of all memory, from the operations so far."""
        from fanin.frameworks.torch.building.drawn_laws import DrawnLaws

        return DrawnLaws(self._tape)

    def changed(self, tensor: torch.Tensor) -> bool:
        """Whether it was since the block had ended."""
        return self._versions.get(id(tensor), tensor._version) != tensor._version

    def random(self, tensor: torch.Tensor) -> bool:
        """Whether the value depends on a seed."""
        return any(is_random(self._tape[number]) for number in self._needed(storage(tensor), {}))

    def value(self, tensor: torch.Tensor, seed: int | None, forbidden: Mapping[int, str] | None = None) -> torch.Tensor:
        """What the constructor computed for this tensor, on the CPU.

        What is drawn at random on the way depends on the seed and on its place in the recording, not on PyTorch's
        generators.

        Args:
            forbidden: storage → why nothing may be computed from it.

        Raises:
            CannotReplay: it is not in the recording, or computed from what is forbidden.
        """
        if storage(tensor) not in self._writers:
            raise CannotReplay("it was not made under fanin.on_meta()")
        if self.changed(tensor):
            raise CannotReplay("it was changed after the block of fanin.on_meta() had ended")
        memory: dict[int, torch.UntypedStorage] = {}
        with torch.no_grad(), torch.random.fork_rng(devices=[]), torch.device("cpu"):
            for number in self._needed(storage(tensor), forbidden or {}):
                _run(self._tape[number], number, seed, memory)
            return _real(tensor, memory).clone()

    def _needed(self, wanted: int, forbidden: Mapping[int, str]) -> list[int]:
        """The steps that the memory depends on, in order."""
        needed: set[int] = set()
        open_ends = [(wanted, len(self._tape))]
        while open_ends:
            end, before = open_ends.pop()
            if end in forbidden:
                raise CannotReplay(forbidden[end])
            for number in self._writers.get(end, ()):
                if number < before and number not in needed:
                    needed.add(number)
                    open_ends += [(read, number) for read in self._tape[number].reads]
        return sorted(needed)


class _Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    def __init__(self, recorded: Recording) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._recorded = recorded

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        given = [x for x in tree_leaves((args, kwargs)) if isinstance(x, torch.Tensor)]
        if any(x.is_meta for x in given):
            if _leaves_meta(func, args, kwargs):  # .item(), .tolist(): a constructor may ask for a number
                return func(*tree_map(self._now, args), **tree_map(self._now, kwargs))
            if torch.Tag.dynamic_output_shape in func.tags:  # nonzero, x[mask]
                return tree_map(self._known, func(*tree_map(self._now, args), **tree_map(self._now, kwargs)))
            if func is not torch.ops.aten.copy_.default and any(x.dim() for x in given if not x.is_meta):
                args, kwargs = tree_map(self._known, (args, kwargs))  # an operation runs on one device
                given = [x for x in tree_leaves((args, kwargs)) if isinstance(x, torch.Tensor)]
        out = func(*args, **kwargs)
        reads = {storage(x) for x in given if x.is_meta}
        made = {storage(x) for x in tree_leaves(out) if isinstance(x, torch.Tensor) and x.is_meta} - reads
        changed = {storage(x) for x in written(func, args, kwargs) if x.is_meta}
        if made or changed:  # a view is neither: it is known by its memory
            then, named, result = tree_map(_as_now, (args, kwargs, out))
            self._recorded.add(Step(func, then, named, result, frozenset(reads)), made | changed)
        return out

    def _known(self, x: Any) -> Any:
        """A real tensor as one on the meta device whose values are remembered."""
        if not isinstance(x, torch.Tensor) or x.is_meta:
            return x
        made = torch.empty_like(x, device="meta")
        then = x.detach().clone()
        self._recorded.add(Step(torch.ops.aten.clone.default, (then,), {}, made, frozenset()), {storage(made)})
        return made

    def _now(self, x: Any) -> Any:
        return self._recorded.value(x, None) if isinstance(x, torch.Tensor) and x.is_meta else x


def _leaves_meta(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Whether what becomes of tensors on the meta device is a number, or written into real memory."""
    if func in _NUMBERS or any(not x.is_meta for x in written(func, args, kwargs)):
        return True
    where = kwargs.get("device")
    return func is torch.ops.aten._to_copy.default and where is not None and torch.device(where).type != "meta"


def is_random(step: Step) -> bool:
    """Whether the operation draws."""
    if step.run in INITIALIZERS.values():
        return step.run is not torch.nn.init.dirac_
    return torch.Tag.nondeterministic_seeded in step.run.tags  # type: ignore[attr-defined]  # an ATen operation


def written(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[torch.Tensor]:
    """The arguments that the operation changes, by its schema."""
    declared = func._schema.arguments
    by_name = dict(zip((a.name for a in declared), args, strict=False)) | kwargs
    changed = [by_name.get(a.name) for a in declared if a.alias_info is not None and a.alias_info.is_write]
    return [x for x in tree_leaves(changed) if isinstance(x, torch.Tensor)]


def _as_now(x: Any) -> Any:
    """An argument as it is now: a tensor may be given other memory later (`x.data = …`), and a generator has moved on.

    A real tensor's values may be changed, too.
    """
    if isinstance(x, torch.Tensor):
        return x.detach() if x.is_meta else x.detach().clone()
    return None if isinstance(x, torch.Generator) else x


def _run(step: Step, number: int, seed: int | None, memory: dict[int, torch.UntypedStorage]) -> None:
    def real(x: Any) -> Any:
        if isinstance(x, torch.Tensor) and x.is_meta:
            return _real(x, memory)
        return torch.device("cpu") if x == torch.device("meta") else x

    if is_random(step):
        if seed is None:
            raise BadInput(
                "The model's constructor asks for the value of a random tensor, which has none before a seed."
            )
        torch.default_generator.manual_seed(key(seed, f"recorded/{number}").k0)
    out = step.run(*tree_map(real, step.args), **tree_map(real, step.kwargs))
    pairs = zip(tree_leaves(step.out), tree_leaves(out), strict=True)
    for meta, found in pairs:
        if isinstance(meta, torch.Tensor) and meta.is_meta and storage(meta) not in memory:
            if str(step.run).startswith(("aten.empty", "aten.new_empty")):
                poison_(found)  # what nobody writes must be seen not to be written
            memory[storage(meta)] = _laid_out(found, meta).untyped_storage()


def _laid_out(found: torch.Tensor, meta: torch.Tensor) -> torch.Tensor:
    if (found.stride(), found.storage_offset()) == (meta.stride(), meta.storage_offset()):
        return found
    laid_out = torch.empty(0, dtype=meta.dtype)
    room = torch.empty(meta.untyped_storage().nbytes(), dtype=torch.uint8).untyped_storage()
    laid_out.set_(room, meta.storage_offset(), meta.size(), meta.stride())
    return laid_out.copy_(found)


def _real(meta: torch.Tensor, memory: dict[int, torch.UntypedStorage]) -> torch.Tensor:
    real = torch.empty(0, dtype=meta.dtype)
    return real.set_(memory[storage(meta)], meta.storage_offset(), meta.size(), meta.stride())
