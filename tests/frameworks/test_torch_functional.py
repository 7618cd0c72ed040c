"""Programs are those of `run_decompositions({})`, node by node, or compute the same without having been made anew."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._ops import OpOverload
from torch.export import ExportedProgram, export
from torch.fx import GraphModule

from fanin.frameworks.torch.tracing import functional

pytestmark = pytest.mark.filterwarnings(  # what the exporter says of itself, and of recurrent layers
    "ignore:`isinstance.treespec, LeafSpec.` is deprecated", "ignore:The tensor attributes self._flat_weights"
)


class Mixed(nn.Module):
    """Operations that are composite, that are not, that work in place, and that only pretend to be functional."""

    def __init__(self) -> None:
        super().__init__()
        self.mix = nn.Bilinear(8, 8, 8)
        self.norm = nn.RMSNorm(8)

    def forward(self, x: Tensor) -> Tensor:
        y = torch.einsum("bi,bj->bij", x, x).matmul(x[:, :, None]).flatten(1)
        y = self.norm(self.mix(y, x)).clone().relu_()
        y += nn.functional.dropout1d(x.reshape(4, 8, 1), 0.5, training=True).squeeze(-1)
        z: Tensor = nn.functional.pad(y, (1, 1)).narrow(1, 0, 8)
        return torch.cat(z.chunk(2, 1), 0).to(torch.float64)


class Branching(nn.Module):
    """Composite operations in one of two branches only."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(8, 8)

    def forward(self, x: Tensor) -> Any:
        return torch.cond(x.sum() > 0, lambda x: nn.functional.linear(x, self.inner.weight).sin(), torch.cos, (x,))


IMAGE, SEQUENCE = torch.randn(2, 4, 8, 8), torch.randn(2, 5, 16)
MODELS: dict[str, tuple[nn.Module, Tensor]] = {
    "layers": (nn.Sequential(nn.Linear(16, 8), nn.GELU(), nn.LayerNorm(8), nn.Dropout(), nn.Softmax(-1)), SEQUENCE),
    "images": (
        nn.Sequential(
            *(nn.Conv2d(4, 8, 3), nn.BatchNorm2d(8), nn.InstanceNorm2d(8, affine=True, track_running_stats=True)),
            *(nn.GroupNorm(2, 8), nn.RReLU(), nn.AlphaDropout(), nn.PixelShuffle(2), nn.Upsample(scale_factor=2)),
            *(nn.AdaptiveAvgPool2d(1), nn.Flatten()),
        ),
        IMAGE,
    ),
    "attention": (nn.TransformerEncoderLayer(16, 2, 32, batch_first=True), SEQUENCE),
    "recurrent": (nn.LSTM(16, 8, 2, batch_first=True, bidirectional=True, dropout=0.5), SEQUENCE),
    "mixed": (Mixed(), torch.randn(4, 8)),
    "branches": (Branching(), torch.randn(4, 8)),
}


def told(program: ExportedProgram) -> Any:
    places = ("nn_module_stack", "stack_trace")
    every = [n for part in program.graph_module.modules() if isinstance(part, GraphModule) for n in part.graph.nodes]
    nodes = [(n.op, n.name, n.target, str(n.args), str(n.kwargs)) for n in every]
    shapes = [getattr(n.meta.get("val"), "shape", None) for n in every]
    whence = [[str(n.meta.get(place)) for place in places] for n in every]
    return nodes, shapes, whence, program.graph_signature, sorted(program.state_dict), sorted(program.constants)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", MODELS)
def test_a_program_is_the_one_of_the_public_method(name: str, training: bool) -> None:
    """Mutant: no operation is left whole."""
    model, x = MODELS[name]
    program = export(model.train(training), (x,), strict=False)
    assert told(functional.decomposed(program)) == told(program.run_decompositions({}))


class Reshaped(nn.Module):
    """Composite operations that may hand back what they are given."""

    def forward(self, x: Tensor) -> Tensor:
        one, other = x.flatten(1).contiguous().chunk(2, 1)
        y = nn.functional.dropout(one.to(torch.float64) * other, 0.5, self.training)
        unused = y.exp()
        del unused
        z: Tensor = y.reshape(2, -1, 4).movedim(1, 0).mT.reshape(-1, 2, 2, 2).narrow(1, 0, 1)
        return z


UNTOUCHED: dict[str, tuple[nn.Module, Tensor]] = {
    **{name: MODELS[name] for name in ("layers", "attention", "recurrent")},
    "reshaped": (Reshaped(), IMAGE),
}


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", UNTOUCHED)
def test_a_program_that_overwrites_nothing_is_kept_and_computes_the_same(name: str, training: bool) -> None:
    """Mutant: nothing stays."""
    model, x = UNTOUCHED[name]
    program = export(model.train(training), (x,), strict=False)
    anew = functional.decomposed(program)
    kept = functional.functional(program)
    assert kept is program
    assert not [n for n in kept.graph.nodes if n.op == "call_function" and not (n.users or "assert" in n.name)]
    found = []
    for each in (kept, anew):
        torch.manual_seed(0)
        found.append(each.module()(x))
    torch.testing.assert_close(*found, rtol=0, atol=0)


@pytest.mark.parametrize("name", ["mixed", "images", "branches"])
def test_what_is_overwritten_is_made_anew(name: str) -> None:
    """Mutant: everything stays."""
    model, x = MODELS[name]
    program = export(model.train(), (x,), strict=False)
    made = functional.functional(program)
    assert told(made) == told(functional.decomposed(program))
    assert not any(n.target._schema.is_mutable for n in made.graph.nodes if isinstance(n.target, OpOverload))


def test_where_pytorch_has_changed_the_public_method_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    program = export(nn.Linear(16, 4), (SEQUENCE,), strict=False)
    expected = told(functional.decomposed(program))
    monkeypatch.setattr(functional, "_ARGUMENTS", ("of a later release",))
    functional._in_parts.cache_clear()
    try:
        assert functional._in_parts() is None
        assert told(functional.functional(program)) == expected
    finally:
        functional._in_parts.cache_clear()
