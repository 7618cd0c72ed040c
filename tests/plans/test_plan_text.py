"""The table that `print(plan)` shows; repeated layers share a line that names all of them and no other."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pytest

from fanin.graph import ActivationCall, Fans, Graph, Node, Parameter, Role
from fanin.initializers import Keep, Zeros
from fanin.plans import make_plan
from fanin.plans.text import rows


def block(i: int, width: int = 64) -> tuple[Parameter, ...]:
    return (
        Parameter(f"blocks.{i}.linear.weight", (width, width), "float32", Role.WEIGHT, Fans(width, width)),
        Parameter(f"blocks.{i}.linear.bias", (width,), "float32", Role.BIAS),
        Parameter(f"blocks.{i}.norm.weight", (width,), "float32", Role.NORM_SCALE),
    )


def labels(paths: Iterable[str], wide: Iterable[str] = ()) -> list[str]:
    """The first column for vectors with these paths, some of them of another size."""
    parameters = tuple(Parameter(path, (9 if path in wide else 4,), "float32", Role.BIAS) for path in paths)
    return [row[0] for row in rows(make_plan(Graph("Net", (), parameters)))]


def test_the_table_is_this(golden: Callable[[str, str], None]) -> None:
    nodes = []
    for i in range(3):
        nodes += [
            Node(f"z{i}", "linear", (f"h{i}", f"blocks.{i}.linear.weight"), (1, 64), "float32"),
            Node(f"h{i + 1}", "relu", (f"z{i}",), (1, 64), "float32", ActivationCall("relu")),
        ]
    parameters = (
        *(p for i in range(3) for p in block(i)),
        Parameter("conv.weight", (10, 4, 3, 3), "float32", Role.WEIGHT, Fans(36, 22.5)),
        Parameter("scale", (), "float32", Role.UNKNOWN),
        Parameter("memory", (2, 3), "float32", Role.UNKNOWN),
    )
    graph = Graph("Net", tuple(nodes), parameters)
    plan = make_plan(graph, overrides={"scale": "constant(value=0.1)", "memory": Keep(), "conv.weight": "he_uniform"})
    golden("plans/table.txt", str(plan) + "\n")


def test_repeated_layers_share_a_line() -> None:
    table = rows(make_plan(Graph("Net", (), tuple(p for i in range(40) for p in block(i))), "he"))
    assert [row[0] for row in table] == [
        "blocks.{0…39}.linear.weight (40)",
        "blocks.{0…39}.linear.bias (40)",
        "blocks.{0…39}.norm.weight (40)",
    ]
    assert table[0][1:6] == ("64×64", "64", "64", "normal 1.414/√fan_in", "0.1768")


def test_a_layer_that_differs_in_the_middle_has_its_own_line() -> None:
    paths = [f"layers.{i}.bias" for i in range(6)]
    assert labels(paths, wide=["layers.2.bias"]) == ["layers.{0,1,3…5}.bias (5)", "layers.2.bias"]


@pytest.mark.parametrize(
    ("numbers", "label"),
    [
        ([0], "0.bias"),
        ([0, 1], "{0,1}.bias (2)"),
        ([0, 1, 2], "{0…2}.bias (3)"),
        ([0, 2, 4], "{0,2,4}.bias (3)"),
        ([0, 2, 4, 6, 8], "{0,2…8}.bias (5)"),
        ([0, 1, 3], "{0,1,3}.bias (3)"),
        ([0, 2, 3, 4, 9, 12, 15, 18], "{0,2…4,9,12…18}.bias (8)"),
        ([8, 9, 10, 11], "{8…11}.bias (4)"),
    ],
    ids=str,
)
def test_numbers_in_equal_steps_are_shortened(numbers: list[int], label: str) -> None:
    assert labels(f"{i}.bias" for i in numbers) == [label]


def test_two_numbers_that_combine_fully_share_a_line() -> None:
    paths = [f"layers.{i}.experts.{j}.bias" for i in range(3) for j in range(4)]
    assert labels(paths) == ["layers.{0…2}.experts.{0…3}.bias (12)"]


def test_two_numbers_that_do_not_combine_fully_are_told_apart() -> None:
    paths = ["layer2.0.conv2", "layer2.1.conv1", "layer2.1.conv2"]
    assert labels(paths) == ["layer2.0.conv2", "layer2.1.conv{1,2} (2)"]


def test_every_parameter_is_on_exactly_one_line() -> None:
    paths = [f"a.{i}.b.{j}.bias" for i in range(5) for j in range(5) if (i * j) % 3 != 2]
    counts = [int(label.partition("(")[2].rstrip(")") or 1) for label in labels(paths)]
    assert sum(counts) == len(paths)


def test_what_is_treated_differently_is_not_grouped() -> None:
    graph = Graph("Net", (), tuple(p for i in range(3) for p in block(i)))
    plan = make_plan(graph, "he", {"blocks.1.linear.bias": "ones"})
    assert [row[0] for row in rows(plan)] == [
        "blocks.{0…2}.linear.weight (3)",
        "blocks.{0,2}.linear.bias (2)",
        "blocks.{0…2}.norm.weight (3)",
        "blocks.1.linear.bias",
    ]


def test_lines_come_in_the_order_of_the_first_parameter_of_each() -> None:
    assert labels(["b.1", "a.0", "b.0"]) == ["b.{0,1} (2)", "a.0"]


def test_a_kept_parameter_shows_no_std_and_a_scalar_no_shape() -> None:
    graph = Graph("Net", (), (Parameter("temperature", (), "float32"),))
    assert rows(make_plan(graph, overrides={"*": Keep()})) == [
        ("temperature", "scalar", "", "", "keep", "", "given by the caller")
    ]
    assert rows(make_plan(graph, overrides={"*": Zeros()}))[0][5] == "0"
