"""Branches that share their weights: what two inputs have in common behind them is what two samples have."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fanin.frameworks.torch import trace
from fanin.frameworks.torch.measuring.observe import observe
from fanin.frameworks.torch.predicting.predict import predict
from fanin.graph import Graph, Input, Node, Parameter, Ref
from fanin.signals.axes import Kind, axis
from fanin.signals.state import State, gaussian
from fanin.signals.twins import TWO, covariance, kin

DRAWS, BATCH, WIDTH = 8, 64, 128
INPUTS = tuple(torch.randn(BATCH, WIDTH, generator=torch.Generator().manual_seed(seed)) for seed in (0, 1))


class Branches(nn.Module):
    """Two calls of one encoder, and what is made of them."""

    def __init__(self, joined: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.ReLU(), nn.Linear(WIDTH, WIDTH), nn.ReLU())
        self.last, self.joined = nn.Linear(WIDTH, WIDTH), joined

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return self.joined(self.last(self.encoder(a)), self.last(self.encoder(b)))


JOINED: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "difference": lambda x, y: x - y,
    "sum": lambda x, y: x + y,
    "product": lambda x, y: x * y,
    "cosine": F.cosine_similarity,
    "distance": F.pairwise_distance,
    "squares of the difference": lambda x, y: (x - y).pow(2).sum(1),
    "logits of all pairs": lambda x, y: F.normalize(x, dim=-1) @ F.normalize(y, dim=-1).T,
    "cosine without a gradient of one": lambda x, y: F.cosine_similarity(x, y.detach()),
}


@pytest.mark.parametrize("joined", JOINED.values(), ids=JOINED)
def test_what_two_branches_have_in_common(joined: Callable[[Tensor, Tensor], Tensor]) -> None:
    """Taken for independent the moments are off by factors of 2 to 100; a mean over 8 draws is within a third.

    The gradient is within 1.7: behind a norm that is written out it has a part along the signal, which it should not.
    """
    traced = trace(Branches(joined), *INPUTS)
    (result,) = (ref.name for ref in traced.graph.outputs)
    measured: dict[str, list[float]] = {"value": [], "gradient": []}
    for seed in range(DRAWS):
        torch.manual_seed(seed)
        model = Branches(joined)
        seen = observe(traced, model, INPUTS)
        measured["value"].append(seen.values[result].second_moment)
        measured["gradient"].append(seen.gradients["linear_2"].second_moment)
    predicted = predict(traced, model, INPUTS)
    assert not predicted.sampled
    assert TWO in predicted.assumed.get(result, ())
    assert predicted.values[result].second_moment == pytest.approx(np.mean(measured["value"]), rel=0.33)
    assert 1 / 1.7 < predicted.gradients["linear_2"].second_moment / np.mean(measured["gradient"]) < 1.7


def net(*calls: tuple[str, str, str]) -> Graph:
    """Layers as (name, input, weight)."""
    nodes = tuple(
        Node(name, "linear", (x, w), (2, 3), "float32", arguments={"input": Ref(x), "weight": Ref(w)})
        for name, x, w in calls
    )
    inputs = tuple(Input(name, (2, 3), "float32") for name in "ab")
    return Graph("Net", nodes, tuple(Parameter(w, (3, 3), "float32") for w in "vw"), inputs)


def test_twins_share_all_weights_and_not_their_inputs() -> None:
    found = kin(net(("x", "a", "v"), ("y", "b", "v"), ("again", "a", "v"), ("other", "b", "w"), ("deeper", "x", "v")))
    assert found["x"].twin_of(found["y"])
    assert not any(found["x"].twin_of(found[name]) for name in ("again", "other", "deeper"))
    assert not found["a"].twin_of(found["b"])  # nothing says that two inputs are alike


def state(**moments: Any) -> State:
    known = {"mean": 0.0, "second": 1.0, "across_positions": 1.0, "across_samples": 0.5} | moments
    return gaussian((axis(Kind.SAMPLE, 4), axis(Kind.FEATURE, 8)), [8], **known)


def test_only_signals_of_one_kind_have_it_in_common() -> None:
    assert covariance(state(), state()) == pytest.approx([0.5])
    assert covariance(state(), state(second=100.0)) is None
    assert covariance(state(across_samples=-0.1), state()) == pytest.approx([0.0])  # as a batch norm makes it
