"""A run trains if it beats the best constant answer by a margin, at its end, and stays finite."""

from __future__ import annotations

import math

import pytest

from fanin.experiments import criterion
from fanin.experiments.data import DATA


@pytest.mark.parametrize("name", DATA)
def test_the_best_constant_answer_does_not_train(name: str) -> None:
    chance = DATA[name]().chance
    assert chance > 0.5
    for bar in (0.5, 0.9):
        assert not criterion.trains(chance, chance, bar)
        assert not criterion.trains(0.99 * chance, chance, bar)  # batches differ by more
        assert criterion.trains(0.99 * bar * chance, chance, bar)


def test_what_is_not_finite_does_not_train() -> None:
    assert not criterion.trains(math.nan, 2.3)
    assert not criterion.trains(math.inf, 2.3)
    assert criterion.final_loss([0.1] * 50, diverged_at=51) == math.inf
    assert criterion.final_loss([]) == math.inf


def test_the_end_is_the_last_tenth() -> None:
    assert criterion.final_loss([9.0] * 90 + [1.0, 2.0] * 5) == 1.5
    assert criterion.final_loss([3.0, 2.0]) == 2.0


def test_the_bar_is_reached_where_a_whole_window_is_below_it() -> None:
    losses = [5.0, 0.0, 5.0, 1.0, 1.0, 1.0]
    assert criterion.steps_to(1.0, losses, window=3) == 6
    assert criterion.steps_to(5.0, losses, window=3) == 3
    assert criterion.steps_to(0.5, losses, window=3) == math.inf
