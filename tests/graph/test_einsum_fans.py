"""Fans from an einsum's equation."""

from __future__ import annotations

import pytest

from fanin.graph import Fans
from fanin.graph.einsum import einsum_fans


@pytest.mark.parametrize(
    ("equation", "position", "shape", "expected"),
    [
        ("bi,io->bo", 1, (4, 6), Fans(4, 6)),
        ("bi,oi->bo", 1, (6, 4), Fans(4, 6)),
        ("oi,bi->bo", 0, (6, 4), Fans(4, 6)),
        ("bi, io -> bo", 1, (4, 6), Fans(4, 6)),
        ("bi,io", 1, (4, 6), Fans(4, 6)),  # without an arrow, letters that come once stay
        ("...i,io->...o", 1, (4, 6), Fans(4, 6)),
        ("bsd,dhk->bshk", 1, (8, 2, 3), Fans(8, 6)),
        ("bshk,hkd->bsd", 1, (2, 3, 8), Fans(6, 8)),
        ("ebi,eio->ebo", 1, (5, 4, 6), Fans(4, 6)),  # five independent experts
        ("bi,i->b", 1, (4,), Fans(4, 1)),
    ],
)
def test_summed_letters_are_in_and_own_letters_out(
    equation: str, position: int, shape: tuple[int, ...], expected: Fans
) -> None:
    assert einsum_fans(equation, position, shape) == expected


@pytest.mark.parametrize(
    ("equation", "shape"), [("bd,d->bd", (4,)), ("bi,...o->bio", (3, 6)), ("b,oo->bo", (4, 4)), ("b,o->bo", (4,))]
)
def test_an_operand_that_is_not_contracted_has_no_fans(equation: str, shape: tuple[int, ...]) -> None:
    assert einsum_fans(equation, 1, shape) is None
