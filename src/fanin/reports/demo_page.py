"""The report of `fanin demo`: two nets checked, started well, checked again, and trained."""

from __future__ import annotations

from collections.abc import Mapping

from fanin.experiments import Study
from fanin.experiments.first_light import BAD_STARTS, CURE, DEPTH, RATE, WIDTH, Checked, FirstLight
from fanin.experiments.statistics import Spread, spread
from fanin.experiments.sweep import Sweep
from fanin.reports.blocks import findings, plan_table, reach
from fanin.reports.over_depth import activations_over_depth, gradients_over_depth
from fanin.reports.page import Column, LinePlot, Page, Section, Series, SideBySide, Table, Value

STARTS = (*BAD_STARTS, CURE)
WINDOW = 10  # steps that one point of a training curve averages


def demo_page(seen: FirstLight, facts: Mapping[str, Value], program: str) -> Page:
    """The whole story; sections in the order in which the command prints them."""
    training = seen.training.studies[0].how
    return Page(
        title="Two deep nets, started badly and well",
        subtitle=(
            f"{DEPTH} hidden layers of {WIDTH} units on 1,797 handwritten digits; {training.steps} steps "
            f"of SGD, learning rate {RATE:g}, momentum {training.momentum:g}, "
            f"batches of {training.batch_size}"
        ),
        sections=[
            section
            for checked in seen.checked
            for section in (before(checked), after(checked), trained(checked, seen.training))
        ],
        facts=facts,
        generated_by=program,
        summary=" ".join(conclusion(checked, seen.training) for checked in seen.checked),
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


def trained(checked: Checked, training: Sweep) -> Section:
    """Loss over steps and where it ended."""
    study = training.at(activation=checked.activation)
    curves = []
    for start in STARTS:
        points = study.curve(start, WINDOW)
        x, mean, low, high = (list(column) for column in zip(*points, strict=True)) if points else ([], [], [], [])
        curves.append(Series(start, x, mean, low, high, emphasis=start == CURE))
    return Section(
        f"{checked.net}: training",
        [
            results(study),
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


def results(study: Study) -> Table:
    """Loss and accuracy at the end, mean ± standard deviation over seeds."""
    columns = [
        Column("start"),
        Column("final loss", align="right"),
        Column("test accuracy", align="right"),
        Column("diverged"),
    ]
    rows = []
    for start in STARTS:
        runs = study.of(start)
        ends = [str(run.diverged_at) for run in runs if run.diverged_at]
        left = f"{len(ends)} of {len(runs)} seeds, at step {', '.join(ends)}" if ends else ""
        rows.append((start, str(spread([run.final_loss for run in runs])), str(right(study, start)), left))
    return Table(f"After training, mean ± standard deviation over {len(study.seeds)} seeds", columns, rows)


def right(study: Study, start: str) -> Spread:
    """Test accuracy over seeds; outputs that are not finite count as wrong."""
    return spread([run.accuracy or 0.0 for run in study.of(start)])


def conclusion(checked: Checked, training: Sweep) -> str:
    """The best of the warned-of starts beside the cure, in one sentence."""
    study = training.at(activation=checked.activation)
    best = max(BAD_STARTS, key=lambda start: right(study, start).mean)
    return (
        f"{checked.net}: test accuracy {right(study, CURE)} with {CURE}; "
        f"the best of the four other starts, {best}, reaches {right(study, best)}."
    )
