"""The law of a weight, as rules see it, has the moments of the values that its initializer draws."""

from __future__ import annotations

import math

import numpy as np
import pytest

from fanin.errors import BadInput
from fanin.graph import Parts
from fanin.initializers import (
    Constant,
    DeltaOrthogonal,
    Dirac,
    Identity,
    Initializer,
    Keep,
    Law,
    Normal,
    Ones,
    Orthogonal,
    PerPart,
    Sparse,
    Structure,
    Target,
    Uniform,
    Zeros,
    forget_gate_bias,
    torch_truncated_normal,
)
from fanin.signals.laws import weight_of

QKV = Parts(("q", "k", "v"))
# Initializer, shape, parts; the rows that differ, and the structure.
LAWS: list[tuple[Initializer, tuple[int, ...], Parts | None, list[int], Structure]] = [
    (Normal(0.5, 1.0), (40, 30), None, [40], Structure.INDEPENDENT),
    (Uniform(-1, 3), (), None, [1], Structure.INDEPENDENT),
    (Constant(2.0), (5,), None, [5], Structure.FIXED),
    (torch_truncated_normal(0.5, 0.0, -0.5, 1.0), (40, 30), None, [40], Structure.INDEPENDENT),
    (Orthogonal(2.0), (12, 8), None, [12], Structure.ORTHOGONAL),
    (Orthogonal(2.0), (12, 8), QKV, [12], Structure.ORTHOGONAL),  # three of 4 × 8; mutant: one of 12 × 8
    (Identity(3.0), (4, 6), None, [4], Structure.ISOMETRY),
    (Dirac(), (4, 4, 3), None, [4], Structure.ISOMETRY),
    (Dirac(2), (4, 2, 3), None, [4], Structure.ISOMETRY),
    (DeltaOrthogonal(), (6, 6, 3), None, [6], Structure.ISOMETRY),
    (Sparse(0.5, 1.0), (40, 30), None, [40], Structure.INDEPENDENT),
    (Normal(), (12, 50), QKV, [12], Structure.INDEPENDENT),
    (PerPart(Normal(), {"k": Normal(3.0)}), (12, 50), QKV, [4, 4, 4], Structure.INDEPENDENT),
    (PerPart(Normal(), {"k": Zeros()}), (12, 50), QKV, [4, 4, 4], Structure.INDEPENDENT),
    (PerPart(Normal(), {"v": Orthogonal()}), (12, 50), QKV, [8, 4], Structure.DEPENDENT),
    (forget_gate_bias(), (8,), Parts(("i", "f", "g", "o")), [2, 2, 4], Structure.FIXED),
    (
        PerPart(Normal(), {"0": Zeros()}, Parts(("0", "rest"), sizes=(1, 39))),
        (40, 30),
        None,
        [1, 39],
        Structure.INDEPENDENT,
    ),
    (PerPart(Normal(), {"k": Ones()}), (50, 12), Parts(("q", "k", "v"), axis=1), [50], Structure.INDEPENDENT),
    (Orthogonal(), (3, 8, 6), Parts(slices=True), [3], Structure.ORTHOGONAL),
    (PerPart(Normal(), {"1": Normal(2.0)}), (3, 80, 6), Parts(slices=True), [3], Structure.INDEPENDENT),
    (
        PerPart(Normal(), {"a": PerPart(Zeros(), {"y": Ones()}, ("x", "y"))}, ("a", "b")),
        (8, 200),
        None,
        [2, 2, 4],
        Structure.INDEPENDENT,
    ),
    (Normal(), (0, 3), QKV, [1], Structure.FIXED),
    (Normal(), (0, 3), None, [1], Structure.INDEPENDENT),
    (PerPart(Normal(), {"k": Zeros()}, Parts(("q", "k"), sizes=(4, 0))), (4, 90), None, [4], Structure.INDEPENDENT),
]


@pytest.mark.parametrize(("what", "shape", "parts", "sizes", "structure"), LAWS, ids=lambda x: str(x)[:40])
def test_moments_are_those_of_the_values(
    what: Initializer, shape: tuple[int, ...], parts: Parts | None, sizes: list[int], structure: Structure
) -> None:
    target = Target("weight", shape, "float64", parts=parts)
    whole = PerPart(what) if parts and not what.whole else what
    weight = weight_of(what, target)
    assert (weight.path, weight.shape, weight.sizes.tolist(), weight.structure) == ("weight", shape, sizes, structure)
    if 0 in shape:
        assert not np.isnan(weight.second).any()
        return
    draws = 40
    values = np.stack([whole.draw(target, seed).reshape(shape or (1,)) for seed in range(draws)], axis=1)
    for rows, mean, second in zip(np.split(values, np.cumsum(sizes)[:-1]), weight.mean, weight.second, strict=True):
        error = 6 / math.sqrt(rows.size)
        assert rows.mean() == pytest.approx(mean, abs=error * math.sqrt(second) + 1e-12)
        # E (w² − E w²)² ≤ 8 (E w²)² for every law here with spread; those without are exact
        spread = float(np.var(rows**2)) > 0 and structure in (Structure.INDEPENDENT, Structure.DEPENDENT)
        assert (rows**2).mean() == pytest.approx(second, rel=math.sqrt(8) * error if spread else 1e-9)


def test_a_parameter_that_is_kept_has_the_law_that_is_given() -> None:
    target = Target("weight", (4, 3))
    with pytest.raises(BadInput, match="weight is kept as it is"):
        weight_of(Keep(), target)
    weight = weight_of(Keep(), target, Law(1.0, 2.0, structure=Structure.FIXED))
    assert (weight.mean.tolist(), weight.variance.tolist(), weight.sizes.tolist()) == ([1.0], [4.0], [4])
