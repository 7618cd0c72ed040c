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
from fanin.frameworks.torch.measuring.later import Later, read
from fanin.graph import Graph
from fanin.signals import Moments

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
LAYERS = frozenset({"linear", "layer_norm", "relu", "tanh"})
TOGETHER = 1e-3  # kernels add up in another order; matrix products in TF32 would be off by more


def mean_square(y: torch.Tensor) -> torch.Tensor:
    return y.square().mean()


def net() -> nn.Module:
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(64, 4, 128, batch_first=True, dropout=0.0)
    return nn.Sequential(layer, nn.Tanh(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 3))


def layers(graph: Graph) -> list[str]:
    """In their order; attention and dropout are other operations on a device, so that names alone mean other nodes."""
    return [node.name for node in graph.nodes if node.op in LAYERS]


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

    names = list(zip(layers(traced_there.graph), layers(traced.graph), strict=True))
    assert len(names) == 11
    for some, all_ in ((found.values, expected.values), (found.gradients, expected.gradients)):
        both = [(a, some[a], all_[b]) for a, b in names if a in some and b in all_]
        assert len(both) >= 10
        assert [pair for pair in both if not close(*pair[1:])] == []
    assert found.parameters.keys() == expected.parameters.keys()
    for path, seen in expected.parameters.items():
        assert close(found.parameters[path].value, seen.value)
        assert (found.parameters[path].stored is None) is not closer
