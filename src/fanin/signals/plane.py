"""Functions of two independent latents: f(F(z₁), G(z₂))."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from fanin.signals import latent
from fanin.signals.latent import NODES, QUANTILES, Array

_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(QUANTILES)
_WEIGHTS = _WEIGHTS / _WEIGHTS.sum()
_PROJECTION: Final[Array] = (latent.hermite(_NODES) * _WEIGHTS).T


@dataclass(frozen=True, eq=False)
class Plane:
    """A function at the nodes of the first latent and at coarser ones of the second, row by row.

    Attributes:
        values: (rows, nodes of the first, nodes of the second).
    """

    values: Array

    @classmethod
    def of(cls, f: Callable[[Array, Array], Array], x: Array, y: Array) -> Plane:
        """f(x, y) of x = F(z₁) and y = G(z₂), both given at the nodes."""
        coarse = np.stack([np.interp(_NODES, NODES, row) for row in y])
        with np.errstate(all="ignore"):
            found = np.asarray(f(x[:, :, None], coarse[:, None, :]), dtype=np.float64)
        return cls(np.broadcast_to(found, (len(x), len(NODES), len(_NODES))))

    @property
    def mean(self) -> Array:
        """E f."""
        return latent.expectation(self.given_first())

    @property
    def second(self) -> Array:
        """E f²."""
        return latent.expectation(self.values**2 @ _WEIGHTS)

    def given_first(self) -> Array:
        """E[f | z₁] at the nodes."""
        return np.asarray(self.values @ _WEIGHTS)

    def spread_given_first(self) -> Array:
        """The standard deviation of f given z₁, at the nodes."""
        return np.asarray(np.sqrt((self.values - self.given_first()[:, :, None]) ** 2 @ _WEIGHTS))

    def moment(self, rho: Array, other: Array) -> Array:
        """E f f' of two draws whose latents have these correlations: Σ a_jk² ρ^j ρ'^k.

        What the series leaves of E f² counts as the next power of the larger correlation.

        Example:
            >>> one = np.array([1.0])
            >>> sum_ = Plane.of(lambda x, y: x + y, NODES[None], NODES[None])
            >>> sum_.moment(0.5 * one, 0.25 * one).round(6)
            array([0.75])
        """
        a = np.einsum("rnm,nj,mk->rjk", self.values, latent.PROJECTION, _PROJECTION, optimize=True)
        known = np.einsum("rjk,rj,rk->r", a**2, latent.powers(rho)[:, :-1], latent.powers(other)[:, :-1])
        left = np.maximum(self.second - (a**2).sum((1, 2)), 0.0)
        return np.asarray(known + left * latent.powers(np.maximum(rho, other))[:, -1])
