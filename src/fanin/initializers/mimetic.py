"""Attention that starts as trained attention looks: the products of its weights near multiples of the identity."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from fanin.errors import BadInput, UnknownName
from fanin.initializers.base import (
    Initializer,
    Law,
    Structure,
    Target,
    all_elements,
    require_finite,
    require_non_negative,
    rounded,
)
from fanin.stream import Elements, key, normal
from fanin.stream.elements import index_array

Matrix = npt.NDArray[np.float64]

FACTORS: Final = ("query", "key", "value", "output")
_ENOUGH = 512  # rows in all of the matrices whose singular values stand for all of their law
LARGEST: Final = 1 << 11  # features: a decomposition takes some ten seconds


@dataclass(frozen=True)
class Mimetic(Initializer):
    """One factor of a product near the identity: W_qᵀ W_k ≈ α Z + β I in each head, W_o W_v ≈ α Z − β I.

    Z has independent elements N(0, 1/d). From its singular value decomposition U Σ Vᵀ, the factors get √Σ each: of
    α Z + β I for a head of k rows W_q = √Σ_k U_kᵀ and W_k = √Σ_k V_kᵀ, the best approximation of rank k; and of
    (α Z − β I)ᵀ W_v = √Σ Uᵀ and W_o = V √Σ. Both factors of a product must be given the same `shared` name and the
    same numbers. **Bits are not promised**: they are those of LAPACK's decomposition on the machine at hand.

    Args:
        factor: which of the four weights it is: "query", "key", "value" or "output".
        shared: the name under which both factors draw Z, such as the path of the attention module; the parameter's own
            if it is empty, and then there is no second factor.
        heads: of query and key; value and output are decomposed as one.
        alpha: the noise, ≥ 0. With beta, 0.7 for query and key and 0.4 for value and output in the paper's vision
            transformers.
        beta: the multiple of the identity.

    Raises:
        UnknownName: no such factor.
        BadInput: numbers that make no law; later, a target that is no matrix, or not one of that many heads.

    Reference: Trockman & Kolter 2023, "Mimetic initialization of self-attention layers", section 4.
    Not for: thousands of features (a decomposition of d × d a head; 2,048 at most), or grouped queries.

    Example:
        >>> target = Target("attention.v_proj.weight", (64, 64), "float64")
        >>> v, o = (Mimetic(f, "attention", alpha=0.0, beta=0.4).draw(target, 0) for f in ("value", "output"))
        >>> bool(np.allclose(o.reshape(64, 64) @ v.reshape(64, 64), -0.4 * np.eye(64)))
        True
    """

    factor: str = "query"
    shared: str = ""
    heads: int = 1
    alpha: float = 0.7
    beta: float = 0.7

    def __post_init__(self) -> None:
        if self.factor not in FACTORS:
            raise UnknownName("factor", self.factor, FACTORS)
        require_non_negative(self, ["alpha"])
        require_finite(self, ["beta"])
        if type(self.heads) is not int or self.heads < 1:
            raise BadInput(f"Mimetic: heads must be an integer, at least 1; got {self.heads!r}.")

    @property
    def _by_head(self) -> bool:
        return self.factor in ("query", "key")

    def law(self, target: Target) -> Law:
        """Σ of a row's squares is a singular value: E w² is their mean over d, taken from drawn matrices of the law."""
        rank, features = self._sizes(target)
        mean = _mean_singular_value(self.alpha, abs(self.beta), features, rank) if rank else 0.0
        # Rows of normals that differ in scale by √σ, σ ≤ 2α + β; without noise, one element a row is all there is.
        kurtosis = 3 * (2 * self.alpha + abs(self.beta)) / mean if mean and self.alpha else max(3.0, features)
        return Law(0.0, math.sqrt(mean / max(features, 1)), kurtosis=kurtosis, structure=Structure.DEPENDENT)

    def draw(self, target: Target, seed: int, elements: Elements | None = None) -> npt.NDArray[Any]:
        """The heads in which elements lie, decomposed in float64, rounded once to the target's dtype."""
        rank, features = self._sizes(target)
        chosen = index_array(all_elements(target, elements))
        values = np.empty(len(chosen))
        size = rank * features
        for head in np.unique(chosen // size) if len(chosen) else []:
            here = chosen // size == head
            factor = self._factor(seed, self.shared or target.name, int(head), features, rank)
            values[here] = factor.reshape(-1)[chosen[here] % size]
        return rounded(values, target.dtype)

    def _factor(self, seed: int, name: str, head: int, features: int, rank: int) -> Matrix:
        product = "query_key" if self._by_head else "value_output"
        left, right = _factors(seed, f"{name}.{product}", head, features, self.alpha, self._signed)
        chosen = (left if self.factor in ("query", "value") else right)[:rank]
        return np.ascontiguousarray(chosen.T) if self.factor == "output" else chosen

    @property
    def _signed(self) -> float:
        return self.beta if self._by_head else -self.beta

    def _sizes(self, target: Target) -> tuple[int, int]:
        """Rows of one head, and features."""
        if len(target.shape) != 2:
            raise BadInput(f"{self} needs a matrix; {target.name!r} has shape {target.shape}.")
        rows, features = target.shape
        heads = self.heads if self._by_head else 1
        if rows % heads or rows // heads > features or (not self._by_head and rows != features):
            expected = f"{heads} heads of at most {features} rows" if self._by_head else "as many rows as columns"
            raise BadInput(f"{self} needs {expected}; {target.name!r} has shape {target.shape}.")
        if features > LARGEST:
            raise BadInput(f"{self} decomposes at most {LARGEST} features; {target.name!r} has {features}.")
        return rows // heads, features


@lru_cache(maxsize=32)  # the heads of a layer, for the second factor
def _factors(seed: int, name: str, head: int, features: int, alpha: float, beta: float) -> tuple[Matrix, Matrix]:
    """√Σ Uᵀ and √Σ Vᵀ of α Z + β I, the largest singular values first."""
    size = features * features
    z = normal(key(seed, name), range(head * size, (head + 1) * size), features**-0.5, dtype="float64")
    u, sigma, v = np.linalg.svd(alpha * z.reshape(features, features) + beta * np.eye(features))
    root = np.sqrt(sigma)[:, None]
    return root * u.T, root * v


@lru_cache(maxsize=256)
def _mean_singular_value(alpha: float, beta: float, features: int, rank: int) -> float:
    """Of the `rank` largest of α Z + β I, over drawn matrices, whose spectrum hardly changes from some size on."""
    stream = key(0, "fanin.initializers.mimetic")
    if features > _ENOUGH:
        features, rank = _ENOUGH, max(1, round(rank / features * _ENOUGH))
    size, count = features * features, max(1, _ENOUGH // features)
    z = normal(stream, range(count * size), features**-0.5, dtype="float64").reshape(count, features, features)
    sigma = np.linalg.svd(alpha * z + beta * np.eye(features), compute_uv=False)
    return float(sigma[:, :rank].mean())
