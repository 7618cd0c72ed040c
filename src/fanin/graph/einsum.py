"""The fans of a weight in `torch.einsum`, read from the equation."""

from __future__ import annotations

from fanin.graph.fans import Axis, Fans, WeightUse, fans


def einsum_fans(equation: str, position: int, shape: tuple[int, ...]) -> Fans | None:
    """Fans of operand `position`: letters that it shares and that are summed are IN, those it alone gives are OUT.

    A letter that it shares and that stays (an expert, a head) counts independent weights.

    Example:
        >>> einsum_fans("bd,dhk->bhk", 1, (512, 8, 64))
        Fans(fan_in=512, fan_out=512)

    Returns:
        None where the operand is not contracted, or the equation names its axes by an ellipsis.
    """
    terms, arrow, result = equation.replace(" ", "").partition("->")
    operands = terms.split(",")
    own, others = operands[position], "".join(operands[:position] + operands[position + 1 :])
    if not arrow:
        result = "".join(letter for letter in set(terms) - {","} if terms.count(letter) == 1)
    if "." in own or len(set(own)) != len(own):
        return None
    kept = [(_axis(letter in others, letter in result), n) for letter, n in zip(own, shape, strict=True)]
    counted = [(axis, n) for axis, n in kept if axis]
    axes = tuple(axis for axis, _ in counted)
    return fans(tuple(n for _, n in counted), WeightUse(axes)) if Axis.IN in axes else None


def _axis(shared: bool, stays: bool) -> Axis | None:
    if shared:
        return None if stays else Axis.IN
    return Axis.OUT
