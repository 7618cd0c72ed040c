"""benchmarks/start.py: its contests can be run, nothing is run twice, and its table says what it found."""

from __future__ import annotations

import importlib
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from fanin.call import bind
from fanin.experiments import Training
from fanin.experiments.data import DATA
from fanin.experiments.nets import NETS

ROOT = Path(__file__).parents[2]


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The command; it takes numbers below 1e-38 for 0, and tests that follow must not."""
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    threads = torch.get_num_threads()
    yield importlib.import_module("start")
    torch.set_num_threads(threads)
    torch.set_flush_denormal(False)


@pytest.fixture
def tiny(start: Any) -> Any:
    """A contest of some milliseconds."""
    return start.Contest(
        "tiny",
        "perceptron(depth=2, width=8)",
        "iris",
        ("he", "no_such_recipe"),
        Training(steps=30, batch_size=16),
        (1e-2, 1e-1),
    )


def test_every_contest_names_a_net_and_data_that_fit(start: Any) -> None:
    assert len(start.CONTESTS) >= 12
    for name, contest in start.CONTESTS.items():
        assert name == contest.name
        data = bind("data", contest.data, DATA)()
        net = bind("net", contest.net, NETS)(data)
        with torch.no_grad():
            assert torch.isfinite(net(torch.from_numpy(data.inputs[:1]))).all()
        assert {"auto", "torch_default"} < set(contest.recipes)
        assert 0 < contest.bar < 1
        assert list(contest.rates) == sorted(set(contest.rates))


def test_a_run_that_was_stopped_goes_on_and_runs_nothing_twice(start: Any, tiny: Any, tmp_path: Path) -> None:
    trials = importlib.import_module("contests.trials")
    first = trials.run(tiny, "he", [0], tmp_path)
    more = trials.run(tiny, "he", [0, 1], tmp_path)
    again = trials.run(tiny, "he", [0, 1], tmp_path)
    assert (first.trained, more.trained, again.trained) == (2, 2, 0)
    assert again.runs == more.runs
    assert [r for r in more.runs if r.seed == 0] == list(first.runs)
    assert [(r.seed, r.rate) for r in again.runs] == [(0, 1e-2), (0, 1e-1), (1, 1e-2), (1, 1e-1)]
    assert not list(tmp_path.rglob("*.tmp"))


def test_a_result_is_found_by_all_that_decides_it(start: Any, tiny: Any, tmp_path: Path) -> None:
    trials = importlib.import_module("contests.trials")
    _, _, traced = trials.prepared(tiny.net, tiny.data)
    he, again, lecun = (trials.make_plan(traced.graph, name) for name in ("he", "he(negative_slope=0.0)", "lecun"))
    key = trials.key_of(tiny, he, 0, 0.1)
    assert trials.key_of(tiny, again, 0, 0.1) == key, "the same decisions by another name"
    others = [
        trials.key_of(tiny, lecun, 0, 0.1),
        trials.key_of(tiny, he, 1, 0.1),
        trials.key_of(tiny, he, 0, 0.2),
        trials.key_of(replace(tiny, data="wine"), he, 0, 0.1),
        trials.key_of(replace(tiny, training=Training(steps=31, batch_size=16)), he, 0, 0.1),
    ]
    assert key not in others


def test_what_the_command_prints(
    start: Any, tiny: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    table = importlib.import_module("contests.table")
    monkeypatch.setitem(start.CONTESTS, "tiny", tiny)
    page = tmp_path / "start.md"
    page.write_text((ROOT / "docs" / "start.md").read_text(encoding="utf-8"), encoding="utf-8")
    monkeypatch.setattr(start, "PAGE", page)
    monkeypatch.setattr(
        "sys.argv",
        [
            *("start.py", "--only", "tiny", "--seeds", "2", "--workers", "1"),
            *("--store", str(tmp_path / "store"), "--write"),
        ],
    )
    start.main()
    printed, progress = capsys.readouterr()
    overview, _, rest = printed.partition("### tiny")
    rows = [line for line in rest.splitlines() if line.startswith("| ")]
    assert {row.split(" | ")[0].removeprefix("| ") for row in rows} == {"recipe", "auto", "torch_default", "he"}
    assert all(row.count("|") == 1 + len(table.HEAD) for row in rows)
    assert sum(line.startswith("| tiny |") for line in overview.splitlines()) == 1
    assert "no_such_recipe is left out: there is no such recipe" in printed
    assert "100%    0 min left  tiny, he: 4 trained, 0 from the store" in progress
    start.main()
    assert "100%    0 min left  tiny, he: 0 trained, 4 from the store" in capsys.readouterr().err
    assert all(row in page.read_text(encoding="utf-8") for row in rows)


def outcome(start: Any, recipe: str, finals: dict[tuple[int, float], float]) -> Any:
    run = importlib.import_module("contests.trials").Run
    runs = tuple(
        run(seed, rate, (loss,) * 20, None if math.isfinite(loss) else 21) for (seed, rate), loss in finals.items()
    )
    return start.Outcome("tiny", recipe, 2.0, runs)


def test_a_recipe_is_judged_at_its_own_best_rate(start: Any, tiny: Any) -> None:
    finals = {(0, 0.01): 1.5, (1, 0.01): 0.5, (0, 0.1): 0.1, (1, 0.1): math.inf}
    row = importlib.import_module("contests.summary").summary(tiny, outcome(start, "he", finals))
    assert (row.rate, row.mean, row.share, row.at_best, row.seeds) == (0.01, 1.0, 0.5, 1, 2)
    assert row.std == pytest.approx(math.sqrt(0.5))
    assert row.steps == math.inf


@pytest.mark.parametrize(
    ("auto", "best", "said"),
    [
        ((0.50, 0.52), (0.40, 0.42), "behind he: 0.510 against 0.410"),
        ((0.40, 0.60), (0.40, 0.42), "level with he"),
        ((0.411, 0.411), (0.40, 0.40), "level with he"),  # by less than a hundredth of chance
        ((0.10, 0.12), (0.40, 0.42), "ahead of he"),
        ((math.inf, 0.1), (0.40, 0.42), "diverges; he 0.410"),
    ],
)
def test_auto_is_held_against_the_best_of_the_others(
    start: Any, tiny: Any, auto: tuple[float, ...], best: tuple[float, ...], said: str
) -> None:
    summary = importlib.import_module("contests.summary")
    given = {"auto": auto, "he": best, "xavier": (1.9, 1.9)}
    rows = [
        summary.summary(replace(tiny, rates=(0.1,)), outcome(start, name, {(s, 0.1): f for s, f in enumerate(finals)}))
        for name, finals in given.items()
    ]
    assert summary.verdict(2.0, rows) == said
