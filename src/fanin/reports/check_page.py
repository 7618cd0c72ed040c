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
    model = before.graph.model
    found = Section("Findings", [findings(before)], f"Loss {before.signals.loss:.4g}: {before.signals.loss_name}.")
    signals = Section(
        "Signals over depth",
        [
            activations_over_depth({"as it starts": before}),
            gradients_over_depth({"as it starts": before}),
            layer_table(before),
        ],
    )
    sections = [found, signals]
    if isinstance(remedy, tuple):
        plan, after = remedy
        sections = [
            found,
            Section(
                "After the remedy",
                [
                    SideBySide("as it starts", _signals(before), f"with the plan {plan.recipe}", _signals(after)),
                    plan_table(plan),
                ],
            ),
            Section("Layers", [layer_table(before)]),
        ]
        summary = f"{before.summary.capitalize()} as it starts; after the remedy: {after.summary}."
    else:
        summary = f"{before.summary.capitalize()}."
        if remedy:
            sections.append(Section("Remedy", [Text(remedy, "warn")]))
    return Page(
        model,
        f"{len(before.graph.parameters)} parameters, {len(before.graph.nodes)} operations",
        sections,
        facts,
        program,
        summary,
    )


def _signals(diagnosis: Diagnosis) -> list[Block]:
    named = {diagnosis.graph.model: diagnosis}
    return [findings(diagnosis), activations_over_depth(named), gradients_over_depth(named)]
