"""docs/tiny_fanin.py says what the library does: each of its functions against the library's own."""

from __future__ import annotations

import runpy
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fanin
from fanin.compat.numpy import Net, layer
from fanin.stream import key, normal, words

FILE = Path(__file__).parents[1] / "docs" / "tiny_fanin.py"
TINY = runpy.run_path(str(FILE))
SIZES = (32, 48, 24, 10)
PHI = ("relu", "tanh", "")


def tiny_net(sizes: tuple[int, ...] = SIZES) -> Any:
    layers = zip(sizes[:-1], sizes[1:], PHI, strict=True)
    return [TINY["Layer"](f"W{i}", n, m, phi) for i, (n, m, phi) in enumerate(layers)]


def library_net(sizes: tuple[int, ...] = SIZES) -> Net:
    shapes = {f"W{i}": (m, n) for i, (n, m) in enumerate(pairwise(sizes))}
    return Net(shapes, [layer("linear", weight=f"W{i}", activation=phi) for i, phi in enumerate(PHI)])


def test_it_is_short() -> None:
    assert len(FILE.read_text(encoding="utf-8").splitlines()) <= 170


@pytest.mark.parametrize(("seed", "name", "count"), [(0, "weight", 9), (2**127 + 5, "layers.0.µ", 4)])
def test_its_words_are_the_streams(seed: int, name: str, count: int) -> None:
    assert np.array_equal(TINY["words"](seed, name, count), words(key(seed, name), range(count)))


def test_its_normals_are_the_streams_to_the_error_of_the_frozen_table() -> None:
    """In σ: 1.97e-7 of the table, 2⁻²⁵ of a tail that is rounded to 24 bits, and the lowest bit of the word."""
    ours = TINY["normal"](3, "w", (40, 50), 1.0).ravel()
    theirs = normal(key(3, "w"), range(2000), 1.0, dtype="float64")
    density = np.exp(-(ours**2) / 2) / np.sqrt(2 * np.pi)
    assert (np.abs(ours - theirs) < 1.97e-7 + 2.0**-25 * np.sqrt(np.pi / 2) + 2.0**-32 / density).all()


@pytest.mark.parametrize("phi", PHI[:2])
def test_its_gains_are_the_librarys(phi: str) -> None:
    gain = fanin.gain(phi)
    forward, backward = TINY["moments"](phi)
    assert forward**-0.5 == pytest.approx(gain.forward, rel=1e-3)  # a sum of 20,001 terms, and a kink at 0
    assert backward**-0.5 == pytest.approx(gain.backward, rel=1e-3)


def test_its_plan_is_that_of_he_for_relu_and_one_over_fan_in_behind() -> None:
    plan = TINY["auto"](tiny_net())
    assert plan["W0"].std == pytest.approx(fanin.plan(library_net(), recipe="he")["W0"].std, rel=1e-3)
    assert plan["W2"].std == pytest.approx(fanin.plan(library_net(), recipe="lecun")["W2"].std, rel=1e-6)


def test_its_prediction_is_the_librarys_in_a_wide_net() -> None:
    """Widths of thousands: the library also knows how far draws of few weights move E z², 3 % behind 48 units."""
    wide = tuple(100 * size for size in SIZES)
    plan = TINY["auto"](tiny_net(wide))
    laws = {name: fanin.Normal(decision.std) for name, decision in plan.items()}
    theirs = fanin.predict(net := library_net(wide), plan=fanin.plan(net, recipe="he", overrides=laws))
    ours = TINY["predict"](tiny_net(wide), plan)
    for name, value in zip(("linear_1_relu", "linear_2_tanh", "linear_3"), ours.values, strict=True):
        assert value == pytest.approx(theirs.values[name].second_moment, rel=1e-3)
    ratio = [g / ours.gradients[-1] for g in ours.gradients]
    seen = [theirs.gradients[f"linear_{i}"].second_moment for i in (1, 2, 3)]
    assert ratio == pytest.approx([g / seen[-1] for g in seen], rel=0.02)


def test_its_measurement_is_near_its_prediction() -> None:
    net, wide = tiny_net(), [TINY["Layer"](f"W{i}", 256, 256, "relu") for i in range(6)]
    assert len(net) == 3
    plan = TINY["auto"](wide)
    seen = TINY["measure"](wide, TINY["drawn"](wide, plan, 0), TINY["normal"](1, "x", (256, 256), 1.0))
    foreseen = TINY["predict"](wide, plan)
    assert seen.values == pytest.approx(foreseen.values, rel=0.25)
    assert seen.gradients == pytest.approx(foreseen.gradients, rel=0.25)


def test_it_finds_what_the_library_finds() -> None:
    torch = pytest.importorskip("torch")
    net = [TINY["Layer"](f"layers.{i}", 64, 64, "relu") for i in range(30)]
    plan = {layer.name: TINY["Decision"](0.1, "guessed") for layer in net}
    found = TINY["diagnose"](net, plan, TINY["predict"](net, plan))
    assert [one.what.partition(":")[0] for one in found] == ["vanishing activations", "vanishing gradients"]
    assert TINY["diagnose"](net, TINY["auto"](net), TINY["predict"](net, TINY["auto"](net))) == []
    model = torch.nn.Sequential(*[m for _ in net for m in (torch.nn.Linear(64, 64), torch.nn.ReLU())])
    x = torch.randn(32, 64, generator=torch.Generator().manual_seed(0))
    fanin.initialize_(model, x, recipe="normal(std=0.1)", seed=0)
    summary = fanin.diagnose(model, x).summary
    assert "vanishing activations" in summary
    assert "vanishing gradients" in summary
