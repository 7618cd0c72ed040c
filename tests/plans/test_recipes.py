"""Every recipe on one small graph: the closed-form std for every role."""

from __future__ import annotations

import math
import re
from typing import Final

import numpy as np
import pytest

from fanin.errors import BadInput, UnknownName
from fanin.graph import ActivationCall, Fans, Graph, Node, Parameter, Role
from fanin.initializers import Ones, Uniform, VarianceScaling, Zeros
from fanin.plans import RECIPES, Plan, make_plan, recipe

FAN_IN, FAN_OUT, HIDDEN, DIM = 9, 18, 16, 25

# relu(weight · tokens + bias), a norm, a recurrent layer, an embedding, and a readout tied to a second one
GRAPH: Final = Graph(
    "Net",
    (
        Node("e", "embedding", ("tokens.weight", "x"), (2, DIM), "float32"),
        Node("e2", "embedding", ("tied.weight", "x"), (2, DIM), "float32"),
        Node("z", "conv1d", ("e", "conv.weight", "conv.bias"), (2, 6), "float32"),
        Node("n", "layer_norm", ("z", "norm.weight", "norm.bias"), (2, 6), "float32"),
        Node("h", "relu", ("n",), (2, 6), "float32", ActivationCall("relu")),
        Node("s", "rnn_tanh", ("h", "rnn.ih", "rnn.hh", "rnn.b"), (2, HIDDEN), "float32"),
    ),
    (
        Parameter("tokens.weight", (100, DIM), "float32", Role.EMBEDDING, node="e"),
        Parameter("tied.weight", (100, DIM), "float32", Role.EMBEDDING, also=("readout.weight",), node="e2"),
        Parameter("conv.weight", (6, 3, 3), "float32", Role.WEIGHT, Fans(FAN_IN, FAN_OUT), node="z"),
        Parameter("conv.bias", (6,), "float32", Role.BIAS, node="z"),
        Parameter("norm.weight", (6,), "float32", Role.NORM_SCALE, node="n"),
        Parameter("norm.bias", (6,), "float32", Role.NORM_SHIFT, node="n"),
        Parameter("rnn.ih", (HIDDEN, 6), "float32", Role.WEIGHT, Fans(6, HIDDEN), node="s"),
        Parameter("rnn.hh", (HIDDEN, HIDDEN), "float32", Role.RECURRENT, Fans(HIDDEN, HIDDEN), node="s"),
        Parameter("rnn.b", (HIDDEN,), "float32", Role.BIAS, node="s"),
    ),
)

HE, GLOROT, LECUN = math.sqrt(2 / FAN_IN), math.sqrt(2 / (FAN_IN + FAN_OUT)), math.sqrt(1 / FAN_IN)
# conv.weight, rnn.ih, rnn.hh, tokens, tied, conv.bias, rnn.b
PATHS = ["conv.weight", "rnn.ih", "rnn.hh", "tokens.weight", "tied.weight", "conv.bias", "rnn.b"]
STATE, TIED, WITHIN = 1 / 4, 1 / 5, 1 / math.sqrt(3)


def cut_std(c: float) -> float:
    """Standard deviation of N(0, 1) within ±c: 1 − 2 c ϕ(c) / (2 Φ(c) − 1) is its square."""
    return math.sqrt(1 - 2 * c * math.exp(-c * c / 2) / math.sqrt(2 * math.pi) / math.erf(c / math.sqrt(2)))


