"""Low-rank adapters beside frozen weights start as if they were not there."""

from __future__ import annotations

import torch
from torch import Tensor, nn

import fanin


class Adapted(nn.Module):
    """W x + b + 2 B A x, of which W and b are frozen or not."""

    def __init__(self, base: nn.Linear, *, frozen: bool) -> None:
        super().__init__()
        self.base = base.requires_grad_(not frozen)
        self.down = nn.Linear(base.in_features, 4, bias=False)
        self.up = nn.Linear(4, base.out_features, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.base(x) + 2 * self.up(self.down(x))
        return out


def net(*, frozen: bool) -> nn.Sequential:
    layers = [Adapted(nn.Linear(16, 32), frozen=frozen), nn.ReLU(), Adapted(nn.Linear(32, 4), frozen=frozen)]
    return nn.Sequential(*layers)


def test_what_is_pretrained_is_not_changed_and_adapters_can_learn() -> None:
    """Mutant: the end of an adapter is drawn as that of any branch."""
    model, x = net(frozen=True), torch.randn(8, 16)
    pretrained = nn.Sequential(model[0].base, nn.ReLU(), model[2].base)  # type: ignore[arg-type]
    plan = fanin.initialize_(model, x, seed=0)
    assert torch.equal(model(x), pretrained(x))
    assert str(plan["0.up.weight"].initializer) == "zeros"
    model(x).square().sum().backward()
    gradients = {path: p.grad for path, p in model.named_parameters() if p.requires_grad}
    assert all(g is not None and g.any() for path, g in gradients.items() if "up" in path)


def test_a_branch_beside_a_trained_projection_is_drawn() -> None:
    plan = fanin.plan(net(frozen=False), torch.randn(8, 16))
    assert plan["0.up.weight"].std > 0
