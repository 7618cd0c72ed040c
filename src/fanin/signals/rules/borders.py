"""What zero padding takes from a convolution at its borders, and what two outputs that read the same inputs share."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from fanin.signals.bins import MOST, Bins, over_pairs
from fanin.signals.latent import Array
from fanin.signals.state import State
from fanin.signals.taps import Profile, Taps, fitting


def by_border(out: State, profile: Array, added: float) -> Bins | None:
    """In one dimension, positions in bins of as many taps: behind a causal convolution the first see few.

    Args:
        added: what a bias adds to each E x x', whatever the taps.
    """
    ends = np.flatnonzero(np.diff(profile, append=np.inf) != 0) + 1
    counts = np.diff(ends, prepend=0)
    if not 1 < len(counts) <= MOST:
        return None
    at = profile[ends - 1]
    shares, root = counts / counts.sum(), np.sqrt(at)
    q, k, s = (out.average(m) - added for m in (out.second, out.across_positions, out.across_samples))
    of_pairs = over_pairs(counts, np.broadcast_to(np.outer(root, root), (2, len(at), len(at))))
    across = [m / max(of, 1e-300) * np.outer(root, root) + added for m, of in zip((k, s), of_pairs, strict=True)]
    return Bins(counts, np.full(len(at), out.average(out.mean)), q * at / (shares @ at) + added, np.array(across))


def border(met: Sequence[Taps]) -> float:
    """E (Σ δ)² in front of a kernel, of a δ behind it that adds up to 0, beside the sum of E δ².

    A tap that meets m of P outputs hands on a sum over those, of variance m (1 − m/P) E δ².
    """
    meetings = [np.bincount(t.taps, minlength=t.kernel).astype(float) for t in met]
    squares, sums = (math.prod(float((m**e).sum()) for m in meetings) for e in (2, 1))
    return 1 - squares / (sums * math.prod(t.size_out for t in met)) if sums else 0.0


def reach(met: Sequence[Taps], profile: Profile | None) -> Profile:
    """How what an output has in common with the mean over all is spread: as the sizes of those taps that are inside."""
    sums = [t.gathered(np.sqrt(p)) for t, p in zip(met, fitting(profile, [t.size_in for t in met]), strict=True)]
    return tuple(s / s.mean() if s.any() else s for s in sums)


def large_together(x: State, met: Sequence[Taps]) -> float:
    """½ E (z² − 1)(z'² − 1) at two positions of a feature that is summed by itself, by taps of independent signs.

    C inputs that both read make it C/(n n') if they are Gaussian. Heavy tails make it more, by values so large that no
    function is a parabola there: they are left out.
    """
    n = [t.gathered(np.ones(t.size_in)) for t in met]
    reached = [t.scattered(np.ones(t.size_out)) for t in met]
    any_two = math.prod(float((r**2).sum() / s.sum() ** 2) for r, s in zip(reached, n, strict=True))
    places = math.prod(t.size_out for t in met)
    same = math.prod(float(s.sum() / (s.sum() ** 2 / t.size_out)) for s, t in zip(n, met, strict=True))
    alike = x.average(x.across_positions - x.channel_second) / max(x.average(x.second - x.channel_second), 1e-300)
    own = (1 - min(max(alike, 0.0), 1.0)) ** 2
    return own * max(places * any_two - same, 0.0) / (places - 1) if places > 1 else 0.0
