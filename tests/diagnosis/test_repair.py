"""Remedies are tried one by one; what helped stays, and everything else is as it was, bit for bit."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest
import torch
from torch import nn

import fanin
from fanin.diagnosis import Check, Evidence, Finding, Repair, Selection, Severity, repair
from fanin.diagnosis.progress import Progress, progress
from fanin.errors import BadInput, CannotWrite, UnknownName
from fanin.experiments.nets import Perceptron
from fanin.graph import Graph, Parameter
from fanin.initializers import Constant
from fanin.plans import Decision, Plan
from fanin.plans.model import writes
from fanin.signals import Signals
from fanin.testing.zoo import ZOO

GRAPH = Graph("Net", (), tuple(Parameter(name, (4, 4), "float32") for name in "ab"))
SIGNALS = Signals({}, {}, {}, 0.0, "none")


@dataclass(frozen=True)
class World(Evidence):
    """A model in which each parameter is a number: 0 as it is built, or what the plan says."""

    numbers: Mapping[str, float] = field(default_factory=dict)


def world(plan: Plan) -> World:
    return World(GRAPH, SIGNALS, numbers={e.parameter.path: e.initializer.value for e in plan if writes(e)})  # type: ignore[attr-defined]


def give(path: str, value: float) -> Callable[[Plan, Evidence, Finding], Plan]:
    return lambda plan, evidence, finding: plan.decide({path: Decision(Constant(value), "the remedy")})


def check(
    code: str,
    size: Callable[[Mapping[str, float]], float],
    remedy: Callable[[Plan, Evidence, Finding], Plan] | None,
    *,
    severity: Severity = Severity.WARNING,
) -> Check:
    """One that finds something where `size` of the numbers is above 0."""

    def find(self: Check, evidence: Evidence) -> Finding | None:
        assert isinstance(evidence, World)
        n = size({"a": 0.0, "b": 0.0, **evidence.numbers})
        return self.finding(evidence, severity, None, "what", "why", size=n) if n > 0 else None

    return Check(code, code.lower(), "Bad.", "", find, "do this", remedy, worse="larger")


def repaired(*checks: Check, selection: Selection | None = None) -> Repair:
    table = {c.code: c for c in checks}
    kept = Plan("as built", ())
    return repair(world(kept), world, selection or Selection(), table)


def outcomes(found: Repair) -> dict[str, str]:
    return {a.finding.code: a.outcome for a in found.attempts}


def test_what_helps_is_kept_and_what_does_not_is_taken_back() -> None:
    helps = check("A01", lambda n: 1 - n["a"], give("a", 1.0))
    idle = check("B01", lambda n: 5.0, give("b", 1.0))
    found = repaired(helps, idle)
    assert outcomes(found) == {"A01": "kept", "B01": "taken back"}
    assert found.written == ("a",)
    assert "it did not help (size 5 → 5)" in str(found)
    assert [f.code for f in found.after] == ["B01"]


def test_a_remedy_that_made_it_worse_is_said_to_have() -> None:
    """Mutant: whatever is not gone counts as the same."""
    found = repaired(check("A01", lambda n: 1 + 9 * n["a"], give("a", 1.0)))
    assert found.plan is None
    assert found.after.findings == found.before.findings
    assert outcomes(found) == {"A01": "taken back"}
    assert "it made it worse (size 1 → 10)" in str(found)
    assert "nothing was changed" in str(found)


def test_what_is_clearly_less_stays_and_less_than_that_does_not() -> None:
    assert outcomes(repaired(check("A01", lambda n: 1 - 0.6 * n["a"], give("a", 1.0)))) == {"A01": "kept"}
    assert outcomes(repaired(check("A01", lambda n: 1 - 0.4 * n["a"], give("a", 1.0)))) == {"A01": "taken back"}


def test_a_remedy_that_brings_another_error_is_taken_back() -> None:
    """Mutant: no look at what else came up."""
    helps = check("A01", lambda n: 1 - n["a"], give("a", 1.0))
    brought = check("B01", lambda n: n["a"], None)
    found = repaired(helps, brought)
    assert (found.plan, outcomes(found)) == (None, {"A01": "taken back"})
    assert "it made it go (size was 1), but brought b01 (B01, warning)" in str(found)
    assert [f.code for f in found.attempts[0].brought] == ["B01"]


def test_a_note_is_no_harm_and_is_left() -> None:
    """Mutant: notes are repaired like anything else."""
    helps = check("A01", lambda n: 1 - n["a"], give("a", 1.0))
    note = check("B01", lambda n: 1 + n["a"], give("b", 1.0), severity=Severity.NOTE)
    found = repaired(helps, note)
    assert outcomes(found) == {"A01": "kept"}
    assert found.healthy


def test_a_note_that_is_named_is_repaired() -> None:
    note = check("A01", lambda n: 1 - n["a"], give("a", 1.0), severity=Severity.NOTE)
    assert outcomes(repaired(note, selection=Selection(("A",)))) == {}
    assert outcomes(repaired(note, selection=Selection(("A01",)))) == {"A01": "kept"}


def test_harm_is_seen_by_checks_that_are_not_selected() -> None:
    """Mutant: harm judged by the selected checks alone."""
    helps = check("A01", lambda n: 1 - n["a"], give("a", 1.0))
    brought = check("B01", lambda n: n["a"], None)
    found = repaired(helps, brought, selection=Selection(("A",)))
    assert outcomes(found) == {"A01": "taken back"}


def test_only_what_is_selected_is_repaired_and_what_is_ignored_is_not() -> None:
    both = (check("A01", lambda n: 1 - n["a"], give("a", 1.0)), check("B01", lambda n: 1 - n["b"], give("b", 1.0)))
    assert repaired(*both, selection=Selection(("A",))).written == ("a",)
    found = repaired(*both, selection=Selection((), ("A01",)))
    assert found.written == ("b",)
    assert [f.code for f in found.after.ignored] == ["A01"]


def test_what_a_remedy_lays_bare_is_remedied_with_it() -> None:
    """Zeros hide that gradients vanish; random weights in their place are no harm for showing it."""
    hiding = check("A01", lambda n: 1 - n["a"], give("a", 1.0))
    hidden = check("B01", lambda n: n["a"] - n["b"], give("b", 1.0))
    found = repaired(hiding, hidden)
    assert (found.written, found.healthy) == (("a", "b"), True)
    assert "with the remedy of B01, which it laid bare" in str(found)


def test_what_did_not_help_has_another_chance_after_another_remedy() -> None:
    first = check("A01", lambda n: 1 - n["a"] * n["b"], give("a", 1.0))
    second = check("B01", lambda n: 1 - n["b"], give("b", 1.0))
    found = repaired(first, second)
    assert (outcomes(found), found.healthy) == ({"A01": "kept", "B01": "kept"}, True)


def test_what_goes_with_anothers_remedy_says_so() -> None:
    both = (check("A01", lambda n: 1 - n["a"], give("a", 1.0)), check("B01", lambda n: 2 - 2 * n["a"], None))
    found = repaired(*both)
    assert outcomes(found) == {"A01": "kept", "B01": "gone"}
    assert "with the remedy of A01 (size was 2)" in str(found)


def test_what_becomes_a_note_with_anothers_remedy_says_so() -> None:
    """Two zeros in a row: with random weights in the place of one, the branch is shut by design and opens."""
    case = ZOO["residual, two zeros in a row"].build()
    found = fanin.repair_(case.model, *case.example, loss=case.loss)
    assert outcomes(found) == {"U01": "kept", "F06": "gone"}
    assert "with the remedy of U01, a note now: zero-init branch" in str(found)
    scales = [parameter for path, parameter in case.model.named_parameters() if path.endswith("scale")]
    assert case.loss is not None
    case.loss(case.model(*case.example)).backward()
    assert not any(scale.any() for scale in scales)
    assert all(scale.grad is not None and scale.grad.any() for scale in scales)


def test_where_no_start_helps_it_is_said() -> None:
    found = repaired(check("A01", lambda n: 1.0, None))
    assert outcomes(found) == {"A01": "not tried"}
    assert "no start helps: do this" in str(found)
    assert str(found.before).endswith("do this; no start helps")
    assert found.before.findings[0].start_helps is False


def test_one_remedy_of_two_findings_is_measured_once() -> None:
    trials = []

    def trial(plan: Plan) -> Evidence:
        trials.append(plan)
        return world(plan)

    both = {c: check(c, lambda n: 1.0, give("a", 1.0)) for c in ("A01", "B01")}
    repair(world(Plan("as built", ())), trial, checks=both)
    assert len(trials) == 1


def test_a_remedy_that_cannot_be_written_is_told_and_the_next_is_tried() -> None:
    def refused(plan: Plan, evidence: Evidence, finding: Finding) -> Plan:
        raise CannotWrite("Nothing was written.")

    found = repaired(check("A01", lambda n: 1.0, refused), check("B01", lambda n: 1 - n["b"], give("b", 1.0)))
    assert outcomes(found) == {"A01": "not tried", "B01": "kept"}
    assert "its remedy could not be tried: Nothing was written." in str(found)


@pytest.mark.parametrize(
    ("worse", "before", "after", "expected"),
    [
        ("larger", 0.9, 0.4, Progress.LESS),
        ("larger", 0.9, 0.6, Progress.SAME),
        ("larger", 0.3, 0.9, Progress.WORSE),
        ("smaller", 0.1, 0.3, Progress.LESS),
        ("farther from 1", 1e-12, 1e-5, Progress.LESS),
        ("farther from 1", 1e12, 1e5, Progress.LESS),
        ("farther from 1", 1e-5, 1e-12, Progress.WORSE),
        ("farther from 1", 1e-5, 0.0, Progress.WORSE),
        ("larger", 1.0, float("nan"), Progress.WORSE),
        (None, 0.9, 0.0, Progress.SAME),
    ],
)
def test_a_number_tells_how_a_finding_changes(worse: Any, before: float, after: float, expected: Progress) -> None:
    """Mutant: a ratio below 1 that is better the smaller it is."""
    one = Check("A01", "a", "A.", "", lambda check, evidence: None, "do", worse=worse)
    old, new = (one.finding(World(GRAPH, SIGNALS), Severity.ERROR, None, "", "", x=x) for x in (before, after))
    assert progress(one, old, new) is expected
    lower = one.finding(World(GRAPH, SIGNALS), Severity.WARNING, None, "", "", x=before)
    assert (progress(one, old, lower), progress(one, lower, old)) == (Progress.LESS, Progress.WORSE)
    assert progress(one, old, None) is Progress.GONE


def state(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}


def same(model: nn.Module, before: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


def half_constant() -> tuple[nn.Module, torch.Tensor, Callable[[torch.Tensor], torch.Tensor]]:
    """Twenty tanh layers as PyTorch starts them, of which the last ten have one constant: U01 hides B01."""
    torch.manual_seed(0)
    net = Perceptron(20, 64, 32, 10, "tanh")
    with torch.no_grad():
        for layer in list(net.hidden)[10:]:
            layer.weight.fill_(0.05)  # type: ignore[operator]
    x = torch.randn(64, 32)
    return net, x, partial(nn.functional.cross_entropy, target=torch.arange(64) % 10)


def test_a_model_is_repaired_in_place_and_what_was_well_keeps_its_bits() -> None:
    net, x, loss = half_constant()
    before = state(net)
    found = fanin.repair_(net, x, loss=loss, seed=3)
    assert found.healthy, str(found)
    assert fanin.diagnose(net, x, loss=loss).healthy
    assert found.plan is not None
    changed = {name for name, tensor in net.state_dict().items() if not torch.equal(before[name], tensor)}
    assert changed == set(found.written)
    assert fanin.verify(net, found.plan, seed=3)
    again = half_constant()[0]
    fanin.initialize_(again, recipe=found.plan, seed=found.seed)
    assert same(again, state(net))


def test_a_healthy_model_is_left_alone() -> None:
    case = ZOO["relu, He"].build()
    before = state(case.model)
    found = fanin.repair_(case.model, *case.example, loss=case.loss)
    assert (found.plan, found.attempts, str(found)) == (None, (), "Sequential: healthy")
    assert same(case.model, before)


def test_what_could_not_be_repaired_is_as_it_was_bit_for_bit() -> None:
    """The remedy may write one layer of twenty-one, the others are frozen."""
    case = ZOO["relu, as PyTorch starts it"].build()
    for parameter in case.model.parameters():
        parameter.requires_grad_(False)
    case.model[-1].weight.requires_grad_(True)  # type: ignore[index]
    before = state(case.model)
    found = fanin.repair_(case.model, *case.example, loss=case.loss)
    assert (outcomes(found), found.plan) == ({"F04": "taken back", "B01": "taken back"}, None)
    assert same(case.model, before)


@pytest.mark.parametrize("at", range(1, 4))
def test_ctrl_c_leaves_the_model_as_it_was(at: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Mutant: remedies written for good as soon as they are tried."""
    from fanin.frameworks import torch as adapter

    net, x, loss = half_constant()
    before, observe, passes = state(net), adapter.observe, []

    def interrupted(*arguments: Any) -> Signals:
        passes.append(1)
        if len(passes) == at:
            raise KeyboardInterrupt
        return observe(*arguments)

    monkeypatch.setattr(adapter, "observe", interrupted)
    try:
        fanin.repair_(net, x, loss=loss)
    except KeyboardInterrupt:
        assert same(net, before)
    else:
        assert len(passes) < at


