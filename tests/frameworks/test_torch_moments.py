"""Sums that are compiled against PyTorch's own operations, and a pass in which nothing is read."""

from __future__ import annotations

import importlib
import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from fanin.frameworks.summed import PIECE
from fanin.frameworks.torch import observe, predict, trace
from fanin.frameworks.torch.measuring.moments import Later, moments, read, same_rows, sums
from fanin.frameworks.torch.measuring.sampled import Samples, spread
from fanin.signals import Signals

MOMENTS, SAMPLED = "fanin.frameworks.torch.measuring.moments", "fanin.frameworks.torch.measuring.sampled"
NORMAL = np.random.default_rng(0).normal(size=5000)
EDGES = [0.0, -0.0, 1.0, -2.5, 1e-45, -1e-40, 3e38, math.inf, -math.inf, math.nan]


def by_operations(x: Tensor, bounds: tuple[float, float] | None = None) -> tuple[float, ...]:
    """As where numba cannot be imported."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(f"{MOMENTS}._compiled", lambda: None)
        seen = sums(x, bounds)
    read([seen])
    return tuple(seen.numbers)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(1,), (7, 9), (3, 1 << 13), (PIECE + 1,), (5, PIECE // 2)])
def test_the_compiled_sums_are_those_of_operations(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    """Mutant: what is counted in a piece is forgotten at the next."""
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=dtype)
    x = torch.where(x.abs() < 0.5, 0.0, x)
    found, expected = sums(x, (-2.0, 2.0)).numbers, by_operations(x, (-2.0, 2.0))
    assert found[:2] == pytest.approx(expected[:2], rel=1e-12, abs=1e-9)
    assert found[2:6] == expected[2:]
    assert found[6] == float(x[x != 0].abs().min() if x.any() else math.inf)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("values", [EDGES, EDGES[:7], EDGES[:2], [math.inf, 0.0], [math.nan] * 3, [-0.0]])
def test_zeros_and_what_is_not_finite_are_counted(values: list[float], dtype: torch.dtype) -> None:
    """Mutant: −0 is no zero."""
    x = torch.tensor(values, dtype=dtype)
    _, _, zeros, broken, largest, _, smallest = sums(x).numbers
    assert (zeros, broken) == (int((x == 0).sum()), int((~torch.isfinite(x)).sum()))
    assert (zeros, broken) == by_operations(x)[2:4]
    assert math.isfinite(largest) is (broken == 0)
    there = x[torch.isfinite(x) & (x != 0)].abs()
    assert smallest == (float(there.min()) if len(there) else math.inf)


def test_any_layout_is_summed() -> None:
    x = torch.randn(6, 5, 4)
    for view in (x.transpose(0, 2), x[:, 1:3], x[..., ::2], x[:1].expand(6, 5, 4)):
        found, expected = moments(view), moments(view.clone().contiguous())
        assert (found.mean, found.second_moment) == pytest.approx((expected.mean, expected.second_moment), rel=1e-12)
    assert moments(torch.view_as_complex(torch.ones(3, 2)).conj().imag).mean == -1  # a view that is negated when read


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    "x",
    [NORMAL, np.zeros(9), np.array(EDGES), np.array([np.inf]), np.ones(9) / 1e300],
)
def test_the_compiled_spread_is_that_of_numpy(x: Any, dtype: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Mutant: octaves that are one too high."""
    x = x.astype(dtype)
    found = spread(x)
    monkeypatch.setattr(f"{SAMPLED}._compiled", lambda: None)
    expected = spread(x)
    assert found.magnitudes == expected.magnitudes
    assert (found.largest, found.smallest) == (expected.largest, expected.smallest)
    assert (found.histogram is None) is (expected.histogram is None)
    if found.histogram and expected.histogram:
        assert found.histogram[:2] == pytest.approx(expected.histogram[:2])
        assert sum(map(abs, np.subtract(found.histogram[2], expected.histogram[2]))) <= 2  # one may lie on an edge


class Attends(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, dropout=0.0)
        self.head = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.head(torch.tanh(self.layer(x)))
        return y


class NothingRead(TorchDispatchMode):
    """Refuses to give a number to Python: on a GPU that waits for all that came before."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.over = False

    def __torch_dispatch__(self, f: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        assert self.over or f is not torch.ops.aten._local_scalar_dense.default, "a number is read in the pass"
        return f(*args, **(kwargs or {}))


@pytest.mark.parametrize("closer", [False, True])
def test_nothing_is_read_before_both_passes_are_done(closer: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a device: no number is here. Mutant: sums that are read as soon as they are made."""
    torch.manual_seed(0)
    model, x = Attends(), torch.randn(3, 5, 8)
    traced = trace(model, x)
    axes = predict(traced, model, (x,)).axes if closer else None

    def seen() -> Signals:
        return observe(traced, model, (x,), lambda y: y.square().mean(), axes, {})

    here, mode = seen(), NothingRead()
    module: Any = importlib.import_module(
        "fanin.frameworks.torch.measuring.observe"
    )  # the package means a function by the name

    def reading(waiting: list[Later]) -> None:
        mode.over = True
        read(waiting)

    monkeypatch.setattr(module, "read", reading)
    for name in (MOMENTS, SAMPLED):
        monkeypatch.setattr(f"{name}.here", lambda x: False)
    with mode:
        there = seen()
    assert mode.over
    for some, all_ in ((there.values, here.values), (there.gradients, here.gradients)):
        assert some.keys() == all_.keys()
        for name, one in all_.items():
            assert some[name].second_moment == pytest.approx(one.second_moment, rel=1e-9)
            assert (some[name].zeros, some[name].saturated) == (one.zeros, one.saturated)
    assert there.attention == here.attention
    assert there.details.keys() == here.details.keys()
    assert {p: (s.same_rows, s.stored) for p, s in there.parameters.items()} == {
        p: (s.same_rows, s.stored) for p, s in here.parameters.items()
    }


def test_samples_of_a_device_come_together(monkeypatch: pytest.MonkeyPatch) -> None:
    tensors = [torch.randn(n, generator=torch.Generator().manual_seed(n)) for n in (1, 7, 5000, 9000)]
    at_once = [Samples().of(x).spread for x in tensors]
    monkeypatch.setattr(f"{SAMPLED}.here", lambda x: False)
    samples = Samples()
    waiting = [samples.of(x) for x in tensors]
    assert [one.spread for one in waiting] == [None] * 4
    samples.settle()
    assert [one.spread for one in waiting] == at_once
    assert all(one.values is None for one in waiting)


@pytest.mark.parametrize("alike", [True, False])
def test_rows_are_told_apart_on_a_device_too(alike: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"{MOMENTS}.here", lambda x: False)
    x = torch.ones(4, 3)
    x[3, 2] += not alike
    found = same_rows(x)
    read([found])
    assert bool(found.numbers[0]) is alike
