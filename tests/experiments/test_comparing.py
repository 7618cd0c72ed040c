"""A comparison is paired, loses nothing, computes nothing twice, and names no winner that it does not have."""

from __future__ import annotations

import math
import os
import random
import re
import signal
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import builders
import forked
import numpy as np
import pytest
import torch

import fanin
from fanin.errors import BadInput, ShapeMismatch, UnknownName
from fanin.experiments import Study
from fanin.experiments.conduct import Stopped
from fanin.experiments.data import Data
from fanin.experiments.engines import ENGINES
from fanin.experiments.store import MARK
from fanin.experiments.subject import subject

NET = "perceptron(depth=2, width=8)"
FEW = {"seeds": 2, "learning_rates": [0.01, 0.1], "steps": 20, "batch_size": 16, "workers": 1, "progress": False}


def compare(net: Any = NET, data: Any = "iris", **other: Any) -> Study:
    return fanin.compare(net, data, **{"recipes": ["he", "lecun"], **FEW, **other})


def results(folder: Path) -> list[Path]:
    return [f for f in folder.rglob("*.json") if f.name != MARK]


def losses(study: Study) -> dict[tuple[str, int, float], tuple[float, ...]]:
    return {(r.recipe, r.seed, r.rate): r.losses for r in study.runs}


def test_recipes_or_seeds_added_later_are_all_that_is_computed(tmp_path: Path) -> None:
    first = compare(to=tmp_path)
    again = compare(to=tmp_path)
    more = compare(to=tmp_path, recipes=["he", "lecun", "xavier"], seeds=3)
    assert (first.trained, again.trained, more.trained) == (8, 0, 18 - 8)
    assert again == first
    assert losses(first).items() <= losses(more).items()
    assert len(results(tmp_path)) == 18


def test_a_trial_is_the_same_alone_and_in_any_stack(tmp_path: Path) -> None:
    """What makes it a function of its key."""
    together = losses(compare(seeds=3))
    for seed in range(3):
        for (recipe, _, rate), alone in losses(compare(seeds=[seed], learning_rates=[0.1])).items():
            assert together[recipe, seed, rate] == alone


def test_processes_find_what_this_one_finds() -> None:
    assert losses(compare(workers=2)) == losses(compare())


def test_recipes_that_decide_alike_share_their_trials() -> None:
    study = compare(recipes=["he", "he(negative_slope=0.0)"])
    assert study.trained == 4
    assert len(study.runs) == 8
    assert [row.behind and row.behind.difference.mean for row in study.standings] == [None, 0.0]
    assert study.winner is None
    assert "No winner" in study.verdict


@pytest.mark.parametrize(
    "change",
    [
        {"seeds": [2, 3]},
        {"learning_rates": [0.02]},
        {"steps": 21},
        {"batch_size": 17},
        {"optimizer": "adam"},
        {"momentum": 0.8},
        {"data": "wine"},
        {"net": "perceptron(depth=2, width=8, activation='tanh')"},
        {"recipes": ["he(negative_slope=0.1)", "xavier"]},
    ],
    ids=lambda change: next(iter(change)),
)
def test_whatever_decides_a_trial_makes_another_one(change: dict[str, Any], tmp_path: Path) -> None:
    """Mutant: a key without any one of them."""
    compare(to=tmp_path)
    study = compare(**{"to": tmp_path, **change})
    assert study.trained == len(study.runs)


def test_a_slope_that_no_weight_shows_makes_another_trial() -> None:
    small = builders.small
    one, other, same = (subject(partial(small, slope=s), "iris").digest["structure"] for s in (0.1, 0.2, 0.1))
    assert one == same != other


def test_seeds_are_paired_in_batches_and_words(monkeypatch: pytest.MonkeyPatch) -> None:
    """`normal` at half the std has half the weights, element by element; and both see the same batches."""
    what = subject(NET, "iris")
    from fanin.frameworks.torch import write_

    weights = []
    for std in (0.1, 0.2):
        write_(what.model, what.plan(f"normal(std={std})"), 0)
        weights.append(what.model.hidden[0].weight.detach().clone())  # type: ignore[union-attr,index]
    torch.testing.assert_close(2 * weights[0], weights[1])
    study = compare(recipes=["normal(std=0.0)", "zeros"], seeds=1)
    assert len(set(losses(study).values())) == 2, "the same start and batches by another name, at each of two rates"


