"""A lesson: what is compared, what the textbook says of it, and whether that is seen."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

from rich.console import Group, RenderableType
from rich.text import Text

from fanin.experiments.conduct import Engagement
from fanin.experiments.sweep import Sweep, losses, sweep
from fanin.grid import Grid, plain

WORDS: Final = {True: "seen", False: "not seen"}

Point = tuple[float, float]


class Seen(NamedTuple):
    """Whether a claim holds in the results, and the numbers that say so."""

    holds: bool
    numbers: str


@dataclass(frozen=True)
class Claim:
    """What the textbook says, written before the experiment, and how it is looked for."""

    says: str
    look: Callable[[Sweep], Seen]


@dataclass(frozen=True)
class Line:
    """A curve of theory to be drawn over the map: points in what varies last and what varies before it."""

    name: str
    points: tuple[Point, ...]


@dataclass(frozen=True)
class Lesson:
    """One experiment with its words.

    Attributes:
        question: that it answers, in a sentence.
        see: where to look in the table and the pictures.
        why: what is behind it.
        found: what came out when it was written down, where that asks for words.
        source: who found it.
        vary, net, data, recipes, settings: as `fanin.sweep` takes them.
        claims: what should be seen.
        test: the test's accuracy is what counts, rather than the loss that training ends at.
        line: what theory draws over the map.
    """

    name: str
    title: str
    question: str
    see: str
    why: str
    source: str
    net: str
    data: str
    recipes: Sequence[str] | Mapping[str, str]
    vary: Mapping[str, Sequence[Any]]
    settings: Mapping[str, Any]
    claims: tuple[Claim, ...]
    found: str = ""
    test: bool = False
    line: Callable[[], Line] | None = None

    def give(self, by: Engagement, to: str | None = None, **settings: Any) -> Given:
        """Run it; settings replace its own."""
        chosen = {**self.settings, **settings}
        return self.look(sweep(self.net, self.data, vary=self.vary, recipes=self.recipes, to=to, by=by, **chosen))

    def look(self, found: Sweep) -> Given:
        """What of its claims is seen in the results."""
        return Given(self, found, tuple((claim.says, claim.look(found)) for claim in self.claims))

    def to_toml(self) -> str:
        """As a file of `fanin compare`, to change and to run."""
        fields = {"net": self.net, "data": self.data, **_plain(self.recipes), **self.settings}
        lines = [f"# {self.question}", *(f"{name} = {json.dumps(value)}" for name, value in fields.items())]
        if isinstance(self.recipes, Mapping):
            lines += [
                "",
                "[recipes]",
                *(f"{json.dumps(name)} = {json.dumps(how)}" for name, how in self.recipes.items()),
            ]
        lines += ["", "[vary]", *(f"{name} = {json.dumps(list(values))}" for name, values in self.vary.items())]
        return "\n".join(lines) + "\n"


@dataclass(frozen=True)
class Given:
    """A lesson with what came out."""

    lesson: Lesson
    sweep: Sweep
    claims: tuple[tuple[str, Seen], ...] = field(default=())

    def to_csv(self, path: str | os.PathLike[str]) -> Path:
        """One line for each run."""
        return self.sweep.to_csv(path)

    @property
    def table(self) -> RenderableType:
        """What came out, by what varies."""
        return losses(self.sweep, test=self.lesson.test)

    def __rich__(self) -> RenderableType:
        lesson = self.lesson
        claims = [[WORDS[seen.holds], says, seen.numbers] for says, seen in self.claims]
        return Group(
            Text(f"{lesson.title}\n{lesson.question}\n"),
            Text(f"See: {lesson.see}\n"),
            self.table,
            *map(Text, self.sweep.all_that_went_wrong),
            Grid(["what the textbook says", "", "here"], [[c[1], c[0], c[2]] for c in claims], ["left"] * 3),
            Text(f"\nWhy: {lesson.why}"),
            *([Text(f"\nWhat we saw: {lesson.found}")] if lesson.found else []),
            Text(f"\nSource: {lesson.source}."),
        )

    def __str__(self) -> str:
        return plain(self)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        words = {
            name: getattr(self.lesson, name) for name in ("name", "title", "question", "see", "why", "found", "source")
        }
        claims = [{"says": says, **seen._asdict()} for says, seen in self.claims]
        return {**words, "claims": claims, **self.sweep.to_dict()}


def _plain(recipes: Sequence[str] | Mapping[str, str]) -> dict[str, Any]:
    return {} if isinstance(recipes, Mapping) else {"recipes": list(recipes)}
