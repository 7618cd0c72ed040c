"""The factors of mimetic attention multiply to what they should, and have the moments that the law declares."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from fanin.errors import BadInput, UnknownName
from fanin.initializers import Mimetic, Target

D, HEADS = 96, 4


def weight(factor: str, heads: int = 1, rows: int = D, **numbers: float) -> npt.NDArray[np.float64]:
    target = Target(f"attention.{factor}.weight", (rows, D), "float64")
    drawn = Mimetic(factor, "attention", heads, **numbers).draw(target, seed=3)
    return drawn.reshape(rows, D)


def test_a_head_with_as_many_rows_as_features_has_the_whole_product() -> None:
    product = weight("query").T @ weight("key")
    noise = product - 0.7 * np.eye(D)
    assert noise.std() == pytest.approx(0.7 / np.sqrt(D), rel=6 / np.sqrt(2 * D * D))
    assert product.trace() / D == pytest.approx(0.7, abs=6 * 0.7 / D)  # mutant: beta without its sign


def test_value_and_output_multiply_to_minus_the_identity_and_noise() -> None:
    product = weight("output", alpha=0.4, beta=0.4) @ weight("value", alpha=0.4, beta=0.4)
    assert product.trace() / D == pytest.approx(-0.4, abs=6 * 0.4 / D)
    assert (product + 0.4 * np.eye(D)).std() == pytest.approx(0.4 / np.sqrt(D), rel=6 / np.sqrt(2 * D * D))


def test_each_head_is_the_best_approximation_of_its_rank() -> None:
    q, k = (weight(factor, HEADS).reshape(HEADS, D // HEADS, D) for factor in ("query", "key"))
    for head in range(HEADS):
        gram_q, gram_k = q[head] @ q[head].T, k[head] @ k[head].T
        assert np.allclose(gram_q, np.diag(np.diag(gram_q)), atol=1e-12)  # orthogonal rows
        assert np.allclose(np.diag(gram_q), np.diag(gram_k), atol=1e-12)  # each with the root of a singular value
        assert (np.diff(np.diag(gram_q)) <= 0).all()
    assert np.abs(q[0] - q[1]).max() > 0.1


@pytest.mark.parametrize("factor", ["query", "value"])
def test_a_region_is_what_the_whole_has_there(factor: str) -> None:
    target = Target("w", (D, D))
    what = Mimetic(factor, heads=HEADS if factor == "query" else 1)
    whole = what.draw(target, 0)
    for region in (range(100, 5000), np.arange(D * D)[::-7]):
        assert np.array_equal(what.draw(target, 0, region), whole[np.asarray(region)])


@pytest.mark.parametrize(("factor", "shape"), [("query", (6, 4)), ("query", (D, D, 1)), ("value", (D, 2 * D))])
def test_shapes_that_no_attention_has_are_refused(factor: str, shape: tuple[int, ...]) -> None:
    with pytest.raises(BadInput, match="needs"):
        Mimetic(factor, heads=4 if shape == (6, 4) else 1).draw(Target("w", shape), 0)


def test_bad_arguments_are_refused_at_construction() -> None:
    with pytest.raises(UnknownName, match="query"):
        Mimetic("querry")
    with pytest.raises(BadInput, match="heads"):
        Mimetic(heads=0)
    with pytest.raises(BadInput, match="alpha"):
        Mimetic(alpha=-1.0)
