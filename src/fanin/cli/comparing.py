"""The file of `fanin compare`: what is compared, as data."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from fanin.errors import BadInput, UnknownName

if TYPE_CHECKING:
    from fanin.experiments.lessons import Lesson

NEEDED: Final = ("net", "data", "recipes")
SETTINGS: Final = (
    *("seeds", "learning_rates", "steps", "batch_size", "optimizer", "momentum", "weight_decay"),
    *("engine", "address", "bar", "signals"),
)
QUICK_SEEDS: Final = 2
EXAMPLE: Final = 'net = "perceptron(depth=30)", data = "digits", recipes = ["auto", "he"]'


@dataclass(frozen=True)
class Spec:
    """What a file says.

    Attributes:
        settings: those of `fanin.compare` that it sets, by their names there.
        to: the folder of results.
        vary: what `fanin.sweep` varies; a single study where nothing does.
        lesson: that the file is of, with its words.
    """

    file: Path
    text: str
    net: str
    data: str
    recipes: list[str] | dict[str, str]
    settings: Mapping[str, Any]
    to: str
    vary: Mapping[str, Any] = field(default_factory=dict)
    lesson: Lesson | None = None

    def quick(self) -> Spec:
        """A fifth of the steps, two seeds and the middle rate: to see that it runs, not what comes out."""
        from fanin.experiments.design import RATES

        rates = self.settings.get("learning_rates", RATES)
        fewer = {
            "steps": max(10, int(self.settings.get("steps", 400)) // 5),
            "seeds": QUICK_SEEDS,
            "learning_rates": [rates[len(rates) // 2]] if isinstance(rates, list | tuple) and rates else rates,
        }
        return replace(self, settings={**self.settings, **fewer})

    @contextmanager
    def pointing(self) -> Iterator[None]:
        """What is wrong is said with the file, and the line where it can be found."""
        try:
            yield
        except BadInput as error:
            raise BadInput(f"{self.file}{self._line_of(str(error))}: {error}") from error

    def _line_of(self, message: str) -> str:
        """The line of the field that the message begins with, else one that has what it quotes or does not take."""
        if (field := re.match(r"(\w+)(?::| must| is)", message)) and (line := _line(self.text, field[1])):
            return line
        if not (named := re.search(r"'([^']+)'|does not take (\w+)", message)):
            return ""
        word = re.compile(rf"\b{re.escape(named[1] or named[2])}(?!\w)")
        codes = (line.partition("#")[0] for line in self.text.splitlines())
        return next((f":{number}" for number, code in enumerate(codes, 1) if word.search(code)), "")


def read_spec(file: Path) -> Spec:
    """A TOML file with at least net, data and recipes.

    Raises:
        BadInput: there is none, it is no TOML, or a field is missing or of another kind.
        UnknownName: a field that is not known; the message names the line and the nearest.
    """
    try:
        text = file.read_text(encoding="utf-8")
        return spec_of(file, text)
    except OSError as error:
        raise BadInput(f"Cannot read {file}: {error.strerror}. Write one, for example: {EXAMPLE}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadInput(f"{file} is not TOML: {error}.") from error


def of_lesson(name: str) -> Spec:
    """A lesson as the file that it could be.

    Raises:
        UnknownName: no lesson of that name.
    """
    from fanin.experiments.lessons import LESSONS

    if name not in LESSONS:
        raise UnknownName("lesson", name, LESSONS)
    return replace(spec_of(Path(name), LESSONS[name].to_toml()), lesson=LESSONS[name])


def spec_of(file: Path, text: str) -> Spec:
    """What the text of a file says."""
    table = tomllib.loads(text)
    known = (*NEEDED, *SETTINGS, "to", "vary")
    for name in table:
        if name not in known:
            raise UnknownName(f"field in {file}{_line(text, name)}", name, known)
    if missing := [name for name in NEEDED if name not in table]:
        raise BadInput(f"{file} does not say {', '.join(missing)}. A whole one: {EXAMPLE}, a line each.")
    for name in ("net", "data", "to"):
        if name in table and not isinstance(table[name], str):
            raise BadInput(f"{file}{_line(text, name)}: {name} must be a string; got {table[name]!r}.")
    recipes = table["recipes"]
    named = list(recipes.values()) if isinstance(recipes, dict) else recipes
    if not isinstance(named, list) or not named or not all(isinstance(recipe, str) for recipe in named):
        raise BadInput(
            f'{file}{_line(text, "recipes")}: recipes must be a list such as ["auto", "normal(std=0.02)"], or a table '
            f"of names and recipes; got {recipes!r}."
        )
    settings: dict[str, Any] = {name: table[name] for name in SETTINGS if name in table}
    vary, to = table.get("vary", {}), table.get("to", f"runs/{file.stem}")
    if not isinstance(vary, dict) or not all(isinstance(values, list) for values in vary.values()):
        raise BadInput(
            f"{file}{_line(text, 'vary')}: vary must be a table of lists, such as depth = [5, 10, 20]; got {vary!r}."
        )
    return Spec(file, text, table["net"], table["data"], recipes, settings, to, vary)


def load_net(spec: Spec) -> Any:
    """The net's name; of FILE.py:function, a function that every process finds by the file.

    Raises:
        BadInput: there is no such file or function, or it raises when it is read.
    """
    if ".py:" not in spec.net:
        return spec.net
    found = FromFile(spec.net)
    found.load()
    return found


@dataclass(frozen=True)
class FromFile:
    """A function that builds a model, named as FILE.py:function, which any process can load."""

    reference: str

    def __call__(self, data: Any) -> Any:
        """What the function makes of the data, or without them."""
        from fanin.experiments.subject import built_for

        return built_for(self.load(), data)

    @property
    def source(self) -> str:
        """All of the file, as the function may use any of it."""
        return Path(self.reference.rpartition(":")[0]).read_text(encoding="utf-8")

    def load(self) -> Any:
        """The function itself."""
        from fanin.cli.model import load_function

        return load_function(self.reference)


def _line(text: str, name: str) -> str:
    for number, line in enumerate(text.splitlines(), 1):
        if re.match(rf"""\s*\[?\s*["']?{re.escape(name)}["']?\s*[\]=.]""", line):
            return f":{number}"
    return ""
