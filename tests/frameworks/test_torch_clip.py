"""Clipping: the formulas, the names that are left out, and PyTorch's own bits."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import nn

import fanin
from fanin.errors import BadInput


def net() -> nn.Sequential:
    """With gradients: a convolution, a transposed one, a scale, and biases that start at 0."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ConvTranspose2d(4, 3, 2, 2), nn.Flatten(), nn.Linear(48, 5)
    )
    nn.init.zeros_(model.get_parameter("4.bias"))
    x, y = torch.randn(8, 2, 2, 2), torch.randn(8, 5)
    (100 * (model(x) - y).square().mean()).backward()
    return model


def gradients(model: nn.Module) -> dict[str, Any]:
    return {path: p.grad for path, p in model.named_parameters()}


@pytest.mark.parametrize("threshold", [0.5, 1e6])
def test_by_norm_and_by_value_the_bits_are_pytorchs(threshold: float) -> None:
    ours, theirs = net(), net()
    clipped = fanin.clip_(ours, norm=threshold)
    norm = torch.nn.utils.clip_grad_norm_(theirs.parameters(), threshold)
    assert torch.equal(clipped.norm, norm)
    assert bool(clipped.clipped) is (threshold < float(norm))
    assert all(torch.equal(a, b) for a, b in zip(gradients(ours).values(), gradients(theirs).values(), strict=True))
    ours, theirs = net(), net()
    clipped = fanin.clip_(ours, value=threshold)
    torch.nn.utils.clip_grad_value_(theirs.parameters(), threshold)
    assert bool(clipped.clipped) is (threshold < 1e6)
    assert all(torch.equal(a, b) for a, b in zip(gradients(ours).values(), gradients(theirs).values(), strict=True))


def test_adaptively_no_unit_has_more_than_its_share() -> None:
    """Brock et al. 2021, eq. 3, unit by unit. Mutant: one norm for the whole weight; the wrong axis."""
    model = net()
    before = copy.deepcopy(gradients(model))
    clipped = fanin.clip_(model, adaptive=0.05)
    assert bool(clipped.clipped)
    for path, p in model.named_parameters():
        assert p.grad is not None
        axis = 1 if path == "2.weight" else 0
        units = range(p.shape[axis]) if p.dim() > 1 else [slice(None)]
        for unit in units:
            place = (slice(None),) * (axis if p.dim() > 1 else 0) + (unit,)
            weight, was, now = p.detach()[place], before[path][place], p.grad[place]
            allowed = 0.05 * max(float(weight.norm()), 1e-3)
            factor = min(1.0, allowed / float(was.norm())) if float(was.norm()) else 1.0
            torch.testing.assert_close(now, factor * was)


def test_what_starts_at_zero_can_move() -> None:
    model = net()
    fanin.clip_(model, adaptive=0.01)
    assert gradients(model)["4.bias"].norm() == pytest.approx(0.01 * 1e-3)


def test_what_is_skipped_is_neither_clipped_nor_counted() -> None:
    model = net()
    before = copy.deepcopy(gradients(model))
    clipped = fanin.clip_(model, norm=0.1, skip="4.*")
    others = [g for path, g in before.items() if not path.startswith("4.")]
    assert float(clipped.norm) == pytest.approx(float(torch.nn.utils.get_total_norm(others)))
    assert torch.equal(gradients(model)["4.weight"], before["4.weight"])
    assert not torch.equal(gradients(model)["0.weight"], before["0.weight"])


def test_a_model_without_gradients_is_left_alone() -> None:
    clipped = fanin.clip_(nn.Linear(2, 2), norm=1.0)
    assert (float(clipped), bool(clipped.clipped)) == (0.0, False)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "exactly one of norm=, value= and adaptive=; got none"),
        ({"norm": 1.0, "value": 1.0}, "got norm and value"),
        ({"norm": 0.0}, "a positive number; got 0.0"),
        ({"adaptive": True}, "got True"),
        ({"value": float("nan")}, "got nan"),
        ({"norm": 1.0, "skip": "head.*"}, "'head.\\*' matches no parameter"),
    ],
)
def test_what_makes_no_sense_is_refused_and_gradients_stay(options: dict[str, Any], said: str) -> None:
    model = net()
    before = copy.deepcopy(gradients(model))
    with pytest.raises(BadInput, match=said):
        fanin.clip_(model, **options)
    assert all(torch.equal(a, b) for a, b in zip(before.values(), gradients(model).values(), strict=True))


def test_parameters_in_place_of_the_model_are_told_apart() -> None:
    with pytest.raises(BadInput, match="the model itself"):
        fanin.clip_(net().parameters(), norm=1.0)


def test_sparse_gradients_are_named() -> None:
    model = nn.Embedding(5, 2, sparse=True)
    model(torch.tensor([1, 1])).sum().backward()
    with pytest.raises(BadInput, match="skip='weight'"):
        fanin.clip_(model, norm=1.0)
