"""What is computed from parameters and buffers alone is run as a whole: the factors of a norm belong together."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations

import fanin
from fanin.signals import Signals

X = torch.randn(32, 64, generator=torch.Generator().manual_seed(0))
DRAWS = 8
LAYERS = ("linear", "linear_1", "linear_2")


def old_spectral_norm(layer: nn.Module) -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        found: nn.Module = nn.utils.spectral_norm(layer)
    return found


NORMS: dict[str, Callable[..., nn.Module]] = {
    "spectral_norm": parametrizations.spectral_norm,
    "old spectral_norm": old_spectral_norm,
    "orthogonal": parametrizations.orthogonal,
}


def net(norm: Callable[..., nn.Module], training: bool = True) -> nn.Module:
    layers = norm(nn.Linear(64, 128)), nn.ReLU(), norm(nn.Linear(128, 128)), nn.ReLU(), nn.Linear(128, 8)
    return nn.Sequential(*layers).train(training)


def agree(predicted: Signals, measured: Sequence[Signals]) -> None:
    """A mean over 8 draws of nets of width 128 is within a fifth, that of 8 outputs within a third."""
    for name in LAYERS:
        value = np.mean([seen.values[name].second_moment for seen in measured])
        gradient = np.mean([seen.gradients[name].second_moment for seen in measured])
        assert predicted.values[name].second_moment == pytest.approx(value, rel=0.33 if name == LAYERS[-1] else 0.2)
        assert predicted.gradients[name].second_moment == pytest.approx(gradient, rel=0.2), name
    assert not any(predicted.assumed.get(name) for name in LAYERS)


@pytest.mark.parametrize("norm", NORMS.values(), ids=NORMS)
def test_a_weight_that_is_computed_has_the_law_of_what_is_computed(norm: Callable[..., nn.Module]) -> None:
    measured = []
    for seed in range(DRAWS):
        torch.manual_seed(seed)
        model = net(norm)
        measured.append(fanin.measure(model, X))
    agree(fanin.predict(model, X), measured)


@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
@pytest.mark.parametrize("norm", NORMS.values(), ids=NORMS)
def test_singular_vectors_are_those_of_the_values_that_a_plan_draws(
    norm: Callable[..., nn.Module], training: bool
) -> None:
    torch.manual_seed(0)
    model = net(norm, training)
    plan = fanin.plan(model, X)
    before = {name: x.clone() for name, x in model.state_dict().items()}
    predicted = fanin.predict(model, X, plan=plan)
    assert all(torch.equal(x, before[name]) for name, x in model.state_dict().items())
    agree(predicted, [fanin.measure(model, X, plan=plan, seeds=DRAWS)])


class Mixed(nn.Module):
    """A weight that is a product of two, over its largest entry; nothing of it has a rule."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = (nn.Parameter(torch.randn(n, 16)) for n in (64, 64))

    def forward(self, x: Tensor) -> Tensor:
        product = self.left @ self.right.T
        return torch.nn.functional.linear(x, product / product.abs().amax())


def test_what_comes_back_to_the_parameters_of_a_computed_weight() -> None:
    """The largest entry takes next to nothing of the gradient: the rest is that of a product of two matrices."""
    measured = []
    for seed in range(DRAWS):
        torch.manual_seed(seed)
        model = Mixed()
        measured.append(fanin.measure(model, X))
    predicted = fanin.predict(model, X)
    for path in ("left", "right"):
        seen = np.mean([found.parameters[path].gradient.second_moment for found in measured])  # type: ignore[union-attr]
        gradient = predicted.parameters[path].gradient
        assert gradient is not None
        assert gradient.second_moment == pytest.approx(seen, rel=0.4)
