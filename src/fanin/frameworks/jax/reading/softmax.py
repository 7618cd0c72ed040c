"""Softmax and its logarithm, which JAX writes out."""

from __future__ import annotations

from collections.abc import Sequence

from fanin.frameworks.jax.reading.drafts import Draft, Signal, Value
from fanin.frameworks.jax.reading.program import Step
from fanin.frameworks.jax.reading.read import Reading
from fanin.graph import Ref


def softmax(reading: Reading, step: Step, values: Sequence[Value]) -> bool:
    """Exp over its own sum is a softmax, which JAX writes out."""
    a, b = values
    draft = reading.drafts.get(a.view.source) if isinstance(a, Signal) else None
    if draft is None or not isinstance(a, Signal):
        return False
    total = reading.drafts.get(b.view.source) if isinstance(b, Signal) else None
    if draft.op == "exp" and total and total.op == "sum" and total.arguments["self"].name == draft.name:
        scores = _less_the_largest(reading, draft)
        (dim,) = total.arguments["dim"] if len(total.arguments["dim"]) == 1 else (None,)
        if scores is not None and dim is not None:
            name = reading.node("softmax", {"self": scores, "dim": dim}, draft.shape, step.outs[0], source=draft.source)
            reading.env[step.outs[0]] = Signal(a.view.of(name))
            return True
    return False


def log_softmax(reading: Reading, step: Step, values: Sequence[Value]) -> bool:
    """X − log Σ eˣ."""
    a, b = values
    if not (isinstance(a, Signal) and isinstance(b, Signal)):
        return False
    log = reading.drafts.get(b.view.source)
    total = reading.drafts.get(log.arguments["self"].name) if log and log.op == "log" else None
    exp = reading.drafts.get(total.arguments["self"].name) if total and total.op == "sum" else None
    if exp is None or total is None or exp.op != "exp" or exp.arguments["self"].name != a.view.source:
        return False
    scores = _less_the_largest(reading, exp)
    if scores is None or len(total.arguments["dim"]) != 1:
        return False
    arguments = {"self": scores, "dim": total.arguments["dim"][0]}
    name = reading.node("log_softmax", arguments, exp.shape, step.outs[0], source=exp.source)
    reading.env[step.outs[0]] = Signal(a.view.of(name))
    return True


def _less_the_largest(reading: Reading, exp: Draft) -> Ref | None:
    """What the softmax is of: its largest is subtracted first, which changes nothing."""
    exponent: Ref = exp.arguments["self"]
    inner = reading.drafts.get(exponent.name)
    if inner is None:
        return exponent
    if inner.op == "sub" and isinstance(inner.arguments["other"], Ref):
        pending, seen = [inner.arguments["other"].name], 0
        while pending and seen < 8:
            seen += 1
            draft = reading.drafts.get(pending.pop())
            if draft is None:
                return None
            if draft.op == "amax":
                scores: Ref = inner.arguments["self"]
                return scores
            pending.extend(a.name for a in draft.arguments.values() if isinstance(a, Ref))
        return None
    return exponent
