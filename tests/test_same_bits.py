"""One net written in several frameworks has one start: the same digest, the same weights, outputs equal to rounding."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
SCRIPT = runpy.run_path(str(ROOT / "scripts" / "same_bits.py"))
OTHERS = [name for name in SCRIPT["installed"]() if name != "torch"]
ROUNDING = 1e-5  # of sums of at most 72 products of numbers near 1, in float32
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


def started(framework: str, net: str, recipe: str) -> tuple[Any, Any]:
    """The plan, and what the net makes of the batch."""
    plan, forward = SCRIPT["FRAMEWORKS"][framework](net, recipe, SCRIPT["SEED"])
    return plan, forward(SCRIPT["batch"](net))


@pytest.mark.parametrize("recipe", SCRIPT["RECIPES"])
@pytest.mark.parametrize("net", SCRIPT["BATCHES"])
@pytest.mark.parametrize("framework", OTHERS)
def test_a_start_is_the_same_in_every_framework(framework: str, net: str, recipe: str) -> None:
    (plan, output), (of_torch, outputs) = started(framework, net, recipe), started("torch", net, recipe)
    assert plan.digest(0) == of_torch.digest(0)
    assert np.abs(output - outputs).max() < ROUNDING
    assert np.abs(outputs).max() > 1e-3


@pytest.mark.parametrize("net", SCRIPT["BATCHES"])
def test_the_page_has_these_digests(net: str) -> None:
    page = (ROOT / "docs" / "frameworks.md").read_text(encoding="utf-8")
    for recipe in SCRIPT["RECIPES"]:
        digest = started("numpy", net, recipe)[0].digest(SCRIPT["SEED"])[:12]
        assert f"| {net} | {recipe} | `{digest}` |" in page
