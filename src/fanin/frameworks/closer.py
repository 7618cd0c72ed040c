"""A closer look at one pass whose tensors are arrays, NumPy's or JAX's: spread, dead units, alikeness, logits.

What PyTorch's adapter sees on its tensors (`torch/measuring/closer.py`) is seen here by functions that both array
libraries have, so that they run on the host, or inside `jax.jit`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import numpy as np

from fanin.frameworks.held import Array
from fanin.graph import Node
from fanin.signals import Detail, Histogram
from fanin.signals.axes import Axes, Kind, count, shape_of
from fanin.signals.detail import BINS, OCTAVES, SAMPLE

_KINDS: Final = (Kind.POSITION, Kind.SAMPLE)


class Look(NamedTuple):
    """How to look at one node's value.

    Attributes:
        axes: what its axes count; None where that is not known.
        classes: the axis that counts classes, of logits.
    """

    axes: Axes | None = None
    classes: int | None = None

    @property
    def units(self) -> int:
        """How many features it has; 0 where that is not known."""
        return count(self.axes, Kind.FEATURE) if self.axes else 0


class Looked(NamedTuple):
    """What was seen, in numbers and one small array.

    Attributes:
        largest: max |x|; NaN where there is one.
        sample: some of the elements.
        dead: share of the units that are 0 throughout; None where it is not known what counts them.
        spread: the variance over classes, averaged over all else; None of what is no logits.
        of_means, together: E over samples of (mean over positions)², and the square of the mean over both; None
            likewise.
    """

    largest: Any
    sample: Any
    dead: Any = None
    spread: Any = None
    of_means: Any = None
    together: Any = None


def look_of(node: Node, axes: Mapping[str, Axes], classes: Mapping[str, int]) -> Look:
    """For a node, by what a prediction knows of its axes; they are left out where the shape is another."""
    known = axes.get(node.name)
    return Look(known if known is not None and shape_of(known) == node.shape else None, classes.get(node.name))


def looked_at(xp: Any, x: Any, look: Look) -> Looked:
    """At an array of real numbers that has elements, by the functions of `xp`: `numpy` or `jax.numpy`."""
    flat = x.reshape(-1)
    largest = xp.abs(flat).max()
    sample = flat[:: max(1, flat.shape[0] // SAMPLE)][:SAMPLE]
    spread = None if look.classes is None else xp.var(x, axis=look.classes).mean()
    if look.axes is None or not look.units:
        return Looked(largest, sample, spread=spread)
    factors = [factor for axis in look.axes for factor in axis]
    cube = x.reshape([size for _, size in factors])
    by_kind = {kind: tuple(i for i, (k, _) in enumerate(factors) if k is kind) for kind in _KINDS}
    over = (*by_kind[Kind.POSITION], *by_kind[Kind.SAMPLE])
    dead = (xp.abs(cube).max(axis=over) == 0).mean() if over else (cube == 0).mean()
    means = cube.mean(axis=by_kind[Kind.POSITION], keepdims=True)
    together = (means.mean(axis=by_kind[Kind.SAMPLE], keepdims=True) ** 2).mean()
    return Looked(largest, sample, dead, spread, (means**2).mean(), together)


def alikeness(looked: Looked, axes: Axes, second: float) -> tuple[float | None, float | None]:
    """E x x' over two positions of a sample, and over two samples, as predictions define them; `second` is E x²."""
    if looked.of_means is None:
        return None, None
    of_means, together = float(looked.of_means), float(looked.together)
    positions, samples = (count(axes, kind) for kind in _KINDS)
    return (
        (positions * of_means - second) / (positions - 1) if positions > 1 else None,
        (samples * together - of_means) / (samples - 1) if samples > 1 else None,
    )


def detail_of(looked: Looked, units: int) -> Detail:
    """As a report shows it."""
    some = np.asarray(looked.sample, np.float64)
    finite = some[np.isfinite(some)]
    sizes = np.abs(finite[finite != 0])
    largest = float(looked.largest)
    if not math.isfinite(largest):
        largest = float(np.abs(finite).max()) if finite.size else math.inf
    return Detail(
        largest,
        float(sizes.min()) if sizes.size else math.inf,
        magnitudes(sizes),
        histogram(finite),
        units or None,
        None if looked.dead is None else float(looked.dead),
        None if looked.spread is None else float(looked.spread),
    )


def details(arrays: Mapping[str, Array], looks: Mapping[str, Look]) -> dict[str, Detail]:
    """Of arrays by name; those that are complex or empty are left out."""
    plain = {name: x for name, x in arrays.items() if x.size and x.dtype.kind == "f"}
    found = {name: (looks.get(name, Look()), x) for name, x in plain.items()}
    return {name: detail_of(looked_at(np, x, look), look.units) for name, (look, x) in found.items()}


def magnitudes(sizes: Array) -> tuple[float, ...]:
    """The share below 2^k of sizes that are not 0, for k in `OCTAVES`."""
    if not sizes.size:
        return (0.0,) * len(OCTAVES)
    _, octaves = np.frexp(sizes)  # of 2^(e−1) ≤ x < 2^e
    return tuple(float(np.count_nonzero(octaves <= k)) / sizes.size for k in OCTAVES)


def histogram(x: Array) -> Histogram | None:
    """Within 4 root mean squares of 0."""
    if not x.size:
        return None
    reach = 4 * math.sqrt(float(np.square(x).mean())) or 1.0
    bins = np.clip((x / reach + 1) * (BINS / 2), 0, BINS - 1).astype(np.int64)
    return Histogram(-reach, reach, tuple(np.bincount(bins, minlength=BINS).tolist()))