def test_each_recipe_is_judged_at_its_own_best_rate() -> None:
    study = compare(recipes=["normal(std=0.05)", "normal(std=5.0)"], learning_rates=[1e-4, 1e-1], steps=60, seeds=3)
    for row in study.standings:
        means = {rate: np.mean(study.finals(row.recipe, rate)) for rate in study.rates}
        assert means[row.rate] == min(means.values())
        assert row.at_edge
    assert "end of the grid" in str(study)


def test_what_is_clearly_better_wins_and_chance_does_not() -> None:
    clear = compare(recipes=["he", "zeros"], seeds=6, steps=100)
    assert clear.winner == "he"
    assert clear.standings[1].behind is not None
    assert clear.standings[1].behind.p == pytest.approx(2 / 2**6)
    level = compare(recipes=["normal(std=0.3)", "normal(std=0.301)"], seeds=2)
    assert level.winner is None
    one = compare(recipes=["he", "zeros"], seeds=1, steps=100)
    assert one.winner is None, "one seed says nothing of others"


def test_runs_that_diverge_are_counted_and_come_last() -> None:
    study = compare(recipes=["he", "normal(std=30.0)"], learning_rates=[10.0, 1e3], data="diabetes", steps=40)
    assert any(r.diverged_at for r in study.runs)
    assert all(len(r.losses) == (r.diverged_at or 41) - 1 for r in study.runs)
    lost = [row for row in study.standings if row.diverged]
    assert lost
    assert all(math.isinf(row.final.mean) for row in lost)
    assert "diverge" in str(study)
    study.to_json()


def test_own_nets_and_arrays_are_taken() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 5))
    classes = compare(builders.small, (x, (x[:, 0] > 0).astype(int)), steps=200, learning_rates=[0.1])
    assert classes.net == "builders.small"
    assert all((r.accuracy or 0) > 0.85 for r in classes.runs)
    numbers = compare(partial(builders.small, width=16), (x, x[:, 0], x[:50], x[:50, 0]), learning_rates=[0.05])
    assert numbers.net == "builders.small(width=16)"
    assert all(r.accuracy is None and r.test_loss is not None for r in numbers.runs)


def test_plans_and_functions_are_recipes_too() -> None:
    plan = fanin.plan(subject(NET, "iris").model, torch.zeros(2, 4), recipe="he")
    study = compare(
        recipes={"made before": plan, "same": "he", "mine": lambda g: {p.path: "zeros" for p in g.parameters}}
    )
    assert study.recipes == ("made before", "same", "mine")
    assert study.trained == 8


def test_a_net_that_cannot_be_stacked_is_trained_one_by_one() -> None:
    study = compare(builders.with_dropout)
    assert losses(study) == losses(compare(builders.with_dropout))
    assert not study.failed


def test_a_large_net_is_trained_alone_whatever_it_is_given_with(monkeypatch: pytest.MonkeyPatch) -> None:
    stacked = compare()
    monkeypatch.setattr("fanin.experiments.stack.STACKED_ELEMENTS", 10)
    alone = compare()
    assert alone.runs[0].facts["stack"] == 1
    for at, curve in losses(alone).items():
        assert curve == pytest.approx(losses(stacked)[at], rel=1e-4)


def test_buffers_are_each_models_own_and_the_test_uses_them() -> None:
    study = compare(builders.with_batch_norm, "digits", steps=60, batch_size=32, learning_rates=[0.1])
    assert all((r.accuracy or 0) > 0.5 for r in study.runs)
    assert (
        losses(
            compare(builders.with_batch_norm, "digits", steps=60, batch_size=32, seeds=[1], learning_rates=[0.1])
        ).items()
        <= losses(study).items()
    )


def test_a_trial_that_raises_is_marked_and_the_others_go_on(tmp_path: Path) -> None:
    """It raises when the model is tested, which `torch.func` does one by one."""
    study = compare(builders.Fragile, recipes=["lecun", "normal(std=100.0)"], to=tmp_path)
    assert {(recipe, error) for recipe, _, error in study.failed} == {("normal(std=100.0)", "ValueError: too large")}
    assert len(study.failed) == 4
    assert [row.recipe for row in study.standings] == ["lecun"]
    assert "failed: ValueError: too large" in str(study)
    assert len(results(tmp_path)) == 4
    assert len(compare(builders.Fragile, recipes=["lecun", "normal(std=100.0)"], to=tmp_path).failed) == 4


