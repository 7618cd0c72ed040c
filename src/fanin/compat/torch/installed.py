"""The drop-in in the place of torch.nn.init, for code that others wrote."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any, Final

import torch
from torch.overrides import TorchFunctionMode

from fanin.compat.torch import deprecated, fixed, plain, private, scaled, structured


def _uniform(tensor: torch.Tensor, *bounds: Any, **kwargs: Any) -> torch.Tensor:
    """`Tensor.uniform_`, whose bounds are called from and to."""
    named = {"from": "a", "to": "b"}
    return plain.uniform_(tensor, *bounds, **{named.get(k, k): v for k, v in kwargs.items()})


def _functions(module: ModuleType) -> dict[str, Callable[..., Any]]:
    """Those of a module that torch.nn.init has as well."""
    return {name: f for name, f in vars(module).items() if callable(getattr(torch.nn.init, name, None)) and callable(f)}


OURS: Final = {
    name: function
    for module in (private, deprecated, fixed, plain, scaled, structured)
    for name, function in _functions(module).items()
    if function.__module__.startswith(__package__)
}
# What a function mode sees of functions that another module imported by name before.
REROUTED: Final[dict[Any, Callable[..., Any]]] = {
    **{getattr(torch.nn.init, name): function for name, function in OURS.items()},
    torch.Tensor.normal_: plain.normal_,
    torch.Tensor.uniform_: _uniform,
}


class _Rerouted(TorchFunctionMode):
    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return REROUTED.get(func, func)(*args, **(kwargs or {}))


@contextmanager
def installed() -> Iterator[None]:
    """Within it, what torch.nn.init draws comes from fanin's stream: of any library's constructor, unchanged.

    `torch.nn.init` has the functions of this module. Those that a module took by `from torch.nn.init import …` before,
    and libraries' own laws, draw by `Tensor.normal_` and `Tensor.uniform_`, which are rerouted as well, in this thread.
    Not rerouted: `torch.randn`, `torch.rand` and their like; and `orthogonal_` and `sparse_` taken by name draw the
    stream's numbers, but torch makes the matrix of them.

    Each draw takes its seed from torch's generator, in the order of the calls: `torch.manual_seed` holds, values depend
    on the order of layers. For values that do not, `fanin.initialize_`.

    Not for: threads that build models of their own meanwhile, as the module is one for all.

    Example:
        >>> _ = torch.manual_seed(0)
        >>> with installed():
        ...     layer = torch.nn.Linear(3, 2)
        >>> layer.weight.shape
        torch.Size([2, 3])
    """
    before = {name: getattr(torch.nn.init, name) for name in OURS}
    try:
        for name, function in OURS.items():
            setattr(torch.nn.init, name, function)
        with _Rerouted():
            yield
    finally:
        for name, function in before.items():
            setattr(torch.nn.init, name, function)
