"""`plan(…, jitter=…)`: which weights get noise, and that units come apart."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import fanin
from fanin.errors import BadInput
from fanin.initializers import Identity, Initializer, Jittered, Keep, Mirrored, PerPart, Zeros

X = torch.randn(64, 16, generator=torch.Generator().manual_seed(0))


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm, self.attend = nn.LayerNorm(16), nn.MultiheadAttention(16, 2, batch_first=True)
        self.one, self.two, self.still = nn.Linear(16, 16), nn.Linear(16, 16), nn.Linear(16, 16)
        self.still.requires_grad_(False)

    def forward(self, x: Tensor) -> Any:
        y = self.attend(self.norm(x)[None], self.norm(x)[None], self.norm(x)[None], need_weights=False)[0][0]
        return self.still(x + y + self.two(torch.relu(self.one(x))))


def test_structured_weights_get_noise_and_nothing_else_does() -> None:
    """Mutant: whatever is fixed, norms and biases too."""
    overrides: dict[str, Initializer | str] = {
        "one.weight": "identity",
        "two.weight": "zeros",
        "*in_proj_weight": PerPart("normal", {"q": "identity"}),
    }
    net = Block()
    plain = fanin.plan(net, X, recipe="lecun", overrides=overrides)
    noisy = fanin.plan(net, X, recipe="lecun", overrides=overrides, jitter=0.02)
    assert noisy["one.weight"].initializer == Jittered(Identity(), 0.02)
    assert "0.02 of its rms" in noisy["one.weight"].why
    assert noisy["two.weight"].initializer == Zeros()
    assert noisy["attend.in_proj_weight"].initializer == PerPart("normal", {"q": Jittered(Identity(), 0.02)})
    assert noisy["still.weight"].initializer == Keep()
    assert [c.path for c in plain.diff(noisy)] == ["attend.in_proj_weight", "one.weight"]
    assert fanin.plan(net, X, recipe="lecun", overrides=overrides, jitter=0.0) == plain
    assert fanin.Plan.from_json(noisy.to_json()) == noisy


def test_units_that_start_alike_come_apart_in_training() -> None:
    """Mutant: noise that is the same for all units."""
    for jitter, alike in ((0.0, True), (0.01, False)):
        net = nn.Sequential(nn.Linear(16, 8), nn.Tanh(), nn.Linear(8, 1))
        overrides = {"0.weight": "constant(value=0.1)", "2.weight": "constant(value=0.1)"}
        fanin.initialize_(net, recipe=fanin.plan(net, X, recipe="lecun", overrides=overrides, jitter=jitter), seed=0)
        optimizer = torch.optim.SGD(net.parameters(), lr=0.5)
        for _ in range(50):
            optimizer.zero_grad()
            (net(X)[:, 0] - X[:, 0] * X[:, 1]).square().mean().backward()
            optimizer.step()
        weight = next(net.parameters()).detach()
        assert bool((weight == weight[:1]).all()) is alike


def test_a_little_noise_leaves_a_mirrored_chain_what_it_is() -> None:
    net = nn.Sequential(*[m for _ in range(30) for m in (nn.Linear(16, 16), nn.ReLU())], nn.Linear(16, 4))
    plan = fanin.plan(net, X, jitter=0.01)
    assert plan["2.weight"].initializer == Jittered(Mirrored(), 0.01)
    for seen in (fanin.measure(net, X, plan=plan), fanin.predict(net, X, plan=plan)):
        values = [m.second_moment for name, m in seen.values.items() if name.startswith("linear")][:-1]
        assert max(values) / min(values) < 1.2


def test_a_share_that_is_none_is_refused() -> None:
    for wrong in (-0.1, float("nan")):
        with pytest.raises(BadInput, match="jitter must be"):
            fanin.plan(nn.Linear(2, 2), torch.zeros(1, 2), jitter=wrong)
