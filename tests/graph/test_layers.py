"""Hand-built graphs: which activation each weight feeds."""

from __future__ import annotations

import pytest

from fanin.graph import ActivationCall, Graph, Layer, Node, Parameter, Role, layers

RELU = ActivationCall("relu")
TANH = ActivationCall("tanh")


def node(name: str, op: str, *inputs: str, activation: ActivationCall | None = None, module: str = "") -> Node:
    return Node(name, op, inputs, (2, 4), "float32", activation, module)


def linear(name: str, x: str, weight: str = "w") -> Node:
    return node(name, "linear", x, weight)


def relu(name: str, x: str) -> Node:
    return node(name, "relu", x, activation=RELU)


def graph(*nodes: Node, **roles: Role) -> Graph:
    roles = roles or {"w": Role.WEIGHT}
    return Graph("Net", nodes, tuple(Parameter(path, (4, 4), "float32", role) for path, role in roles.items()))


def only(g: Graph) -> Layer:
    (layer,) = layers(g)
    return layer


def test_the_activation_right_behind_is_found() -> None:
    layer = only(graph(linear("z", "x"), relu("h", "z")))
    assert (layer.weight, layer.node.name, layer.output.name) == ("w", "z", "h")
    assert (layer.activation, layer.next_op, layer.index) == (RELU, "relu", 1)


@pytest.mark.parametrize(
    "between",
    [
        ["batch_norm"],
        ["layer_norm", "dropout"],
        ["reshape", "permute", "contiguous"],
        ["max_pool2d"],
        ["flatten", "dropout", "rms_norm", "view"],
    ],
    ids=" ".join,
)
def test_the_activation_is_found_through_what_passes_the_signal_on(between: list[str]) -> None:
    chain = [linear("z0", "x"), *(node(f"z{i + 1}", op, f"z{i}") for i, op in enumerate(between))]
    layer = only(graph(*chain, relu("h", f"z{len(between)}")))
    assert (layer.activation, layer.output.name) == (RELU, "h")


@pytest.mark.parametrize("op", ["add", "softmax", "matmul", "mul", "cat", "sum"])
def test_an_operation_that_combines_ends_the_walk(op: str) -> None:
    layer = only(graph(linear("z", "x"), node("y", op, "z", "x"), relu("h", "y")))
    assert (layer.activation, layer.next_op, layer.output.name) == (None, op, "z")


def test_a_bias_that_is_added_by_hand_belongs_to_its_layer() -> None:
    g = graph(linear("z", "x"), node("y", "add", "z", "b"), relu("h", "y"), w=Role.WEIGHT, b=Role.BIAS)
    assert (only(g).activation, only(g).output.name) == (RELU, "h")


def test_a_residual_add_behind_a_norm_is_no_activation() -> None:
    layer = only(graph(linear("z", "x"), node("n", "layer_norm", "z"), node("y", "add", "x", "n"), relu("h", "y")))
    assert (layer.activation, layer.next_op, layer.output.name) == (None, "add", "z")


def test_the_last_layer_makes_the_output() -> None:
    layer = only(graph(linear("z", "x"), node("y", "reshape", "z")))
    assert (layer.activation, layer.next_op, layer.output.name) == (None, "output", "z")


def test_a_gate_written_by_hand_is_no_activation() -> None:
    """x · sigmoid(x) is swish: sigmoid's gain of 4 would be wrong for it."""
    gate = node("s", "sigmoid", "z", activation=ActivationCall("sigmoid"))
    layer = only(graph(linear("z", "x"), gate, node("y", "mul", "z", "s")))
    assert (layer.activation, layer.next_op, layer.output.name) == (None, "mul", "z")


@pytest.mark.parametrize("order", [[0, 1], [1, 0]])
def test_an_activation_beside_a_residual_path_is_not_the_only_reader(order: list[int]) -> None:
    readers = [relu("h", "z"), node("y", "add", "x", "z")]
    layer = only(graph(linear("z", "x"), *(readers[i] for i in order)))
    assert (layer.activation, layer.next_op) == (None, "add")


