"""Coverage, overrides, differences and files."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import pytest

from fanin.errors import BadInput, NoParameters, UncoveredParameters, UnknownName
from fanin.graph import Fans, Graph, Parameter, Role
from fanin.initializers import ALL, Constant, Initializer, Keep, Normal, Ones, Orthogonal, Target, Zeros, initializer
from fanin.plans import Decision, Plan, as_built, make_plan
from fanin.plans.make import override
from fanin.testing import TARGETS


def weight(path: str, role: Role = Role.WEIGHT, *also: str) -> Parameter:
    return Parameter(path, (4, 8), "float32", role, Fans(8, 4), also)


NET = Graph(
    "Net",
    (),
    (
        weight("encoder.weight"),
        Parameter("encoder.bias", (4,), "float32", Role.BIAS),
        weight("decoder.weight", Role.WEIGHT, "readout.weight"),
        Parameter("norm.scale", (4,), "float32", Role.NORM_SCALE),
    ),
)
ODD = Graph("Odd", (), (*NET.parameters, weight("odd", Role.UNKNOWN), weight("strange", Role.UNKNOWN)))


def laws(plan: Plan) -> dict[str, Initializer]:
    return {e.parameter.path: e.initializer for e in plan}


# Coverage


def test_every_parameter_is_covered_in_order() -> None:
    plan = make_plan(NET)
    assert [e.parameter.path for e in plan] == ["encoder.weight", "encoder.bias", "decoder.weight", "norm.scale"]
    assert all(e.why for e in plan)
    assert len(plan) == 4
    assert plan.recipe == "auto"


def test_all_uncovered_parameters_are_listed() -> None:
    with pytest.raises(
        UncoveredParameters, match=r"^2 parameter\(s\) have no initializer: odd, strange\. .*Give each one in"
    ) as error:
        make_plan(ODD)
    assert error.value.missing == ("odd", "strange")


def test_an_override_or_keep_covers_what_no_recipe_knows() -> None:
    plan = make_plan(ODD, overrides={"odd": "normal(std=0.02)", "strange": Keep()})
    assert (plan["odd"].initializer, plan["strange"].initializer) == (Normal(0.02), Keep())
    assert plan["odd"].why == "given by the caller"
    assert math.isnan(plan["strange"].std)


def test_a_model_without_parameters_is_refused() -> None:
    with pytest.raises(NoParameters, match="Empty has no parameters: there is nothing to initialize"):
        make_plan(Graph("Empty", (), ()))


def test_as_built_keeps_everything() -> None:
    assert set(laws(as_built(NET)).values()) == {Keep()}


# A user's own recipe


def test_a_function_of_the_graph_is_a_recipe() -> None:
    def mine(graph: Graph) -> Mapping[str, Decision]:
        return {p.path: Decision(Normal(0.5), "because") for p in graph.parameters}

    plan = make_plan(NET, mine)
    assert plan.recipe == "mine"
    assert set(laws(plan).values()) == {Normal(0.5)}


def test_a_decision_without_a_reason_is_a_decision() -> None:
    plan = make_plan(NET, lambda graph: {p.path: Decision(Zeros(), "") for p in graph.parameters})
    assert set(laws(plan).values()) == {Zeros()}


def test_a_recipe_may_use_any_name_of_a_tied_parameter() -> None:
    others = {p.path: Decision(Zeros(), "zero") for p in NET.parameters if not p.also}
    plan = make_plan(NET, lambda _: {**others, "readout.weight": Decision(Ones(), "one")})
    assert plan["decoder.weight"].initializer == Ones()


def test_a_recipe_that_decides_on_an_unknown_parameter_is_refused() -> None:
    with pytest.raises(UnknownName, match=r"no parameter 'encoder\.wieght'\. Did you mean 'encoder\.weight'\?"):
        make_plan(NET, lambda _: {"encoder.wieght": Decision(Zeros(), "zero")})


@pytest.mark.parametrize("how", [3, None, Normal(0.02), ["he"]])
def test_something_else_than_a_recipe_is_refused(how: Any) -> None:
    with pytest.raises(BadInput, match="Expected a recipe's name or a function from a graph to decisions; got"):
        make_plan(NET, how)


# Overrides


@pytest.mark.parametrize(
    ("overrides", "path", "expected"),
    [
        ({"encoder.weight": Zeros()}, "encoder.weight", Zeros()),
        ({"*.weight": "orthogonal"}, "decoder.weight", Orthogonal()),
        ({"*": Keep(), "encoder.*": Zeros()}, "encoder.bias", Zeros()),
        ({"encoder.*": Zeros(), "*": Keep()}, "encoder.bias", Keep()),
        ({"readout.*": Ones()}, "decoder.weight", Ones()),
        ({"encoder.[bw]*": Ones()}, "encoder.bias", Ones()),
        ({"?ncoder.bias": "constant(value=2)"}, "encoder.bias", Constant(2)),
    ],
    ids=str,
)
def test_an_override_is_a_glob_and_the_last_match_wins(
    overrides: dict[str, Initializer | str], path: str, expected: Initializer
) -> None:
    assert make_plan(NET, overrides=overrides)[path].initializer == expected


def test_an_override_changes_nothing_else() -> None:
    changed = make_plan(NET).diff(make_plan(NET, overrides={"encoder.bias": "ones"}))
    assert [c.path for c in changed] == ["encoder.bias"]


@pytest.mark.parametrize("pattern", ["Encoder.weight", "encoder", "bias", "decoder.bias", ""])
def test_an_override_that_matches_nothing_is_refused(pattern: str) -> None:
    message = (
        rf"The override '{pattern}' matches no parameter\. Paths look like encoder\.weight, encoder\.bias, decoder"
    )
    with pytest.raises(BadInput, match=message):
        make_plan(NET, overrides={"*.weight": Zeros(), pattern: Zeros()})


@pytest.mark.parametrize("what", ["orthogonal", "he_normal"])
def test_an_override_that_cannot_serve_its_parameter_is_refused_before_anything_is_written(what: str) -> None:
    with pytest.raises(BadInput, match=r"^encoder\.bias: .*'encoder\.bias'.*(matrix|fans)|^encoder\.bias: .* needs"):
        make_plan(NET, overrides={"*.bias": what})


def test_an_override_with_an_unknown_spelling_is_refused() -> None:
    with pytest.raises(UnknownName, match="Did you mean 'he_normal'"):
        make_plan(NET, overrides={"*.weight": "he_norml"})
    with pytest.raises(BadInput, match="Expected an initializer such as"):
        make_plan(NET, overrides={"*.weight": Zeros})  # type: ignore[dict-item]  # the class, not one of it


def test_an_override_of_a_finished_plan_makes_a_new_one() -> None:
    plan = make_plan(NET)
    changed = override(plan, {"*.bias": Ones()})
    assert (plan["encoder.bias"].initializer, changed["encoder.bias"].initializer) == (Zeros(), Ones())


# Looking at plans


def test_a_plan_is_indexed_by_any_name_and_suggests_the_nearest() -> None:
    plan = make_plan(NET)
    assert plan["readout.weight"] is plan["decoder.weight"]
    with pytest.raises(UnknownName, match=r"There is no parameter 'encoder\.wight'\. Did you mean 'encoder\.weight'\?"):
        plan["encoder.wight"]


def test_a_difference_names_both_sides_and_what_only_one_has() -> None:
    smaller = make_plan(Graph("Net", (), NET.parameters[:3]), "zeros")
    changes = smaller.diff(make_plan(NET, "zeros", {"encoder.weight": Ones()}))
    assert [c.path for c in changes] == ["encoder.weight", "norm.scale"]
    first, last = changes
    assert first.here is not None
    assert first.there is not None
    assert (first.here.initializer, first.there.initializer) == (Zeros(), Ones())
    assert last.here is None
    assert make_plan(NET).diff(make_plan(NET)) == ()


# Files


def accepts(what: Initializer, target: Target) -> bool:
    try:
        what.law(target)
    except BadInput:
        return False
    return True


@pytest.mark.parametrize("name", ALL)
def test_a_plan_with_any_initializer_survives_a_file(name: str) -> None:
    what = initializer(name)
    target = next(t for t in TARGETS if accepts(what, t))
    taken = Parameter(target.name, target.shape, target.dtype, fans=target.fans, parts=target.parts)
    plan = make_plan(Graph("odd", (), (taken,)), "normal", {"*": what})
    again = Plan.from_json(plan.to_json())
    assert again == plan
    assert again.diff(plan) == ()
    assert str(again) == str(plan)


def test_an_unknown_std_is_null_in_a_file() -> None:
    plan = make_plan(ODD, overrides={"odd": Keep(), "strange": Zeros()})
    rows = {row["path"]: row for row in json.loads(plan.to_json())["parameters"]}
    assert rows["odd"]["std"] is None
    assert rows["strange"]["std"] == 0.0
    assert rows["encoder.weight"]["std"] == plan["encoder.weight"].std
    assert rows["encoder.weight"]["initializer"]["law"] == "VarianceScaling"


def test_a_file_of_a_newer_format_is_refused() -> None:
    data = make_plan(NET).to_dict() | {"fanin_plan": 2}
    with pytest.raises(BadInput, match="This plan has format 2; this fanin reads format 1"):
        Plan.from_json(json.dumps(data))


@dataclass
class Spoiled:
    """A plan's data with one thing changed."""

    key: str
    value: Any

    def __str__(self) -> str:
        data: dict[str, Any] = json.loads(make_plan(NET).to_json())
        data["parameters"][0][self.key] = self.value
        return json.dumps(data)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "not json",
        "[]",
        "3",
        "null",
        "{}",
        '{"fanin_plan": 1}',
        '{"fanin_plan": 1, "recipe": "auto", "parameters": 3}',
        '{"fanin_plan": 1, "recipe": "auto", "parameters": [3]}',
        '{"fanin_plan": 1, "recipe": "auto", "parameters": [{}]}',
        Spoiled("role", "wieght"),
        Spoiled("fans", {"fan_in": 3}),
        Spoiled("shape", None),
        Spoiled("initializer", None),
        Spoiled("initializer", "normal"),
        Spoiled("initializer", {"law": "Norml"}),
        Spoiled("initializer", {"law": "Normal", "std": -1}),
        Spoiled("initializer", {"law": "Normal", "std": math.nan}),
        Spoiled("initializer", {"law": "VarianceScaling", "mode": ["fan_in"]}),
        Spoiled("initializer", {"law": "VarianceScaling", "distribution": {}}),
    ],
    ids=lambda text: repr(text)[:60],
)
def test_garbage_is_refused(text: object) -> None:
    with pytest.raises(BadInput):
        Plan.from_json(str(text))


def test_garbage_is_said_to_be_no_plan() -> None:
    with pytest.raises(BadInput, match=r"Not a fanin plan: KeyError: 'fanin_plan'\."):
        Plan.from_json("{}")


def test_a_recipe_may_give_initializers_alone() -> None:
    def small(graph: Graph) -> dict[str, Initializer | str]:
        return {p.path: "zeros" if p.role is Role.BIAS else Normal(0.02) for p in graph.parameters}

    plan = make_plan(NET, small)
    assert {e.why for e in plan} == {"given by small"}


def test_a_frozen_parameter_is_kept_unless_an_override_says_otherwise() -> None:
    frozen = Graph("Net", (), tuple(replace(p, frozen=p.role is Role.WEIGHT) for p in NET.parameters))
    kept = {e.parameter.path for e in make_plan(frozen) if e.initializer == Keep()}
    assert kept == {p.path for p in NET.parameters if p.role is Role.WEIGHT}
    (path, *_) = kept
    assert make_plan(frozen, overrides={path: "zeros"})[path].initializer == Zeros()
    assert Plan.from_json(make_plan(frozen).to_json()) == make_plan(frozen)
