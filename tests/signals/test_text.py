"""What `print` shows of signals: a table of layers, or of nodes."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import nn

import fanin
from fanin.signals import Moments, Signals


def net(layers: int = 3) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(*[m for _ in range(layers) for m in (nn.Linear(8, 8), nn.Tanh())])


X = torch.ones(4, 8)


def lines(signals: Signals) -> list[str]:
    return str(signals).splitlines()


def test_a_prediction_has_a_row_for_each_layer_with_its_band() -> None:
    found = lines(fanin.predict(net(), X))
    assert found[0] == "Sequential, predicted; gradients are those of ⟨output, v⟩/batch with v ~ N(0, 1)"
    assert found[1].split("  ")[0] == "layer"
    assert "in 8 of 10 draws" in found[1]
    rows = found[3:6]
    assert [row.split()[:4] for row in rows] == [[f"{i + 1}", f"{2 * i}", "linear,", "tanh"] for i in range(3)]
    assert all("…" in row for row in rows)


def test_the_numbers_are_those_of_the_signals() -> None:
    seen = fanin.measure(net(), X, loss=lambda y: y.square().mean())
    found = lines(seen)
    assert found[0] == f"Sequential, measured; loss {seen.loss:.4g} (a lambda)"
    assert "in 8 of 10 draws" not in found[1]
    gradient, weight = seen.gradients["linear"], seen.parameters["0.weight"].gradient
    assert weight is not None
    numbers = [f"{m.second_moment:.3g}" for m in (seen.values["tanh"], gradient, weight)]
    assert found[3].split()[-3:] == numbers


def test_of_many_layers_both_ends_are_shown() -> None:
    found = lines(fanin.measure(net(50), X))
    rows = [line.split()[:2] for line in found[3:-1]]
    assert len(rows) == 41
    assert rows[20] == ["…", "10"]
    assert [rows[i][0] for i in (0, 19, 21, 40)] == ["1", "20", "31", "50"]


def test_what_the_numbers_do_not_say_is_said() -> None:
    seen = fanin.measure(net(), X)
    broken = {**seen.values, "linear_1": Moments(0.0, float("nan"), non_finite=0.5)}
    found = lines(replace(seen, values=broken, sampled={f"node_{i}": "no rule" for i in range(7)}))
    assert "Not finite: linear_1." in found
    assert "Run on a sample for want of a rule: node_0, node_1, node_2, node_3, node_4 and 2 more." in found


def test_without_a_graph_nodes_are_shown() -> None:
    seen = replace(fanin.measure(net(30), X), graph=None)
    found = lines(seen)
    assert found[0].startswith("Signals, measured")
    assert found[3].split()[0] == "linear"
    assert found[3 + 20].split()[:2] == ["20", "more"]