def test_two_different_activations_are_a_branch() -> None:
    layer = only(graph(linear("z", "x"), relu("h", "z"), node("t", "tanh", "z", activation=TANH)))
    assert (layer.activation, layer.next_op) == (None, "a branch")


def test_the_same_activation_twice_is_one() -> None:
    layer = only(graph(linear("z", "x"), relu("h1", "z"), relu("h2", "z"), node("y", "add", "h1", "h2")))
    assert (layer.activation, layer.output.name) == (RELU, "h1")


def test_a_signal_that_several_layers_read_is_fed_to_no_activation() -> None:
    roles = dict.fromkeys(["w", "q", "k"], Role.WEIGHT)
    first, *_ = layers(graph(linear("z", "x"), linear("a", "z", "q"), linear("b", "z", "k"), **roles))
    assert (first.activation, first.next_op) == (None, "linear")


def test_an_activations_parameters_are_kept() -> None:
    leaky = ActivationCall("leaky_relu", {"negative_slope": 0.2})
    layer = only(graph(linear("z", "x"), node("h", "leaky_relu", "z", activation=leaky)))
    assert str(layer.activation) == "leaky_relu(negative_slope=0.2)"


def test_layers_come_in_the_order_of_execution_and_are_counted() -> None:
    nodes = (linear("z1", "x", "b"), relu("h1", "z1"), linear("z2", "h1", "a"))
    found = layers(graph(*nodes, a=Role.WEIGHT, b=Role.WEIGHT))
    assert [(layer.index, layer.weight) for layer in found] == [(1, "b"), (2, "a")]


def test_a_shared_weight_is_a_layer_at_each_use() -> None:
    found = layers(graph(linear("z1", "x"), relu("h1", "z1"), linear("z2", "h1")))
    assert [(layer.weight, layer.next_op) for layer in found] == [("w", "relu"), ("w", "output")]


def test_a_tied_weight_goes_by_its_first_name() -> None:
    tied = Graph("Net", (linear("z", "x", "b"),), (Parameter("a", (4, 4), "float32", Role.WEIGHT, also=("b",)),))
    assert only(tied).weight == "a"


def test_a_recurrent_layer_goes_by_its_input_weight() -> None:
    g = graph(node("y", "lstm", "x", "ih", "hh", "b"), ih=Role.WEIGHT, hh=Role.RECURRENT, b=Role.BIAS)
    assert (only(g).weight, only(g).next_op) == ("ih", "output")


@pytest.mark.parametrize("role", [Role.BIAS, Role.NORM_SCALE, Role.NORM_SHIFT, Role.EMBEDDING, Role.UNKNOWN])
def test_what_is_no_weight_makes_no_layer(role: Role) -> None:
    assert layers(graph(linear("z", "x"), w=role)) == ()


def test_a_view_of_a_weight_is_no_layer() -> None:
    assert only(graph(node("v", "view", "w"), linear("z", "x", "w"))).node.name == "z"


def test_a_layer_is_named_after_its_module_or_its_operation() -> None:
    assert only(graph(linear("z", "x"))).module == "z"
    assert only(graph(node("z", "linear", "x", "w", module="blocks.0"))).module == "blocks.0"


def test_users_are_listed_once_each_in_order() -> None:
    g = graph(linear("z", "x"), node("y", "mul", "z", "z"), relu("h", "z"))
    assert [user.name for user in g.users["z"]] == ["y", "h"]
    assert g.by_name["h"].activation == RELU
    assert g.by_path["w"].role is Role.WEIGHT


def test_a_graph_is_plain_data() -> None:
    data = graph(linear("z", "x"), relu("h", "z")).to_dict()
    assert data["model"] == "Net"
    assert data["nodes"][1] == {
        "name": "h",
        "op": "relu",
        "inputs": ["z"],
        "shape": [2, 4],
        "dtype": "float32",
        "activation": "relu",
        "module": "",
        "source": "",
    }
