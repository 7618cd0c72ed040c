"""Studies over a grid of depths, nets, decays or whatever else varies, trained as one."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from fanin.errors import BadInput
from fanin.experiments.compare import kept_in
from fanin.experiments.comparison import Study, short
from fanin.experiments.conduct import Engagement, studies
from fanin.experiments.design import design
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
        head, rows = table(self)
        first = self.studies[0]
        seeds, rates = len(first.seeds), ", ".join(f"{r:g}" for r in first.rates)
        said = f"Loss at the end, at each recipe's best rate of {rates}; means over {seeds} seed(s). * is a winner."
        wrong = [line for study in self.studies for line in study.all_that_went_wrong]
        return Group(
            Text(said),
            Grid(head, rows, ["right"] * len(head)),
            *map(Text, dict.fromkeys(wrong)),
        )

    def __str__(self) -> str:
        return plain(self)


def table(swept: Sweep) -> tuple[list[str], list[list[str]]]:
    """Head and rows: a column for each recipe; if there is one alone, for each value of what varies last."""
    names, alone = list(swept.vary), len(swept.recipes) == 1 and len(swept.vary) > 1
    if not alone:
        pairs = zip(swept.cells, swept.studies, strict=True)
        rows = [[*map(str, cell.values()), *(_cell(study, r) for r in swept.recipes)] for cell, study in pairs]
        return [*names, *swept.recipes], rows
    *down, across = names
    over = list(product(*(swept.vary[name] for name in down)))
    rows = [
        [*map(str, values), *(_cell(study, swept.recipes[0]) for study in _row(swept, down, values, across))]
        for values in over
    ]
    return [*down, *(f"{across} {value}" for value in swept.vary[across])], rows


def _row(swept: Sweep, down: Sequence[str], values: Sequence[Any], across: str) -> Iterator[Study]:
    for value in swept.vary[across]:
        yield swept.at(**dict(zip(down, values, strict=True)), **{across: value})


def _cell(study: Study, recipe: str) -> str:
    loss = study.loss(recipe)
    return short(loss, "diverged") + ("*" if recipe == study.winner else "")


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

    with kept_in(to) as (store, notes):
        each = [filled(asked, values) for values in cells(axes)]
        designs = [design(what(one.net, one.data), one.recipes, **one.settings) for one in each]
        return Sweep(axes, tuple(studies(designs, store, by, notes)))


def _identity(net: Any) -> Any:
    return (id(getattr(net, "func", net)), repr(getattr(net, "keywords", "")))
