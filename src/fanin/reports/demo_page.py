"""The report of `fanin demo`: two nets checked, started well, checked again, and trained."""

from __future__ import annotations

from collections.abc import Mapping

from fanin.experiments import Trials
from fanin.experiments.first_light import BAD_STARTS, CURE, Checked, FirstLight
from fanin.reports.blocks import findings, plan_table, reach
from fanin.reports.over_depth import activations_over_depth, gradients_over_depth
from fanin.reports.page import Column, LinePlot, Page, Section, Series, SideBySide, Table, Value

STARTS = (*BAD_STARTS, CURE)
WINDOW = 10  # steps that one point of a training curve averages


def demo_page(seen: FirstLight, facts: Mapping[str, Value], program: str) -> Page:
    """The whole story; sections in the order in which the command prints them."""
    spec = seen.study.trials[0].spec
    training = spec.training
    return Page(
        title="Two deep nets, started badly and well",
        subtitle=(
            f"{spec.depth} hidden layers of {spec.width} units on 1,797 handwritten digits; {training.steps} steps "
            f"of SGD, learning rate {training.learning_rate:g}, momentum {training.momentum:g}, "
            f"batches of {training.batch_size}"
        ),
        sections=[
            section
            for checked in seen.checked
            for section in (before(checked), after(checked), trained(checked.net, seen.study))
        ],
        facts=facts,
        generated_by=program,
        summary=" ".join(conclusion(checked.net, seen.study) for checked in seen.checked),
    )


def before(checked: Checked) -> Section:
    """What is wrong with each of the starts that the field warns of."""
    return Section(
        f"{checked.net}: four starts the field warns of",
        [findings(checked.diagnoses[start], prefix=f"{start}: ", counted=False) for start in BAD_STARTS],
        "Measured in one forward and backward pass of 256 digits, with the cross-entropy of their labels.",
    )


def after(checked: Checked) -> Section:
    """The plan, and the signals before and after it."""
    bad = {start: checked.diagnoses[start] for start in BAD_STARTS}
    good = {CURE: checked.diagnoses[CURE]}
    return Section(
        f"{checked.net}: the plan, before and after",
        [
            plan_table(checked.plan),
            starts_table(checked),
            SideBySide(
                "before",
                [activations_over_depth(bad), gradients_over_depth(bad)],
                f"after the plan {CURE}",
                [activations_over_depth(good), gradients_over_depth(good)],
            ),
        ],
    )


def starts_table(checked: Checked) -> Table:
    """Each start and the cure, with how much of a signal comes through the net."""
    columns = [
        Column("start"),
        Column("E[x²] last/first", "scientific"),
        Column("‖δ‖² first/last", "scientific"),
        Column("first loss", "number"),
        Column("check"),
    ]
    rows = [(start, *reach(d), d.signals.loss, d.summary) for start, d in checked.diagnoses.items()]
    title = (
        "How much comes through: E[x²] of activations and ‖δ‖² of gradients, where they arrive over where they start"
    )
    return Table(title, columns, rows)


def trained(net: str, study: Trials) -> Section:
    """Loss over steps and where it ended."""
    curves = []
    for start in STARTS:
        points = study.curve(net, start, WINDOW)
        x, mean, low, high = (list(column) for column in zip(*points, strict=True)) if points else ([], [], [], [])
        curves.append(Series(start, x, mean, low, high, emphasis=start == CURE))
    return Section(
        f"{net}: training",
        [
            results(net, study),
            LinePlot(
                "Training loss",
                "step",
                f"cross-entropy, mean of {WINDOW} steps",
                curves,
                log_y=True,
                x_integer=True,
                caption="The band spans the seeds. Every start of a seed sees the same batches.",
            ),
        ],
    )


def results(net: str, study: Trials) -> Table:
    """Loss and accuracy at the end, mean ± standard deviation over seeds."""
    columns = [
        Column("start"),
        Column("final loss", align="right"),
        Column("test accuracy", align="right"),
        Column("diverged"),
    ]
    rows = []
    for start in STARTS:
        trials = study.of(net, start)
        ends = [str(t.diverged_at) for t in trials if t.diverged_at]
        left = f"{len(ends)} of {len(trials)} seeds, at step {', '.join(ends)}" if ends else ""
        rows.append((start, str(study.final_loss(net, start)), str(study.accuracy(net, start)), left))
    return Table(f"After training, mean ± standard deviation over {len(study.of(net, CURE))} seeds", columns, rows)


def conclusion(net: str, study: Trials) -> str:
    """The best of the warned-of starts beside the cure, in one sentence."""
    best = max(BAD_STARTS, key=lambda start: study.accuracy(net, start).mean)
    return (
        f"{net}: test accuracy {study.accuracy(net, CURE)} with {CURE}; "
        f"the best of the four other starts, {best}, reaches {study.accuracy(net, best)}."
    )
