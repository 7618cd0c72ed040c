"""Going back through the layers, the gradient shrinks or grows out of all proportion.

## What it does
Holds ‖δ‖², the squared norm of the loss's gradient at each layer's output, against that of the last layer, as
`fanin.diagnose` does before training (B01, B02): reported where it leaves a factor of 10⁴ and does not come back.

## Why it is bad
The first layers hardly move, or move all the time, while the last ones learn.

## Remedy
Another start, if it is so from the first step: `fanin.diagnose` and `fanin.repair_`. If it came up later, look at what
else began then: saturated or dead units take gradients away, weights that grew make them grow.

## Known exceptions
Layers and branches that start at zero on purpose send back exact zeros: not reported.

## Source
Hochreiter 1991; Bengio, Simard & Frasconi 1994; Glorot & Bengio 2010.
"""

from __future__ import annotations

import math
from itertools import takewhile

from fanin.diagnosis import Finding
from fanin.diagnosis.checks.trend import HOPELESS, NOTICEABLE
from fanin.diagnosis.model import Severity
from fanin.monitor.account import Record, gradient_over_depth
from fanin.monitor.alarm import Alarm, History


def _beyond(record: Record, grows: bool) -> list[tuple[str, float]]:
    """(path, ‖δ‖² over that of the last layer) of the layers out of range, from the first of the model on."""
    sizes = [(path, q) for path, q in gradient_over_depth(record.signals) if q > 0 and math.isfinite(q)]
    if len(sizes) < 2:
        return []
    last = sizes[-1][1]
    ratios = [(path, q / last) for path, q in sizes]
    return list(takewhile(lambda pair: pair[1] > NOTICEABLE if grows else pair[1] < 1 / NOTICEABLE, ratios))


def per_layer(record: Record) -> float | None:
    """The factor χ by which ‖δ‖² changes from a layer to the one before it: the geometric mean over all."""
    sizes = [q for _, q in gradient_over_depth(record.signals) if q > 0 and math.isfinite(q)]
    return (sizes[0] / sizes[-1]) ** (1 / (len(sizes) - 1)) if len(sizes) > 1 else None


def _named(paths: list[str]) -> str:
    """All that go together, from the first of the model to the last."""
    return paths[0] if len(paths) == 1 else f"{paths[0]} … {paths[-1]}"


def _alarm(code: str, name: str, *, grows: bool) -> Alarm:
    verb = "grows" if grows else "shrinks"

    def find(alarm: Alarm, history: History) -> Finding | None:
        record = history.record
        if record is None or not (beyond := _beyond(record, grows)):
            return None
        path, ratio = (max if grows else min)(beyond, key=lambda pair: pair[1])
        since = history.first is not None and bool(_beyond(history.first, grows))
        now, start = per_layer(record), per_layer(history.first) if history.first else None
        was = f"×{start:.2g} a layer at step {history.first.step}" if start and history.first else "not seen"
        depth = len(gradient_over_depth(record.signals))
        return alarm.finding(
            Severity.ERROR if abs(math.log(ratio)) > math.log(HOPELESS) else Severity.WARNING,
            f"going back, ‖δ‖² {verb} by ×{now or 1:.2g} a layer, and at {path} is {ratio:.2g} of that at the last "
            f"layer; {len(beyond)} of {depth} layers are out of range: {_named([module for module, _ in beyond])}",
            f"the start has it already: {was}, where 1 keeps a gradient" if since else f"it came up in training: {was}",
            module=beyond[-1][0],
            also=[module for module, _ in beyond],
            remedy="" if since else "a smaller learning rate, or weight decay; look at what began before this",
            start_helps=since,
            total_ratio=ratio,
            ratio_per_layer=math.nan if now is None else now,
            layers_beyond=len(beyond),
        )

    start = "another start: fanin.repair_(model, x, loss=loss), or fanin.initialize_(model, x)"
    return Alarm(code, name, f"Going back through the layers, the gradient {verb}.", __doc__, find, start)


VANISHING = _alarm("B01", "vanishing gradients", grows=False)
EXPLODING = _alarm("B02", "exploding gradients", grows=True)
