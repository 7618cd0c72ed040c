"""Models that the exporter cannot follow are traced by one run; the graph says so, and is as good as any other."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fanin.frameworks.torch import observe, trace
from fanin.frameworks.torch.tracing.custom_functions import unsure_gradients
from fanin.graph import Role
from fanin.plans import make_plan


def line_of(text: str) -> str:
    lines = Path(__file__).read_text(encoding="utf-8").splitlines()
    return f"{Path(__file__).name}:{1 + next(i for i, line in enumerate(lines) if text in line)}"


class Gate(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 4)
        self.other = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        h: Tensor = self.linear(x)
        if h.abs().max() > 1e9:
            h = self.other(h)
        scale = h.std().item()
        return torch.relu_(h) / scale


class Net(nn.Module):
    """In-place operations, buffers, ties, keywords and containers around a branch."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(7, 4)
        self.gate = Gate()
        self.norm = nn.BatchNorm1d(4)
        self.readout = nn.Linear(4, 7, bias=False)
        self.readout.weight = self.embed.weight
        self.calls = 0

    def forward(self, tokens: Tensor, *, mask: Tensor | None = None) -> dict[str, Any]:
        self.calls += 1
        h = self.norm(self.gate(self.embed(tokens)))
        if mask is not None:
            h = h * mask
        return {"logits": self.readout(h), "calls": self.calls}


def net() -> tuple[Net, tuple[Any, ...]]:
    torch.manual_seed(0)
    return Net(), (torch.arange(6), {"mask": torch.ones(6, 1)})


def test_a_branch_is_taken_as_the_example_says_and_the_graph_tells() -> None:
    model, example = net()
    graph = trace(model, *example).graph
    (note,) = graph.notes
    assert note.startswith("recorded from one run on the example")
    assert f"at {line_of('if h.abs().max()')}, {line_of('scale = h.std()')} are fixed" in note
    assert [node.op for node in graph.nodes if node.activation] == ["relu"]
    assert graph.by_name["linear"].module == "gate.linear"
    assert graph.by_name["relu"].source == line_of("torch.relu_(h)")
    assert graph.by_path["readout.weight"].path == "embed.weight"
    assert graph.by_path["gate.linear.weight"].role is Role.WEIGHT
    assert graph.by_path["gate.other.weight"].node is None  # on the branch that was not taken
    assert [i.name for i in graph.inputs] == ["tokens", "mask"]
    assert len(make_plan(graph, "he", {"gate.other.*": "zeros"})) == len(graph.parameters)
    assert not trace(model.norm, torch.zeros(2, 4)).graph.notes


def test_the_model_is_left_as_it_was() -> None:
    model, example = net()
    before = {name: t.clone() for name, t in model.state_dict().items()}
    state = torch.get_rng_state()
    trace(model, *example)
    assert all(torch.equal(t, before[name]) for name, t in model.state_dict().items())
    assert model.calls == 0
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
    assert all(p.grad is None and p.requires_grad for p in model.parameters())
    assert torch.equal(torch.get_rng_state(), state)


def test_what_is_measured_equals_a_plain_pass() -> None:
    model, example = net()

    def loss(output: dict[str, Any]) -> Tensor:
        logits: Tensor = output["logits"]
        return logits.square().mean()

    signals = observe(trace(model, *example), model, example, loss)
    tokens, keywords = example
    value = loss(model(tokens, **keywords))
    value.backward()  # type: ignore[no-untyped-call]
    assert signals.loss == pytest.approx(value.item(), rel=1e-6)
    for path, parameter in model.named_parameters():
        seen = signals.parameters[path].gradient
        assert (seen is None) == (parameter.grad is None)
        if seen is not None and parameter.grad is not None:
            expected = float(parameter.grad.double().square().mean())
            assert seen.second_moment == pytest.approx(expected, rel=1e-4), path


class Addresses(nn.Module):
    """Asks for what only a run has, on the meta device too."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        h: Tensor = self.linear(x)
        return h.relu() if h.data_ptr() >= 0 else h


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_what_the_exporter_refuses_for_other_reasons_is_recorded_too(device: str) -> None:
    graph = trace(Addresses().to(device), torch.zeros(2, 4)).graph
    assert [node.op for node in graph.nodes] == ["linear", "relu"]
    assert len(graph.notes) == 1


class Routes(nn.Module):
    """Sends to each expert the rows that are its own, as many as there are."""

    def __init__(self) -> None:
        super().__init__()
        self.experts = nn.ModuleList([nn.Linear(4, 4) for _ in range(2)])

    def forward(self, x: Tensor) -> Tensor:
        out = torch.zeros_like(x)
        for side, expert in zip((1, -1), self.experts, strict=True):
            rows = (x[:, 0] * side > 0).nonzero()[:, 0]
            out = out.index_add(0, rows, expert(x[rows]))
        return out


def test_sizes_that_depend_on_values_are_those_of_the_example() -> None:
    x = torch.tensor([[1.0], [2.0], [3.0], [-1.0], [-2.0]]).expand(5, 4)
    graph = trace(Routes(), x).graph
    assert [node.shape for node in graph.nodes if node.op == "linear"] == [(3, 4), (2, 4)]
    line = line_of("* side > 0).nonzero()")
    assert graph.notes == (f"the sizes of tensors at {line} depend on values, and are those of the example",)
    signals = observe(trace(Routes(), x), Routes(), (x,))
    assert {node.name for node in graph.nodes if node.op == "linear"} <= signals.gradients.keys()
    on_meta = trace(Routes().to("meta"), x).graph
    assert [node.shape for node in on_meta.nodes if node.op == "linear"] == [(5, 4), (5, 4)]
    assert on_meta.notes[0].endswith("that they would have if all were chosen")


class Rounded(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.round()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return gradients[0]


class Quantized(nn.Module):
    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(4, 4), nn.Linear(4, 4)
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        h: Tensor = self.b(self.function(self.a(x)))
        return h


def test_a_custom_backward_rule_is_marked_as_one_that_is_not_there() -> None:
    model = Quantized(Rounded.apply)
    graph = trace(model, torch.zeros(2, 4)).graph
    (round_,) = [node for node in graph.nodes if node.op == "round"]
    assert round_.notes == ("the custom backward rule of Rounded, which the graph does not have",)
    assert graph.notes == (f"{round_.notes[0]} (at {line_of('return x.round()')})",)
    before = {"linear", "a.weight", "a.bias", "x"}  # mutant: and what comes after it
    assert unsure_gradients(graph) == dict.fromkeys(before, f"its gradient passes {round_.notes[0]}")
    signals = observe(trace(model, torch.zeros(2, 4)), model, (torch.zeros(2, 4),))
    assert set(signals.assumed) == before
    assert not trace(Quantized(torch.round), torch.zeros(2, 4)).graph.notes


def test_recomputation_by_torch_is_no_custom_rule() -> None:
    from torch.utils.checkpoint import checkpoint

    model = Quantized(lambda x: checkpoint(torch.sin, x, use_reentrant=True))
    assert not unsure_gradients(trace(model, torch.zeros(2, 4, requires_grad=True)).graph)
