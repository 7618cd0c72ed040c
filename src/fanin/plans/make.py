"""From a graph, a recipe and overrides to a plan that covers every parameter."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from fanin.errors import BadInput, NoParameters, UncoveredParameters
from fanin.graph import Graph, Parameter, Role
from fanin.initializers import Constant, Initializer, Keep, Ones, initializer
from fanin.plans.model import Decision, Entry, Plan
from fanin.plans.overrides import Overrides, decisions
from fanin.plans.recipes import Recipe, is_tuned, recipe
from fanin.plans.tuned import Sweep, tuned

FROZEN = Decision(Keep(), "frozen (requires_grad is False): kept as it is; an override can change that")
WITHOUT_EXAMPLE = (
    "Without an example input, only what the framework's own modules hold is known: pass one batch, plan(model, x), to "
    "see what these do. Or: "
)


def _reason(graph: Graph, missing: Sequence[Parameter]) -> str:
    """Why no recipe has a rule for them, as far as the graph says it."""
    if graph.modules_only:
        return WITHOUT_EXAMPLE
    read = [graph.by_name[p.node].op for p in missing if p.node is not None]
    unread = [p.path for p in missing if p.node is None]
    seen = f"What reads them first ({', '.join(sorted(set(read)))}) does not say what they are. " if read else ""
    none = ", ".join(unread[:5]) + (", …" if len(unread) > 5 else "")
    return seen + (f"Nothing that the model does with the example reads {none}. " if unread else "")


def make_plan(
    graph: Graph,
    how: str | Recipe = "auto",
    overrides: Overrides | None = None,
    sweep: Sweep | None = None,
    constrained: Mapping[str, Decision] | None = None,
) -> Plan:
    """Decide every parameter: by the recipe, then by the overrides (the last match wins).

    Args:
        sweep: predicts signals from a plan; where the recipe is one that is tuned, its widths are, and what the
            overrides decide is not. Where it fails, the plan says so and stays as the recipe has it.
        constrained: what the framework's own rules leave to no recipe, by path; an override comes after it.

    Raises:
        NoParameters: the model has none.
        UncoveredParameters: neither the recipe nor an override covers all of them; the message lists those left.
        BadInput: an override matches nothing, the recipe decides on a parameter that the graph does not have, or an
            initializer cannot serve its parameter.
    """
    if not graph.parameters:
        raise NoParameters(f"{graph.model} has no parameters: there is nothing to initialize.")
    name, rule = recipe(how)
    undecided = as_built(graph, name)
    decisions = {path: _decision(what, f"given by {name}") for path, what in rule(graph).items()}
    decisions |= magnitudes(graph, decisions)
    decisions |= dict(constrained or {})
    decisions |= {p.path: FROZEN for p in graph.parameters if p.frozen}
    plan = override(undecided.decide(decisions), overrides or {})
    if missing := [e.parameter for e, before in zip(plan, undecided, strict=True) if e is before]:
        raise UncoveredParameters([p.path for p in missing], _reason(graph, missing))
    plan = replace(plan, notes=graph.notes)
    if sweep is None or not is_tuned(how):
        return plan
    by_recipe = undecided.decide(decisions)
    kept = {e.parameter.path for e, before in zip(plan, by_recipe, strict=True) if e != before or e.parameter.frozen}
    try:
        return tuned(plan, graph, sweep, frozenset(kept))
    except Exception as error:  # noqa: BLE001  # a plan must not fail because of what is only a refinement
        why = f"Widths are not tuned on predicted signals: {type(error).__name__}: {error}"
        return replace(plan, notes=(*plan.notes, why))


def magnitudes(graph: Graph, decisions: Mapping[str, Decision]) -> dict[str, Decision]:
    """For the lengths g where a weight is g · v/‖v‖: those of the rows of v, so that the weight starts as v does.

    What scales a weight that is standardised otherwise starts at 1 (Brock et al. 2021).
    """
    found = {}
    for p in graph.parameters:
        if p.role is Role.MAGNITUDE and p.path not in decisions and p.node is not None:
            node = graph.by_name[p.node]
            directions = [graph.by_path[n] for n in node.inputs if n in graph.by_path and n != p.path]
            directions = [v for v in directions if v.path in decisions]
            if node.op.startswith("_weight_norm") and len(directions) == 1:
                v = Entry(directions[0], *decisions[directions[0].path])
                length = v.std * math.sqrt(math.prod(v.parameter.shape) / math.prod(p.shape))
                source = "Salimans & Kingma 2016, eq. 2"
                found[p.path] = Decision(Constant(length), f"the length of a row of {v.parameter.path}", source)
            else:
                found[p.path] = Decision(Ones(), "scales a weight that is standardised: 1 leaves it so")
    return found


def as_built(graph: Graph, name: str = "as built", why: str = "") -> Plan:
    """The plan that leaves every parameter as it is: where a remedy starts from."""
    return Plan(name, tuple(Entry(p, Keep(), why) for p in graph.parameters))


def override(plan: Plan, overrides: Overrides) -> Plan:
    """The plan with the caller's own choices.

    Raises:
        BadInput: a key that means no parameter, a file that cannot be read, or an initializer that cannot serve its
            parameter.
        UnknownName: an initializer's spelling, or a role, that is not known.
    """
    changed = plan.override(decisions(overrides))
    for entry in changed:
        _check(entry)
    return changed


def _decision(what: Decision | Initializer | str, why: str) -> Decision:
    """A recipe may give the initializer alone."""
    return what if isinstance(what, Decision) else Decision(initializer(what), why)


def _check(entry: Entry) -> None:
    """The law must make sense for its target before anything is written."""
    try:
        entry.initializer.law(entry.target)
    except BadInput as error:
        raise BadInput(f"{entry.parameter.path}: {error}") from error
