"""A model's start in a test of its own: nothing that `fanin.diagnose` finds wrong."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

from fanin.api import diagnose
from fanin.diagnosis import Severity


def assert_healthy(
    model: Any,
    *example: Any,
    loss: Callable[..., Any] | None = None,
    select: str | Sequence[str] = (),
    ignore: str | Sequence[str] = (),
    fail_on: Literal["error", "warning"] = "warning",
    **given: Any,
) -> None:
    """The checks of `fanin.diagnose` find nothing in the model as it is initialized now.

    Args:
        example, loss, select, ignore: as for `fanin.diagnose`.
        fail_on: "error" lets warnings pass; notes always do.
        given: whatever else `fanin.diagnose` is given.

    Raises:
        AssertionError: something was found; the message is the printed diagnosis.
        All that `fanin.diagnose` raises, where the call is at fault and not the model.

    Example:
        >>> import torch
        >>> def test_the_model_starts_well():
        ...     net = torch.nn.Sequential(torch.nn.Linear(64, 64), torch.nn.ReLU(), torch.nn.Linear(64, 10))
        ...     assert_healthy(net, torch.randn(32, 64))
        >>> test_the_model_starts_well()
    """
    __tracebackhide__ = True  # of pytest: the line to show is the caller's
    found = diagnose(model, *example, loss=loss, select=select, ignore=ignore, **given)
    wrong = {Severity.ERROR} if fail_on == "error" else {Severity.ERROR, Severity.WARNING}
    if any(finding.severity in wrong for finding in found):
        raise AssertionError(str(found))
