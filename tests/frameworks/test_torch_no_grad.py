"""What a model computes under `torch.no_grad()` gets no gradient, in a measurement as in a prediction."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

import fanin


class Frozen(nn.Module):
    """A trunk without gradients, by one of three ways, and a head that reads it twice."""

    def __init__(self, trunk: Callable[[nn.Module, Tensor], Tensor]) -> None:
        super().__init__()
        self.inner = nn.Sequential(nn.Linear(8, 8), nn.ReLU())
        self.head = nn.Linear(8, 4)
        self.trunk = trunk

    def forward(self, x: Tensor) -> Tensor:
        h = self.trunk(self.inner, x)
        out: Tensor = self.head(h + x) * h.mean()
        return out


def with_context(inner: nn.Module, x: Tensor) -> Tensor:
    with torch.no_grad():
        h: Tensor = inner(x)
    return h


@torch.no_grad()
def decorated(inner: nn.Module, x: Tensor) -> Tensor:
    h: Tensor = inner(x)
    return h


def switched(inner: nn.Module, x: Tensor) -> Tensor:
    torch.set_grad_enabled(False)
    h: Tensor = inner(x)
    torch.set_grad_enabled(True)
    return h


def branching(inner: nn.Module, x: Tensor) -> Tensor:
    """What the exporter does not follow, and a recorded run does."""
    h = with_context(inner, x)
    return 2 * h if h.sum() > 1e9 else h


@pytest.mark.parametrize("trunk", [with_context, decorated, switched, branching])
@pytest.mark.parametrize("look", [fanin.measure, fanin.predict])
def test_gradients_end_where_the_model_lets_them_end(
    look: Callable[..., fanin.Signals], trunk: Callable[[nn.Module, Tensor], Tensor]
) -> None:
    """Mutant: the mode is forgotten."""
    model, x = Frozen(trunk), torch.randn(4, 8)
    model(x).sum().backward()
    reached = {path for path, p in model.named_parameters() if p.grad is not None}
    assert reached == {"head.weight", "head.bias"}
    found = look(model, x)
    assert {path for path, p in found.parameters.items() if p.gradient is not None} == reached
    assert "linear" in found.values
    assert "linear" not in found.gradients


def test_a_frozen_trunk_is_said_to_be_unused() -> None:
    found = fanin.diagnose(Frozen(with_context), torch.randn(4, 8))
    assert [f.code for f in found.findings] == ["P01"]
