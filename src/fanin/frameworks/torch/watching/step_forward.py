"""What a watched forward pass shows: hooks on modules with parameters, and the activations behind them.

Activations are seen as functions are called, so that `F.relu(self.fc(x))` counts as `nn.ReLU` does. Everything is
computed on detached tensors, and the hooks are there in watched steps only.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from types import FrameType
from typing import Any, Final

import torch
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree as pytree

from fanin.activations import activation
from fanin.errors import UnknownName
from fanin.frameworks.torch.model.names import naming
from fanin.frameworks.torch.model.whole import unwrapped
from fanin.frameworks.torch.watching.step_statistics import Fetch, averaged, dead_share, histogram_of, moments_of
from fanin.signals import Histogram
from fanin.signals.step import Activated, LayerStep

# Functions as they are called → the activation's name; an underscore at the end, for those in place, is dropped.
FUNCTIONS: Final[Mapping[str, str]] = {
    **{name: name for name in ("relu", "relu6", "leaky_relu", "elu", "celu", "selu", "gelu", "silu", "mish")},
    **{name: name for name in ("tanh", "sigmoid", "hardtanh", "hardsigmoid", "hardswish", "softplus", "softsign")},
}
_NO_BOUNDS: Final = (0.0, 0.0)


@dataclass
class _Seen:
    """One module in one step: where in the fetch its numbers are, a slice for each call."""

    calls: list[slice] = field(default_factory=list)
    activated: list[slice] = field(default_factory=list)
    activation: str = ""
    samples: int = 0
    gradients: list[slice] = field(default_factory=list)
    histogram: Histogram | None = None


class Forward:
    """Hooks on a model's modules, from `arm` to `disarm`; `layers` is what they saw."""

    def __init__(self, model: torch.nn.Module, *, histograms: bool = False) -> None:
        self._root, self._histograms = unwrapped(model), histograms
        self._modules = {} if is_compiled(model) else dict(_with_parameters(model))
        self._axes = {path: 1 if _is_convolution(module) else -1 for path, module in self._modules.items()}
        self._handles: list[Any] = []
        self._seen: dict[str, _Seen] = {}
        self._last = ""
        self._modes: list[_Activations] = []
        self._fetch = Fetch()

    @property
    def sees(self) -> bool:
        """Whether there is anything to hook: what torch.compile made one program of cannot be looked into."""
        return bool(self._modules)

    def arm(self, fetch: Fetch) -> None:
        """Look at the passes from here on."""
        self._seen, self._last, self._fetch = {}, "", fetch
        if not self.sees:
            return
        self._handles += [
            self._root.register_forward_pre_hook(self._enter),
            self._root.register_forward_hook(self._leave, always_call=True),
        ]
        for path, module in self._modules.items():
            self._handles.append(module.register_forward_hook(self._hook(path)))

    def disarm(self) -> None:
        """Take every hook away; and the mode, where a forward pass was interrupted: Ctrl-C runs no hook behind it."""
        while self._handles:
            self._handles.pop().remove()
        while self._modes:
            mode = self._modes.pop()
            if torch.overrides._get_current_function_mode() is mode:  # type: ignore[no-untyped-call]
                mode.__exit__(None, None, None)

    def layers(self, numbers: list[float]) -> Iterator[LayerStep]:
        """In the order of their first calls, from the numbers that were fetched."""
        for path, seen in self._seen.items():
            activated = None
            if seen.activated:
                *values, dead = zip(*(numbers[s] for s in seen.activated), strict=True)
                shares = averaged(list(zip(*values, strict=True)))
                activated = Activated(seen.activation, shares, sum(dead) / len(dead), seen.samples)
            squares = [n**2 for s in seen.gradients for n in numbers[s]]
            yield LayerStep(
                path,
                averaged([numbers[s] for s in seen.calls]),
                activated,
                sum(squares) if squares else None,
                any(p.dim() > 1 for p in self._modules[path].parameters()),
                seen.histogram,
            )

    def _enter(self, module: torch.nn.Module, args: Any) -> None:
        if torch.compiler.is_compiling():
            return
        mode = _Activations(self._activated)
        mode.__enter__()  # type: ignore[no-untyped-call]
        self._modes.append(mode)

    def _leave(self, module: torch.nn.Module, args: Any, output: Any) -> None:
        if self._modes and not torch.compiler.is_compiling():
            self._modes.pop().__exit__(None, None, None)  # type: ignore[no-untyped-call]

    def _hook(self, path: str) -> Callable[..., None]:
        def look(module: torch.nn.Module, args: Any, output: Any) -> None:
            if torch.compiler.is_compiling() or not torch.is_grad_enabled():
                return
            tensor = _first_tensor(output)
            if tensor is None:
                return
            seen = self._seen.setdefault(path, _Seen())
            self._last = path
            with torch.no_grad(), torch._C.DisableTorchFunction():
                x = tensor.detach()
                seen.calls.append(self._fetch.add(*moments_of(x)))
                if self._histograms:
                    seen.histogram = histogram_of(x)
            if tensor.requires_grad:
                tensor.register_hook(self._gradient_hook(seen))  # type: ignore[no-untyped-call]

        return look

    def _gradient_hook(self, seen: _Seen) -> Callable[[torch.Tensor], None]:
        fetch = self._fetch

        def look(gradient: torch.Tensor) -> None:
            if fetch is self._fetch:  # else the step is over, and this a second pass through its graph
                seen.gradients.append(fetch.add(torch.linalg.vector_norm(gradient.detach(), dtype=torch.float32)))

        return look

    def _activated(self, name: str, output: Any) -> None:
        seen = self._seen.get(self._last)
        if seen is None or seen.activation not in ("", name) or not isinstance(output, torch.Tensor):
            return
        if not torch.is_grad_enabled() or output.numel() == 0 or not output.is_floating_point():
            return
        if len(seen.activated) >= len(seen.calls):  # a second activation behind the same call
            return
        axis = self._axes[self._last] if output.dim() > 1 else 0
        with torch.no_grad():
            x = output.detach()
            known = bounds_of(name)
            numbers = moments_of(x, None if known == _NO_BOUNDS else known)
            seen.activated.append(self._fetch.add(*numbers, dead_share(x, axis)))
        seen.activation, seen.samples = name, x.numel() // x.shape[axis]


