"""Defects of experiments."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

from noticing import Mutant, noticed, put

from fanin.experiments.optimizers import OPTIMIZERS
from fanin.experiments.settings import Training
from fanin.experiments.statistics import paired
from fanin.experiments.vary import cells

COMPARING = "experiments/test_comparing.py"


def _without_decay(optimizer: Any) -> Any:
    return lambda parameters, momentum, decay: optimizer(parameters, momentum)


MUTANTS = (
    Mutant(
        "a net that says the same for all inputs counts as one that trains",
        put("fanin.experiments.criterion", "trains", lambda loss, chance, bar=0.5: loss <= chance * 1.01),
        ("experiments/test_criterion.py",),
    ),
    Mutant(
        "a run that left the finite numbers is judged by those before",
        put("fanin.experiments.criterion", "final_loss", lambda losses, diverged_at=None: losses[-1]),
        ("experiments/test_criterion.py",),
    ),
    Mutant(
        "an interval of plain percentiles, too narrow for few seeds",
        put("fanin.experiments.statistics", "student_quantile", lambda share, degrees: 1.0),
        ("experiments/test_statistics.py::test_an_interval_covers_the_mean_about_as_often_as_it_says",),
    ),
    Mutant(
        "differences of recipes not taken seed by seed",
        put("fanin.experiments.statistics", "zip", lambda a, b, strict: zip(a, b[::-1], strict=True)),
        ("experiments/test_statistics.py::test_pairs_take_away_what_a_seed_does_to_both",),
    ),
    Mutant(
        "a trial that is known without its training",
        put("fanin.experiments.settings", "asdict", lambda how: {}),
        (f"{COMPARING}::test_whatever_decides_a_trial_makes_another_one",),
    ),
    Mutant(
        "a stack for each trial of a sweep",
        put("fanin.experiments.conduct", "LARGEST_STACK", 1),
        ("experiments/test_sweep.py::test_cells_of_one_net_are_trained_in_one_stack",),
    ),
    Mutant(
        "signals taken for kept where only losses are",
        put("fanin.experiments.conduct", "has", lambda result, signals: result is not None),
        ("experiments/test_sweep.py::test_a_result_without_signals_is_trained_again_where_they_are_asked_for",),
    ),
    Mutant(
        "weight decay left out in a stack",
        put("fanin.experiments.together", "OPTIMIZERS", {n: _without_decay(one) for n, one in OPTIMIZERS.items()}),
        ("experiments/test_training.py::test_weight_decay_is_that_of_torch",),
    ),
    Mutant(
        "trials of any weight decay under one name",
        lambda patch: patch.setattr(Training, "to_dict", lambda how: asdict(replace(how, weight_decay=0.0))),
        ("experiments/test_sweep.py::test_weight_decay_is_another_trial",),
    ),
    Mutant(
        "claims looked for the other way round",
        put("fanin.experiments.lessons.claims", "paired", lambda first, second: paired(second, first)),
        ("experiments/test_lessons.py::test_what_is_looked_for_is_what_is_said",),
    ),
    Mutant(
        "values of a sweep put into the wrong cells",
        put("fanin.experiments.sweep", "cells", lambda vary: cells(vary)[::-1]),
        ("experiments/test_sweep.py::test_the_last_name_changes_fastest_and_values_find_their_study",),
    ),
    Mutant(
        "one name for all results",
        put("fanin.experiments.store", "name_of", lambda what: "0" * 64),
        ("experiments/test_store.py::test_what_is_put_is_found_by_all_that_decides_it",),
    ),
    Mutant(
        "every recipe judged at the first rate",
        put("fanin.experiments.study", "min", lambda whole, **_: whole[0]),
        (f"{COMPARING}::test_each_recipe_is_judged_at_its_own_best_rate",),
    ),
)

test_the_tests_notice = noticed(MUTANTS)
