"""Every recipe on small models of each family: it covers all parameters, or raises an error that teaches."""

from __future__ import annotations

import math
import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from fanin.errors import BadInput
from fanin.graph import Graph, Role
from fanin.initializers import Keep
from fanin.plans import RECIPES, make_plan

Families = Callable[[str], Graph]
FAMILIES: Final = ("resnet", "gpt", "t5", "llama", "moe", "mamba", "vit", "lstm", "cnn")
FOR_TRANSFORMERS: Final = {"deepnorm", "deepscale", "t_fixup"}
FOR_BRANCHES: Final = FOR_TRANSFORMERS | {"fixup", "rezero", "skipinit"}
REFUSED: Final = {  # what a family does not have
    "lstm": FOR_BRANCHES,
    "cnn": FOR_BRANCHES,
    "resnet": FOR_TRANSFORMERS,
    "mamba": FOR_TRANSFORMERS | {"edge_of_chaos"},  # softplus has no edge
    "vit": {"deepscale"},  # two layers: β² = 1
    "t5": {"deepscale"},
}
TEACHES: Final = r"is made for (residual branches|transformers).*[Uu]se |N = 2 layers, too few|softplus.*use auto"


@pytest.fixture(scope="module")
def graph_of() -> Families:
    """The graph of a family of families.py, by its name."""
    found: Families = runpy.run_path(str(Path(__file__).parent / "families.py"))["graph_of"]
    return found


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("recipe", RECIPES)
def test_it_covers_the_family_or_says_what_the_model_lacks(graph_of: Families, family: str, recipe: str) -> None:
    graph = graph_of(family)
    if recipe in REFUSED.get(family, set()):
        with pytest.raises(BadInput, match=TEACHES):
            make_plan(graph, recipe)
        return
    for entry in make_plan(graph, recipe):
        assert not isinstance(entry.initializer, Keep)
        assert math.isfinite(entry.std)
        assert entry.why
        if entry.parameter.role in {Role.NORM_SCALE, Role.NORM_SHIFT}:
            assert entry.std == 0  # mutant: a glob "*weight" for all


@pytest.mark.parametrize("family", ["resnet", "mamba", "lstm", "cnn", "moe"])
@pytest.mark.parametrize("recipe", ["orthogonal", "delta_orthogonal", "zero", "keras_default", "flax_default", "bert"])
def test_what_it_decides_can_be_drawn(graph_of: Families, family: str, recipe: str) -> None:
    for entry in make_plan(graph_of(family), recipe):
        drawn = entry.initializer.draw(entry.target, seed=0)
        assert drawn.size == math.prod(entry.parameter.shape)
        assert abs(drawn).max(initial=0) < 10


# What stands beside the layers, in every recipe that does not say otherwise


@pytest.mark.parametrize("recipe", ["auto", "he", "xavier", "gpt2", "zero"])
def test_state_space_parameters_keep_their_own_start(graph_of: Families, recipe: str) -> None:
    plan = make_plan(graph_of("mamba"), recipe)
    assert [str(plan[path].initializer) for path in ("A_log", "D", "dt_proj.bias")] == ["s4d_real", "ones", "step_bias"]


def test_routers_are_small_and_experts_are_like_other_weights(graph_of: Families) -> None:
    plan = make_plan(graph_of("moe"), "lecun")
    assert plan["layers.0.f.router.weight"].std == pytest.approx(math.sqrt(0.1 / 8))
    assert plan["layers.0.f.experts.3.down.weight"].std == pytest.approx(math.sqrt(1 / 12))


@pytest.mark.parametrize("recipe", ["fixup", "timm_jax", "mup", "llama", "gpt2"])
def test_a_table_tied_to_the_readout_is_an_embedding(graph_of: Families, recipe: str) -> None:
    assert Role.READOUT in graph_of("gpt").by_path["wte.weight"].roles
    assert make_plan(graph_of("gpt"), recipe)["wte.weight"].std > 0.01  # mutant: 0, as an untied readout


def test_tokens_positions_and_scales(graph_of: Families) -> None:
    plan = make_plan(graph_of("vit"), "he")
    assert (plan["cls_token"].std, plan["pos_embed"].std) == (0.02, 0.02)
    assert str(plan["scales.0"].initializer) == "ones"
    assert make_plan(graph_of("gpt"), "he")["wpe.weight"].std == 0.02
    assert make_plan(graph_of("t5"), "he")["relative.weight"].std == 0.02