def hadamard_std(rows: int, columns: int, kernel: int = 1) -> float:
    """Over all elements of the first rows and columns of H/√p at one of `kernel` places, by Sylvester's doubling."""
    h = np.ones((1, 1))
    while len(h) < rows:
        h = np.block([[h, h], [h, -h]])
    weight = np.zeros((rows, columns, kernel))
    weight[:, :, kernel // 2] = h[:rows, :columns] / math.sqrt(len(h))
    return float(weight.std())


STDS: Final = {
    "auto": (HE, math.sqrt(1 / 6), STATE, 1, TIED, 0, 0),
    "he": (HE, math.sqrt(2 / 6), STATE, 1, TIED, 0, 0),
    "he(uniform=True)": (HE, math.sqrt(2 / 6), STATE, 1, TIED, 0, 0),
    "he(negative_slope=0.5)": (HE / math.sqrt(1.25), math.sqrt(2 / 6 / 1.25), STATE, 1, TIED, 0, 0),
    "xavier": (GLOROT, math.sqrt(2 / (6 + HIDDEN)), STATE, 1, TIED, 0, 0),
    "xavier(uniform=True)": (GLOROT, math.sqrt(2 / (6 + HIDDEN)), STATE, 1, TIED, 0, 0),
    "selu": (LECUN, math.sqrt(1 / 6), STATE, 1, TIED, 0, 0),
    "snn": (LECUN, math.sqrt(1 / 6), STATE, 1, TIED, 0, 0),
    "keras_default": (GLOROT, math.sqrt(2 / (6 + HIDDEN)), STATE, 0.05 * WITHIN, 0.05 * WITHIN, 0, 0),
    "flax_default": (LECUN, math.sqrt(1 / 6), STATE, 1 / 5, 1 / 5, 0, 0),
    "orthogonal": (math.sqrt(2) / 3, 1 / 4, STATE, 1, TIED, 0, 0),  # over the longer side: 9, 16, 16
    "orthogonal(gain=0.5)": (0.5 / 3, 0.5 / 4, STATE, 1, TIED, 0, 0),
    "delta_orthogonal": (math.sqrt(2) / math.sqrt(18), 1 / 4, STATE, 1, TIED, 0, 0),  # 6 × 3 at one of 3 places
    "edge_of_chaos": (HE, math.sqrt(1 / 6), STATE, 1, TIED, 0, 0),  # ReLU: σ_w² = 2
    "uniform": (0.01,) * 5 + (0, 0),
    "uniform(std=0.02)": (0.02,) * 5 + (0, 0),
    "bert": (0.02 * cut_std(2),) * 5 + (0, 0),  # mutant: 0.02 is what is left of the cut
    "bert(truncated=False)": (0.02,) * 5 + (0, 0),
    "gpt2": (0.02,) * 5 + (0, 0),
    "gpt2(std=0.01)": (0.01,) * 5 + (0, 0),
    "llama": (0.02, 0.02, 0.02, 1, TIED * cut_std(3), 0, 0),
    "vit": (LECUN, 0.02, 0.02, 0.02, 0.02, 0, 0),
    "timm_jax": (LECUN, math.sqrt(2 / (6 + HIDDEN)), STATE, 1, TIED, 0, 0),
    "mup": (LECUN, math.sqrt(1 / 6), STATE, 1, 1, 0, 0),
    "u_mup": (1,) * 5 + (0, 0),
    "zero": (hadamard_std(6, 3, 3), hadamard_std(16, 6), math.sqrt(1 / 16 - 1 / 256), 1, TIED, 0, 0),
    "lecun": (LECUN, math.sqrt(1 / 6), STATE, 1, TIED, 0, 0),
    "lecun(uniform=True)": (LECUN, math.sqrt(1 / 6), STATE, 1, TIED, 0, 0),
    "normal": (0.01,) * 5 + (0, 0),
    "normal(std=0.02)": (0.02,) * 5 + (0, 0),
    "torch_default": (WITHIN / 3, WITHIN / 4, WITHIN / 4, 1, 1, WITHIN / 3, WITHIN / 4),
    "zeros": (0,) * 7,
    "constant": (0,) * 7,
    "constant(value=0.5, jitter=0.1)": (0.05,) * 5 + (0, 0),
    "mean_field": (LECUN, math.sqrt(1 / 6), STATE, 1, TIED, 0, 0),
    "mean_field(weight_var=2.0, bias_var=0.25)": (HE, math.sqrt(2 / 6), STATE, 1, TIED, 0.5, 0.5),
}


@pytest.mark.parametrize("how", STDS)
def test_a_recipe_gives_every_role_its_closed_form(how: str) -> None:
    plan = make_plan(GRAPH, how)
    assert plan.recipe == how
    assert [plan[path].std for path in PATHS] == pytest.approx(STDS[how], rel=1e-12)


# tests/plans/test_recipes_of_branches.py has their closed forms
FOR_BRANCHES: Final = {"deepnorm", "deepscale", "fixup", "rezero", "skipinit", "t_fixup"}


def test_every_recipe_has_a_closed_form() -> None:
    assert {how.partition("(")[0] for how in STDS} | FOR_BRANCHES == set(RECIPES)


@pytest.mark.parametrize("how", sorted(FOR_BRANCHES))
def test_a_recipe_for_branches_says_that_there_are_none(how: str) -> None:
    with pytest.raises(BadInput, match="made for residual branches, x \\+ f\\(x\\), and Net has none"):
        make_plan(GRAPH, how)


@pytest.mark.parametrize("how", sorted(set(RECIPES) - FOR_BRANCHES))
def test_no_recipe_randomizes_a_norm(how: str) -> None:
    plan = make_plan(GRAPH, how)
    assert (plan["norm.weight"].initializer, plan["norm.bias"].initializer) == (Ones(), Zeros())


@pytest.mark.parametrize("how", sorted(set(RECIPES) - FOR_BRANCHES))
def test_every_recipe_gives_a_reason_for_every_parameter_and_says_what_it_is(how: str) -> None:
    assert all(e.why for e in make_plan(GRAPH, how))


@pytest.mark.parametrize("how", ["he(uniform=True)", "xavier(uniform=True)", "lecun(uniform=True)"])
def test_uniform_is_uniform(how: str) -> None:
    law = make_plan(GRAPH, how)["conv.weight"].initializer
    assert isinstance(law, VarianceScaling)
    assert law.distribution == "uniform"


def test_torch_default_bounds_weights_and_biases_alike() -> None:
    plan = make_plan(GRAPH, "torch_default")
    assert plan["conv.weight"].initializer.law(plan["conv.weight"].target).high == pytest.approx(1 / 3)
    assert plan["conv.bias"].initializer == Uniform(-1 / 3, 1 / 3)
    assert {plan[path].initializer for path in ("rnn.ih", "rnn.hh", "rnn.b")} == {Uniform(-1 / 4, 1 / 4)}


def test_torch_default_zeroes_a_bias_whose_fan_in_is_not_known() -> None:
    lonely = Graph("Net", (), (Parameter("bias", (4,), "float32", Role.BIAS, node="add"),))
    assert make_plan(lonely, "torch_default")["bias"].initializer == Zeros()


@pytest.mark.parametrize(
    ("how", "error", "message"),
    [
        (
            "hee",
            UnknownName,
            "There is no recipe 'hee'. Did you mean 'he'? Known: auto, bert, constant, deepnorm, deepscale",
        ),
        ("Xavier", UnknownName, "Did you mean 'xavier'?"),
        ("normal(sdt=0.1)", BadInput, "normal does not take sdt; it takes std."),
        ("auto(gain=2)", BadInput, "auto does not take gain; it takes no arguments."),
        ("normal(std=-1)", BadInput, "Normal: std must be a finite number, at least 0; got -1."),
        ("he(negative_slope='x')", BadInput, "negative_slope must be a finite number; got 'x'."),
        ("he(graph=1)", BadInput, "he does not take graph; it takes negative_slope, uniform."),
        ("normal(0.1)", BadInput, "Expected a name, or a name with arguments"),
        ("normal(std=open('x'))", BadInput, "Expected a name, or a name with arguments"),
    ],
)
def test_a_recipe_that_does_not_exist_is_refused(how: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=re.escape(message)):
        make_plan(GRAPH, how)


def test_a_function_without_a_name_is_custom() -> None:
    class Rule:
        def __call__(self, graph: Graph) -> dict[str, object]:
            return {}

    assert recipe(Rule())[0] == "custom"  # type: ignore[arg-type]


# auto: the activation that a weight feeds decides


def feeding(*activations: ActivationCall | None, op: str = "add") -> Plan:
    """A plan for a chain of uses of one weight of fans 8 and 4, each fed to the next activation."""
    nodes: list[Node] = []
    for i, activation in enumerate(activations):
        x = nodes[-1].name if nodes else "x"
        nodes.append(Node(f"z{i}", "linear", (x, "w"), (2, 4), "float32"))
        if activation is not None:
            nodes.append(Node(f"h{i}", activation.name, (f"z{i}",), (2, 4), "float32", activation))
        elif op != "output":
            nodes.append(Node(f"y{i}", op, (f"z{i}", "x"), (2, 4), "float32"))
    return make_plan(
        Graph("Net", tuple(nodes), (Parameter("w", (4, 8), "float32", Role.WEIGHT, Fans(8, 4), node="z0"),))
    )


@pytest.mark.parametrize(
    ("activation", "gain", "mode"),
    [
        (ActivationCall("relu"), math.sqrt(2), "fan_in"),
        (ActivationCall("gelu"), 1.53353, "fan_in"),
        (ActivationCall("leaky_relu", {"negative_slope": 0.2}), math.sqrt(2 / 1.04), "fan_in"),
        (ActivationCall("leaky_relu", {"negative_slope": 0.01}), math.sqrt(2 / 1.0001), "fan_in"),
        (ActivationCall("selu"), 1.0, "fan_in"),
        (ActivationCall("silu"), 1.67653, "fan_in"),
        (ActivationCall("tanh"), 1.0, "fan_avg"),
        (ActivationCall("sigmoid"), 4.0, "fan_avg"),
        (ActivationCall("hardtanh"), 1.0, "fan_avg"),
        (ActivationCall("softsign"), 1.0, "fan_avg"),
        (ActivationCall("erf"), math.sqrt(math.pi) / 2, "fan_avg"),
        (ActivationCall("identity"), 1.0, "fan_in"),
    ],
    ids=str,
)
def test_auto_takes_the_gain_of_the_activation(activation: ActivationCall, gain: float, mode: str) -> None:
    entry = feeding(activation)["w"]
    assert isinstance(entry.initializer, VarianceScaling)
    assert entry.initializer.gain == pytest.approx(gain, rel=1e-5)
    assert entry.initializer.mode == mode
    assert entry.std == pytest.approx(gain / math.sqrt(8 if mode == "fan_in" else 6), rel=1e-5)
    assert entry.why.startswith(f"feeds {activation}")
    assert f"{gain:.4g}" in entry.why


def test_auto_shows_relus_gain_in_the_table() -> None:
    assert str(feeding(ActivationCall("relu"))["w"].initializer) == "normal 1.414/√fan_in"


@pytest.mark.parametrize(
    ("op", "why"),
    [("output", "it makes the output: unit gain"), ("add", "no activation follows, add does: unit gain")],
)
def test_auto_gives_unit_gain_where_no_activation_follows(op: str, why: str) -> None:
    entry = feeding(None, op=op)["w"]
    assert entry.std == pytest.approx(1 / math.sqrt(8))
    assert entry.why == why


def test_auto_lets_the_first_use_of_a_shared_weight_decide() -> None:
    relu, tanh = ActivationCall("relu"), ActivationCall("tanh")
    assert feeding(relu, tanh)["w"].why.startswith("feeds relu")
    assert feeding(tanh, relu)["w"].why.startswith("feeds tanh")


def test_auto_gives_unit_gain_to_the_further_weights_of_one_operation() -> None:
    stacked = Graph(
        "Net",
        (Node("y", "lstm", ("x", "ih0", "hh0", "ih1", "hh1"), (2, 4), "float32"),),
        tuple(
            Parameter(path, (16, 4), "float32", role, Fans(4, 4), node="y")
            for path, role in [
                ("ih0", Role.WEIGHT),
                ("hh0", Role.RECURRENT),
                ("ih1", Role.WEIGHT),
                ("hh1", Role.RECURRENT),
            ]
        ),
    )
    plan = make_plan(stacked)
    assert [e.std for e in plan] == [0.5, 0.25, 0.5, 0.25]  # lecun, and orthogonal with 16 rows
    assert plan["ih1"].why == "not the first weight of its operation: unit gain"


def test_auto_refuses_an_activation_that_nobody_knows() -> None:
    with pytest.raises(UnknownName, match="There is no activation 'reluu'"):
        feeding(ActivationCall("reluu"))
