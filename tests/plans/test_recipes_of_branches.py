"""Closed forms of the recipes that see the whole model, on small models of each family (families.py)."""

from __future__ import annotations

import math
import runpy
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from fanin.errors import BadInput
from fanin.frameworks.torch import trace
from fanin.graph import Graph, Role
from fanin.initializers import DeltaOrthogonal, IsometricConvolution, Orthogonal, PerPart, VarianceScaling
from fanin.plans import Plan, make_plan

D = 8
HE, GLOROT = math.sqrt(2 / D), math.sqrt(2 / (D + D))
CUT = math.sqrt(1 - 6 * math.exp(-4.5) / math.sqrt(2 * math.pi) / math.erf(3 / math.sqrt(2)))  # std of N(0, 1) in ±3
Families = Callable[[str], Graph]


@pytest.fixture(scope="module")
def graph_of() -> Families:
    """The graph of a family of families.py, by its name."""
    found: Families = runpy.run_path(str(Path(__file__).parent / "families.py"))["graph_of"]
    return found


def stds(plan: Plan, *paths: str) -> list[float]:
    return [plan[f"{path}.weight"].std for path in paths]


def close(*expected: float) -> object:
    return pytest.approx(list(expected), rel=1e-12)


def test_gpt2_scales_by_the_branches_two_a_layer(graph_of: Families) -> None:
    plan = make_plan(graph_of("gpt"), "gpt2")
    small = 0.02 / math.sqrt(2 * 3)  # mutant: √3, by layers
    assert stds(plan, "layers.0.proj", "layers.2.out") == close(small, small)
    assert stds(plan, "layers.1.qkv", "layers.1.fc", "wte", "wpe") == close(0.02, 0.02, 0.02, 0.02)
    experts = make_plan(graph_of("moe"), "gpt2")
    assert stds(experts, "layers.0.f.experts.2.down", "layers.0.f.router") == close(small, 0.02)


def test_llama_scales_by_the_number_of_the_layer(graph_of: Families) -> None:
    plan = make_plan(graph_of("llama"), "llama")
    for i in range(3):
        deep = 0.02 / math.sqrt(2 * (i + 1))  # mutant: 2 i
        at = f"layers.{i}"
        assert stds(plan, f"{at}.a.o", f"{at}.f.down", f"{at}.f.up") == close(deep, deep, deep)
        assert stds(plan, f"{at}.a.q", f"{at}.a.v", f"{at}.f.gate") == close(0.02, 0.02, 0.02)  # mutant: gate as up
    assert stds(plan, "tokens", "head") == close(1, CUT / math.sqrt(D))
    every = make_plan(graph_of("llama"), "llama(by_layer=False)")
    assert stds(every, "layers.0.a.o", "layers.2.f.down") == close(0.02 / math.sqrt(6), 0.02 / math.sqrt(6))
    assert stds(make_plan(graph_of("gpt"), "llama"), "wte") == close(CUT / math.sqrt(D))  # tied


def test_fixup(graph_of: Families) -> None:
    plan = make_plan(graph_of("resnet"), "fixup")
    assert stds(plan, "stem", "shortcut") == close(math.sqrt(2 / 27), HE)
    first = math.sqrt(2 / (9 * D)) * 3 ** (-1 / 2)  # L = 3, m = 2; mutant: L^(-1/4)
    assert stds(plan, "blocks.0.0", "blocks.1.0", "blocks.0.3", "fc") == close(first, first, 0, 0)
    gpt = make_plan(graph_of("gpt"), "fixup")
    assert stds(gpt, "layers.0.qkv", "layers.0.fc") == close(HE * 6 ** (-1 / 6), HE * 6 ** (-1 / 2))  # m = 4 and 2
    assert stds(gpt, "layers.0.proj", "layers.0.out") == close(0, 0)


def test_skipinit_takes_the_scale_of_a_branch_or_else_its_last_weight(graph_of: Families) -> None:
    plan = make_plan(graph_of("resnet"), "skipinit")
    assert stds(plan, "blocks.0.0", "blocks.0.3", "blocks.2.3") == close(math.sqrt(2 / (9 * D)), 0, 0)
    scaled = make_plan(graph_of("vit"), "rezero")
    assert [str(scaled[f"scales.{i}"].initializer) for i in range(4)] == ["zeros"] * 4
    assert scaled["layers.0.fc2.weight"].std == pytest.approx(0.25)  # mutant: both are 0, and nothing ever learns
    assert "starts as nothing by scales.1" in scaled["layers.0.fc2.weight"].why


