"""The k largest of C features: their order statistics, who is among them, and how often two positions choose alike."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from fanin.signals import latent
from fanin.signals.axes import Kind, axis, kinds_of
from fanin.signals.distribution import Root
from fanin.signals.flow import Flow, Gradient
from fanin.signals.gradient import total
from fanin.signals.latent import Array
from fanin.signals.rules.extremes import increasing
from fanin.signals.rules.softmax import drawn_pair
from fanin.signals.state import State, gaussian
from fanin.signals.values import Call, Choices, NoRule, Outcome, Pulled, Unknown

MIDDLES: Final = np.cumsum(latent.WEIGHTS) - latent.WEIGHTS / 2


def largest(call: Call) -> Outcome:
    """`topk(x, k)` over features, and `sort`, where k = C; of draws of all C features, and of pairs of draws.

    Backward: an entry gets δ if it is among them, which its latent z decides: P(fewer than k of C − 1 lie above z).
    """
    x, sign = call.state(call.first), 1.0 if call.get("largest", True) else -1.0
    dim = int(call.get("dim", -1)) % max(len(x.axes), 1)
    if kinds_of(x.axes[dim]) != {Kind.FEATURE} or any(
        Kind.FEATURE in kinds_of(a) for at, a in enumerate(x.axes) if at != dim
    ):
        raise NoRule("it is not over all features")
    k = int(call.get("k", x.features))
    axes = (*x.axes[:dim], axis(Kind.FEATURE, k), *x.axes[dim + 1 :])
    found = [_Drawn(x, rho, k, sign) for rho in (np.ones(len(x.sizes)), *x.correlations)]
    first = found[0]
    out = gaussian(axes, [k], first.mean, *(d.product for d in found), draws=x.draws, marks=x.marks)
    out = replace(out, marginal=first.marginal[None], root=Root(x.root))
    choices = Choices(k, found[1].same, found[2].same)
    out = out.noted(Largest(tuple(d.share for d in found), tuple(d.inverse for d in found)))
    which = Unknown(tuple(call.node.shape), "int64", axes, x.features, choices)
    share = np.stack([_among(row, k, x.features, sign) for row in x.values])

    def pull(gradients: Sequence[Gradient]) -> Pulled:
        if not gradients[0]:
            return
        seen, one = total(gradients[0], out), np.ones(len(x.sizes))
        g, h, s = (out.average(m) * one for m in (seen.second, seen.across_positions, seen.across_samples))
        (alone,), (together,) = seen.flow(), seen.flow()  # two entries choose alike as far as their latents are alike
        back: dict[int, Flow] = {
            alone: Flow(g, 0 * g, 0 * g, np.sqrt(share)),
            together: Flow(0 * g, h / k, s / k, share),
        }
        yield call.first, back

    return Outcome((out, which), pull)


def normalised(call: Call, note: Largest) -> Outcome | None:
    """The k largest over their sum f, w = x/f: E w = 1/k, E w² of the draws.  Backward: (δ_a − Σ_b w_b δ_b)/f."""
    x, f = call.state("self"), call["other"]
    if not isinstance(f, State) or f.root.averages is not x.root or f.features > 1:
        return None
    k = x.features
    if not math.isclose(f.average(f.mean), k * x.average(x.mean), rel_tol=1e-9):
        return None
    out = gaussian(x.axes, [k], 1 / k, *note.share, draws=x.draws, marks=x.marks)

    def pull(gradients: Sequence[Gradient]) -> Pulled:
        seen = total(gradients[0], out).scaled(*note.inverse)
        yield "self", seen.flow()
        yield "self", seen.times(-2 / k).flow()  # what both parts have in common
        yield "other", seen.scaled(*(k * w for w in note.share)).flow()

    return Outcome((out,), pull)


@dataclass(frozen=True, eq=False)
class Largest:
    """A note: the tensor holds the k largest of its row, of sum f.

    Attributes:
        share: E w w' of w = x/f, for one row, for two positions and for two samples.
        inverse: E 1/(f f'), likewise.
    """

    share: tuple[float, ...]
    inverse: tuple[float, ...]


class _Drawn:
    """Averages over drawn rows and partners: of the k largest, place by place."""

    def __init__(self, x: State, rho: Array, k: int, sign: float) -> None:
        pair = [sign * one for one in drawn_pair(x, rho)]
        order = [np.argpartition(-one, k - 1, axis=-1)[:, :k] if k < x.features else np.argsort(-one) for one in pair]
        taken = [np.sort(np.take_along_axis(one, at, -1)) for one, at in zip(pair, order, strict=True)]
        self.mean = sign * float(taken[0].mean())
        with np.errstate(all="ignore"):
            sums = [one.sum(-1, keepdims=True) for one in taken]
            self.share = float((taken[0] / sums[0] * taken[1] / sums[1]).mean())
            self.inverse = float((1 / (sums[0] * sums[1])).mean())
        self.product = float((taken[0] * taken[1]).mean())
        chosen = np.zeros((2, *pair[0].shape), dtype=bool)
        for mask, at in zip(chosen, order, strict=True):
            np.put_along_axis(mask, at, True, -1)
        self.same = float((chosen[0] & chosen[1]).sum(-1).mean()) / k**2
        self.marginal = np.quantile(np.sort(sign * taken[0].ravel()), MIDDLES)


def _among(values: Array, k: int, features: int, sign: float) -> Array:
    """P(fewer than k of C − 1 others are larger | z), at the nodes."""
    _, (rank,) = increasing(sign * values[None])
    above = (1 - MIDDLES)[rank]
    n = features - 1
    terms = [math.comb(n, i) * above**i * (1 - above) ** (n - i) for i in range(min(k, features))]
    found = np.sum(terms, axis=0)
    return np.asarray(found * (k / features) / (found @ latent.WEIGHTS))
