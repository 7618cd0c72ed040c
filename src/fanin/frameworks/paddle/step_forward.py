"""What a watched forward pass of a Paddle model shows: hooks on layers with parameters, and on activations behind them.

Numbers stay on their device until the step ends. The hooks are there in watched steps only.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import paddle

from fanin.activations import activation
from fanin.frameworks.held import Array
from fanin.frameworks.paddle.parameters import read
from fanin.frameworks.watched import histogram_of, stride
from fanin.signals import Histogram, Moments
from fanin.signals.step import Activated, LayerStep

# Layers that are one activation: their class → its name in the table.
ACTIVATIONS: Final[Mapping[str, str]] = {
    **{"ReLU": "relu", "ReLU6": "relu6", "LeakyReLU": "leaky_relu", "ELU": "elu", "CELU": "celu", "SELU": "selu"},
    **{"GELU": "gelu", "Silu": "silu", "Swish": "silu", "Mish": "mish", "Tanh": "tanh", "Sigmoid": "sigmoid"},
    **{"Hardtanh": "hardtanh", "Hardsigmoid": "hardsigmoid", "Hardswish": "hardswish"},
    **{"Softplus": "softplus", "Softsign": "softsign"},
}
_MARGIN: Final = 0.01  # of an activation's range: within it an output counts as at the bound


@dataclass
class _Seen:
    """One layer in one step: numbers on their device, a list for each call."""

    calls: list[list[Any]] = field(default_factory=list)
    activated: list[list[Any]] = field(default_factory=list)
    activation: str = ""
    samples: int = 0
    gradients: list[Any] = field(default_factory=list)
    elements: Array | None = None


class Forward:
    """Hooks on a model's layers, from `arm` to `disarm`; `steps` is what they saw."""

    def __init__(self, model: Any, *, histograms: bool = False) -> None:
        self._histograms = histograms
        layers = list(model.named_sublayers(include_self=True))
        own = [(p, x) for p, x in layers if any(t is not None for t in x._parameters.values())]
        self._layers = dict(own)
        self._activations = {
            p: (ACTIVATIONS[type(x).__name__], x) for p, x in layers if type(x).__name__ in ACTIVATIONS
        }
        self._handles: list[Any] = []
        self._seen: dict[str, _Seen] = {}
        self._last = ""

    @property
    def sees_activations(self) -> bool:
        """Whether one is a layer."""
        return bool(self._activations)

    def arm(self) -> None:
        """Look at the passes from here on."""
        self._seen, self._last = {}, ""
        for path, layer in self._layers.items():
            self._handles.append(layer.register_forward_post_hook(self._hook(path)))
        for name, layer in self._activations.values():
            self._handles.append(layer.register_forward_post_hook(self._behind(name)))

    def disarm(self) -> None:
        """Take every hook away."""
        while self._handles:
            self._handles.pop().remove()
        self._seen = {}

    def steps(self) -> Iterator[LayerStep]:
        """In the order of their first calls; waits for the device."""
        for path, seen in self._seen.items():
            activated = None
            if seen.activated:
                numbers = [[float(n) for n in call] for call in seen.activated]
                dead = sum(call.pop() for call in numbers) / len(numbers)
                activated = Activated(seen.activation, averaged(numbers), dead, seen.samples)
            squares = [float(g) ** 2 for g in seen.gradients]
            matrix = any(t is not None and len(t.shape) > 1 for t in self._layers[path]._parameters.values())
            yield LayerStep(
                path,
                averaged([[float(n) for n in call] for call in seen.calls]),
                activated,
                sum(squares) if squares else None,
                matrix,
                _histogram(seen.elements),
            )

    def _hook(self, path: str) -> Callable[..., None]:
        def look(layer: Any, given: Any, made: Any) -> None:
            x = _first_floating(made)
            if x is None or not paddle.is_grad_enabled():
                return
            seen = self._seen.setdefault(path, _Seen())
            self._last = path
            with paddle.no_grad():
                seen.calls.append(moments_of(x.detach()))
                if self._histograms:
                    seen.elements = read(_flat(x.detach())[:: stride(int(x.size))])
            if not x.stop_gradient:
                x.register_hook(self._gradient(seen))

        return look

    def _gradient(self, seen: _Seen) -> Callable[[Any], None]:
        def look(gradient: Any) -> None:
            if any(one is seen for one in self._seen.values()):  # else the step is over
                with paddle.no_grad():
                    seen.gradients.append(norm_of(gradient.detach()))

        return look

    def _behind(self, name: str) -> Callable[..., None]:
        def look(layer: Any, given: Any, made: Any) -> None:
            seen = self._seen.get(self._last)
            if seen is None or seen.activation not in ("", name) or len(seen.activated) >= len(seen.calls):
                return
            if not isinstance(made, paddle.Tensor) or not made.size or not paddle.is_grad_enabled():
                return
            axis = 1 if _is_convolution(self._layers[self._last]) else len(made.shape) - 1
            with paddle.no_grad():
                x = made.detach()
                seen.activated.append([*moments_of(x, bounds_of(name)), dead_share(x, axis)])
            seen.activation, seen.samples = name, made.size // max(made.shape[axis], 1)

        return look


def moments_of(x: Any, bounds: tuple[float, float] | None = None) -> list[Any]:
    """Mean, second moment, zeros, the largest |x| of all, and, where there are bounds, saturated; else of a sample."""
    flat = _flat(x)
    part = flat[:: stride(int(x.size))]
    found = [part.mean(), part.square().mean(), (part == 0).astype("float32").mean(), flat.abs().max()]
    if bounds:
        low, high = bounds
        margin = _MARGIN * (high - low)
        found.append(((part < low + margin) | (part > high - margin)).astype("float32").mean())
    return found


def dead_share(x: Any, axis: int) -> Any:
    """Share of the units along an axis that are 0 everywhere else."""
    others = [i for i in range(len(x.shape)) if i != axis]
    largest = x.abs().max(axis=others) if others else x.abs()
    return (largest == 0).astype("float32").mean()


def norm_of(x: Any) -> Any:
    """L2, of all elements."""
    return _flat(x).square().sum().sqrt()


def averaged(calls: Sequence[Sequence[float]]) -> Moments:
    """Of a layer that was called several times; `non_finite` is 1 if a single element is not finite."""
    mean, second, zeros, largest, *saturated = (sum(values) / len(calls) for values in zip(*calls, strict=True))
    return Moments(mean, second, zeros, float(not math.isfinite(largest)), saturated[0] if saturated else None)


def bounds_of(name: str) -> tuple[float, float] | None:
    """Of an activation that saturates on both sides of 0."""
    known = activation(name)
    low, high = known.bounds
    return (low, high) if known.saturates and low < float(known(0.0)) < high else None


def _flat(x: Any) -> Any:
    flat = x.reshape([-1])
    return flat if x.dtype in (paddle.float32, paddle.float64) else flat.astype("float32")


def _histogram(elements: Array | None) -> Histogram | None:
    return None if elements is None else histogram_of(elements)


def _is_convolution(layer: Any) -> bool:
    """Whether its units lie along axis 1."""
    names = [base.__name__ for base in type(layer).__mro__]
    return any(n.startswith(("_ConvNd", "_BatchNormBase", "GroupNorm")) for n in names) and str(
        getattr(layer, "_data_format", "NC")
    ).startswith("NC")


def _first_floating(made: Any) -> Any:
    found = paddle.utils.flatten([made])
    return next((x for x in found if isinstance(x, paddle.Tensor) and x.is_floating_point() and x.size), None)
