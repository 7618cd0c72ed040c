"""Orthogonal matrices that favour no direction: moments over many draws, where one matrix cannot tell."""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from fanin.graph import Fans
from fanin.initializers import Initializer, Structure, Target
from fanin.testing.expect import as_float64, declared_law, expect_close

SIDE: Final = 8
SQUARE: Final = Target("square", (SIDE, SIDE), "float32", Fans(SIDE, SIDE))


def assert_haar_distributed(what: Initializer, seed: int = 0, draws: int = 400) -> None:
    """Of n × n matrices Q of the Haar law: E Q_ij = 0, E (tr Q)² = 1, E tr Q² = 1.

    With variances 1/n, 2 and 2, of which the tolerances are six standard errors. LAPACK's QR decomposition of a
    Gaussian matrix, without the signs that make R's diagonal positive, has E Q_ii < 0.

    Reference: Mezzadri 2007, "How to generate random matrices from the classical compact groups"; for the traces,
    Diaconis & Shahshahani 1994, "On the eigenvalues of random matrices", Theorem 4, exact for n ≥ 8.
    """
    law = declared_law(what, SQUARE)
    if law is None or law.structure is not Structure.ORTHOGONAL or not law.std:
        return
    q = np.stack([as_float64(what.draw(SQUARE, seed + i), SQUARE.dtype).reshape(SIDE, SIDE) for i in range(draws)])
    q /= law.std * math.sqrt(SIDE)
    entries = q.mean(axis=0)
    extreme = float(entries.flat[np.argmax(abs(entries))])
    expect_close(what, SQUARE, "mean of one place over seeds", extreme, 0.0, 6 / math.sqrt(SIDE * draws))
    traces = {"(tr Q)²": np.trace(q, axis1=1, axis2=2) ** 2, "tr Q²": np.trace(q @ q, axis1=1, axis2=2)}
    for moment, of_each in traces.items():
        expect_close(what, SQUARE, f"mean of {moment} over seeds", of_each.mean(), 1.0, 6 * math.sqrt(2 / draws))
