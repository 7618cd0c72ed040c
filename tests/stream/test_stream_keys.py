from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fanin.errors import BadInput
from fanin.stream import Domain, Key, key


@pytest.mark.parametrize(
    ("seed", "name", "expected"),
    [
        (0, "weight", Key(0x3BBE3B5B, 0xFD3B0600, 0x6D7858AB, 0x7CADB8D3)),
        (42, "layers.0.attention.wq.weight", Key(0x9D6BE343, 0x321F6F75, 0xCC96E272, 0x532AB89E)),
    ],
)
def test_known_keys(seed: int, name: str, expected: Key) -> None:
    assert key(seed, name) == expected


def test_every_argument_changes_the_stream() -> None:
    keys = {
        key(0, "weight"),
        key(1, "weight"),
        key(2**128 - 1, "weight"),
        key(0, "weight2"),
        key(0, ""),
        key(0, "Gewicht.größe"),
        key(0, "weight", draw=1),
        *(key(0, "weight", domain=domain) for domain in Domain if domain is not Domain.VALUES),
    }
    assert len(keys) == 11


@pytest.mark.parametrize("seed", [np.int64(42), np.uint8(42)])
def test_numpy_integers_are_seeds(seed: Any) -> None:
    assert key(seed, "weight") == key(42, "weight")


@pytest.mark.parametrize("seed", [-1, 2**128, True, 1.0, "0", None, np.float64(0)])
def test_other_seeds_are_refused(seed: Any) -> None:
    with pytest.raises(BadInput, match=r"seed: expected an integer in \[0, 2\*\*128\), got"):
        key(seed, "weight")


@pytest.mark.parametrize("draw", [-1, 2**32, False, 0.5])
def test_other_draws_are_refused(draw: Any) -> None:
    with pytest.raises(BadInput, match=r"draw: expected an integer in \[0, 2\*\*32\), got"):
        key(0, "weight", draw=draw)


@pytest.mark.parametrize("name", [b"weight", None, 3, "\ud800"])
def test_other_names_are_refused(name: Any) -> None:
    with pytest.raises(BadInput, match="name: expected"):
        key(0, name)


def test_keys_are_frozen() -> None:
    with pytest.raises(AttributeError):
        key(0, "weight").k0 = 1  # type: ignore[misc]
