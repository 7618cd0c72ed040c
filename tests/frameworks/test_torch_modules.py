"""Plans without an example: what modules alone say, and that they say what is not known."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import fanin
from fanin.errors import BadInput, NoParameters, UncoveredParameters
from fanin.frameworks.torch import read_modules, trace
from fanin.graph import Fans, Parameter, Role
from fanin.plans import make_plan

LAYERS: list[tuple[nn.Module, torch.Tensor]] = [
    (nn.Linear(4, 3), torch.zeros(2, 4)),
    (nn.Conv1d(4, 6, 3, groups=2, stride=2), torch.zeros(2, 4, 9)),
    (nn.Conv2d(4, 8, (3, 1), groups=4, stride=(2, 1)), torch.zeros(2, 4, 9, 9)),
    (nn.Conv3d(2, 4, 2), torch.zeros(2, 2, 4, 4, 4)),
    (nn.ConvTranspose1d(4, 6, 4, stride=2, groups=2), torch.zeros(2, 4, 9)),
    (nn.ConvTranspose2d(4, 6, 4, stride=(2, 1)), torch.zeros(2, 4, 9, 9)),
    (nn.Embedding(9, 4), torch.zeros(2, 3, dtype=torch.long)),
    (nn.LSTM(4, 8, 2, bidirectional=True, proj_size=3), torch.zeros(5, 2, 4)),
    (nn.GRU(4, 8), torch.zeros(5, 2, 4)),
    (nn.RNN(4, 8, bias=False), torch.zeros(5, 2, 4)),
    (nn.LSTMCell(4, 8), torch.zeros(2, 4)),
    (nn.GRUCell(4, 8), torch.zeros(2, 4)),
    (nn.BatchNorm2d(4), torch.zeros(2, 4, 3, 3)),
    (nn.GroupNorm(2, 4), torch.zeros(2, 4, 3, 3)),
    (nn.LayerNorm(4), torch.zeros(2, 4)),
    (nn.RMSNorm(4), torch.zeros(2, 4)),
    (nn.InstanceNorm1d(4, affine=True), torch.zeros(2, 4, 5)),
]


def seen(p: Parameter) -> tuple[object, ...]:
    return p.path, p.shape, p.dtype, p.role, p.fans, p.also, p.frozen, p.parts


@pytest.mark.parametrize(("layer", "x"), LAYERS, ids=lambda what: type(what).__name__)
def test_a_module_says_of_its_parameters_what_its_operation_does(layer: nn.Module, x: torch.Tensor) -> None:
    traced = trace(layer, x).graph.parameters
    assert [seen(p) for p in read_modules(layer).parameters] == [seen(p) for p in traced]  # mutant: groups left out


def test_the_groups_of_a_convolution_are_seen() -> None:
    found = fanin.plan(nn.Conv1d(4, 6, 3, groups=2), recipe="orthogonal")["weight"]
    assert found.why.endswith("each of 2 groups for itself; orthogonal")


def test_attention_packs_query_key_and_value() -> None:
    found = read_modules(nn.MultiheadAttention(8, 2)).by_path["in_proj_weight"]
    assert (found.role, found.fans) == (Role.WEIGHT, Fans(8, 8))
    assert found.parts is not None
    assert found.parts.names == ("q", "k", "v")


def test_subclasses_bilinear_slopes_and_weights_stored_the_other_way() -> None:
    class Own(nn.Linear):
        pass

    class Conv1D(nn.Module):  # Hugging Face's
        def __init__(self) -> None:
            super().__init__()
            self.weight, self.bias = nn.Parameter(torch.zeros(4, 6)), nn.Parameter(torch.zeros(6))

    net = nn.ModuleDict({"own": Own(4, 3), "hf": Conv1D(), "two": nn.Bilinear(3, 4, 5), "slope": nn.PReLU()})
    found = {p.path: (p.role, p.fans) for p in read_modules(net).parameters}
    assert found["own.weight"] == (Role.WEIGHT, Fans(4, 3))
    assert found["hf.weight"] == (Role.WEIGHT, Fans(4, 6))  # mutant: (6, 4)
    assert found["two.weight"] == (Role.WEIGHT, Fans(12, 20))
    assert found["slope.weight"] == (Role.SLOPE, None)


def why(net: nn.Module, path: str) -> str:
    return fanin.plan(net)[path].why


def test_in_a_sequential_the_activation_is_seen_past_norms_and_dropout() -> None:
    inner = nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.1), nn.LayerNorm(4))
    net = nn.Sequential(inner, nn.LeakyReLU(0.2), nn.Linear(4, 4), nn.Linear(4, 2), nn.Flatten())
    assert why(net, "0.0.weight").startswith("feeds leaky_relu(negative_slope=0.2): gain")
    assert why(net, "2.weight").startswith("no activation follows, linear does")
    assert why(net, "3.weight").startswith("it makes the output")


def test_elsewhere_the_only_activation_module_is_taken_and_said_to_be() -> None:
    class Block(nn.Module):
        def __init__(self, *activations: nn.Module) -> None:
            super().__init__()
            self.linear, self.acts = nn.Linear(8, 8), nn.ModuleList(activations)

    one = fanin.plan(Block(nn.Tanh(), nn.Tanh()))["linear.weight"]
    assert one.why.startswith("feeds tanh (the model's only activation module; without an example it is not seen here)")
    for none_or_two in (Block(), Block(nn.Tanh(), nn.GELU())):
        entry = fanin.plan(none_or_two)["linear.weight"]
        assert entry.why.startswith("feeds relu (assumed; without an example the activation is not seen)")
        assert entry.std == pytest.approx(0.5)  # He's


def test_a_sequential_with_a_forward_of_its_own_shows_nothing() -> None:
    class Odd(nn.Sequential):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self[0](self[1](x))  # type: ignore[no-any-return]

    assert "assumed" in why(Odd(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4), nn.Tanh()), "0.weight")


def test_ties_frozen_parameters_and_wrappers() -> None:
    net = nn.Sequential(nn.Embedding(9, 4), nn.Linear(4, 9, bias=False), nn.Linear(9, 2))
    net[1].weight = net[0].weight
    net[2].weight.requires_grad_(False)
    plan = fanin.plan(nn.DataParallel(net))
    assert plan["0.weight"].parameter.also == ("1.weight",)
    assert plan["0.weight"].std == 0.5
    assert plan["2.weight"].initializer == fanin.Keep()


def test_parameters_of_no_known_module_are_listed_with_what_to_do() -> None:
    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer, self.scale = nn.Linear(2, 3), nn.Parameter(torch.ones(3))

    with pytest.raises(UncoveredParameters, match=r"no initializer: scale\. Without an example input") as error:
        fanin.plan(Own())
    assert error.value.missing == ("scale",)
    assert fanin.plan(Own(), overrides={"scale": "ones"})["scale"].std == 0


ROLES = ["deepnorm", "deepscale", "fixup", "gpt2", "llama", "mup", "skipinit", "t_fixup", "timm_jax", "u_mup", "zero"]


@pytest.mark.parametrize("recipe", ROLES)
def test_a_recipe_that_needs_to_see_more_says_so(recipe: str) -> None:
    with pytest.raises(BadInput, match=f"^{recipe} needs to know .* without an example input only the modules of"):
        fanin.plan(nn.Linear(4, 3), recipe=recipe)


def test_what_is_no_model_or_has_no_shape_yet_is_refused() -> None:
    with pytest.raises(NoParameters, match="Flatten has no parameters"):
        fanin.plan(nn.Flatten())
    with pytest.raises(BadInput, match="have no shape yet"):
        fanin.plan(nn.LazyLinear(3))
    with pytest.raises(BadInput, match=r"Expected a torch\.nn\.Module"):
        read_modules(3)  # type: ignore[arg-type]


def test_a_plan_without_an_example_allocates_nothing() -> None:
    with torch.device("meta"):
        net = nn.Sequential(nn.Linear(1 << 20, 1 << 20), nn.ReLU())
    assert make_plan(read_modules(net))["0.weight"].std == pytest.approx((2 / (1 << 20)) ** 0.5)
