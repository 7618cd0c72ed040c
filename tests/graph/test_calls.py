"""Calls of layers as a graph: what PyTorch's own trace of the same net has."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from fanin.errors import FaninError
from fanin.frameworks.torch import trace
from fanin.graph import Fans, Graph, Held, Input, LayerCall, Ref, Role, alone, graph_of
from fanin.graph.layout import as_stored, depthwise, kernel_first, matrix
from fanin.graph.model import ActivationCall
from fanin.graph.operations import Slot
from fanin.plans import make_plan
from fanin.plans.recipes import RECIPES


def described() -> Graph:
    """Image → conv → relu → + conv → mean → dense, with kernels as Keras and Flax store them."""
    kernels = [(3, 3, 3, 8), (3, 3, 8, 8)]
    held = [
        *(Held(f"c{i}.weight", shape, kernel_first(shape), owner=("K",)) for i, shape in enumerate(kernels)),
        Held("d.weight", (8, 10), matrix((8, 10))),
        Held("d.bias", (10,), as_stored((10,))),
    ]
    same = {"stride": (1, 1), "padding": (1, 1), "dilation": (1, 1), "groups": 1}
    image = (1, 8, 6, 6)
    calls = [
        LayerCall("conv2d", "conv2d", {"input": Ref("x"), "weight": held[0], "bias": None, **same}, image),
        LayerCall("relu", "relu", {"self": Ref("conv2d")}, image),
        LayerCall("conv2d_1", "conv2d", {"input": Ref("relu"), "weight": held[1], "bias": None, **same}, image),
        LayerCall("add", "add", {"self": Ref("relu"), "other": Ref("conv2d_1")}, image),
        LayerCall("mean", "mean", {"self": Ref("add"), "dim": (2, 3)}, (1, 8)),
        LayerCall("linear", "linear", {"input": Ref("mean"), "weight": held[2], "bias": held[3]}, (1, 10)),
    ]
    return graph_of("Net", held, calls, [Input("x", (1, 3, 6, 6), "float32")], [Ref("linear")])


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.c0, self.c1 = nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.Conv2d(8, 8, 3, padding=1, bias=False)
        self.d = nn.Linear(8, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.c0(x).relu()
        out: torch.Tensor = self.d((y + self.c1(y)).mean((2, 3)))
        return out


def test_a_described_net_is_the_one_that_pytorch_traces() -> None:
    ours, theirs = described(), trace(Net(), torch.zeros(1, 3, 6, 6)).graph
    assert [(n.name, n.op, n.inputs, n.shape, n.activation) for n in ours.nodes] == [
        (n.name, n.op, n.inputs, n.shape, n.activation) for n in theirs.nodes
    ]
    for a, b in zip(ours.parameters, theirs.parameters, strict=True):
        assert (a.path, a.shape, a.roles, a.fans, a.node, a.branch) == (
            b.path,
            b.shape,
            b.roles,
            b.fans,
            b.node,
            b.branch,
        )


def decided(graph: Graph, recipe: str) -> str:
    """The digest of what a recipe decides, or why it refuses."""
    try:
        return make_plan(graph, recipe).digest(0)
    except FaninError as error:
        return str(error)


@pytest.mark.parametrize("recipe", sorted(RECIPES))
def test_every_recipe_decides_the_same(recipe: str) -> None:
    assert decided(described(), recipe) == decided(trace(Net(), torch.zeros(1, 3, 6, 6)).graph, recipe)


def test_a_depthwise_kernel_has_its_true_fans_and_says_so() -> None:
    kernel = Held("k", (3, 3, 8, 2), depthwise((3, 3, 8, 2)))
    call = LayerCall("c", "conv2d", {"input": Ref("x"), "weight": kernel, "groups": 8}, (1, 16, 4, 4))
    graph = graph_of("Net", [kernel], [call], [Input("x", (1, 8, 6, 6), "float32")], [Ref("c")])
    assert (graph.parameters[0].fans, Role.DEPTHWISE in graph.parameters[0].roles) == (Fans(9, 18), True)


def test_what_no_operation_explains_says_its_role_itself() -> None:
    own = Held("w", (4, 6), as_stored((4, 6)), slot=Slot(Role.WEIGHT, lambda _, __: Fans(4, 6)))
    loose = Held("u", (3,), as_stored((3,)))
    graph = graph_of("Net", [own, loose], [LayerCall("mine", "mine", {"input": Ref("x"), "w": own}, (1, 6))])
    assert [(p.role, p.fans) for p in graph.parameters] == [(Role.WEIGHT, Fans(4, 6)), (Role.UNKNOWN, None)]


def test_a_layer_that_was_not_run_feeds_what_is_assumed() -> None:
    kernel = Held("k", (4, 6), matrix((4, 6)))
    call = LayerCall("d", "linear", {"input": Ref("anything"), "weight": kernel, "bias": None})
    calls = alone(call, ActivationCall("tanh", assumed="guessed"))
    graph = graph_of("Net", [kernel], calls, modules_only=True)
    assert [n.inputs for n in graph.nodes] == [("d:input", "k"), ("d",)]
    assert "feeds tanh (guessed)" in make_plan(graph, "auto")["k"].why
    assert [n.op for n in graph_of("Net", [kernel], alone(call, "add"), modules_only=True).nodes] == ["linear", "add"]
    assert len(alone(call, None)) == 1
