"""Python calls that do something else on the meta device than elsewhere, put right while a model is being built."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Final

import torch
from torch.overrides import TorchFunctionMode

# PyTorch's initializers that return at once where `tensor.is_meta`; as they ask, they are taken note of. By their code,
# since libraries keep the functions under names of their own.
INITIALIZERS: Final[dict[Any, Callable[..., torch.Tensor]]] = {
    f.__code__: f
    for f in (
        torch.nn.init._no_grad_trunc_normal_,
        torch.nn.init.orthogonal_,
        torch.nn.init.dirac_,
        torch.nn.init.sparse_,
    )
}
_IS_META: Final = torch.Tensor.is_meta.__get__  # type: ignore[attr-defined]
_DATA: Final = (torch.tensor, torch.as_tensor, torch.asarray)
_TO_NUMPY: Final = (torch.Tensor.numpy, torch.Tensor.__array__)
# Where a library initializes its models by a method that does nothing on the meta device: its module, the class, the
# method, and the function that it asks for the device.
_SKIPS: Final = (
    ("transformers.modeling_utils", "PreTrainedModel", "init_weights", "get_torch_context_manager_or_global_device"),
)


class MetaCalls(TorchFunctionMode):
    """Sees the calls of the constructors.

    Args:
        initialized: is told of an initializer that gives up on a tensor, and its arguments.
        value: of a tensor on the meta device.
    """

    def __init__(
        self,
        initialized: Callable[[Callable[..., torch.Tensor], dict[str, Any]], None],
        value: Callable[[torch.Tensor], torch.Tensor],
    ) -> None:
        super().__init__()
        self._initialized = initialized
        self._value = value

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func == _IS_META:
            caller = sys._getframe(1)
            if caller.f_code in INITIALIZERS and func(*args):
                self._initialized(INITIALIZERS[caller.f_code], _arguments(caller))
        if func in _DATA and _is_data(args[0] if args else kwargs.get("data"), kwargs):
            return _moved(func(*args, **{**kwargs, "device": "cpu"}))
        if func in _TO_NUMPY and args[0].is_meta:
            return func(self._value(args[0]), *args[1:], **kwargs)
        return func(*args, **kwargs)


def _is_data(data: Any, kwargs: dict[str, Any]) -> bool:
    """The user's, which goes through real memory: `torch.tensor` on the meta device forgets it at once."""
    return torch.device(kwargs.get("device") or "meta").type == "meta" and not isinstance(data, torch.Tensor)


def _moved(made: torch.Tensor) -> torch.Tensor:
    return made.detach().to("meta").requires_grad_(made.requires_grad)


def _arguments(frame: FrameType) -> dict[str, Any]:
    code = frame.f_code
    named = {name: frame.f_locals[name] for name in code.co_varnames[: code.co_argcount]}
    return named | ({"generator": None} if "generator" in named else {})  # it has moved on when this is run again


@contextmanager
def nothing_skipped() -> Iterator[Callable[[], None]]:
    """Libraries' models are initialized in the block as they are on other devices.

    Gives a function that looks for such libraries among what has been imported so far; to be called again and again.
    """
    undo: list[Callable[[], None]] = []
    found: set[str] = set()

    def look() -> None:
        for module, owner, method, device in _SKIPS:
            library = sys.modules.get(module)
            if module not in found and hasattr(library, owner) and hasattr(library, device):
                found.add(module)
                kind = getattr(library, owner)
                undo.append(_patched(kind, method, _unskipped(library, getattr(kind, method), device)))

    look()
    try:
        yield look
    finally:
        for back in undo:
            back()


def _unskipped(library: Any, method: Callable[..., Any], device: str) -> Callable[..., Any]:
    def initialize(*args: Any, **kwargs: Any) -> Any:
        back = _patched(library, device, lambda: None)
        try:
            return method(*args, **kwargs)
        finally:
            back()

    return initialize


def _patched(where: Any, name: str, what: Any) -> Callable[[], None]:
    before = getattr(where, name)
    setattr(where, name, what)
    return lambda: setattr(where, name, before)
