"""Predicted beside measured: ratios, bands, exact zeros, and the mean of several passes."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest

from fanin.errors import BadInput
from fanin.graph import Graph, Node, Parameter
from fanin.reports import strict_json
from fanin.signals import Moments, Pair, ParameterSignal, Signals, averaged, compare
from fanin.signals.compare import summary

NAMES = ("linear", "relu", "linear_1")
GRAPH = Graph(
    "Net",
    tuple(
        Node(name, name.split("_")[0], (f"{name}.weight",) * ("linear" in name), (2, 3), "float32", module=f"at.{i}")
        for i, name in enumerate(NAMES)
    ),
    (Parameter("linear.weight", (3, 3), "float32", node="linear"), Parameter("unused", (3,), "float32")),
)


def signals(
    values: tuple[float, ...] = (1.0, 0.5, 2.0),
    gradients: tuple[float | None, ...] = (4.0, 2.0, 1.0),
    weight: float | None = 3.0,
    band: tuple[float, float] | None = None,
) -> Signals:
    arrived = {n: Moments(0.0, g) for n, g in zip(NAMES, gradients, strict=True) if g is not None}
    gradient = None if weight is None else Moments(0.0, weight)
    return Signals(
        {n: Moments(0.0, v, band=band) for n, v in zip(NAMES, values, strict=True)},
        arrived,
        {"linear.weight": ParameterSignal(Moments(0.0, 1.0), gradient), "unused": ParameterSignal(Moments(0.0, 1.0))},
        0.0,
        "mean",
        graph=GRAPH,
    )


def test_a_prediction_agrees_with_itself() -> None:
    seen = compare(signals(), signals())
    for found in (seen.values, seen.gradients, seen.parameter_gradients):
        assert (found.median, found.p90, found.largest, found.signed, found.left_out) == (1, 1, 1, 1, 0)
    assert seen.first_layer == Pair(4.0, 4.0)
    assert seen.values.inside is None


def test_factors_hide_no_sign_and_ratios_keep_it() -> None:
    seen = signals(values=(2.0, 0.25, 2.0)).compare(signals())
    assert [row.value.ratio for row in seen.rows if row.value] == [2.0, 0.5, 1.0]
    assert (seen.values.median, seen.values.largest, seen.values.signed) == (2.0, 2.0, 1.0)


def test_what_is_measured_beside_the_band_is_counted() -> None:
    seen = signals(band=(0.4, 1.5)).compare(signals())
    assert seen.values.inside == pytest.approx(2 / 3)
    assert [row.value.inside for row in seen.rows if row.value] == [True, True, False]


def test_a_measured_zero_is_left_out_and_counted() -> None:
    """The gradient of a bias before a batch norm is zero but for rounding."""
    seen = signals().compare(signals(gradients=(4.0, 1e-12, 1.0)))
    assert (seen.gradients.count, seen.gradients.left_out, seen.gradients.largest) == (2, 1, 1.0)
    assert not any(row.name == "relu" and kind == "gradient" for kind, row in seen.worst())


def test_a_mask_leaves_nothing_else_out() -> None:
    """A −1e9 that was added to hide keys has a second moment of 1e18: what is zero shows beside the layers."""
    seen = signals(values=(1.0, 1e18, 2.0)).compare(signals(values=(1.0, 1e18, 2.0)))
    assert (seen.values.count, seen.values.left_out) == (3, 0)


def test_double_precision_tells_a_small_number_from_zero() -> None:
    """A branch scaled by 1e-6 has a second moment of 1e-12 of the others."""
    precise = replace(GRAPH, parameters=tuple(replace(p, dtype="float64") for p in GRAPH.parameters))
    predicted = replace(signals(gradients=(4.0, 1e-12, 1.0)), graph=precise)
    seen = predicted.compare(signals(gradients=(4.0, 1e-12, 1.0)))
    assert (seen.gradients.count, seen.gradients.left_out) == (3, 0)


@pytest.mark.parametrize("missed", [0.0, None])
def test_a_gradient_that_was_predicted_to_be_zero_is_off_without_bound(missed: float | None) -> None:
    seen = signals(gradients=(4.0, missed, 1.0)).compare(signals())
    assert seen.gradients.largest == math.inf
    assert seen.worst(1)[0][1].name == "relu"


def test_not_a_number_is_never_taken_for_agreement() -> None:
    assert Pair(math.nan, 1.0).factor == math.inf
    assert Pair(1.0, math.inf).factor == math.inf
    assert summary([Pair(math.nan, 1.0)]).largest == math.inf


def test_nothing_to_compare_is_said_to_be_nothing() -> None:
    found = summary([None, Pair(0.0, 0.0, left_out=True)])
    assert (found.count, found.left_out) == (0, 1)
    assert math.isnan(found.median)


def test_nodes_without_a_prediction_are_named() -> None:
    predicted = signals()
    without = replace(predicted, values={n: m for n, m in predicted.values.items() if n != "relu"})
    seen = without.compare(signals())
    assert seen.unpredicted == ("relu",)
    assert "Not predicted: relu." in str(seen)


def test_signals_of_different_models_do_not_compare() -> None:
    other = replace(signals(), parameters={})
    with pytest.raises(BadInput, match=r"only one of them has linear\.weight, unused"):
        signals().compare(other)
    with pytest.raises(BadInput, match="carry a graph"):
        replace(signals(), graph=None).compare(replace(signals(), graph=None))


def test_the_table_names_the_node_that_is_furthest_off() -> None:
    text = str(signals(values=(1.0, 5.0, 2.0)).compare(signals()))
    assert "Net: predicted over measured" in text
    first = text.split("Furthest off")[1].splitlines()[3]
    assert first.split() == ["relu", "value", "5", "0.5", "10", "relu", "at.1"]


def test_an_empty_tensor_has_nothing_to_compare() -> None:
    """Mutant: its moments, which are not numbers, are furthest off."""
    known = signals()
    assert known.graph is not None
    nodes = tuple(replace(n, shape=(0, 4)) if n.name == "relu" else n for n in known.graph.nodes)
    seen = replace(known, graph=replace(known.graph, nodes=nodes))
    assert {row.name for row in seen.compare(known).rows} == set(NAMES) - {"relu"}


def test_plain_data_is_json() -> None:
    data = json.loads(strict_json(signals().compare(signals()).to_dict()))
    assert data["summary"]["values"]["median"] == 1
    assert [node["name"] for node in data["nodes"]] == list(NAMES)


def test_the_mean_over_passes_is_that_of_second_moments_or_of_their_logarithms() -> None:
    passes = [signals(values=(1.0, 0.5, q)) for q in (1.0, 4.0)]
    assert averaged(passes).values["linear_1"].second_moment == 2.5
    assert averaged(passes, of_logarithms=True).values["linear_1"].second_moment == pytest.approx(2.0)
    assert averaged([signals(values=(1.0, 0.5, 0.0))], of_logarithms=True).values["linear_1"].second_moment == 0


def test_a_gradient_that_arrives_in_some_passes_only_counts_as_zero_in_the_others() -> None:
    assert averaged([signals(), signals(gradients=(4.0, None, 1.0))]).gradients["relu"].second_moment == 1.0


def test_passes_of_different_graphs_have_no_mean() -> None:
    with pytest.raises(BadInput, match="different graphs"):
        averaged([signals(), replace(signals(), values={})])
    with pytest.raises(BadInput, match="nothing to average"):
        averaged([])
