"""What is seen of one training step: each layer's output and gradient, each parameter and its update."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

from fanin.signals.detail import Histogram
from fanin.signals.model import Moments


@dataclass(frozen=True)
class Activated:
    """What an activation made of a layer's output.

    Attributes:
        name: such as "relu".
        value: the moments of φ(z); `saturated` is None where φ is not bounded on both sides of 0.
        dead: share of the units that were 0 for every sample and position.
        samples: of how many each unit had.
    """

    name: str
    value: Moments
    dead: float
    samples: int


@dataclass(frozen=True)
class LayerStep:
    """One module with parameters of its own, averaged over its calls in the step.

    Attributes:
        path: of the module.
        value: the moments of its output; `non_finite` is 1 if a single element is not finite, else 0.
        activated: of the activation behind it; None where none was seen.
        gradient: ‖δ‖², of the loss's gradient at its output; None where none came back.
        matrix: it has a weight of two or more axes, so that it counts in the depth of the model.
        histogram: of its output, where that was asked for.
    """

    path: str
    value: Moments
    activated: Activated | None = None
    gradient: float | None = None
    matrix: bool = True
    histogram: Histogram | None = None


@dataclass(frozen=True)
class ParameterStep:
    """One parameter, before and after the update; norms are L2.

    Attributes:
        weight: ‖w‖ before the update.
        gradient: ‖∂L/∂w‖ as the optimizer got it; None where there was none; infinite or NaN where it was.
        update: ‖Δw‖; None where the values before it were not kept.
        histogram: of its values, where that was asked for.
        gradient_histogram: likewise.
    """

    path: str
    shape: tuple[int, ...]
    weight: float
    gradient: float | None = None
    update: float | None = None
    histogram: Histogram | None = None
    gradient_histogram: Histogram | None = None

    @property
    def update_ratio(self) -> float | None:
        """‖Δw‖/‖w‖; of a weight that is smaller than 1/√fan_in, as one that starts at 0, over that."""
        if self.update is None:
            return None
        fan_in = math.prod(self.shape[1:]) if len(self.shape) > 1 else 1
        usual = math.sqrt(math.prod(self.shape) / fan_in) if len(self.shape) > 1 and fan_in else 0.0
        size = max(self.weight, usual)
        return self.update / size if size else None


@dataclass(frozen=True)
class StepSignals:
    """Of one step.

    Attributes:
        layers: in the order of their first calls; empty where the forward pass cannot be seen.
        parameters: in the model's order.
        learning_rates: of the optimizer's groups, where it is known.
        gradients_seen: whether a gradient that is there would have been seen; not where a framework compiles its steps.
    """

    layers: tuple[LayerStep, ...]
    parameters: tuple[ParameterStep, ...]
    learning_rates: tuple[float, ...] = ()
    gradients_seen: bool = True

    @property
    def gradient_norm(self) -> float | None:
        """Of all parameters together; None where there is no gradient at all."""
        norms = [p.gradient for p in self.parameters if p.gradient is not None]
        return math.hypot(*norms) if norms else None

    @property
    def updated(self) -> bool:
        """A value changed, or it is not known."""
        return not self.parameters or any(p.update != 0 for p in self.parameters)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON, without histograms and what was not looked for."""
        return {
            "gradient_norm": self.gradient_norm,
            "learning_rates": list(self.learning_rates),
            "gradients_seen": self.gradients_seen,
            "layers": [_plain(layer) for layer in self.layers],
            "parameters": [_plain(p) | {"update_ratio": p.update_ratio} for p in self.parameters],
        }

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Self:
        """From `to_dict`, without histograms.

        Raises:
            KeyError, TypeError: not such data.
        """
        layers = tuple(_layer(layer) for layer in plain["layers"])
        known = ([(k, v) for k, v in p.items() if k != "update_ratio"] for p in plain["parameters"])
        parameters = tuple(ParameterStep(**{**dict(p), "shape": tuple(dict(p)["shape"])}) for p in known)
        return cls(layers, parameters, tuple(plain["learning_rates"]), plain.get("gradients_seen", True))


def _layer(plain: Mapping[str, Any]) -> LayerStep:
    activated = plain.get("activated")
    if activated is not None:
        activated = Activated(**{**activated, "value": Moments(**activated["value"])})
    return LayerStep(**{**plain, "value": Moments(**plain["value"]), "activated": activated})


def _plain(what: LayerStep | ParameterStep) -> dict[str, Any]:
    def kept(value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        return {k: kept(v) for k, v in value.items() if v is not None and "histogram" not in k}

    found: dict[str, Any] = kept(asdict(what))
    return found
