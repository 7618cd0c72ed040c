"""`installed()`: torch.nn.init draws from the stream for a while, and is then as it was."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import pytest
import torch
from torch import nn
from torch.nn.init import xavier_normal_ as taken_by_name

from fanin.compat import torch as init
from fanin.frameworks.torch import draw_seed
from fanin.testing.tolerance import std_tolerance

LAYERS: list[Callable[[], nn.Module]] = [
    lambda: nn.Linear(50, 30),
    lambda: nn.Conv2d(6, 20, 3),
    lambda: nn.Embedding(70, 30, padding_idx=0),
    lambda: nn.LSTM(30, 40),
    lambda: nn.MultiheadAttention(80, 2),
    lambda: nn.Bilinear(13, 14, 25),
    lambda: nn.BatchNorm2d(3),
    lambda: nn.TransformerEncoderLayer(80, 2, 160),
]


@pytest.fixture(autouse=True)
def _untouched_afterwards() -> Iterator[None]:
    before = dict(vars(nn.init))
    yield
    assert vars(nn.init) == before


@pytest.mark.parametrize("build", LAYERS)
def test_constructors_draw_one_seed_a_random_parameter(build: Callable[[], nn.Module]) -> None:
    torch.manual_seed(1)
    with init.installed():
        model = build()
    torch.manual_seed(1)
    theirs = build()
    for (path, ours), plain in zip(model.named_parameters(), theirs.parameters(), strict=True):
        random = plain.numel() > 1 and bool(plain.std() > 0)
        assert torch.equal(ours, plain) is not random, path
        if random:
            tolerance = math.sqrt(2) * std_tolerance(plain.numel())  # both are samples
            assert ours.std().item() == pytest.approx(plain.std().item(), rel=tolerance), path
    torch.manual_seed(1)
    with init.installed():
        again = build()
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters(), strict=True))


def test_the_bits_are_those_of_the_stream() -> None:
    torch.manual_seed(1)
    with init.installed():
        weight = nn.Embedding(7, 3).weight
    torch.manual_seed(1)
    assert torch.equal(weight, init.normal_(torch.empty(7, 3), seed=draw_seed()))


def test_functions_taken_by_name_and_methods_draw_from_it_too() -> None:
    torch.manual_seed(1)
    expected = [init.xavier_normal_(torch.empty(4, 3)), init.uniform_(torch.empty(5), -1, 1)]
    expected.append(init.normal_(torch.empty(5), 1, 2))
    torch.manual_seed(1)
    with init.installed():
        got = [taken_by_name(torch.empty(4, 3)), torch.empty(5).uniform_(-1, to=1), torch.empty(5).normal_(1, std=2)]
    assert all(torch.equal(a, b) for a, b in zip(got, expected, strict=True))


def test_it_nests_and_ends_with_an_error() -> None:
    def broken() -> None:
        with init.installed(), init.installed():
            assert nn.init.normal_ is init.normal_
            raise RuntimeError("a constructor failed")

    with pytest.raises(RuntimeError, match="a constructor failed"):
        broken()
    torch.manual_seed(0)
    plain = torch.empty(3).normal_()
    torch.manual_seed(0)
    assert torch.equal(nn.init.normal_(torch.empty(3)), plain)


def test_models_on_the_meta_device() -> None:
    with init.installed(), torch.device("meta"):
        assert all(p.is_meta for p in nn.TransformerEncoderLayer(8, 2, 16).parameters())