def test_a_recipe_that_cannot_serve_the_net_is_left_out() -> None:
    study = compare(recipes=["he", "fixup"])
    assert "residual branches" in study.left_out["fixup"]
    assert study.recipes == ("he",)


@pytest.mark.parametrize(
    ("given", "error", "says"),
    [
        ({"net": "perceptrom(depth=2)"}, UnknownName, "Did you mean 'perceptron'"),
        ({"net": 3}, BadInput, "net: expected a name"),
        ({"data": "digitz"}, UnknownName, "Did you mean 'digits'"),
        ({"data": 3}, BadInput, "data: expected a name"),
        ({"data": (np.zeros((3, 2)), np.zeros(4))}, BadInput, r"same first axis.*\(3, 2\) and \(4,\)"),
        ({"data": (np.array(["a"]), np.zeros(1))}, BadInput, "an array of numbers"),
        ({"data": (np.zeros((9, 2)), np.full(9, -1))}, BadInput, "classes are 0, 1"),
        ({"recipes": ["hee"]}, UnknownName, "Did you mean 'he'"),
        ({"recipes": "he"}, BadInput, "recipes: expected a list"),
        ({"recipes": []}, BadInput, "recipes: expected a list"),
        ({"recipes": ["he", "he"]}, BadInput, "'he' is there twice"),
        ({"recipes": ["fixup"]}, BadInput, "No recipe can serve this net. fixup: "),
        ({"seeds": 0}, BadInput, "seeds: expected at least one"),
        ({"seeds": [1, 1]}, BadInput, "none twice"),
        ({"seeds": "3"}, BadInput, "seeds: expected how many"),
        ({"seeds": [-1]}, BadInput, "seed"),
        ({"learning_rates": [0.1, -1]}, BadInput, "learning_rates: expected positive"),
        ({"learning_rates": []}, BadInput, "learning_rates: expected at least one"),
        ({"steps": 0}, BadInput, "steps must be an integer, at least 1; got 0"),
        ({"batch_size": 1000}, BadInput, "batch_size is 1000, but iris has 120 samples"),
        ({"optimizer": "adm"}, UnknownName, "Did you mean 'adam'"),
        ({"momentum": 1}, BadInput, r"momentum must be a number in \[0, 1\)"),
        ({"engine": "locl"}, UnknownName, "Did you mean 'local'"),
        ({"workers": 0}, BadInput, "workers must be an integer"),
    ],
    ids=str,
)
def test_what_is_wrong_is_said_before_anything_runs(given: dict[str, Any], error: type, says: str) -> None:
    with pytest.raises(error, match=says):
        compare(**given)


def test_builders_that_cannot_be_used_are_refused() -> None:
    with pytest.raises(BadInput, match=r"builders\.raising raised RuntimeError: no such file"):
        compare(builders.raising)
    with pytest.raises(ShapeMismatch, match=r"answers \(2, 2\) to two samples of iris; expected \(2, 3\)"):
        compare(builders.wrong_shape)

    with pytest.raises(BadInput, match=r"a function that builds the model anew.*got a Linear that is built"):
        compare(torch.nn.Linear(4, 3))

    def of_this_process(data: Data) -> torch.nn.Module:
        return builders.small(data)

    with pytest.raises(BadInput, match=r"cannot be found by other processes.*workers=1"):
        compare(of_this_process, workers=2)
    assert compare(of_this_process).trained == 8
    assert compare(lambda: torch.nn.Linear(4, 3)).trained == 8  # the data need not be asked for
    assert compare(lambda inputs=4: torch.nn.Linear(inputs, 3)).trained == 8  # mutant: they are given to any argument


def test_a_damaged_result_is_said_and_computed_again(tmp_path: Path) -> None:
    first = compare(to=tmp_path)
    results(tmp_path)[0].write_text("{")
    again = compare(to=tmp_path)
    assert again.trained == 1
    assert "cannot be used" in str(again)
    assert losses(again) == losses(first)


