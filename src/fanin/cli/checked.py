"""One model as `fanin check` sees it, and what it says of it to people and to programs."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fanin import api
from fanin.cli.location import locate, shown
from fanin.cli.model import load_loss, load_model, noise_hint
from fanin.cli.settings import Settings, settings_for
from fanin.diagnosis import Diagnosis, Finding, Repair
from fanin.frameworks import adapter_of
from fanin.plans import Plan


@dataclass(frozen=True)
class Wanted:
    """What the command line asks for, of any model."""

    shape: str | None
    recipe: str | None
    loss: str | None
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

    @property
    def remedy(self) -> tuple[Plan, Diagnosis] | str | None:
        """As the page takes it."""
        if self.repair and self.repair.plan:
            return self.repair.plan, self.repair.after
        return "No remedy helped: every weight is as it was." if self.repair and self.repair.attempts else None

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
        """What was tried and what it did, or how to try it; "" where nothing is wrong."""
        if self.repair:
            return "\n".join(str(self.repair).splitlines()[1:])
        if self.before.healthy or not any(f.start_helps for f in self.before):
            return ""
        return f"To try the remedies in memory: {shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])} --fix"


def checked(reference: str, wanted: Wanted) -> Checked:
    """Build the model, diagnose it, and try the remedies if that is asked for."""
    settings = settings_for(Path(reference.rpartition(":")[0])).and_of(wanted.select, wanted.ignore, wanted.fail_on)
    model, example = load_model(reference, wanted.shape, wanted.seed)
    loss = load_loss(wanted.loss, reference)
    chosen: dict[str, Any] = {
        "loss": loss,
        "follows": wanted.follows,
        "select": settings.selection.select,
        "ignore": settings.selection.ignore,
    }
    with noise_hint(wanted.shape):
        if wanted.recipe is not None and not wanted.fix and not adapter_of(model).has_values(model):
            plan = api.plan(model, *example, recipe=wanted.recipe)
            return Checked(reference, model, settings, api.diagnose(model, *example, **chosen, plan=plan))
        if wanted.recipe is not None:
            api.initialize_(model, *example, recipe=wanted.recipe, seed=wanted.seed)
        if not wanted.fix:
            return Checked(reference, model, settings, api.diagnose(model, *example, **chosen))
        repair = api.repair_(model, *example, **chosen, seed=wanted.seed)
        return Checked(reference, model, settings, repair.before, repair)
