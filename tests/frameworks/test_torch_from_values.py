"""The plan of a model as it was built, from its values, and what differs from the plan of a paper."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import nn

import fanin
from fanin.plans import PlanDiff

LAYERS, WIDTH = 4, 96


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.ln_1, self.ln_2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.c_attn, self.attn_c_proj = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.c_fc, self.mlp_c_proj = nn.Linear(WIDTH, 4 * WIDTH), nn.Linear(4 * WIDTH, WIDTH)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        heads = (x.shape[0], x.shape[1], 4, WIDTH // 4)
        q, k, v = (t.view(heads).transpose(1, 2) for t in self.c_attn(self.ln_1(x)).chunk(3, -1))
        mixed = nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.attn_c_proj(mixed.transpose(1, 2).reshape(x.shape))
        y: torch.Tensor = x + self.mlp_c_proj(nn.functional.gelu(self.c_fc(self.ln_2(x))))
        return y


class GPT2(nn.Module):
    """GPT-2 in small. Its initializer means to scale `c_proj` by 1/√(2 L); with the fault, that is never applied.

    Reference: https://github.com/huggingface/transformers/issues/47458
    """

    def __init__(self, *, fault: bool) -> None:
        super().__init__()
        self.wte, self.wpe = nn.Embedding(300, WIDTH), nn.Embedding(32, WIDTH)
        self.h = nn.ModuleList(Block() for _ in range(LAYERS))
        self.ln_f = nn.LayerNorm(WIDTH)
        self.lm_head = nn.Linear(WIDTH, 300, bias=False)
        self.lm_head.weight = self.wte.weight
        for module in self.modules():
            if isinstance(module, (nn.Linear, nn.Embedding)):
                nn.init.normal_(module.weight, std=0.02)
            if isinstance(module, nn.Linear) and module.bias is not None:
                nn.init.zeros_(module.bias)
        for name, p in self.named_parameters():
            if name.endswith("c_proj" if fault else "c_proj.weight"):  # a name that no parameter has
                nn.init.normal_(p, std=0.02 / math.sqrt(2 * LAYERS))

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        x = self.wte(tokens) + self.wpe(torch.arange(tokens.shape[1]))
        for block in self.h:
            x = block(x)
        y: torch.Tensor = self.lm_head(self.ln_f(x))
        return y


TOKENS = torch.zeros(1, 8, dtype=torch.long)


def start(*, fault: bool, seed: int = 0) -> PlanDiff:
    torch.manual_seed(seed)
    model = GPT2(fault=fault)
    return fanin.plan(model, TOKENS, recipe="as_built").diff(fanin.plan(model, TOKENS, recipe="gpt2"))


def test_the_scaling_that_was_never_applied_is_found() -> None:
    """mutant: a tolerance in which √(2 L) is nothing."""
    diff = start(fault=True)
    names = {f"h.{i}.{branch}_c_proj.weight" for i in range(LAYERS) for branch in ("attn", "mlp")}
    assert {change.path for change in diff} == names
    for change in diff:
        assert change.ratio == pytest.approx(math.sqrt(2 * LAYERS))
    assert diff.summary == "as built and gpt2: 8 of 52 parameters start otherwise"
    lines = str(diff).splitlines()
    assert len(lines) == 5
    assert "h.{0…3}.attn_c_proj.weight (4)" in lines[3]
    assert "2.828" in lines[3]


@pytest.mark.parametrize("seed", range(3))
def test_a_model_that_starts_as_the_paper_says(seed: int) -> None:
    """mutant: laws compared by their spelling."""
    diff = start(fault=False, seed=seed)
    assert diff == ()
    assert str(diff) == "as built and gpt2: all 52 parameters start alike"


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64])
@pytest.mark.parametrize(
    "recipe", ["he", "lecun", "xavier", "orthogonal", "torch_default", "normal(std=0.02)", "zeros"]
)
def test_what_a_recipe_wrote_is_what_is_seen(recipe: str, dtype: torch.dtype) -> None:
    net = nn.Sequential(nn.Conv2d(8, 32, 3), nn.ReLU(), nn.Flatten(), nn.Linear(32 * 16, 100), nn.LayerNorm(100)).to(
        dtype
    )
    x = torch.zeros(1, 8, 6, 6, dtype=dtype)
    plan = fanin.initialize_(net, x, recipe=recipe, seed=2)
    assert fanin.plan(net, x, recipe="as_built").diff(plan) == ()


def test_another_law_of_the_same_std_is_another_start() -> None:
    net = nn.Sequential(nn.Linear(64, 256))
    plan = fanin.initialize_(net, recipe="normal(std=0.1)", seed=0)
    uniform = fanin.plan(
        net, recipe="normal(std=0.1)", overrides={"0.weight": f"uniform(low={-(0.03**0.5)}, high={0.03**0.5})"}
    )
    seen = fanin.plan(net, recipe="as_built")
    assert [c.path for c in seen.diff(plan)] == []
    assert [(c.path, round(c.ratio, 2)) for c in seen.diff(uniform)] == [("0.weight", 1.0)]


def test_torch_as_it_is_built() -> None:
    torch.manual_seed(0)
    net: Any = nn.Sequential(nn.Linear(100, 300), nn.ReLU(), nn.Linear(300, 10))
    seen = fanin.plan(net, torch.zeros(1, 100), recipe="as_built")
    words = [str(e.initializer) for e in seen]
    assert words == ["uniform 0.5774/√fan_in", "uniform 0.5774/√fan_in (fan_in=100)", "uniform 0.5774/√fan_in", "keep"]
    assert seen["2.bias"].why.startswith("as built: 10 values are too few to tell a law: mean")
    assert seen["2.bias"].std == pytest.approx(net[2].bias.std(correction=0).item())
    assert seen.diff(fanin.plan(net, torch.zeros(1, 100), recipe="torch_default")) == ()
    assert fanin.Plan.from_json(seen.to_json()) == seen


def test_parts_are_looked_at_one_by_one() -> None:
    net = nn.Sequential(nn.LSTM(64, 64))
    fanin.initialize_(
        net, recipe="zeros", overrides={"*weight_hh*": "orthogonal", "*bias_ih*": "forget_gate_bias"}, seed=0
    )
    seen = fanin.plan(net, recipe="as_built")
    assert str(seen["0.weight_hh_l0"].initializer) == "orthogonal per part"
    assert str(seen["0.bias_ih_l0"].initializer) == "zeros per part, f: ones"


def test_a_plan_as_built_can_be_written_and_seen_again() -> None:
    torch.manual_seed(0)
    model = GPT2(fault=False)
    seen = fanin.plan(model, TOKENS, recipe="as_built")
    fanin.initialize_(model, recipe=seen, seed=3)
    assert fanin.plan(model, TOKENS, recipe="as_built").diff(seen) == ()


def test_layers_that_repeat_have_one_law() -> None:
    net: Any = nn.Sequential(*(nn.Linear(80, 80) for _ in range(6)))
    fanin.initialize_(net, recipe="normal(std=0.0043)", seed=0)
    seen = fanin.plan(net, recipe="as_built")
    assert len({e.initializer for e in seen if e.parameter.path.endswith("weight")}) == 1
    with torch.no_grad():
        net[3].weight *= 2
    words = {e.parameter.path: e.initializer for e in fanin.plan(net, recipe="as_built")}
    assert words["3.weight"] != words["2.weight"]


def test_without_values_nothing_is_seen() -> None:
    with torch.device("meta"):
        net = nn.Sequential(nn.Linear(8, 8))
    assert {e.why for e in fanin.plan(net, recipe="as_built")} == {
        "as built: on the meta device, where it has no values"
    }


def test_an_override_is_no_longer_what_was_seen() -> None:
    net = nn.Sequential(nn.Linear(64, 64))
    changed = fanin.plan(net, recipe="as_built", overrides={"0.weight": "zeros"})
    assert changed["0.weight"].measured is None
    assert changed["0.bias"].measured is not None


def test_a_trained_weight_is_kept_and_is_not_a_recipes() -> None:
    net: Any = nn.Sequential(nn.Linear(64, 64))
    with torch.no_grad():
        net[0].weight[:8] *= 6
    seen = fanin.plan(net, recipe="as_built")
    (change,) = seen.diff(fanin.plan(net, recipe="torch_default"))
    assert change.path == "0.weight"
    assert "its values" in str(seen.diff(fanin.plan(net, recipe="torch_default")))


def test_layers_that_repeat_share_a_line_whatever_one_of_them_could_also_be() -> None:
    net = nn.Sequential(*(nn.Linear(250, 250) for _ in range(8)))  # 0.02 is near 0.3162/√250
    fanin.initialize_(net, recipe="normal(std=0.02)", seed=1)
    assert len({e.why for e in fanin.plan(net, recipe="as_built") if e.parameter.path.endswith("weight")}) == 1


def test_low_precision_as_torch_draws_it() -> None:
    """Its uniform bfloat16 has 256 values, the upper bound not among them: the mean is half a step below 0."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(1024, 512, dtype=torch.bfloat16))
    assert str(fanin.plan(net, recipe="as_built")["0.weight"].initializer) == "uniform 0.5774/√fan_in"
