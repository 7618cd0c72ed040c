"""Where stacks of repeated blocks lead: what grows from block to block, and how alike samples and positions become."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from fanin.reports.page import Block as PageBlock
from fanin.reports.page import LinePlot, Section, Series, Text
from fanin.signals import Block, Stack


def stack_section(stacks: Sequence[Stack]) -> Section | None:
    """A sentence and two plots for each; None where no blocks repeat."""
    if not stacks:
        return None
    blocks = [block for stack in stacks for block in _of_stack(stack)]
    lead = "Predicted maps from block to block: q → q', c → c', and χ for gradients (Schoenholz et al. 2017)."
    return Section("Blocks that repeat", blocks, lead)


def _of_stack(stack: Stack) -> list[PageBlock]:
    name = stack.path or "the model"
    moments = (("E[x²]", lambda b: b.second), ("E[(∂loss/∂x)²]", lambda b: b.gradient))
    alike = (("two samples", lambda b: b.samples), ("two positions", lambda b: b.positions))
    return [
        Text(stack.summary),
        LinePlot(f"Growth over {name}", "block", "second moment", _series(stack, moments), log_y=True, x_integer=True),
        LinePlot(f"How alike over {name}", "block", "E[x x']/E[x²]", _series(stack, alike), x_integer=True),
    ]


def _series(stack: Stack, lines: Sequence[tuple[str, Callable[[Block], float | None]]]) -> list[Series]:
    places = list(range(1, len(stack.blocks) + 1))
    drawn = [Series(name, places, [of(block) for block in stack.blocks]) for name, of in lines]
    return [series for series in drawn if any(y is not None for y in series.y)]
