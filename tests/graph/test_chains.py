"""Plain chains on hand-built graphs: where they begin, how deep they are, and what ends them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fanin.graph import ActivationCall, Graph, Node, Parameter, Role
from fanin.graph.chains import Link, links

RELU = ActivationCall("relu")


def node(name: str, op: str, *inputs: str) -> Node:
    return Node(name, op, inputs, (2, 4), "float32", RELU if op == "relu" else None)


def graph(*nodes: Node, frozen: str = "") -> Graph:
    weights = dict.fromkeys(name for n in nodes for name in n.inputs if name.startswith("w"))
    return Graph("Net", nodes, tuple(Parameter(w, (4, 4), "float32", Role.WEIGHT, frozen=w == frozen) for w in weights))


def layer(i: int, x: str) -> tuple[Node, Node]:
    return node(f"z{i}", "linear", x, f"w{i}"), node(f"h{i}", "relu", f"z{i}")


CHAIN = (*layer(0, "x"), *layer(1, "h0"), node("z2", "linear", "h1", "w2"))


def test_weights_in_a_row_know_what_is_before_and_behind_them() -> None:
    assert links(graph(*CHAIN)) == {
        "w0": Link("w0", None, RELU, 2),
        "w1": Link("w1", RELU, RELU, 2),
        "w2": Link("w2", RELU, None, 2),
    }


@pytest.mark.parametrize("op", ["dropout", "flatten", "avg_pool2d"])
def test_what_treats_units_alike_does_not_end_a_chain(op: str) -> None:
    nodes = (*layer(0, "x"), node("p", op, "h0"), node("z1", "linear", "p", "w1"))
    assert links(graph(*nodes))["w1"].depth == 1


@pytest.mark.parametrize(
    "between",
    [
        [node("n", "layer_norm", "h0"), node("z1", "linear", "n", "w1")],  # a norm
        [node("n", "add", "h0", "x"), node("z1", "linear", "n", "w1")],  # a skip
        [node("n", "max_pool2d", "h0"), node("z1", "linear", "n", "w1")],  # not linear in the activation
        [node("z1", "linear", "h0", "w1"), node("z2", "linear", "h0", "w2")],  # read twice
        [node("n", "relu", "h0"), node("z1", "linear", "n", "w1")],  # two activations
    ],
    ids=["norm", "skip", "pool", "branch", "twice"],
)
def test_what_ends_a_chain(between: list[Node]) -> None:
    assert links(graph(*layer(0, "x"), *between)) == {}


def test_a_weight_that_is_used_twice_or_frozen_is_in_no_chain() -> None:
    again = (*layer(0, "x"), node("z1", "linear", "h0", "w0"))
    assert links(graph(*again)) == {}
    assert links(graph(*CHAIN, frozen="w1")) == {}  # mutant: frozen ones are links


def test_a_grouped_convolution_is_in_no_chain() -> None:
    first, *rest = CHAIN
    grouped = replace(first, op="conv1d", arguments={"groups": 2})
    assert links(graph(grouped, *rest)).keys() == {"w1", "w2"}
