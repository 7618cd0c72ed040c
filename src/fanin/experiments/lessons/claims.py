"""How claims are looked for: each function makes one look, which reads a sweep and says whether it holds."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from fanin.experiments.criterion import trains
from fanin.experiments.lessons.lesson import Seen
from fanin.experiments.statistics import paired
from fanin.experiments.study import Study, interval, short
from fanin.experiments.sweep import Sweep

Look = Callable[[Sweep], Seen]
STUCK: Final = 0.9  # of chance: above it, a net knows little more than how often each class occurs


def learns(recipe: str, **at: Any) -> Look:
    """Its loss at the end is at most half of chance."""

    def look(swept: Sweep) -> Seen:
        study = swept.at(**at)
        loss = study.loss(recipe)
        return Seen(
            loss is not None and trains(loss, study.chance), _against_chance(_name(swept, recipe, at), loss, study)
        )

    return look


def stays(recipe: str, **at: Any) -> Look:
    """Its loss stays near chance, or it diverges."""

    def look(swept: Sweep) -> Seen:
        study = swept.at(**at)
        loss = study.loss(recipe)
        stuck = loss is not None and not trains(loss, study.chance, STUCK)
        return Seen(stuck, _against_chance(_name(swept, recipe, at), loss, study))

    return look


def ahead(first: str, second: str, **at: Any) -> Look:
    """It ends lower, seed by seed, beyond what the seeds differ in; each at its own best rate."""

    def look(swept: Sweep) -> Seen:
        study = swept.at(**at)
        one, other = study.best_rate(first), study.best_rate(second)
        if one is None or other is None:
            return Seen(False, f"{first if one is None else second} has no runs")
        found = paired(study.finals(first, one), study.finals(second, other)).difference
        losses = f"{short(study.loss(first), 'diverged')} against {short(study.loss(second), 'diverged')}"
        return Seen(found.high < 0, f"{first} against {second}: {losses}, difference {interval(found)}")

    return look


def cell_ahead(recipe: str, first: dict[str, Any], second: dict[str, Any], other: str | None = None) -> Look:
    """The same of one recipe, or two, in two cells of the sweep."""

    def look(swept: Sweep) -> Seen:
        one, two = swept.at(**first), swept.at(**second)
        mine, theirs = one.best_rate(recipe), two.best_rate(other or recipe)
        if mine is None or theirs is None:
            return Seen(False, "there are no runs")
        found = paired(one.finals(recipe, mine), two.finals(other or recipe, theirs)).difference
        losses = f"{short(one.loss(recipe), 'diverged')} against {short(two.loss(other or recipe), 'diverged')}"
        return Seen(found.high < 0, f"{losses}, difference {interval(found)}")

    return look


def more_cells_learn(recipe: str, first: dict[str, Any], second: dict[str, Any], other: str | None = None) -> Look:
    """It learns in more of the cells that have the first values than in those of the second."""

    def look(swept: Sweep) -> Seen:
        one, two = swept.where(**first), swept.where(**second)
        mine, theirs = _learn(one, recipe), _learn(two, other or recipe)
        return Seen(mine > theirs, f"{mine} of {len(one)} against {theirs} of {len(two)} learn")

    return look


def both(*looks: Look) -> Look:
    """All of them hold."""

    def look(swept: Sweep) -> Seen:
        found = [one(swept) for one in looks]
        return Seen(all(seen.holds for seen in found), "; ".join(seen.numbers for seen in found))

    return look


def layers_alike(recipe: str, least: float, **at: Any) -> Look:
    """After training, of every hidden layer this share of the weights is common to all its units, or more."""

    def look(swept: Sweep) -> Seen:
        shares = hidden_alike(swept.at(**at), recipe)
        end = min(shares, default=math.nan)
        return Seen(end >= least, f"{_name(swept, recipe, at)}: at least {short(end)}")

    return look


def layers_differ(recipe: str, most: float, **at: Any) -> Look:
    """The opposite: at most this share."""

    def look(swept: Sweep) -> Seen:
        shares = hidden_alike(swept.at(**at), recipe)
        end = max(shares, default=math.nan)
        return Seen(end <= most, f"{_name(swept, recipe, at)}: at most {short(end)}")

    return look


def hidden_alike(study: Study, recipe: str) -> list[float]:
    """After training, of all seeds and layers but the readout."""
    return [share for flow in study.flows(recipe, "end") for share in flow.alike[:-1] if share is not None]


def _learn(studies: Sequence[Study], recipe: str) -> int:
    losses = [(study.loss(recipe), study.chance) for study in studies]
    return sum(loss is not None and trains(loss, chance) for loss, chance in losses)


def _name(swept: Sweep, recipe: str, at: Mapping[str, Any]) -> str:
    """The recipe, or where one is alone, the cell."""
    return recipe if len(swept.recipes) > 1 else ", ".join(f"{name} {value}" for name, value in at.items())


def _against_chance(name: str, loss: float | None, study: Study) -> str:
    return f"{name}: {short(loss, 'diverged')}, chance is {study.chance:.3g}"