def test_t_fixup(graph_of: Families) -> None:
    plan = make_plan(graph_of("t5"), "t_fixup")
    encoder, decoder = 0.67 * 3 ** (-1 / 4), (9 * 2) ** (-1 / 4)  # mutants: N of the other stack, 0.67 in both
    assert stds(plan, "encoder.0.self.v", "encoder.2.self.o") == close(encoder * GLOROT, encoder * GLOROT)
    assert stds(plan, "encoder.1.wi", "decoder.1.wo") == close(encoder * math.sqrt(0.1), decoder * math.sqrt(0.1))
    assert stds(plan, "decoder.0.self.v", "decoder.0.cross.v", "decoder.0.cross.o") == close(*[decoder * GLOROT] * 3)
    assert stds(plan, "decoder.0.self.q", "decoder.0.cross.k", "encoder.0.self.k") == close(*[GLOROT] * 3)
    assert stds(plan, "tokens") == close(D**-0.5 * (9 * 3) ** (-1 / 4))


def test_deepnorm_of_an_encoder_and_a_decoder(graph_of: Families) -> None:
    plan = make_plan(graph_of("t5"), "deepnorm")
    encoder = 0.87 * (3**4 * 2) ** (-1 / 16)  # mutant: torchscale's 1.15
    decoder = (12 * 2) ** (-1 / 4)
    assert encoder == pytest.approx(0.633, abs=5e-4)
    assert stds(plan, "encoder.0.self.v", "encoder.0.self.o") == close(encoder * GLOROT, encoder * GLOROT)
    assert stds(plan, "decoder.1.cross.v", "decoder.1.wi") == close(decoder * GLOROT, decoder * math.sqrt(0.1))
    assert stds(plan, "encoder.0.self.q", "decoder.1.cross.k", "head") == close(GLOROT, GLOROT, math.sqrt(2 / 19))
    assert f"α = {0.81 * (3**4 * 2) ** (1 / 16):.4g}" in plan["encoder.0.wi.weight"].why
    assert f"α = {(3 * 2) ** 0.25:.4g}" in plan["decoder.0.wi.weight"].why


def test_deepnorm_of_one_stack_scales_the_value_in_a_packed_projection(graph_of: Families) -> None:
    beta = (8 * 2) ** (-1 / 4)
    entry = make_plan(graph_of("vit"), "deepnorm")["attention.0.in_proj_weight"]
    assert isinstance(entry.initializer, PerPart)
    alone = {part.name: what.law(target).std for part, what, target in entry.initializer.pieces(entry.target)}
    assert alone == pytest.approx({"q": GLOROT, "k": GLOROT, "v": beta * GLOROT})
    unknown = make_plan(graph_of("gpt"), "deepnorm")["layers.0.qkv.weight"]
    assert unknown.why.endswith(
        "it packs key, query, value in a layout that the graph does not show, so that all of it has the value's rule"
    )
    assert unknown.std == pytest.approx((8 * 3) ** (-1 / 4) * math.sqrt(2 / (4 * D)))


def test_deepscale_follows_the_correlation_of_tokens(graph_of: Families) -> None:
    p, k, layers, r = 0.2, 1.0, 3, 0.5
    plan = make_plan(graph_of("llama"), f"deepscale(dropout={p}, correlation={r}, branch_weight={k})")
    for i in range(layers):
        assert stds(plan, f"layers.{i}.a.v", f"layers.{i}.a.o") == close(*[math.sqrt(math.sqrt((1 - p) / r) / D)] * 2)
        assert stds(plan, f"layers.{i}.a.q", f"layers.{i}.f.down") == close(
            math.sqrt(1 / D), math.sqrt(math.sqrt((1 - p) / 2) / 12)
        )
        r = (1 - k / layers) * r + k / layers * (1 - p)  # an attention's result is the same for all tokens
        relu = (math.sqrt(1 - r * r) + r * (math.pi - math.acos(r))) / math.pi  # E[φ(u) φ(v)] / E[φ²]
        r = (1 - k / layers) * r + k / layers * (1 - p) * relu
    assert stds(plan, "tokens", "head") == close(math.sqrt((1 - p) / 3), math.sqrt(1 / D))
    with pytest.raises(BadInput, match=r"expected 0 ≤ dropout < 1.*got 1, 0\.227 and 2\.0"):
        make_plan(graph_of("llama"), "deepscale(dropout=1)")


def test_mup_scales_the_readout_alone(graph_of: Families) -> None:
    plan = make_plan(graph_of("llama"), "mup(base_width=2)")
    assert stds(plan, "head", "layers.0.a.q", "tokens") == close(math.sqrt(2) / D, 1 / math.sqrt(D), 1)
    assert "η · 2/fan_in" in plan["layers.0.f.down.weight"].why
    assert stds(make_plan(graph_of("llama"), f"mup(base_width={D})"), "head") == close(
        1 / math.sqrt(D)
    )  # LeCun's there
    assert stds(make_plan(graph_of("llama"), "mup"), "head") == [0]
    assert "logits multiplied by base/8" in make_plan(graph_of("gpt"), "mup")["wte.weight"].why
    with pytest.raises(BadInput, match="mup: base_width must be above 0"):
        make_plan(graph_of("llama"), "mup(base_width=0)")


