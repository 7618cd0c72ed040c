"""A plan tuned on one real batch: LSUV for any graph, and the model as it was."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import fanin
from fanin.errors import BadInput, UnknownName


def randn(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


def test_every_layer_is_tuned_the_first_one_too() -> None:
    """The usual package leaves the first layer as it is. Mutant: goals of all layers but the first."""
    net = nn.Sequential(*[m for _ in range(5) for m in (nn.Linear(64, 64), nn.ReLU())], nn.Linear(64, 8))
    x = 10 * randn(256, 64)
    plan = fanin.calibrate(net, x, plan=fanin.plan(net, x, recipe="xavier"), seed=3)
    fanin.initialize_(net, recipe=plan, seed=3)
    seen = fanin.measure(net, x)
    linear = [m.second_moment for name, m in seen.values.items() if name.startswith("linear")]
    assert all(0.95 < q < 1.05 for q in linear[:-1])  # factors come in steps of 2 %
    assert 0.24 < linear[-1] < 0.26
    assert "this batch shows" in plan["0.weight"].why


class Shared(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one, self.attend = nn.Linear(16, 16), nn.MultiheadAttention(16, 2, batch_first=True)
        self.drop = nn.Dropout(0.5)

    def forward(self, x: Tensor) -> Any:
        x = self.drop(F.relu(self.one(x)))
        x = F.relu(self.one(x))
        return x + self.attend(x, x, x, need_weights=False)[0]


def test_shared_weights_and_attention_are_no_trouble_and_the_model_stays_as_it_was() -> None:
    net, x = Shared().train(), 3 * randn(4, 5, 16)
    before = {name: p.detach().clone() for name, p in net.named_parameters()}
    state = torch.random.get_rng_state()
    plan = fanin.calibrate(net, x, plan=fanin.plan(net, x, recipe="lecun"))
    assert all(torch.equal(p, before[name]) for name, p in net.named_parameters())
    assert torch.equal(torch.random.get_rng_state(), state)
    assert net.training
    assert not any(p.grad is not None for p in net.parameters())
    assert plan["one.weight"].std < fanin.plan(net, x, recipe="lecun")["one.weight"].std  # inputs of std 3


def test_what_the_caller_keeps_is_kept() -> None:
    net, x = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 2)), 5 * randn(32, 8)
    he = fanin.plan(net, x, recipe="he")
    tuned = fanin.calibrate(net, x, plan=he, keep=["0.*"])
    assert tuned["0.weight"] == he["0.weight"]
    assert tuned["2.weight"] != he["2.weight"]


def test_a_batch_of_zeros_changes_nothing_and_one_that_does_not_fit_is_refused() -> None:
    net = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 2))
    he = fanin.plan(net, torch.zeros(4, 8), recipe="he")
    assert fanin.calibrate(net, torch.zeros(4, 8), plan=he) == he
    other = nn.Sequential(nn.Linear(8, 6))
    with pytest.raises(BadInput, match="not for this model"):
        fanin.calibrate(other, torch.ones(4, 8), plan=he, how="predicted")


def test_a_loss_of_output_and_target_has_the_target_behind_the_example() -> None:
    net, x, labels = nn.Linear(16, 4), randn(32, 16), torch.arange(32) % 4
    plan = fanin.plan(net, x, recipe="he")
    alone = fanin.calibrate(net, x, plan=plan, how="gradinit", loss=lambda out: F.cross_entropy(out, labels), steps=5)
    both = fanin.calibrate(net, x, labels, plan=plan, how="gradinit", loss=F.cross_entropy, steps=5)
    assert both == alone


def test_a_misspelled_method_is_told_all_of_them() -> None:
    net = nn.Linear(16, 4)
    with pytest.raises(UnknownName, match=r"Did you mean 'lsuv'.*gradinit, lsuv, metainit, predicted"):
        fanin.calibrate(net, randn(2, 16), plan=fanin.plan(net, randn(2, 16)), how="lsvu")
