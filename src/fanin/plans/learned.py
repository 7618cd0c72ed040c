"""A plan whose widths are found by gradient descent: one factor for each parameter that is drawn at random.

What to minimise is a frozen description, `GradInit` or `MetaInit`; a framework's adapter finds the factors. To add a
method: a dataclass, a line in `METHODS`, and its objective in the adapters.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, TypeAlias

from fanin.call import bind
from fanin.errors import BadInput, UnknownName
from fanin.graph import Role
from fanin.initializers import Structure
from fanin.initializers.base import is_finite_number
from fanin.initializers.scaled import can_be_scaled
from fanin.plans.model import Entry, Plan, writes
from fanin.plans.tuned import in_steps, wider

NORMS: Final = frozenset({Role.NORM_SCALE, Role.NORM_SHIFT})


@dataclass(frozen=True)
class GradInit:
    """The loss after one step, L(θ − η A(g)), as small as ‖g‖ ≤ γ allows: A(g) is g for SGD, sign g for Adam.

    While ‖g‖ exceeds γ, descent is on ‖g‖ instead: its 2-norm for SGD, its 1-norm for Adam, whose first steps promise a
    decrease of η‖g‖₂² and η‖g‖₁. Gradient and step are of the same batch, where the paper has the step judged by one of
    which half is new.

    Args:
        optimizer: "sgd" or "adam".
        step: η, the learning rate that the training will begin with.
        gamma: None promises a decrease of 0.1: √(0.1/η) for SGD, the paper's 1 at η = 0.1; 0.1/η for Adam.
        rate: by which Adam moves the logarithms of the factors at first; it falls linearly to 0.

    Raises:
        BadInput: another optimizer, or a number that is not positive.

    Example:
        >>> GradInit().bound, GradInit("adam", step=1e-3).bound
        (1.0, 100.0)

    Reference: Zhu et al. 2021, "GradInit", algorithm 1.
    """

    optimizer: str = "sgd"
    step: float = 0.1
    gamma: float | None = None
    rate: float = 0.1

    def __post_init__(self) -> None:
        if self.optimizer not in ("sgd", "adam"):
            raise UnknownName("optimizer", self.optimizer, ("sgd", "adam"))
        _require_positive(self, ("step", "rate") if self.gamma is None else ("step", "gamma", "rate"))

    @property
    def bound(self) -> float:
        """γ."""
        if self.gamma is not None:
            return self.gamma
        return math.sqrt(0.1 / self.step) if self.optimizer == "sgd" else 0.1 / self.step

    def rate_at(self, done: float) -> float:
        """When such a share of the steps is done."""
        return self.rate * (1 - done)

    @property
    def purpose(self) -> str:
        """For the reasons of a plan."""
        return f"the least loss after one step of {'SGD' if self.optimizer == 'sgd' else 'Adam'}, η = {self.step:g}"

    @property
    def source(self) -> str:
        """Where it is from."""
        return "Zhu et al. 2021, algorithm 1"


@dataclass(frozen=True)
class MetaInit:
    """The gradient quotient, mean r with r = |(g − H g)/(g + ε sign g) − 1|, as small as can be.

    H g is by how much the gradient g changes per unit of a step along it; the mean is over all elements of all
    trainable parameters, sign 0 counts as 1. Descent follows the sign of the slope, with momentum, on the logarithms of
    the weights' norms, where the paper has the norms themselves: they stay positive, and wide layers move as fast as
    narrow ones.

    Args:
        logarithms: minimise mean log(1 + r), in which the few elements whose gradient is nearly 0 do not outweigh all
            others. Of 18 descents (nine rectifier nets of four layers, one of them ten times too wide, at two rates)
            all found that layer so, and 16 by the paper's mean r.
        rate: by which the logarithms move in a step.
        momentum: of the descent.
        eps: ε.

    Raises:
        BadInput: a number that is not positive, or a momentum of 1 and more.

    Reference: Dauphin & Schoenholz 2019, "MetaInit", eq. 1 and algorithm 1.
    Not for: large models, since the slope of H g takes a third derivative.
    """

    logarithms: bool = True
    rate: float = 0.02
    momentum: float = 0.9
    eps: float = 1e-5

    def __post_init__(self) -> None:
        _require_positive(self, ("rate", "eps"))
        if not (is_finite_number(self.momentum) and 0 <= self.momentum < 1):
            raise BadInput(f"MetaInit: momentum must be at least 0 and less than 1; got {self.momentum!r}.")

    def rate_at(self, done: float) -> float:
        """The same in all steps: of a rough descent, the lowest place that was seen counts."""
        return self.rate

    @property
    def purpose(self) -> str:
        """For the reasons of a plan."""
        return "a gradient that a step hardly changes"

    @property
    def source(self) -> str:
        """Where it is from."""
        return "Dauphin & Schoenholz 2019, algorithm 1"


Method: TypeAlias = GradInit | MetaInit
METHODS: Final[Mapping[str, Callable[..., Method]]] = {"gradinit": GradInit, "metainit": MetaInit}


def method(how: str | Method) -> Method:
    """A method as given, or by its spelling, such as "gradinit(optimizer='adam', step=0.001)".

    Raises:
        UnknownName: no such method.
        BadInput: arguments that it does not take.
    """
    return bind("method", how, METHODS)() if isinstance(how, str) else how


def learned(plan: Plan, factors: Mapping[str, float], how: Method) -> Plan:
    """The plan with each of these parameters so many times as wide.

    Factors are rounded to steps of 2 %, as in `tuned`.
    """

    def entry(e: Entry) -> Entry:
        by = in_steps(factors.get(e.parameter.path, 1.0))
        return e if by == 1 else replace(wider(e, by, how.purpose), source=_joined(e.source, how.source))

    return replace(plan, entries=tuple(entry(e) for e in plan))


def free(plan: Plan, keep: Collection[str] = ()) -> tuple[str, ...]:
    """The parameters that may get a factor: drawn at random, by a law that has a width, and no part of a norm.

    Raises:
        BadInput: there is none.
    """
    found = tuple(e.parameter.path for e in plan if e.parameter.path not in keep and _is_free(e))
    if not found:
        raise BadInput(
            "There is nothing to calibrate: no parameter of the plan is drawn at random by a law that has a width, "
            "but for those kept. Start from a recipe such as 'he', or keep fewer."
        )
    return found


def _is_free(entry: Entry) -> bool:
    if not writes(entry) or entry.parameter.frozen or entry.parameter.role in NORMS:
        return False
    law = entry.initializer.law(entry.target)
    return law.structure is not Structure.FIXED and law.std > 0 and can_be_scaled(entry.initializer)


def _joined(*sources: str) -> str:
    return "; ".join(s for s in sources if s)


def _require_positive(what: Any, names: Collection[str]) -> None:
    for name in names:
        value = getattr(what, name)
        if not (is_finite_number(value) and value > 0):
            raise BadInput(f"{type(what).__name__}: {name} must be a finite number above 0; got {value!r}.")
