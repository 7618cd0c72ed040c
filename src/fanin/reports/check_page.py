"""The report of `fanin check`: what is wrong, and what the remedy changed."""

from __future__ import annotations

from collections.abc import Mapping

from fanin.diagnosis import Diagnosis, Repair
from fanin.reports.blocks import attempts_table, findings, laws_table, written_table
from fanin.reports.layer_tables import attention_table, layer_table, spread_table
from fanin.reports.over_depth import before_and_after, expected_and_seen
from fanin.reports.page import Block, Page, Section, Text, Value


def check_page(before: Diagnosis, repair: Repair | None, facts: Mapping[str, Value], program: str) -> Page:
    """A page on one model.

    Args:
        repair: what was tried and what became of it, where remedies were tried.
    """
    graph, signals = before.graph, before.signals
    summary = f"{before.summary.capitalize()}."
    found: list[Block] = [findings(before, explained=True)]
    if before.ignored:
        codes = ", ".join(dict.fromkeys(f.code for f in before.ignored))
        found.append(Text(f"{len(before.ignored)} more not shown, as asked for: {codes}."))
    if before.not_judged:
        found.append(Text(_not_judged(before)))
    sections = [
        Section("Findings", found, f"Loss {signals.loss:.4g}: {signals.loss_name}."),
        Section("Signals over depth", expected_and_seen(before), _lead(before)),
    ]
    if repair and repair.attempts:
        kept = "after the remedies" if repair.plan else "no remedy helped"
        summary = f"{before.summary.capitalize()} as it starts; {kept}: {repair.after.summary}."
        sections.append(_tried(repair))
    sections += [Section("Layers, as the model starts", [layer_table(before)]), *_further(before)]
    subtitle = f"{len(graph.parameters)} parameters, {len(graph.nodes)} operations"
    return Page(graph.model, subtitle, sections, facts, program, summary)


def _lead(diagnosis: Diagnosis) -> str:
    evidence = diagnosis.evidence
    if evidence.measured and evidence.predicted is None:
        return ""
    foreseen = "Predicted from the graph alone; 8 of 10 draws of the weights should lie in the band."
    return f"{foreseen} Measured in one pass." if evidence.measured else foreseen


def _not_judged(diagnosis: Diagnosis) -> str:
    """By what they lack, in the order of the table.

    "Not judged: without a loss L01 and N02; without an optimizer B03."
    """
    lacking: dict[str, list[str]] = {}
    for code, need in diagnosis.not_judged.items():
        lacking.setdefault(need, []).append(code)
    return "Not judged: " + "; ".join(f"without {need} {' and '.join(codes)}" for need, codes in lacking.items()) + "."


def _tried(repair: Repair) -> Section:
    """What each remedy did, and the model with those that were kept."""
    blocks: list[Block] = [attempts_table(repair.attempts)]
    if repair.plan:
        blocks += [findings(repair.after, counted=False), *before_and_after(repair.before, repair.after)]
        blocks += [*(Text(note, "warn") for note in repair.plan.notes), written_table(repair.plan)]
    else:
        blocks.append(Text("No remedy helped: every weight is as it was.", "warn"))
    return Section("The remedies, tried", blocks)


def _further(diagnosis: Diagnosis) -> list[Section]:
    """What a closer look showed. A terminal is spared the spread of a model that is well, and its laws."""
    attention, spread, laws = attention_table(diagnosis), spread_table(diagnosis), diagnosis.evidence.laws
    sections = []
    if attention:
        lead = "How sharply each attention looks: a collapsed one sees a single key."
        sections.append(Section("Attention", [attention], lead, aside=diagnosis.healthy))
    if spread:
        lead = "How the values of each layer's output, of ∂loss/∂z and of its weight are spread."
        sections.append(Section("Spread", [spread], lead, aside=diagnosis.healthy))
    if laws:
        lead = "The law that each parameter seems to have been drawn from."
        sections.append(Section("Laws as built", [laws_table(laws)], lead, aside=True))
    return sections