def test_bad_input_is_refused_before_anything_is_tried() -> None:
    net, x, loss = half_constant()
    before = state(net)
    with pytest.raises(BadInput, match="seed"):
        fanin.repair_(net, x, loss=loss, seed=-1)
    with pytest.raises(UnknownName, match="no check 'X9'"):
        fanin.repair_(net, x, loss=loss, select="X9")
    with pytest.raises(BadInput, match="loss must return a tensor with one element"):
        fanin.repair_(net, x, loss=lambda out: out)
    assert same(net, before)


def test_a_repair_is_plain_data() -> None:
    case = ZOO["tanh, too large"].build()
    data = fanin.repair_(case.model, *case.example, loss=case.loss).to_dict()
    assert json.loads(json.dumps(data))["after"]["healthy"] is True
    assert [a["outcome"] for a in data["attempts"]] == ["kept", "gone", "gone"]
    assert data["attempts"][0]["after"] is None


class TestSelection:
    def test_lists_and_families_and_small_letters(self) -> None:
        assert Selection.of("f, b01", ["U02:gate.*,N01"], ["F01", "B01", "U02", "N01"]) == Selection(
            ("F", "B01"), ("U02:gate.*", "N01")
        )

    @pytest.mark.parametrize("wrong", ["X", "B1", "B011", ":gate"])
    def test_what_no_check_has_is_refused(self, wrong: str) -> None:
        with pytest.raises(UnknownName, match=r"There is no check"):
            Selection.of((), wrong, ["B01", "U02"])

    def test_what_is_ignored_is_counted(self) -> None:
        case = ZOO["tanh, too large"].build()
        found = fanin.diagnose(case.model, *case.example, loss=case.loss, ignore="U02")
        assert [f.code for f in found.ignored] == ["U02"]
        assert str(found).startswith("Sequential: exploding gradients, first loss far from chance (1 ignored)")
