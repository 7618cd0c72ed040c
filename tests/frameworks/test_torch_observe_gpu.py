"""On a CUDA device: a measured pass does not wait for it until both passes are done, and sees what the CPU sees."""

from __future__ import annotations

import copy
import importlib
from collections.abc import Iterable
from typing import Any

import pytest
import torch
from torch import nn

from fanin.frameworks.torch import observe, predict, trace
from fanin.frameworks.torch.measuring.moments import Later, read
from fanin.signals import Moments

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
TOGETHER = 1e-3  # kernels add up in another order; matrix products in TF32 would be off by more


def mean_square(y: torch.Tensor) -> torch.Tensor:
    return y.square().mean()


def net() -> nn.Module:
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(64, 4, 128, batch_first=True, dropout=0.0)
    return nn.Sequential(layer, nn.Tanh(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 3))


@pytest.mark.parametrize("closer", [False, True])
def test_nothing_waits_in_the_pass_and_the_device_sees_what_the_cpu_sees(
    closer: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, x = net(), torch.randn(8, 16, 64, generator=torch.Generator().manual_seed(1))
    there, on_device = copy.deepcopy(here).cuda(), x.cuda()
    traced, traced_there = trace(here, x), trace(there, on_device)
    axes = predict(traced, here, (x,)).axes if closer else None
    expected = observe(traced, here, (x,), mean_square, axes)
    observe(traced_there, there, (on_device,), mean_square, axes)  # the first call makes handles and workspaces
    module: Any = importlib.import_module("fanin.frameworks.torch.measuring.observe")

    def reading(waiting: Iterable[Later]) -> None:
        torch.cuda.set_sync_debug_mode("default")
        read(waiting)

    monkeypatch.setattr(module, "read", reading)
    torch.cuda.set_sync_debug_mode("error")
    try:
        found = observe(traced_there, there, (on_device,), mean_square, axes)
    finally:
        torch.cuda.set_sync_debug_mode("default")

    def close(a: Moments, b: Moments) -> bool:
        return a.second_moment == pytest.approx(b.second_moment, rel=TOGETHER) and abs(a.zeros - b.zeros) < TOGETHER

    pairs = ((found.values, expected.values), (found.gradients, expected.gradients))
    for some, all_ in pairs:
        assert [name for name in all_ if name in some and not close(some[name], all_[name])] == []
    assert found.parameters.keys() == expected.parameters.keys()
    for path, seen in expected.parameters.items():
        assert close(found.parameters[path].value, seen.value)
        assert (found.parameters[path].stored is None) is not closer
