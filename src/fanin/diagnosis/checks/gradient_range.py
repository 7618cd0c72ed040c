"""Gradients in float16 are so small that part of them is 0.

## What it does
Looks at the gradient of each layer that is computed in float16, where a loss is given: reported if most of its values
that are not 0 are subnormal, below 2⁻¹⁴, or if all of them are 0 though what comes back from the layer behind is not.

## Why it is bad
Float16 ends at 2⁻²⁴ = 6e-8: what is smaller is 0, and the weights whose gradient it was do not move. The gradient of a
mean over N samples and V classes is of the order of 1/(N V) before it meets a weight.

## Example
    loss = cross_entropy(model.half()(x), y)     # 8,192 positions, 50,000 classes: 1/(N V) = 2e-9

## Remedy
Multiply the loss by a constant before the backward pass and divide the gradients by it after: torch.amp.GradScaler. Or
use bfloat16, which has the range of float32. No start helps.

## Known exceptions
Models in float32 and bfloat16 are not judged. If your own loop scales the loss, give the scaled one:
`loss=lambda out: 65536 * …`.

## Source
Micikevicius et al. 2018, Mixed Precision Training, section 3.2.
"""

from __future__ import annotations

from typing import Final

from fanin.diagnosis.check import Check
from fanin.diagnosis.evidence import Evidence
from fanin.diagnosis.model import Finding, Severity
from fanin.signals import LayerSignal
from fanin.signals.detail import share_below
from fanin.signals.model import RANDOM_COTANGENT

SUBNORMAL: Final = -14
# Of a normal law with most values below 2^-14, one in 900 is below 2^-24; of gradients, whose logarithms spread over
# more than ten octaves (Micikevicius et al. 2018, figure 3), it is a good part.
MOST: Final = 0.5


def find(check: Check, evidence: Evidence) -> Finding | None:
    """The first layer, going backward."""
    if not evidence.measured or evidence.signals.loss_name == RANDOM_COTANGENT:
        return None
    comes_back = False
    for seen in reversed(evidence.layers):
        if seen.layer.node.dtype != "float16" or seen.gradient is None:
            comes_back = comes_back or (seen.gradient is not None and seen.gradient.second_moment > 0)
            continue
        detail = evidence.signals.gradient_details.get(seen.layer.node.name)
        below = share_below(detail, SUBNORMAL) if detail else 0.0
        gone = seen.gradient.zeros == 1 and comes_back and _forward_is_alive(seen)
        if below > MOST or gone:
            rms = seen.gradient.second_moment**0.5
            said = "all of it is 0" if gone else f"{below:.0%} of the values that are not 0 are below 2⁻¹⁴"
            return check.finding(
                evidence,
                Severity.WARNING,
                seen,
                what=f"the gradient in float16 has a root mean square of {rms:.2g}: {said}, and float16 ends at 2⁻²⁴",
                why=f"the loss, {evidence.signals.loss_name}, is differentiated as it is, without a scale",
                subnormal_share=below,
            )
        comes_back = comes_back or seen.gradient.second_moment > 0
    return None


def _forward_is_alive(seen: LayerSignal) -> bool:
    """Units that are all cut off send nothing back for another reason."""
    return seen.value.zeros < 1


CHECK = Check(
    code="N03",
    name="gradient underflow",
    summary="Gradients in float16 are so small that part of them is 0.",
    page=__doc__,
    find=find,
    advice="scale the loss (torch.amp.GradScaler), or use bfloat16",
    needs="a loss",
)
