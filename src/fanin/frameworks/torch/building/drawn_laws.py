"""From a constructor's recorded operations to the laws of what they draw, without drawing anything.

The operations are followed in order; of each memory is known which stretches of it follow which law. An operation that
is in neither table makes what it writes unknown.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any, Final, NamedTuple

import torch
from torch.utils._pytree import tree_leaves

from fanin.errors import BadInput
from fanin.frameworks.torch.building.law_of_operation import (
    DRAWS,
    OF_SHAPE,
    SAME,
    Arguments,
    constant,
    of_one,
    with_number,
    with_number_first,
)
from fanin.frameworks.torch.building.record import Step, written
from fanin.frameworks.torch.model.allocate import storage
from fanin.initializers import Constant, Identity, Initializer, Orthogonal

_OPERANDS: Final = ("self", "other", "exponent")


class Stretch(NamedTuple):
    """The elements `start` … `stop` − 1 of a memory.

    Attributes:
        law: None where it is not known.
        shape: of the tensor that was written, where the law is one of a tensor as a whole.
        by: the operations that made it so.
    """

    start: int
    stop: int
    law: Initializer | None
    shape: tuple[int, ...] | None = None
    by: tuple[str, ...] = ()


_UNKNOWN: Final = [Stretch(0, 0, None)]


class DrawnLaws:
    """What is known of each memory after the steps given so far."""

    def __init__(self, tape: Iterable[Step]) -> None:
        self._known: dict[int, list[Stretch]] = {}
        for step in tape:
            try:
                self._follow(step)
            except (BadInput, TypeError, OverflowError):  # no law of fanin's: infinite values, complex ones
                self._write(step, _UNKNOWN)

    def of(self, tensor: torch.Tensor) -> list[Stretch]:
        """The tensor's elements in the order of its memory; one stretch if they are alike."""
        span = _span(tensor)
        size = _dense_size(tensor)
        inside = [s for s in self._known.get(storage(tensor), ()) if s.start < span.stop and s.stop > span.start]
        if size is None:  # scattered over its span: known if all of that is alike
            laws = {(s.law, s.shape) for s in inside}
            alike = len(laws) == 1 and inside[0].shape is None
            return [Stretch(0, tensor.numel(), inside[0].law if alike else None, None, inside[0].by if inside else ())]
        found = [
            s._replace(start=max(s.start, span.start) - span.start, stop=min(s.stop, span.stop) - span.start)
            for s in inside
        ]
        return _joined([_checked(s, tensor) for s in found]) or [Stretch(0, tensor.numel(), None)]

    def _follow(self, step: Step) -> None:
        name = _name(step.run)
        arguments = _arguments(step)
        if name in DRAWS and not any(isinstance(arguments.get(key), torch.Tensor) for key in ("mean", "std")):
            self._write(step, [Stretch(0, 0, DRAWS[name](arguments), by=(name,))])
        elif name in ("cat", "stack") and arguments["dim"] == 0:
            self._write(step, self._concatenated(arguments["tensors"]))
        else:
            self._write(step, self._mapped(name, arguments))

    def _concatenated(self, tensors: list[torch.Tensor]) -> list[Stretch]:
        found, start = [], 0
        for tensor in tensors:
            found += [s._replace(start=s.start + start, stop=s.stop + start) for s in self._given(tensor)]
            start += tensor.numel()
        return found

    def _given(self, x: Any) -> list[Stretch]:
        """Of an argument: a tensor on the meta device, a real one, or a number."""
        if isinstance(x, torch.Tensor) and x.is_meta:
            return self.of(x)
        if isinstance(x, torch.Tensor):
            values = x.reshape(-1)
            alike = x.numel() > 0 and not x.is_complex() and bool((values == values[0]).all())
            return [Stretch(0, x.numel(), constant(float(values[0])) if alike else None)]
        return [Stretch(0, 1, constant(float(x)))] if isinstance(x, (int, float)) else [Stretch(0, 1, None)]

    def _mapped(self, name: str, arguments: Arguments) -> list[Stretch]:
        """Of an operation on the elements of one tensor, whose other operand is constant."""
        source = {"copy": "src", "fill": "value"}.get(name)
        operands = [arguments[key] for key in ([source] if source else _OPERANDS) if key in arguments]
        given = [self._given(x) for x in operands]
        if len(given) == 1:
            return [s if name in SAME else _after(s, name, of_one, arguments) for s in given[0]]
        if len(given) == 2:
            (first, second), numbers = given, [_number(stretches) for stretches in given]
            if numbers[1] is not None:
                return [_after(s, name, with_number, numbers[1], arguments) for s in first]
            if numbers[0] is not None:
                return [_after(s, name, with_number_first, numbers[0], arguments) for s in second]
        return _UNKNOWN

    def _write(self, step: Step, content: list[Stretch]) -> None:
        """Put it into what the operation writes: all alike, or a stretch for each where it fills the tensor."""
        targets = [x for x in _targets(step) if x.is_meta]
        for tensor in targets:
            known = self._known.setdefault(storage(tensor), [])
            for s in self._placed(content, tensor):
                known[:] = _put(known, s)

    def _placed(self, content: list[Stretch], tensor: torch.Tensor) -> list[Stretch]:
        """The content of a tensor in the places of its memory."""
        span, size = _span(tensor), _dense_size(tensor)
        unknown = [Stretch(span.start, span.stop, None)]
        if len(content) > 1:
            if size != content[-1].stop or not tensor.is_contiguous():
                return unknown
            return [s._replace(start=s.start + span.start, stop=s.stop + span.start) for s in content]
        (one,) = content
        if one.law is None or not (tensor.is_floating_point() or isinstance(one.law, Constant)):
            return unknown
        if size is None:  # scattered: what lies between must be alike
            return [] if self.of(tensor)[0].law == one.law else unknown
        shape = tuple(tensor.shape) if isinstance(one.law, OF_SHAPE) else None
        if one.shape not in (None, shape):
            return unknown
        return [Stretch(span.start, span.stop, one.law, shape, one.by)]


