"""The largest of n entries, through the latent: x = F(z) with F increasing has max x = F(max z).

z_i = √ρ a + √(1 − ρ) e_i with a common a, so that max z = √ρ a + √(1 − ρ) max e: what two windows have in common is a.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np

from fanin.signals import latent
from fanin.signals.distribution import Root
from fanin.signals.flow import Flow, Gradient
from fanin.signals.gradient import GradientMoments
from fanin.signals.latent import NODES, QUANTILES, WEIGHTS, Array
from fanin.signals.rules.population import Population
from fanin.signals.state import State, gaussian

_BELOW: Array = np.array([0.5 * math.erfc(-z / math.sqrt(2)) for z in NODES])  # Φ
_COARSE, _COARSE_WEIGHTS = np.polynomial.hermite_e.hermegauss(QUANTILES)
_COARSE_WEIGHTS = _COARSE_WEIGHTS / _COARSE_WEIGHTS.sum()


def largest(n: float) -> Array:
    """The quantiles of the largest of n independent standard normal z, at the nodes: Φ⁻¹(Φ(z)^(1/n)).

    Example:
        >>> top = largest(4)[None]  # e_4 and v_4 of the order statistics
        >>> mean = latent.expectation(top)
        >>> mean.round(3), (latent.expectation(top**2) - mean**2).round(3)
        (array([1.029]), array([0.492]))

    Reference: Harter 1961, table of expected values of normal order statistics.
    """
    # by upper tails: 1 − Φ^(1/n) keeps its digits where Φ is near 1
    upper = np.array([0.5 * math.erfc(z / math.sqrt(2)) for z in NODES])
    wanted = -np.expm1(np.log1p(-upper) / n)
    return np.asarray(np.interp(-np.log(wanted), -np.log(upper), NODES))


class Extreme:
    """The largest of the entries of a population, as a state; and who gets its gradient.

    Args:
        entries: how many, on average, where it is no whole number.
    """

    def __init__(self, x: State, over: Population, entries: float | None = None) -> None:
        x = over.pool(x)
        values, self.rank = increasing(x.values)
        n = over.count if entries is None else entries
        positions, samples = x.correlations if _sorted(x.values) else _correlations(values, x)
        if over.positions > 1:
            common = np.maximum(positions, 0.0)
        elif over.samples > 1:
            common = np.maximum(samples, 0.0)
        else:
            common = np.zeros(len(x.sizes))
        self.n, self.common, self.over = n, np.minimum(common, 1.0), over
        self.state = self._state(x, values, positions, samples)

    def _state(self, x: State, values: Array, positions: Array, samples: Array) -> State:
        over = self.over
        top = largest(self.n)
        spread = float(top**2 @ WEIGHTS) - float(top @ WEIGHTS) ** 2
        rows = []
        for row, rho in zip(values, self.common, strict=True):
            shift, own = math.sqrt(rho), math.sqrt(1 - rho)

            def at(a: Array, m: Array, row: Array = row, shift: float = shift, own: float = own) -> Array:
                return np.interp(shift * a + own * m, NODES, row)

            rows.append(latent.independent(at, NODES[None], top[None])[0] if rho > 0 else np.interp(top, NODES, row))
        marginal = np.stack(rows)
        of_latent = self.common + (1 - self.common) * spread
        of_features = over.features if over.features > 1 else 1
        shared = [np.clip(rho / of_features / of_latent, -1.0, 1.0) for rho in (positions, samples)]
        sizes = x.sizes if over.features == 1 else [max(x.features // over.features, 1)]
        return replace(
            gaussian(
                over.axes,
                sizes,
                latent.expectation(marginal),
                latent.expectation(marginal**2),
                latent.covariance(marginal, shared[0]),
                latent.covariance(marginal, shared[1]),
                draws=x.draws,
                marks=x.marks,
            ),
            marginal=marginal,
            latents=(shared[0], shared[1]),
            root=Root(),
        )

    def winning(self) -> Array:
        """P(an entry is the largest | its latent z), at the nodes of x: E Φ((z − √ρ a)/√(1 − ρ))^(n−1)."""
        rows = []
        for rho, rank in zip(self.common, self.rank, strict=True):
            if rho > 1 - 1e-6:
                rows.append(np.full(len(NODES), 1 / self.n))
                continue
            a = math.sqrt(rho) * NODES[:, None] + math.sqrt(1 - rho) * _COARSE  # the common part, given z
            below = np.interp((NODES[:, None] - math.sqrt(rho) * a) / math.sqrt(1 - rho), NODES, _BELOW)
            chance = (below ** (self.n - 1)) @ _COARSE_WEIGHTS
            rows.append((chance / (chance @ WEIGHTS) / self.n)[rank])
        return np.stack(rows)

    def alike(self, share: float) -> State:
        """The result, if of all pairs of positions this share has one winner."""
        out = self.state
        k = share * out.second + (1 - share) * out.across_positions
        return replace(out, across_positions=k, latents=None) if share else out

    def shared(self, seen: GradientMoments, *, inside: float) -> Gradient:
        """The winner gets δ. Given the latents, two windows choose independently, but one window chooses only one.

        Args:
            seen: the gradient of its result at every entry.
            inside: the share of pairs of positions that are of one window.
        """
        rows = len(self.over.whole.sizes)
        p = self.winning()
        p = np.broadcast_to(p, (rows, p.shape[1])) if len(p) != rows else p
        zero = np.zeros_like(seen.second)
        apart = seen.across_positions - inside * seen.second
        (one,), (other,) = seen.flow(), seen.flow()
        return {
            one: Flow(zero, apart, seen.across_samples, p),
            other: Flow(seen.second, zero, zero, np.sqrt(p)),
        }


def _sorted(values: Array) -> bool:
    return bool((np.diff(values, axis=1) >= 0).all())


def increasing(values: Array) -> tuple[Array, list[Any]]:
    """F with its values in increasing order, as likely as they were; and which node each node becomes."""
    rows: list[Array] = []
    ranks: list[Any] = []
    at = np.cumsum(WEIGHTS) - WEIGHTS / 2
    for row in values:
        if (np.diff(row) >= 0).all():
            rows.append(row)
            ranks.append(np.arange(len(row)))
            continue
        order = np.argsort(row, kind="stable")
        weight = WEIGHTS[order]
        own = np.cumsum(weight) - weight / 2
        rows.append(np.interp(at, own, row[order]))
        rank = np.empty(len(row), dtype=np.int64)
        rank[order] = np.clip(np.searchsorted(at, own), 0, len(row) - 1)
        ranks.append(rank)
    return np.stack(rows), ranks


def _correlations(values: Array, x: State) -> tuple[Array, Array]:
    both = (x.across_positions, x.across_samples)
    return tuple(latent.correlation_of(values, k) for k in both)  # type: ignore[return-value]
