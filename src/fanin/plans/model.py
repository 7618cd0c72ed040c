"""Plan: what each parameter is given, and why."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from fanin.errors import BadInput, UnknownName
from fanin.graph import Branch, Fans, Parameter, Parts, Role
from fanin.initializers import Initializer, Keep, PerPart, Target, from_dict, to_dict
from fanin.plans.diff import PlanDiff, changes
from fanin.plans.measured import Measured

if TYPE_CHECKING:
    from rich.console import Group

FORMAT = 1  # of the JSON form


class Decision(NamedTuple):
    """What a recipe says of one parameter."""

    initializer: Initializer
    why: str
    source: str = ""


@dataclass(frozen=True)
class Entry:
    """One line of a plan.

    Attributes:
        measured: of the values that the initializer was recognised in; None where it was decided.
    """

    parameter: Parameter
    initializer: Initializer
    why: str
    source: str = ""
    measured: Measured | None = None

    def __post_init__(self) -> None:
        """What a parameter packs is drawn part by part, each as a tensor of its own."""
        if self.parameter.parts and not self.initializer.whole:
            object.__setattr__(self, "initializer", PerPart(self.initializer))

    @property
    def target(self) -> Target:
        """The tensor, as its law sees it."""
        p = self.parameter
        return Target(p.drawn_as, p.shape, p.dtype, p.fans, p.parts)

    @property
    def std(self) -> float:
        """The realised standard deviation of one element; of a parameter that is kept, that of its values, if seen."""
        std = self.initializer.law(self.target).std
        return self.measured.std if math.isnan(std) and self.measured else std

    def given(self, decision: Decision) -> Entry:
        """The same parameter with another decision; what was measured for this one does not speak of it."""
        return replace(self, **decision._asdict(), measured=None)


@dataclass(frozen=True)
class Plan:
    """A decision for every parameter of a model, in the order of `named_parameters`.

    Iterating gives the entries; `plan["layers.0.weight"]` gives one; `print(plan)` gives the table.

    Attributes:
        notes: what the graph that it was made from does not show.
    """

    recipe: str
    entries: tuple[Entry, ...]
    notes: tuple[str, ...] = ()

    def __iter__(self) -> Iterator[Entry]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)

    def __getitem__(self, path: str) -> Entry:
        if path not in self._by_path:
            raise UnknownName("parameter", path, self._by_path)
        return self._by_path[path]

    @cached_property
    def _by_path(self) -> Mapping[str, Entry]:
        return {path: e for e in self.entries for path in (e.parameter.path, *e.parameter.also)}

    def decide(self, decisions: Mapping[str, Decision]) -> Plan:
        """A plan in which the parameters at these exact paths are given these decisions.

        Raises:
            UnknownName: a path that no parameter has.
        """
        chosen = {self[path].parameter.path: decision for path, decision in decisions.items()}
        return replace(
            self,
            entries=tuple(e.given(chosen[e.parameter.path]) if e.parameter.path in chosen else e for e in self),
        )

    def override(self, overrides: Mapping[Any, Decision]) -> Plan:
        """A plan in which each parameter that a key means is given that decision; the last match wins.

        Args:
            overrides: a glob over paths, a role or a module's class → decision; see `fanin.plan`.

        Raises:
            BadInput: a key that means no parameter.
        """
        from fanin.plans.overrides import selector

        chosen = [(selector(key), decision) for key, decision in overrides.items()]
        for one, _ in chosen:
            one.require([e.parameter for e in self])

        def decided(entry: Entry) -> Entry:
            matches = [decision for one, decision in chosen if one.matches(entry.parameter)]
            return entry.given(matches[-1]) if matches else entry

        return replace(self, entries=tuple(decided(e) for e in self.entries))

    def rename(self, names: Mapping[str, str]) -> Plan:
        """A plan whose parameters at these paths are drawn under other names: those that another model gives them.

        So a model that was written anew in another framework starts with the same bits as the first.

        Raises:
            UnknownName: a path that no parameter has.
            BadInput: something else than names, or two parameters of one name, which would have the same values.

        Example:
            >>> entry = Entry(Parameter("dense_1/kernel", (10, 64), "float32"), Keep(), "as it is")
            >>> Plan("none", (entry,)).rename({"dense_1/kernel": "0.weight"})["dense_1/kernel"].target.name
            '0.weight'
        """
        from fanin.plans.names import renamed

        return renamed(self, names)

    def diff(self, other: Plan) -> PlanDiff:
        """The parameters that start otherwise, in this plan's order; those only `other` has come last.

        A sequence of `Change`; `print` shows a table with the standard deviation here, there, and their ratio. Laws
        that say the same in other words are the same, and so are a law and values that may have been drawn from it.

        Example:
            >>> import fanin, torch
            >>> net = torch.nn.Sequential(torch.nn.Linear(64, 256), torch.nn.ReLU(), torch.nn.Linear(256, 64))
            >>> before = fanin.plan(net, recipe="torch_default")
            >>> _ = torch.nn.init.normal_(net[0].weight, std=0.5)
            >>> [(change.path, round(change.ratio, 1)) for change in fanin.plan(net, recipe="as_built").diff(before)]
            [('0.weight', 6.9)]
        """
        return changes(self, other)

    def digest(self, seed: int) -> str:
        """SHA-256 of what decides every value: initializers, names, shapes, dtypes, the seed, the stream's version.

        It stands for a checkpoint of the start: two models with this digest, sharded however they are, have the same
        bits, and `fanin.verify` says whether one has them. Reasons, roles and the order of parameters do not count; of
        what is kept, that it is, and no value; of a file of weights, its name and the sha256 that the initializer has.

        Raises:
            BadInput: the seed is not an integer in [0, 2¹²⁸).

        Example:
            >>> entry = Entry(Parameter("head.weight", (10, 64), "float32"), Keep(), "as it is")
            >>> Plan("none", (entry,)).digest(0)[:12]
            '2bedd38b3265'
        """
        from fanin.plans.digest import digest

        return digest(self, seed)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            "fanin_plan": FORMAT,
            "recipe": self.recipe,
            "notes": list(self.notes),
            "parameters": [
                _plain(e.parameter)
                | {"initializer": to_dict(e.initializer), "std": _json_number(e.std), "why": e.why, "source": e.source}
                | ({"measured": asdict(e.measured)} if e.measured else {})
                for e in self.entries
            ],
        }

    def to_json(self) -> str:
        """The plan as a file; `Plan.from_json` reads it back, equal."""
        return json.dumps(self.to_dict(), indent=2, ensure_ascii=False, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> Plan:
        """Read what `to_json` wrote.

        Raises:
            BadInput: not a plan, or one of a newer format.
        """
        try:
            data = json.loads(text)
            version = data["fanin_plan"]
            if version != FORMAT:
                raise BadInput(f"This plan has format {version}; this fanin reads format {FORMAT}.")
            entries = tuple(_entry(row) for row in data["parameters"])
            return cls(data["recipe"], entries, tuple(map(str, data.get("notes", ()))))
        except (json.JSONDecodeError, KeyError, TypeError, ValueError) as error:
            if isinstance(error, BadInput):
                raise
            raise BadInput(f"Not a fanin plan: {type(error).__name__}: {error}.") from error

    def __rich__(self) -> Group:
        """The table that `print` and the command line show."""
        from fanin.plans.text import table

        return table(self)

    def _repr_html_(self) -> str:
        """The same in a notebook."""
        from fanin.plans.notebook import html

        return html(self)

    def __str__(self) -> str:
        from fanin.grid import plain

        return plain(self)


def writes(entry: Entry) -> bool:
    """Whether the entry writes its parameter, rather than leaving it as it is."""
    return not isinstance(entry.initializer, Keep)


def _plain(parameter: Parameter) -> dict[str, Any]:
    """Without the order of axes where it is the logical one, as it always is in PyTorch."""
    data = asdict(parameter)
    if not parameter.stored:
        del data["stored"]
    return data


def _entry(row: dict[str, Any]) -> Entry:
    parameter = Parameter(
        path=row["path"],
        shape=tuple(row["shape"]),
        dtype=row["dtype"],
        role=Role(row["role"]),
        fans=Fans(**row["fans"]) if row["fans"] else None,
        also=tuple(row["also"]),
        node=row["node"],
        frozen=row["frozen"],
        parts=Parts(**row["parts"]) if row.get("parts") else None,
        further=tuple(Role(role) for role in row.get("further", ())),
        branch=Branch(**row["branch"]) if row.get("branch") else None,
        owner=tuple(row.get("owner", ())),
        name=row.get("name", ""),
        stored=tuple(row.get("stored", ())),
    )
    seen = Measured(**row["measured"]) if row.get("measured") else None
    return Entry(parameter, from_dict(row["initializer"]), row["why"], row["source"], seen)


def _json_number(x: float) -> float | None:
    return x if math.isfinite(x) else None
