"""The loss of the first batch is far from what a model that says nothing would pay.

## What it does
Compares the loss with that of outputs that are all 0, on the same targets: ln V for a cross-entropy over V classes,
ln 2 for a choice between two, E y² for a squared error. A cross-entropy that is above by more than one nat and a
quarter of ln V, beyond what the number of samples leaves to luck, is noted; one that is above by five nats and by ln V
is warned of, and so is another loss that is several times chance. A first loss clearly below chance is noted, too.

## Why it is bad
Before it has learned anything a model can do no better than chance. What it pays above that, it pays for confident
answers that are wrong; the first hundreds of steps only take them back, with gradients that tell the layers behind
nothing else. A curve that falls steeply at once and then bends is the sign of it.

## Example
    torch.nn.init.normal_(model.head.weight)     # std 1 at fan_in 512: logits of variance 512, a loss of about 60

## Remedy
Make the last weight smaller, so that the logits have a variance of about ¼: the loss starts ⅛ nat above chance. If the
inputs are not normalised (D01), or the signal grows on its way (F02), mend that first.

## Known exceptions
A model with trained weights starts below chance, as it should. Below chance without training, the answer is in the
inputs: labels that are not shifted, a mask that lets a position see what follows it. A loss whose value at 0 is 0 or
infinite has no chance to be held against, and is not judged.

## Source
Karpathy 2019, A Recipe for Training Neural Networks, "verify loss @ init". E loss ≈ ln V + σ²/2 for Gaussian logits of
variance σ² over many classes.
"""

from __future__ import annotations

import math
from typing import Final

from fanin.diagnosis.check import Check
from fanin.diagnosis.evidence import Evidence
from fanin.diagnosis.logits import place_of_logits, why_of_logits, with_smaller_readout
from fanin.diagnosis.model import Finding, Severity
from fanin.plans import Plan
from fanin.plans.tuned import LOGITS
from fanin.signals.circumstances import Chance

# Logits of unit variance, as a readout of Var(w) = 1/fan_in gives, cost half a nat. With 0.02 for all weights a width
# of 8192 costs 1.6 of the 10.4 nats of 32,000 tokens, and such models are trained.
NATS: Final = 1.0
SHARE: Final = 0.25  # of ln V
# He's law in every layer of a plain net, the last one too, costs one nat on average and up to five in one draw of
# twenty layers, and such nets are trained, too. Beyond, most of the first steps take back what was drawn.
MANY_NATS: Final = 5.0
HALF: Final = 0.5  # of ln V, below chance
LUCK: Final = 3.0  # standard deviations of a mean over so many samples; the loss of each has about that of its logits
# A squared error: 1 + E f²/E y². One output is one draw of the last weight, and f² as χ² of one degree of freedom: ten
# times its mean in 1 of 600 draws. Of many outputs the mean is near what it should be.
MANY: Final = 2.0
ONE: Final = 8.0


def find(check: Check, evidence: Evidence) -> Finding | None:
    """Above, or for classes clearly below."""
    chance = evidence.chance
    if chance is None or not evidence.measured or not math.isfinite(chance.first) or not chance.loss > 0:
        return None
    above = excess(evidence)
    if above is None or abs(above) < NOTICED:
        return None
    what = f"the first loss is {chance.first:.4g}, where chance is {chance.loss:.4g} ({chance.how})"
    if above < 0:
        return check.finding(
            evidence,
            Severity.NOTE,
            None,
            what=f"{what}: below chance",
            why="the weights are trained, or the inputs hold the answer",
            advice="if the weights are not trained, look for labels among the inputs: targets that are not shifted, or "
            "a mask that shows what is to be said",
            first_loss=chance.first,
            chance=chance.loss,
        )
    return check.finding(
        evidence,
        Severity.WARNING if above > WARNED else Severity.NOTE,
        place_of_logits(evidence),
        what=what,
        why=why_of_logits(evidence),
        first_loss=chance.first,
        chance=chance.loss,
    )


NOTICED: Final = 1.0
WARNED: Final = 2.0


def excess(evidence: Evidence) -> float | None:
    """How far the loss is above chance: 1 … 2 where it is to be noted, more where it is to be warned of; below, < 0."""
    chance = evidence.chance
    if chance is None or not chance.loss > 0 or math.isnan(chance.first):
        return None
    relative = (chance.first - chance.loss) / chance.loss
    if chance.classes is None or chance.classes < 2:
        return WARNED * max(relative, 0.0) / (MANY + ONE / _outputs(evidence))
    nats = math.log(chance.classes)
    luck = LUCK * math.sqrt((chance.spread or 0.0) / _rows(evidence, chance))
    above = relative * nats
    if above < 0:
        # Answers drawn at random are worse than chance by half their variance. Of few classes that lie apart, one draw
        # of the weights may guess most: a third of chance was seen on three kinds of iris.
        return above / (HALF * nats) if (chance.spread or 0.0) / 2 - above > luck else 0.0
    noticed, warned = (max(NATS, SHARE * nats) + luck, max(MANY_NATS, nats) + luck)
    return above / noticed if above < noticed else max(WARNED * above / warned, NOTICED)


def _outputs(evidence: Evidence) -> int:
    node = evidence.graph.by_name.get(evidence.chance.name if evidence.chance else "")
    return math.prod(node.shape[1:]) if node else 1


def _rows(evidence: Evidence, chance: Chance) -> int:
    """How many answers the loss is a mean of."""
    node = evidence.graph.by_name.get(chance.name)
    if node is None or not chance.classes:
        return 1
    return max(math.prod(node.shape) // (chance.classes if chance.classes in node.shape else 1), 1)


def remedy(plan: Plan, evidence: Evidence, finding: Finding) -> Plan:
    """Logits of variance ¼, or outputs of ¼ of what the targets have."""
    chance = evidence.chance
    if chance is None or chance.first < chance.loss:
        return plan
    by = chance.loss / (chance.first - chance.loss) if chance.spread is None else 1 / chance.spread
    return with_smaller_readout(plan, evidence, math.sqrt(LOGITS * by))


CHECK = Check(
    code="L01",
    name="first loss far from chance",
    summary="The loss of the first batch is far from what a model that says nothing would pay.",
    page=__doc__,
    find=find,
    remedy=remedy,
    advice="make what makes most of the logits smaller, so that they have a variance of about ¼ (recipe auto)",
    needs="a loss",
    worse="larger",
)