def _targets(step: Step) -> list[torch.Tensor]:
    """The tensors that the operation fills: those that it changes, or else those that it makes."""
    if not hasattr(step.run, "_schema"):
        return [step.kwargs["tensor"]]
    return written(step.run, step.args, step.kwargs) or [
        x for x in tree_leaves(step.out) if isinstance(x, torch.Tensor)
    ]


def _arguments(step: Step) -> dict[str, Any]:
    schema = getattr(step.run, "_schema", None)
    if schema is None:
        return dict(step.kwargs)
    bound = {a.name: a.default_value for a in schema.arguments if a.has_default_value()}
    bound |= dict(zip((a.name for a in schema.arguments), step.args, strict=False)) | dict(step.kwargs)
    return bound


def _name(run: Any) -> str:
    """`normal` for aten.normal_.default, and for PyTorch's own functions likewise."""
    name = run._schema.name.partition("::")[2] if hasattr(run, "_schema") else run.__name__
    return str(name).removeprefix("_no_grad_").removesuffix("_")


def _number(stretches: list[Stretch]) -> float | None:
    """The value, if all elements have the same."""
    law = stretches[0].law if len(stretches) == 1 else None
    return law.value if isinstance(law, Constant) else None


def _after(s: Stretch, name: str, rule: Callable[..., Initializer | None], *arguments: Any) -> Stretch:
    law = rule(name, s.law, *arguments) if s.law is not None else None
    return s._replace(law=law, shape=s.shape if law is not None else None, by=(*s.by, name))


def _span(tensor: torch.Tensor) -> range:
    """From its first element in memory to its last."""
    start = tensor.storage_offset()
    reach = sum((n - 1) * stride for n, stride in zip(tensor.shape, tensor.stride(), strict=True))
    return range(start, start + reach + 1) if tensor.numel() else range(start, start)


def _dense_size(tensor: torch.Tensor) -> int | None:
    """How many elements it has, if they fill its span."""
    return tensor.numel() if len(_span(tensor)) == tensor.numel() else None


def _checked(s: Stretch, tensor: torch.Tensor) -> Stretch:
    """A law of a whole tensor holds for that tensor or, where it is a matrix, for its transpose."""
    if s.shape is None or s.stop - s.start != math.prod(s.shape):
        return s if s.shape is None else s._replace(law=None, shape=None)
    shape = tuple(tensor.shape)
    rows = (s.shape[0], *shape[1:])  # one of several, one above the other
    if s.shape in (shape, rows):
        return s
    if s.shape == shape[::-1] and isinstance(s.law, (Orthogonal, Identity)):
        return s._replace(shape=shape)
    return s._replace(law=None, shape=None)


def _put(known: list[Stretch], new: Stretch) -> list[Stretch]:
    """With these elements overwritten; what is left of a tensor with a law of its own is no longer that tensor."""
    found = []
    for s in known:
        if s.stop <= new.start or s.start >= new.stop:
            found.append(s)
            continue
        law = None if s.shape else s.law
        if s.start < new.start:
            found.append(s._replace(stop=new.start, law=law, shape=None))
        if s.stop > new.stop:
            found.append(s._replace(start=new.stop, law=law, shape=None))
    return sorted([*found, new], key=lambda s: s.start)


def _joined(stretches: list[Stretch]) -> list[Stretch]:
    """Neighbours of one law are one."""
    joined: list[Stretch] = []
    for s in stretches:
        last = joined[-1] if joined else None
        if last and last.stop == s.start and last.law == s.law and not s.shape and not last.shape:
            joined[-1] = last._replace(stop=s.stop)
        else:
            joined.append(s)
    return joined
