"""What is kept of a tensor once it was looked at: one look tells all that is to be known of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch

from fanin.frameworks.torch.measuring.alikeness import Alikeness, alikeness, counted
from fanin.frameworks.torch.measuring.later import Later
from fanin.frameworks.torch.measuring.moments import Sums, near_bounds, sums
from fanin.frameworks.torch.measuring.rows import DIGEST, Rows, count_of, rows
from fanin.frameworks.torch.measuring.sampled import Sample, Samples, as_shown
from fanin.frameworks.torch.measuring.together import Together, as_it_lies, by_dtype, plain, waits
from fanin.signals import Detail, Moments
from fanin.signals.axes import Axes

T = TypeVar("T")


@dataclass(slots=True)
class Look:
    """What is kept of one tensor; None of what was not looked for.

    Attributes:
        sums: what its moments are made of.
        sample: how its values are spread.
        alikeness: how alike its positions and its samples are.
        rows: whether its rows are equal.
    """

    sums: Sums
    sample: Sample | None = None
    alikeness: Alikeness | None = None
    rows: Rows | None = None

    def waiting(self) -> list[Later]:
        """What `read` must have read before anything is asked for."""
        return [one for one in (self.sums, self.alikeness, self.rows) if one is not None]

    def moments(self, saturated: bool = True) -> Moments:
        """See `Sums.moments`; with what is known of pairs."""
        if self.alikeness is None:
            return self.sums.moments(saturated)
        return self.sums.moments(saturated, self.alikeness.of_pairs(self.sums.second_moment))

    def detail(self) -> Detail | None:
        """None where its spread was not looked for."""
        if self.sample is None or self.sample.spread is None:
            return None
        (largest, _), spread = self.sums.sizes, self.sample.spread
        units = counted(self.alikeness.axes).units if self.alikeness else 0
        return Detail(
            largest if math.isfinite(largest) else spread.largest,
            spread.smallest,
            spread.magnitudes,
            spread.histogram,
            units or None,
            self.alikeness.dead if self.alikeness and units else None,
        )


def said(looks: Mapping[str, Look], say: Callable[[Look], T]) -> dict[str, T]:
    """By name; of a look that several have in common it is said once."""
    each = {id(look): look for look in looks.values()}
    once = {key: say(look) for key, look in each.items()}
    return {name: once[id(look)] for name, look in looks.items()}


class Looks:
    """Looks at tensors: at large ones at once, at small ones of a CPU when many of them wait, or at `settle`."""

    def __init__(self) -> None:
        self._small: Together[Look] = Together(_look)
        self._samples = Samples()

    def at(
        self,
        x: torch.Tensor,
        bounds: tuple[float, float] | None = None,
        *,
        closely: bool = False,
        axes: Axes | None = None,
    ) -> Look:
        """At a value or a gradient.

        Args:
            bounds: of the activation that made it, see `sums`.
            closely: also how it is spread.
            axes: what its axes count, to see how alike its positions and samples are.
        """
        if not waits(x):
            alike = None if axes is None or not x.numel() else alikeness(x, axes)
            return Look(sums(x, bounds), self._samples.of(x) if closely and _has_sizes(x) else None, alike)
        if not x.is_contiguous():  # of most transposed tensors the order in which they lie is a view
            x, order = x.detach(), as_it_lies(x)
            x, axes = x.permute(order), axes and tuple([axes[i] for i in order])
        seen = Sums((), x.numel(), near_bounds(bounds))
        alike = None if axes is None else Alikeness((), axes)
        return self._small.add(plain(x), Look(seen, Sample() if closely else None, alike))

    def at_rows(self, x: torch.Tensor, *, closely: bool = False) -> Look:
        """At a parameter or its gradient, which somebody keeps."""
        if not waits(x):
            return Look(sums(x), self._samples.of(x) if closely and _has_sizes(x) else None, None, rows(x))
        seen = Look(Sums((), x.numel()), Sample() if closely else None, None, Rows((), count_of(x)))
        whole = plain(x)
        return self._small.add(whole, seen, lasts=whole is x)

    def settle(self) -> None:
        """Look at what still waits for more of its kind."""
        self._small.settle()
        self._samples.settle()


def _has_sizes(x: torch.Tensor) -> bool:
    return x.is_floating_point() and x.numel() > 0


def _look(tensors: Sequence[torch.Tensor], looks: Sequence[Look]) -> None:
    from fanin.frameworks.compiled.looked import Wanted, look_at_each

    for arrays, some in by_dtype(tensors, looks):
        seen = look_at_each(arrays, [Wanted(*_columns(one)) for one in some], DIGEST)
        for one, numbers in zip(some, seen.sums, strict=True):
            one.sums.numbers = numbers
            if one.sample:
                one.sample.spread = as_shown(*next(seen.spreads))
            if one.alikeness:
                one.alikeness.numbers = next(seen.alike)
            if one.rows:
                same, distinct, digest = next(seen.rows)
                one.rows.numbers, one.rows.distinct = (float(same),), bool(distinct)
                one.rows.digest = digest if one.sample else None


def _columns(look: Look) -> tuple[tuple[float, float] | None, bool, Axes | None, int | None]:
    """What is to be known, in the order of `Wanted`."""
    axes = look.alikeness.axes if look.alikeness else None
    return look.sums.near, look.sample is not None, axes, look.rows.count if look.rows else None
