"""One model as `fanin check` sees it, and what it says of it to people and to programs."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fanin import api
from fanin.cli.location import locate, shown
from fanin.cli.model import example_hint, load_loss, load_model
from fanin.cli.optimizer import load_optimizer
from fanin.cli.settings import Settings, settings_for
from fanin.cli.terminal import status
from fanin.diagnosis import Diagnosis, Finding, Repair
from fanin.frameworks import adapter_of


@dataclass(frozen=True)
class Wanted:
    """What the command line asks for, of any model."""

    shape: str | None
    recipe: str | None
    loss: str | None
    optimizer: str | None
    follows: str | None
    seed: int
    fix: bool
    select: Sequence[str]
    ignore: Sequence[str]
    fail_on: str | None


@dataclass(frozen=True)
class Checked:
    """A model and what was found.

    Attributes:
        reference: as it was named, FILE.py:factory.
        model: with the start that was written, if one was.
    """

    reference: str
    model: Any
    settings: Settings
    before: Diagnosis
    repair: Repair | None = None

    @property
    def left(self) -> Diagnosis:
        """What decides the exit code: what remains after the remedies, where these were tried."""
        return self.repair.after if self.repair else self.before

    @property
    def failed(self) -> bool:
        """Something is left that the settings do not let pass."""
        return any(map(self.settings.fails, self.left))

    @property
    def name(self) -> str:
        """The reference with the path from the working directory."""
        file, _, factory = self.reference.rpartition(":")
        return f"{shown(Path(file))}:{factory}"

    def where(self, finding: Finding) -> tuple[str, int]:
        """Path and line for an annotation."""
        path, line = locate(finding, self.reference)
        return shown(path), line

    def to_dict(self, facts: Mapping[str, Any]) -> dict[str, Any]:
        """The diagnosis of the model as it starts, with the repair under its name."""
        repair = {k: v for k, v in self.repair.to_dict().items() if k != "before"} if self.repair else None
        return self.before.to_dict() | {"checked": self.name, "repair": repair, "facts": dict(facts)}

    @property
    def account(self) -> str:
        """How many parameters start anew, or how to try the remedies; "" where nothing is wrong."""
        if self.repair:
            return str(self.repair).splitlines()[-1] if self.repair.attempts else ""
        if self.before.healthy or not any(f.start_helps for f in self.before):
            return ""
        return f"To try the remedies in memory: {shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])} --fix"


def checked(reference: str, wanted: Wanted) -> Checked:
    """Build the model, diagnose it, and try the remedies if that is asked for; a terminal shows what is being done."""
    with status(f"building {reference}") as doing:
        return _checked(reference, wanted, doing)


def _checked(reference: str, wanted: Wanted, doing: Callable[[str], None]) -> Checked:
    settings = settings_for(Path(reference.rpartition(":")[0])).and_of(wanted.select, wanted.ignore, wanted.fail_on)
    model, example = load_model(reference, wanted.shape, wanted.seed)
    loss = load_loss(wanted.loss, reference, model)
    doing(f"measuring {reference}")
    chosen: dict[str, Any] = {
        "loss": loss,
        "follows": wanted.follows,
        "select": settings.selection.select,
        "ignore": settings.selection.ignore,
    }
    with example_hint(wanted.shape, example):
        if wanted.recipe is not None and not wanted.fix and not adapter_of(model).has_values(model):
            plan = api.plan(model, *example, recipe=wanted.recipe)
            return Checked(reference, model, settings, api.diagnose(model, *example, **chosen, plan=plan))
        if wanted.recipe is not None:
            api.initialize_(model, *example, recipe=wanted.recipe, seed=wanted.seed)
        chosen["optimizer"] = load_optimizer(wanted.optimizer, model)
        if not wanted.fix:
            return Checked(reference, model, settings, api.diagnose(model, *example, **chosen))
        repair = api.repair_(
            model,
            *example,
            **chosen,
            seed=wanted.seed,
            progress=lambda finding: doing(f"trying the remedy of {finding.code} {finding.name}"),
        )
        return Checked(reference, model, settings, repair.before, repair)
