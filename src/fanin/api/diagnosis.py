"""What is wrong with a model, and what to do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from fanin.diagnosis import Diagnosis, Evidence, Selection
from fanin.diagnosis import diagnose as judge
from fanin.errors import FaninError
from fanin.frameworks import adapter_of


def diagnose(
    model: Any,
    *example: Any,
    loss: Callable[[Any], Any] | None = None,
    select: Sequence[str] = (),
    ignore: Sequence[str] = (),
) -> Diagnosis:
    """What is wrong with the model as it is initialized now, where, why, and what to do.

    `print` shows the findings, `to_html("report.html")` writes the whole report, a notebook shows both and plots.

    Args and Raises: as for `measure`.

    Example:
        >>> import fanin, torch
        >>> layers = [m for _ in range(30) for m in (torch.nn.Linear(64, 64), torch.nn.ReLU())]
        >>> net = torch.nn.Sequential(*layers)
        >>> fanin.diagnose(net, torch.randn(32, 64)).summary
        'vanishing gradients'
        >>> _ = fanin.initialize_(net, torch.zeros(1, 64), seed=0)
        >>> fanin.diagnose(net, torch.randn(32, 64)).summary
        'healthy'
    """
    return replace(judge(gather(model, *example, loss=loss), Selection(tuple(select), tuple(ignore))), page=page)


def page(diagnosis: Diagnosis) -> str:
    """The report of a diagnosis as one HTML file; `Diagnosis.to_html` writes it."""
    from importlib.metadata import version

    from fanin.reports import to_html
    from fanin.reports.check_page import check_page

    return to_html(check_page(diagnosis, None, {}, f"fanin {version('fanin')}"))


def gather(model: Any, *example: Any, loss: Callable[[Any], Any] | None = None) -> Evidence:
    """All that the checks look at."""
    adapter = adapter_of(model)
    traced = adapter.trace(model, *example)
    try:
        predicted = adapter.predict(traced, model, example, None, loss)
    except FaninError:  # what is wrong with the call is said by the pass itself
        predicted = None
    measured = adapter.observe(traced, model, example, loss, predicted.axes if predicted else {})
    return Evidence(traced.graph, measured, predicted, adapter.seen(model, traced.graph))
