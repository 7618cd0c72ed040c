"""The scripts behind docs/statistics.md: would they notice, and do they feed the batteries what they say?"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fanin.stream import key, normal, words

SCRIPTS = Path(__file__).parents[2] / "scripts"
WEIGHT = key(0, "weight")


def script(name: str) -> Any:
    """A script as a module."""
    spec = importlib.util.spec_from_file_location(name, SCRIPTS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, name, module)  # where its dataclasses look for it
        spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def statistics() -> Any:
    return script("stream_statistics")


@pytest.fixture(scope="module")
def feed() -> Any:
    return script("stream_words")


def ignore(_: int) -> None: ...


def test_the_exact_law_of_uniform_values_is_uniform(statistics: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statistics, "FINE", 1 << 16)
    uniform, normal, truncated = statistics.LAWS
    assert (uniform.words_per_cell() == 65536).all()
    for law in (normal, truncated):
        per_cell = law.words_per_cell()
        assert per_cell.sum() == 1 << 32
        assert np.abs(per_cell[1:-1] - 65536).max() < 2048  # an error of 2e-7 σ moves some 340 words over an edge


def test_correlations_at_every_lag(statistics: Any) -> None:
    count = statistics.CHUNK * 2
    largest, together, *_ = statistics.neighbouring_elements(count, ignore)
    x = normal(WEIGHT, range(count + 64), 1.0, dtype="float64")
    z = np.array([x[:count] @ x[lag : lag + count] for lag in range(1, 65)]) / np.sqrt(count)
    assert largest.statistic == f"z = {z[np.abs(z).argmax()]:+.2f}"
    assert together.statistic == f"Σz² = {z @ z:.1f}"


def test_equal_streams_refute(statistics: Any) -> None:
    rows = statistics.neighbouring_streams("the same", [WEIGHT, WEIGHT], statistics.CHUNK, ignore)
    assert all(row.p < statistics.REFUTED for row in rows)


def test_another_law_refutes(statistics: Any) -> None:
    uniform, _, truncated = statistics.LAWS
    mistaken = statistics.Law("", truncated.draw, uniform.integers, uniform.cdf, uniform.exact)
    rows = {row.test: row.p for row in statistics.fit(mistaken, 1 << 18, ignore)}
    assert max(rows.values()) < statistics.REFUTED, rows


def test_what_the_batteries_read(feed: Any) -> None:
    first = {name: next(arrangement()).ravel() for name, arrangement in feed.ARRANGEMENTS.items()}
    assert np.array_equal(first["long"][:1000], words(WEIGHT, range(1000)))
    assert np.array_equal(first["names"][256:512], words(key(0, "layers.1.weight"), range(256)))
    assert np.array_equal(first["seeds"][3::16][:1000], words(key(3, "weight"), range(1000)))
    top = (words(WEIGHT, range(1000)) >> 24).astype(np.uint8)
    assert (first["normals"].view(np.uint8)[:1000] == top).mean() > 0.999  # Φ(Φ⁻¹(u)), but at the edge of a byte
