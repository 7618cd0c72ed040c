"""Studies over a grid of depths, nets, decays or whatever else varies, trained as one."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from fanin.errors import BadInput
from fanin.experiments.compare import kept_in
from fanin.experiments.conduct import Engagement, studies
from fanin.experiments.design import design
from fanin.experiments.rows import write_csv
from fanin.experiments.study import Study, short
from fanin.experiments.subject import Subject, subject
from fanin.experiments.vary import asked_for, cells, checked, filled
from fanin.files import check_target, write_text
from fanin.grid import Grid, plain
from fanin.strict_json import strict_json


@dataclass(frozen=True)
class Sweep:
    """A study for each combination of what varies.

    `print` shows the losses at the end, `at(depth=10)` is one study, `to_html` writes heat maps, curves and tables.

    Attributes:
        vary: what varies, with its values.
        studies: in the order of `cells`, the last name fastest.
    """

    vary: Mapping[str, tuple[Any, ...]]
    studies: tuple[Study, ...]
    page: Callable[[Sweep], str] | None = field(default=None, compare=False, repr=False)

    @property
    def cells(self) -> tuple[dict[str, Any], ...]:
        """The values of each study."""
        return tuple(cells(self.vary))

    @property
    def recipes(self) -> tuple[str, ...]:
        """Of any of the studies."""
        return tuple(dict.fromkeys(recipe for study in self.studies for recipe in (*study.recipes, *study.left_out)))

    @property
    def trained(self) -> int:
        """How many trials this call ran; the others were in the store."""
        return self.studies[0].trained

    def at(self, **values: Any) -> Study:
        """The one study with these values.

        Raises:
            BadInput: there is none, or several.
        """
        found = self.where(**values)
        if len(found) != 1:
            axes = "; ".join(f"{name}: {', '.join(map(str, known))}" for name, known in self.vary.items())
            raise BadInput(f"{len(found)} studies have {values}. Give one value of each: {axes}.")
        return found[0]

    def where(self, **values: Any) -> tuple[Study, ...]:
        """The studies with these values; those of what is not named are all there."""
        pairs = zip(self.cells, self.studies, strict=True)
        return tuple(study for cell, study in pairs if all(cell.get(name) == value for name, value in values.items()))

    def loss(self, recipe: str, **values: Any) -> float | None:
        """Mean loss at the end at the recipe's best rate; None where the recipe cannot serve."""
        return self.at(**values).loss(recipe)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        each = [{"at": cell, **study.to_dict()} for cell, study in zip(self.cells, self.studies, strict=True)]
        return {"version": 1, "vary": self.vary, "studies": each}

    def to_json(self, path: str | os.PathLike[str] | None = None) -> str:
        """Strict JSON, in which numbers that are not finite are strings; also to a file if one is named.

        Raises:
            BadInput: the file cannot be written.
        """
        text = strict_json(self.to_dict())
        if path is not None:
            write_text(path, text, "sweep.json")
        return text

    def to_csv(self, path: str | os.PathLike[str], *, curves: bool = False) -> Path:
        """One line for each run, with what varies; with `curves`, for each of its steps. Returns where.

        Raises:
            BadInput: the file cannot be written.
        """
        return write_csv(path, zip(self.cells, self.studies, strict=True), curves=curves)

    def to_html(self, path: str | os.PathLike[str]) -> Path:
        """Writes the report, one page that opens offline; returns where.

        Raises:
            BadInput: the file cannot be written; or the sweep is not from `fanin.sweep`, which gives `page`.
        """
        check_target(path)
        if self.page is None:
            raise BadInput("This sweep does not know how to make its page. Take it from fanin.sweep.")
        return write_text(path, self.page(self))

    def __rich__(self) -> RenderableType:
        return Group(losses(self), *map(Text, dict.fromkeys(self.all_that_went_wrong)))

    def __str__(self) -> str:
        return plain(self)

    @property
    def all_that_went_wrong(self) -> tuple[str, ...]:
        """A line for each recipe that is left out and each trial that failed, of any study."""
        return tuple(dict.fromkeys(line for study in self.studies for line in study.all_that_went_wrong))

    @property
    def all_notes(self) -> tuple[str, ...]:
        """What else is to be known, of any study."""
        return tuple(dict.fromkeys(note for study in self.studies for note in study.notes))


def losses(swept: Sweep, *, test: bool = False) -> RenderableType:
    """The table under a line that says what it is; of the test's accuracies if that is asked for."""
    head, rows = table(swept, test=test)
    first = swept.studies[0]
    what = "Share of the test that is said right" if test else "Loss at the end"
    said = (
        f"{what}, each recipe at its own best rate of {', '.join(f'{r:g}' for r in first.rates)}; means over "
        f"{len(first.seeds)} seed(s). {'' if test else f'Chance is {first.chance:.3g}. '}* ends lower than every other."
    )
    return Group(Text(said), Grid(head, rows, ["right"] * len(head)))


def table(swept: Sweep, *, test: bool = False) -> tuple[list[str], list[list[str]]]:
    """Head and rows: a column for each recipe; if there is one alone, for each value of what varies last."""
    names, alone = list(swept.vary), len(swept.recipes) == 1 and len(swept.vary) > 1
    if not alone:
        pairs = zip(swept.cells, swept.studies, strict=True)
        rows = [[*map(str, cell.values()), *(_cell(study, r, test) for r in swept.recipes)] for cell, study in pairs]
        return [*names, *swept.recipes], rows
    *down, across = names
    rows = []
    for values in product(*(swept.vary[name] for name in down)):
        row = swept.where(**dict(zip(down, values, strict=True)))
        rows.append([*map(str, values), *(_cell(study, swept.recipes[0], test) for study in row)])
    return [*down, *(f"{across} {value}" for value in swept.vary[across])], rows


def _cell(study: Study, recipe: str, test: bool) -> str:
    star = "*" if recipe == study.winner else ""
    if test:
        right = study.accuracy(recipe)
        return "–" if right is None else f"{right:.1%}{star}"
    return short(study.loss(recipe), "diverged") + star


def sweep(
    net: Any,
    data: Any,
    *,
    vary: Mapping[str, Sequence[Any]],
    recipes: Sequence[Any] | Mapping[str, Any],
    to: str | os.PathLike[str] | None = None,
    by: Engagement,
    **settings: Any,
) -> Sweep:
    """See `fanin.sweep`; the settings are those of `design`."""
    axes, asked = checked(vary), asked_for(net, data, recipes, settings)
    known: dict[Any, Subject] = {}

    def what(net: Any, data: Any) -> Subject:
        """Cells of one net and data share it, and are trained together."""
        same = (net if isinstance(net, str) else _identity(net), data if isinstance(data, str) else id(data))
        if same not in known:
            shared = next((s.data for (_, of), s in known.items() if of == same[1]), data)
            name = data if isinstance(data, str) else None
            found = subject(net, shared)
            known[same] = found if name is None else Subject(net, found.data, name)
        return known[same]

    with kept_in(to, by) as (store, notes):
        each = [filled(asked, values) for values in cells(axes)]
        designs = [design(what(one.net, one.data), one.recipes, **one.settings) for one in each]
        return Sweep(axes, tuple(studies(designs, store, by, notes)))


def _identity(net: Any) -> Any:
    return (id(getattr(net, "func", net)), repr(getattr(net, "keywords", "")))