class _Activations(TorchFunctionMode):
    """Tells of every call of an activation function."""

    def __init__(self, tell: Callable[[str, Any], None]) -> None:
        super().__init__()
        self._tell = tell

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if torch.compiler.is_compiling():
            return result
        name = FUNCTIONS.get(getattr(func, "__name__", "").rstrip("_"))
        if name is not None and not (name == "tanh" and _writes_out_gelu(sys._getframe(1))):
            self._tell(name, result)
        return result


def _writes_out_gelu(frame: FrameType) -> bool:
    """Whether a tanh is part of GELU written out, as in 0.5 z (1 + tanh(…)), where saturation is as it should be."""
    owner = type(frame.f_locals.get("self")).__name__
    return "gelu" in f"{owner} {frame.f_code.co_name}".lower()


@lru_cache(maxsize=64)
def bounds_of(name: str) -> tuple[float, float]:
    """Of an activation that saturates on both sides of 0."""
    try:
        known = activation(name)
    except UnknownName:
        return _NO_BOUNDS
    low, high = known.bounds
    return (low, high) if known.saturates and low < float(known(0.0)) < high else _NO_BOUNDS


def is_compiled(model: torch.nn.Module) -> bool:
    """Whether torch.compile made a program of the model or of a part of it, where a hook would not run."""
    return any(
        type(module).__name__ == "OptimizedModule" or getattr(module, "_compiled_call_impl", None) is not None
        for module in model.modules()
    ) or isinstance(model, torch.jit.ScriptModule)


def _with_parameters(model: torch.nn.Module) -> Iterator[tuple[str, torch.nn.Module]]:
    """Modules that hold parameters of their own and no further layers."""
    path_of = naming(model)
    for path, module in model.named_modules():
        if ".parametrizations" in f".{path}":
            continue
        own = [*module.parameters(recurse=False)] or hasattr(module, "parametrizations")
        inner = [child for name, child in module.named_children() if name != "parametrizations"]
        packs = isinstance(module, torch.nn.MultiheadAttention)
        if own and (packs or not any(True for child in inner for _ in child.parameters())):
            yield path_of(path), module


def _is_convolution(module: torch.nn.Module) -> bool:
    """Whether its units lie along axis 1."""
    return any(base.__name__.startswith(("_ConvNd", "_NormBase", "GroupNorm")) for base in type(module).__mro__)


def _first_tensor(output: Any) -> torch.Tensor | None:
    return next(
        (
            leaf
            for leaf in pytree.tree_leaves(output)
            if isinstance(leaf, torch.Tensor) and leaf.is_floating_point() and leaf.numel()
        ),
        None,
    )
