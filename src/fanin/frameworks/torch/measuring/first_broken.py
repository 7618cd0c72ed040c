"""The first operation of a forward and backward pass whose result is not finite, looked for while they run again.

An infinity that somebody wrote, as masks do, is none until it spoils something: a softmax over nothing but −∞ is the
operation that is named, not the mask.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, NamedTuple

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from fanin.frameworks.torch.model.failure import is_users
from fanin.signals.origin import Operand, Origin

# They write an infinity because they were told to, or hand on what holds one.
WRITES: Final = frozenset(
    {"full", "full_like", "new_full", "masked_fill", "fill", "where", "tensor", "as_tensor", "triu", "tril", "setitem"}
    | {"copy", "clone", "empty", "empty_like", "new_empty"}
)
OPERANDS: Final = 3  # that are described; a fourth says no more
_FANIN: Final = str(Path(__file__).parents[2])


class _State(NamedTuple):
    nan: bool
    infinite: bool


class FirstBroken(TorchFunctionMode):
    """Within the block, every call of a function of PyTorch is looked at; `found` is the origin, once there is one.

    Args:
        paths: of the modules, by id.
    """

    def __init__(self, paths: Mapping[int, str]) -> None:
        super().__init__()
        self._paths = paths
        self._places: dict[Any, Origin] = {}  # of autograd's nodes; they are kept, so that none has another's id
        self._infinite: dict[int, tuple[torch.Tensor, Origin | None]] = {}  # None: written on purpose
        self.found: Origin | None = None

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if self.found is not None or getattr(func, "__name__", "") == "__get__":
            return func(*args, **kwargs)
        given = [(x, _state(x)) for x in _floats((args, kwargs))]
        place = Origin(_name(func), *_place(self._paths), operands=tuple(_operand(x) for x, _ in given[:OPERANDS]))
        result = func(*args, **kwargs)
        for made in _floats(result):
            self._judge(place, made, given)
            if made.grad_fn is not None:
                self._label(made.grad_fn, place)
        return result

    def of_infinite(self, output: Any) -> Origin | None:
        """Of an output that holds infinities and no NaN."""
        held = (self._infinite.get(id(x), (x, None))[1] for x in _floats(output))
        return next((origin for origin in held if origin is not None), None)

    @contextmanager
    def looking_back(self, outputs: Iterable[torch.Tensor]) -> Iterator[None]:
        """Within the block, autograd's nodes are looked at when they run."""
        roots = [x.grad_fn for x in outputs if x.grad_fn is not None]
        handles = [node.register_hook(self._looking(node)) for node in _nodes(roots)]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _judge(self, place: Origin, made: torch.Tensor, given: list[tuple[torch.Tensor, _State]]) -> None:
        state = _state(made)
        sources = [self._infinite.get(id(x), (x, None))[1] for x, before in given if before.infinite]
        earlier = next((origin for origin in sources if origin is not None), None)
        self._infinite.pop(id(made), None)
        if state.nan and not any(before.nan for _, before in given):
            self.found = earlier or place
        elif state.infinite:
            own = None if sources or place.operation in WRITES else replace(place, result="inf")
            self._infinite[id(made)] = (made, earlier or own)

    def _label(self, root: Any, place: Origin) -> None:
        """The nodes that this call added to autograd's graph."""
        for node in _nodes([root], self._places):
            self._places[node] = place

    def _looking(self, node: Any) -> Callable[[Any, Any], None]:
        def look(made: Any, given: Any) -> None:
            if self.found is not None or any(any(_state(x)) for x in _floats(given)):
                return
            states = [_state(x) for x in _floats(made)]
            if any(map(any, states)):
                place = self._places.get(node, Origin(_operation_of(node)))
                result = "nan" if any(state.nan for state in states) else "inf"
                self.found = replace(place, backward=True, result=result)

        return look


def broken(values: Any) -> str:
    """What a tensor among them holds, "nan" or "inf"; else ""."""
    states = [_state(x) for x in _floats(values)]
    return "nan" if any(s.nan for s in states) else "inf" if any(s.infinite for s in states) else ""


def _floats(values: Any) -> list[torch.Tensor]:
    leaves = tree_leaves(values)
    return [x for x in leaves if isinstance(x, torch.Tensor) and (x.is_floating_point() or x.is_complex())]


def _state(x: torch.Tensor) -> _State:
    x = x.detach()
    return _State(bool(torch.isnan(x).any()), bool(torch.isinf(x).any()))


def _operand(x: torch.Tensor) -> Operand:
    x = x.detach()
    finite = x.abs() if x.is_complex() else x
    finite = finite[torch.isfinite(finite)]
    lowest, highest = (float(finite.min()), float(finite.max())) if finite.numel() else (None, None)
    infinite = float(torch.isinf(x).float().mean()) if x.numel() else 0.0
    return Operand(tuple(x.shape), str(x.dtype).removeprefix("torch."), lowest, highest, infinite)


def _nodes(roots: Iterable[Any], known: Mapping[Any, Any] | None = None) -> Iterator[Any]:
    """Of autograd's graph, each once; what lies behind known ones is left out."""
    waiting, seen = list(roots), set()
    while waiting:
        node = waiting.pop()
        if node is None or node in seen or (known and node in known):
            continue
        seen.add(node)
        waiting += [inner for inner, _ in node.next_functions]
        yield node


def _name(func: Any) -> str:
    """Such as "log", for torch.log, Tensor.log_ and the like."""
    return str(getattr(func, "__name__", type(func).__name__)).strip("_")


def _operation_of(node: Any) -> str:
    return str(node.name()).partition("Backward")[0].lower()


def _place(paths: Mapping[int, str]) -> tuple[str, str]:
    """Of the call that is being made: the path of the innermost module, and the innermost line of the user's own."""
    module, source = None, ""
    frame = sys._getframe(2)
    while frame is not None and not frame.f_code.co_filename.startswith(_FANIN):
        if not source and is_users(frame.f_code.co_filename):
            source = f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}"
        if module is None:
            module = paths.get(id(frame.f_locals.get("self")))
        frame = frame.f_back  # type: ignore[assignment]  # None ends it
    return module or "", source
