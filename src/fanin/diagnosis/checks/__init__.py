"""One finding a file, with its remedy. The file's docstring is the page that `fanin explain CODE` prints."""

from typing import Final

from fanin.diagnosis.check import Check
from fanin.diagnosis.checks import (
    exploding,
    first_loss,
    first_step,
    gradient_range,
    hot_logits,
    input_scale,
    non_finite,
    saturated,
    symmetric,
    value_range,
    vanishing,
)
from fanin.errors import UnknownName

CHECKS: Final[dict[str, Check]] = {
    check.code: check
    for check in (
        non_finite.CHECK,
        symmetric.CHECK,
        saturated.CHECK,
        vanishing.FORWARD,
        exploding.FORWARD,
        vanishing.BACKWARD,
        exploding.BACKWARD,
        first_loss.CHECK,
        hot_logits.CHECK,
        value_range.CHECK,
        gradient_range.CHECK,
        input_scale.CHECK,
        first_step.CHECK,
    )
}


def check_named(code: str) -> Check:
    """The check of a code, or of a name such as "vanishing gradients".

    Raises:
        UnknownName: no such check; the message names the nearest.
    """
    known = {c.code.lower(): c for c in CHECKS.values()} | {c.name: c for c in CHECKS.values()}
    if code.lower() not in known:
        raise UnknownName("check", code, [*CHECKS, *(c.name for c in CHECKS.values())])
    return known[code.lower()]