def test_u_mup_has_unit_weights_and_says_which_rates_it_presumes(graph_of: Families) -> None:
    plan = make_plan(graph_of("llama"), "u_mup")
    assert {e.std for e in plan if e.parameter.role is Role.WEIGHT} == {1}
    assert "multiplies by 1/fan_in, and Adam at η" in plan["head.weight"].why
    assert "multiplies by 1/√fan_in, and Adam at η/√fan_in" in plan["layers.0.a.q.weight"].why


def test_timm_jax_tells_the_head_from_an_mlp_and_an_attention(graph_of: Families) -> None:
    plan = make_plan(graph_of("vit"), "timm_jax(head_bias=-2.0)")
    assert stds(plan, "head", "patches", "layers.0.fc1") == close(0, math.sqrt(1 / 48), math.sqrt(2 / (D + 16)))
    assert plan["attention.0.in_proj_weight"].std == pytest.approx(GLOROT)  # mutant: √(2/(D + 3D))
    biases = ["head.bias", "layers.0.fc1.bias", "layers.1.fc2.bias", "attention.0.out_proj.bias", "patches.bias"]
    assert [plan[path].std for path in biases] == [0, 1e-6, 1e-6, 0, 0]
    assert plan["head.bias"].initializer.law(plan["head.bias"].target).mean == -2
    assert plan["cls_token"].std == 1e-6
    assert "their layout is not known" in make_plan(graph_of("gpt"), "timm_jax")["layers.0.qkv.weight"].why


def test_zero_is_fixed_and_ends_branches_in_nothing(graph_of: Families) -> None:
    plan = make_plan(graph_of("resnet"), "zero")
    assert [str(plan[f"blocks.0.{i}.weight"].initializer) for i in (0, 3)] == ["ZerO", "zeros"]
    assert str(make_plan(graph_of("mamba"), "zero")["conv.weight"].initializer) == "Dirac(groups=8)"


def test_keras_opens_the_forget_gate_once(graph_of: Families) -> None:
    plan = make_plan(graph_of("lstm"), "keras_default")
    means = {path: plan[path].initializer.law(plan[path].target).mean for path in ("bias_ih_l1", "bias_hh_l1")}
    assert means == {"bias_ih_l1": 0.25, "bias_hh_l1": 0}  # mutant: both, which is 2
    assert plan["weight_hh_l0"].std == pytest.approx(1 / math.sqrt(8))  # gate by gate; mutant: 1/√32
    assert plan["weight_ih_l0"].std == pytest.approx(math.sqrt(2 / (4 + 8)))


# By the activation that is fed


def feeding(activation: nn.Module, recipe: str, layer: nn.Module | None = None) -> Plan:
    layer = layer or nn.Conv1d(4, 6, 3)
    net = nn.Sequential(layer, activation, nn.Flatten(), nn.Linear(6 * 7, 2))
    return make_plan(trace(net, torch.zeros(2, 4, 9)).graph, recipe)


def test_edge_of_chaos_gives_biases_the_variance_to_which_the_weights_belong() -> None:
    plan = feeding(nn.Tanh(), "edge_of_chaos(bias_var=0.05)")
    assert plan["0.weight"].std == pytest.approx(math.sqrt(1.76095 / 12), rel=1e-5)
    assert plan["0.bias"].std == pytest.approx(math.sqrt(0.05))
    assert plan["3.bias"].std == 0
    assert stds(plan, "3") == close(1 / math.sqrt(42))
    assert "drifts away from q*" in feeding(nn.GELU(), "edge_of_chaos")["0.weight"].why
    with pytest.raises(BadInput, match=r"relu, which 0\.weight feeds, has none at bias_var=0\.05"):
        feeding(nn.ReLU(), "edge_of_chaos(bias_var=0.05)")


def test_isometries_by_shape_and_groups() -> None:
    gain = math.sqrt(2)
    delta = feeding(nn.ReLU(), "delta_orthogonal")["0.weight"]
    assert isinstance(delta.initializer, DeltaOrthogonal)
    assert delta.initializer.gain == pytest.approx(gain)
    narrow = make_plan(trace(nn.Conv1d(4, 2, 3), torch.zeros(2, 4, 9)).graph, "delta_orthogonal")["weight"]
    assert narrow.initializer == IsometricConvolution(1.0)
    grouped = feeding(nn.ReLU(), "orthogonal", nn.Conv1d(4, 6, 3, groups=2))["0.weight"]
    assert isinstance(grouped.initializer, PerPart)
    assert grouped.std == pytest.approx(gain / math.sqrt(6))  # each group 3 × 6; mutant: over 6 rows and 6 columns
    depthwise = make_plan(trace(nn.Conv1d(4, 4, 3, groups=4), torch.zeros(2, 4, 9)).graph, "orthogonal")["weight"]
    assert depthwise.initializer == VarianceScaling(1.0)
    assert feeding(nn.ReLU(), "orthogonal")["3.weight"].initializer == Orthogonal(1.0)
