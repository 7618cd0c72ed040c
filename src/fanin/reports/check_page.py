"""The report of `fanin check`: what is wrong, and what the remedy changed."""

from __future__ import annotations

from collections.abc import Mapping

from fanin.diagnosis import Diagnosis
from fanin.plans import Plan
from fanin.reports.blocks import activations_over_depth, findings, gradients_over_depth, layer_table, plan_table
from fanin.reports.page import Block, Page, Section, SideBySide, Text, Value


def check_page(
    before: Diagnosis, remedy: tuple[Plan, Diagnosis] | str | None, facts: Mapping[str, Value], program: str
) -> Page:
    """A page on one model.

    Args:
        remedy: the plan that was tried and what was measured with it, or why none could be tried.
    """
    shown: list[Block] = [findings(before)]
    if before.ignored:
        codes = ", ".join(dict.fromkeys(f.code for f in before.ignored))
        shown.append(Text(f"{len(before.ignored)} more not shown, as asked for: {codes}."))
    found = Section("Findings", shown, f"Loss {before.signals.loss:.4g}: {before.signals.loss_name}.")
    layers = Section("Layers, as the model starts", [layer_table(before)])
    if isinstance(remedy, tuple):
        sections = [found, _after(before, *remedy), layers]
        summary = f"{before.summary.capitalize()} as it starts; after the remedy: {remedy[1].summary}."
    else:
        untried = [Section("Remedy", [Text(remedy, "warn")])] if remedy else []
        sections = [found, *untried, Section("Signals over depth", _signals("as it starts", before)), layers]
        summary = f"{before.summary.capitalize()}."
    graph = before.graph
    subtitle = f"{len(graph.parameters)} parameters, {len(graph.nodes)} operations"
    return Page(graph.model, subtitle, sections, facts, program, summary)


def _after(before: Diagnosis, plan: Plan, after: Diagnosis) -> Section:
    pair = SideBySide("as it starts", _signals("before", before), "after the remedy", _signals("after", after))
    return Section("After the remedy", [plan_table(plan), pair, findings(after, counted=False)])


def _signals(name: str, diagnosis: Diagnosis) -> list[Block]:
    return [activations_over_depth({name: diagnosis}), gradients_over_depth({name: diagnosis})]