def test_the_callers_random_state_and_threads_are_left_as_they_were() -> None:
    torch.manual_seed(0)
    threads, expected = torch.get_num_threads(), torch.rand(2)
    torch.manual_seed(0)
    compare(builders.with_dropout)
    assert torch.equal(torch.rand(2), expected)
    assert torch.get_num_threads() == threads
    assert float(torch.tensor(1e-40) * 1) > 0, "denormals"


@pytest.mark.parametrize(("deaths", "lost"), [(1, 0), (2, 4)])
def test_a_worker_that_dies_loses_its_job_only_if_it_dies_again(
    deaths: int, lost: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two jobs of four trials; the mutant without a second try loses four at the first death."""
    mark = tmp_path / "deaths"
    mark.write_text("0")
    monkeypatch.setenv("FANIN_TEST_DEATHS", str(mark))
    monkeypatch.setenv("FANIN_TEST_PARENT", str(os.getpid()))
    mark.write_text(str(deaths))
    monkeypatch.setattr("fanin.experiments.conduct.LARGEST_STACK", 4)
    study = compare(builders.Deadly, recipes=["he"], seeds=4, workers=2, to=tmp_path / "runs")
    assert len(study.runs) + len(study.failed) == 8
    if lost == 0:
        assert not study.failed
    else:
        assert all("exit code -9" in error for _, _, error in study.failed)
    whole = compare(builders.Deadly, recipes=["he"], seeds=4, workers=1, to=tmp_path / "runs")
    assert whole.trained == len(study.failed)


def test_killed_at_random_moments_nothing_is_lost_or_counted_twice(tmp_path: Path) -> None:
    """`kill -9` of the whole run, workers included or not, until it gets through; then as if nothing had been."""
    folder, outcome, rng, kept = tmp_path / "runs", tmp_path / "outcome", random.Random(0), 0
    for attempt in range(8):
        running = forked.start(forked.compare_36, folder, 1 + (attempt == 3), outcome)
        deadline = time.monotonic() + 60
        while len(results(folder)) <= kept and running.is_alive() and time.monotonic() < deadline:
            time.sleep(rng.uniform(0, 0.1))
        time.sleep(rng.uniform(0, 0.2))
        running.kill()
        forked.wait(running)
        now = len(results(folder))
        assert now >= kept, "a result is gone"
        kept = now
    assert forked.wait(forked.start(forked.compare_36, folder, 1, outcome)) == 0
    trained, runs = map(int, outcome.read_text().split())
    assert runs == 36 == len(results(folder))
    assert trained <= 36 - kept
    stored = forked.study_of_36(to=folder, workers=1)
    assert stored.trained == 0
    assert losses(stored) == losses(forked.study_of_36(workers=1))


def test_two_runs_at_once_on_one_store_share_the_work(tmp_path: Path) -> None:
    """Mutant: without claims, both train all of it."""
    outcomes = [tmp_path / "one", tmp_path / "other"]
    both = [forked.start(forked.compare_36, tmp_path / "runs", 1, outcome) for outcome in outcomes]
    assert [forked.wait(run) for run in both] == [0, 0]
    trained, runs = zip(*(map(int, outcome.read_text().split()) for outcome in outcomes), strict=True)
    assert runs == (36, 36)
    assert sum(trained) == 36 == len(results(tmp_path / "runs"))


def test_ctrl_c_keeps_what_is_done_and_says_how_to_go_on(tmp_path: Path) -> None:
    folder, outcome = tmp_path / "runs", tmp_path / "outcome"
    running = forked.start(forked.compare_36, folder, 2, outcome)
    while not results(folder) and running.is_alive():
        time.sleep(0.01)
    assert running.pid is not None
    os.kill(running.pid, signal.SIGINT)
    assert forked.wait(running, 60) == 0
    said = outcome.read_text()
    if re.fullmatch(r"\d+ \d+", said):
        pytest.skip("it was done before it was stopped")
    assert "trials are done and kept in" in said
    assert "The same call goes on from there." in said
    assert issubclass(Stopped, KeyboardInterrupt)
    assert len(forked.study_of_36(to=folder, workers=1).runs) == 36


def test_the_study_is_plain_data_and_a_page(tmp_path: Path) -> None:
    study = compare(seeds=3)
    facts = study.to_dict()
    assert facts["verdict"] == study.verdict
    assert len(facts["runs"]) == 12
    assert study.to_html(tmp_path / "study.html").read_text(encoding="utf-8").count("Mean loss at the end") >= 1
    with pytest.raises(BadInput, match=r"Take it from fanin\.compare"):
        replace(study, page=None).to_html(tmp_path / "other.html")


LITTLE: dict[str, Any] = {"seeds": 2, "learning_rates": [0.01], "steps": 12, "workers": 1, "progress": False}


def test_curves_stand_in_tensorboard_as_trials_end(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    study = fanin.compare(
        "perceptron(depth=2, width=8)", "digits", recipes=["he", "lecun"], **LITTLE, to=tmp_path, tensorboard=True
    )
    folders = sorted({file.parent for file in (tmp_path / "tensorboard").rglob("events.*")})
    assert len(folders) == len(study.runs)
    run = study.runs[0]
    folder = next(f for f in folders if f.parts[-3:] == (run.recipe, f"rate {run.rate:g}", f"seed {run.seed}"))
    board = EventAccumulator(str(folder))
    board.Reload()
    assert [event.step for event in board.Scalars("loss")] == list(range(1, len(run.losses) + 1))
    assert [event.value for event in board.Scalars("loss")] == pytest.approx(run.losses)


@dataclass(frozen=True)
class Looking:
    """An engine that stops at a step, until somebody has looked."""

    look: Callable[[], None]
    at: int = 8
    workers: int = 1
    near: bool = True

    def __call__(self, jobs: Any, work: Any, *, on_done: Any, on_lost: Any, on_progress: Any) -> None:
        def tell(amount: int, words: Any) -> None:
            on_progress(amount, words)
            if any(word.step == self.at for word in words):
                self.look()

        for job in jobs:
            on_done(job, work(job, tell))


def losses_on_board(folder: Path) -> dict[str, dict[int, float]]:
    """Of each run, step → loss."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = {}
    for run in {file.parent for file in folder.rglob("events.*")}:
        board = EventAccumulator(str(run))
        board.Reload()
        scalars = board.Scalars("loss") if "loss" in board.Tags()["scalars"] else []
        found[str(run.relative_to(folder))] = {event.step: event.value for event in scalars}
    return found


def test_curves_stand_in_tensorboard_while_trials_train(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tensorboard")
    seen: list[dict[str, dict[int, float]]] = []

    def look() -> None:
        until = time.monotonic() + 20
        while time.monotonic() < until:
            found = losses_on_board(tmp_path / "tensorboard")
            if found and all(max(curve, default=0) >= 8 for curve in found.values()):
                seen.append(found)
                return
            time.sleep(0.1)

    monkeypatch.setitem(ENGINES, "local", lambda workers, address: nullcontext(Looking(look)))
    fanin.compare("perceptron(depth=2, width=8)", "digits", recipes=["he"], **LITTLE, to=tmp_path, tensorboard=True)
    ended = losses_on_board(tmp_path / "tensorboard")
    assert len(ended) == 2
    assert [len(found) for found in seen] == [1, 2], "two stacks of one trial, one after the other"
    for found in seen:
        for run, curve in found.items():
            assert list(ended[run]) == list(range(1, 13))
            assert list(curve) in (list(range(1, 9)), list(range(1, 13)))
            assert curve.items() <= ended[run].items()
    assert min(len(curve) for curve in seen[1].values()) == 8, "seen before it ended"


def test_a_trial_that_was_cut_off_begins_its_curve_anew(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from fanin.frameworks.tensorboard import Run

    for values in ([9.0, 8.0, 7.0, 6.0], [3.0, 2.0]):
        run = Run(tmp_path / "run")
        for step, value in enumerate(values, 1):
            run.add("loss", step, value)
            run.add("loss", step, -1.0)  # said again, as by a second try: the first stays
        run.close()
    assert losses_on_board(tmp_path) == {"run": {1: 3.0, 2: 2.0}}


def test_curves_need_a_folder() -> None:
    with pytest.raises(BadInput, match=r"to='runs/mine'"):
        fanin.compare("perceptron(depth=2, width=8)", "digits", recipes=["he"], **LITTLE, tensorboard=True)
