"""Every error that fanin raises on purpose.

    FaninError
    ├── BadInput (ValueError)        what the caller gave cannot be used; the message says what to give instead
    │   ├── UnknownName              no recipe, check, initializer or activation of that name; names the nearest
    │   ├── ShapeMismatch            the example does not fit the model; names the layer, expected and got
    │   └── NoParameters             the model has nothing to initialize
    ├── CannotTrace                  the model's graph could not be recorded; names the line that prevented it
    ├── UncoveredParameters          a plan leaves parameters without an initializer; lists all of them
    ├── CannotWrite                  a tensor cannot be filled; nothing was changed
    ├── StillUninitialized           nobody gives a tensor of a meta-device model its value; lists all of them
    └── MissingExtra (ImportError)   an optional dependency is not installed; names the command that installs it

A message says what, where, expected, got, and what to do. The command line prints it and exits with 2.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping


class FaninError(Exception):
    """Base of all errors raised on purpose; they survive the way back from a worker process."""

    def __reduce__(self) -> tuple[object, ...]:
        return _restored, (type(self), self.args, self.__dict__)


def _restored(kind: type[FaninError], arguments: tuple[object, ...], attributes: dict[str, object]) -> FaninError:
    """Without the constructor, whose arguments are not those of the message."""
    error = kind.__new__(kind)
    error.args = arguments
    error.__dict__.update(attributes)
    return error


class BadInput(FaninError, ValueError):
    """What the caller gave cannot be used."""


class UnknownName(BadInput):
    """A name that is not in the table it was looked up in."""

    def __init__(self, kind: str, name: object, known: Iterable[str]) -> None:
        names = sorted(known)
        nearest = difflib.get_close_matches(str(name).lower(), [n.lower() for n in names], n=1, cutoff=0.5)
        original = {n.lower(): n for n in names}
        hint = f"Did you mean {original[nearest[0]]!r}? " if nearest else ""
        shown = ", ".join(names[:50]) + (", …" if len(names) > 50 else "")
        super().__init__(f"There is no {kind} {name!r}. {hint}Known: {shown}.")


class ShapeMismatch(BadInput):
    """The example does not fit the model."""


class NoParameters(BadInput):
    """The model has nothing to initialize."""


class CannotTrace(FaninError):
    """The model's graph could not be recorded."""


class UncoveredParameters(FaninError):
    """A plan leaves parameters without an initializer."""

    def __init__(self, missing: Iterable[str], hint: str = "") -> None:
        self.missing = tuple(missing)
        shown = ", ".join(self.missing[:50]) + (", …" if len(self.missing) > 50 else "")
        super().__init__(
            f"{len(self.missing)} parameter(s) have no initializer: {shown}. {hint}"
            "Give each one in overrides={'path.or.glob': initializer}, or fanin.Keep() to leave it as it is; "
            "on the command line, --override 'path.or.glob=keep'."
        )


class CannotWrite(FaninError):
    """A tensor cannot be filled; nothing was changed."""


class StillUninitialized(FaninError):
    """Parameters or buffers of a model on the meta device have memory and no value; nothing was changed."""

    def __init__(self, missing: Mapping[str, str]) -> None:
        self.missing = tuple(missing)
        lines = [f"{what}: {why}" if why else what for what, why in missing.items()]
        shown = "; ".join(lines[:50]) + ("; …" if len(lines) > 50 else "")
        super().__init__(
            f"{len(lines)} tensor(s) have no value: {shown}. "
            "Build the model under `with fanin.on_meta() as recorded:` and pass recorded=recorded; or give values in "
            "buffers={'path.or.glob': tensor, number or function of the module}; or define reset_buffers() on the "
            "module; for a parameter that the plan keeps, an initializer in its overrides. "
            "The model is on the meta device as it was."
        )


class MissingExtra(FaninError, ImportError):
    """An optional dependency is not installed."""

    def __init__(self, package: str, extra: str, purpose: str) -> None:
        super().__init__(f"{purpose} needs {package}, which is not installed. Install it: pip install 'fanin[{extra}]'")
