"""One finding a file, with its remedy. The file's docstring is the page that `fanin explain CODE` prints."""

from typing import Final

from fanin.diagnosis.check import Check
from fanin.diagnosis.checks import (
    collapsed_attention,
    dead,
    dominated,
    exploding,
    fan_mistaken,
    first_loss,
    first_step,
    frozen,
    gradient_range,
    growing_stream,
    hot_logits,
    identical,
    indistinguishable,
    input_scale,
    non_finite,
    rank_collapse,
    saturated,
    sensitive,
    starved_norm,
    symmetric,
    truncation,
    uninitialized,
    unused,
    value_range,
    vanishing,
    wrong_law,
)
from fanin.errors import UnknownName

CHECKS: Final[dict[str, Check]] = {
    check.code: check
    for check in (
        non_finite.CHECK,
        uninitialized.CHECK,
        symmetric.CHECK,
        saturated.CHECK,
        dead.CHECK,
        identical.CHECK,
        vanishing.FORWARD,
        exploding.FORWARD,
        rank_collapse.CHECK,
        indistinguishable.CHECK,
        growing_stream.CHECK,
        dominated.CHECK,
        starved_norm.CHECK,
        sensitive.CHECK,
        collapsed_attention.CHECK,
        vanishing.BACKWARD,
        exploding.BACKWARD,
        first_loss.CHECK,
        hot_logits.CHECK,
        wrong_law.CHECK,
        truncation.CHECK,
        fan_mistaken.CHECK,
        value_range.CHECK,
        gradient_range.CHECK,
        input_scale.CHECK,
        first_step.CHECK,
        unused.CHECK,
        frozen.CHECK,
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
