"""Other weights for a while: afterwards all is as it was, bit for bit, whatever happened."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

import fanin
from fanin.frameworks.torch.measuring.drawn import _put_back, drawn


def net() -> nn.Sequential:
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        old = nn.utils.spectral_norm(nn.Linear(8, 4))
    return nn.Sequential(nn.Linear(8, 8), parametrizations.spectral_norm(nn.Linear(8, 8)), old)


def state(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def nothing() -> None:
    pass


def interrupt() -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("within", [nothing, interrupt])
def test_parameters_and_singular_vectors_come_back(within: Callable[[], None]) -> None:
    """Mutant: `drawn` that copies parameters alone."""
    model = net()
    before, plan = state(model), fanin.plan(model, torch.zeros(2, 8), recipe="lecun")
    try:
        with drawn(model, plan, 1):
            assert not same(before, state(model))
            within()
    except KeyboardInterrupt:
        assert within is interrupt
    assert same(before, state(model))


def test_an_interruption_while_they_are_put_back_leaves_nothing_half() -> None:
    """Mutant: one loop over the copies."""

    class Interrupting:
        """A tensor at which Ctrl-C comes once."""

        def __init__(self) -> None:
            self.times = 0

        def copy_(self, _: torch.Tensor) -> None:
            self.times += 1
            if self.times == 1:
                raise KeyboardInterrupt

    second, place = torch.zeros(3), Interrupting()
    before: Any = [(place, torch.ones(3)), (second, torch.ones(3))]
    with pytest.raises(KeyboardInterrupt):
        _put_back(before)
    assert place.times == 2
    assert second.tolist() == [1, 1, 1]
