"""A parameter is to be trained, and has no influence on the loss.

## What it does
Lists parameters that require a gradient and get none: because nothing that runs reads them, or because what they make
does not reach the loss. Where a loss is given and it does depend on them, but no gradient comes back, that is a
warning; else a note.

## Why it is bad
A layer that `forward` forgets, an output that the loss ignores, or one `detach()` too many: all train as if they were
not there.
Optimizers still decay such weights, and data-parallel training waits for their gradients.

## Example
    features = encoder(x).detach()                       # the encoder is never trained

## Remedy
None that a start could give: call the layer, add its output to the loss, remove the `detach()`; or freeze or remove
what is not needed.

## Known exceptions
A gradient of exactly 0, as behind a branch or a head that starts at zero, is a gradient. Experts or branches that this
batch does not reach, auxiliary heads and mask tokens may be used with other data: a note.

## Source
PyTorch, `torch.nn.parallel.DistributedDataParallel`, `find_unused_parameters`.
"""

from __future__ import annotations

from fanin.diagnosis.check import Check
from fanin.diagnosis.evidence import Evidence
from fanin.diagnosis.model import Finding, Severity
from fanin.graph import Parameter


def _unused(evidence: Evidence) -> list[Parameter]:
    signals = evidence.signals.parameters
    return [
        p for p in evidence.graph.parameters if not p.frozen and p.path in signals and signals[p.path].gradient is None
    ]


def _cut_off(evidence: Evidence, unused: list[Parameter]) -> list[Parameter]:
    """Those on which something that is trained, or the loss, depends: their gradient is lost on the way.

    Known only for a loss of the user's: without one, what is stopped may have a loss of its own.
    """
    if not evidence.given_loss:
        return []
    gradients, paths = evidence.signals.gradients, evidence.paths
    arrived = sum(1 << paths.position[name] for name in gradients if name in paths.position)
    read = [p for p in unused if p.node is not None and p.node in paths.position]
    return [p for p in read if p.node and paths.after[p.node] & arrived]


def find(check: Check, evidence: Evidence) -> Finding | None:
    """The first that is cut off, or else the first that nobody reads."""
    unused = _unused(evidence) if evidence.measured and not evidence.graph.modules_only else []
    if not unused:
        return None
    cut = _cut_off(evidence, unused)
    first, share = (cut or unused)[0], len(unused) / max(len(evidence.graph.parameters), 1)
    if cut:
        why = (
            f"what is made of {first.path} reaches the loss, and its gradient is stopped on the way (detach, no_grad?)"
        )
    elif first.node is None:
        why = f"nothing that runs reads {first.path}"
    else:
        why = f"what is made of {first.path} does not reach the loss"
    return check.finding(
        evidence,
        Severity.WARNING if cut else Severity.NOTE,
        first,
        what=f"{len(unused)} of {len(evidence.graph.parameters)} parameters are to be trained and get no gradient",
        why=why,
        also=[p.path for p in (*cut, *unused)],
        unused=len(unused),
        cut_off=len(cut),
        unused_share=share,
    )


CHECK = Check(
    code="P01",
    name="unused parameters",
    summary="A parameter is to be trained, and has no influence on the loss.",
    page=__doc__,
    find=find,
    needs="a measurement",
    advice="change the architecture: use the parameter in what the loss depends on, or freeze or remove it",
)
