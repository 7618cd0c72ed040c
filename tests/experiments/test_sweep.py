"""A sweep is the studies that compare would make, trained together; what varies goes where its name stands."""

from __future__ import annotations

import csv
import math
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

import fanin
from fanin.errors import BadInput
from fanin.experiments.conduct import stacks
from fanin.experiments.data import Data
from fanin.experiments.design import design
from fanin.experiments.nets import NETS, Perceptron
from fanin.experiments.probe import alike
from fanin.experiments.stack import At
from fanin.experiments.study import Study
from fanin.experiments.subject import subject
from fanin.experiments.sweep import Sweep, table
from fanin.experiments.vary import Asked, cells, checked, filled

FEW: dict[str, Any] = {
    "seeds": 2,
    "learning_rates": [0.01, 0.1],
    "steps": 20,
    "batch_size": 16,
    "workers": 1,
    "progress": False,
}


def sweep(net: Any = "perceptron(width=8)", data: Any = "iris", **other: Any) -> Sweep:
    return fanin.sweep(net, data, **{"vary": {"depth": [1, 3]}, "recipes": ["he", "zeros"], **FEW, **other})


def losses(study: Study) -> dict[tuple[str, int, float], tuple[float, ...]]:
    return {(r.recipe, r.seed, r.rate): r.losses for r in study.runs}


def test_each_study_is_the_one_that_compare_makes(tmp_path: Path) -> None:
    """Bit for bit, and under the same names: whatever else was in the stack."""
    found = sweep(to=tmp_path)
    assert found.trained == 16
    for depth in (1, 3):
        alone = fanin.compare(
            f"perceptron(width=8, depth={depth})", "iris", recipes=["he", "zeros"], to=tmp_path, **FEW
        )
        assert alone.trained == 0
        assert losses(alone) == losses(found.at(depth=depth))
    fresh = fanin.compare("perceptron(width=8, depth=3)", "iris", recipes=["he", "zeros"], **FEW)
    assert losses(fresh) == losses(found.at(depth=3))


def test_a_value_goes_where_its_name_stands() -> None:
    asked = Asked("perceptron(width={width})", "iris", {"N": "normal(std={std})"}, {"steps": 9})
    found = filled(asked, {"width": 4, "std": 0.5, "depth": 2, "weight_decay": 0.1})
    assert found.net == "perceptron(width=4, depth=2)"
    assert found.recipes == {"N": "normal(std=0.5)"}
    assert found.settings == {"steps": 9, "weight_decay": 0.1}
    whole = filled(Asked("x", "y", {"a": "he"}), {"net": "perceptron(width={width})", "data": "wine", "width": 3})
    assert (whole.net, whole.data) == ("perceptron(width=3)", "wine")


def test_the_net_may_be_any_function() -> None:
    found = sweep(wide, vary={"width": [4, 8]}, recipes=["he"])
    assert [study.net for study in found.studies] == [f"{__name__}.wide(width={width})" for width in (4, 8)]
    assert filled(Asked(wide, "iris", {}), {"width": 3}).net.keywords == {"width": 3}


def wide(data: Data, width: int) -> torch.nn.Module:
    return Perceptron(1, width, data.inputs.shape[1], data.outputs)


def test_the_last_name_changes_fastest_and_values_find_their_study() -> None:
    found = sweep(vary={"depth": [1, 2], "activation": ["tanh", "relu"]}, recipes=["he"], steps=2)
    assert [tuple(cell.values()) for cell in found.cells] == [(1, "tanh"), (1, "relu"), (2, "tanh"), (2, "relu")]
    for cell, study in zip(found.cells, found.studies, strict=True):
        assert found.at(**cell) is study
        assert study.net == f"perceptron(width=8, depth={cell['depth']}, activation={cell['activation']!r})"
    assert found.where(depth=2) == found.studies[2:]
    with pytest.raises(BadInput, match=r"2 studies have {'depth': 2}. Give one value of each: depth: 1, 2; activation"):
        found.at(depth=2)


def test_cells_of_one_net_are_trained_in_one_stack() -> None:
    """Mutant: a stack for each cell."""
    what = subject("perceptron(depth=1, width=8)", "iris")
    designs = [design(what, [f"normal(std={std})"], seeds=1, learning_rates=[0.1]) for std in (0.1, 0.2, 0.3)]
    missing = [At(n, *at) for n, each in enumerate(designs) for at in each.keys]
    assert [len(stack) for stack in stacks(designs, missing, workers=1)] == [2, 1]
    other = design(what, ["he"], seeds=1, learning_rates=[0.1], steps=7)
    mixed = [*missing, At(3, "he", other.cells[0])]
    for stack in stacks([*designs, other], mixed, workers=1):
        assert len({at.design == 3 for at in stack}) == 1, "another training is another stack"


def test_weight_decay_is_another_trial(tmp_path: Path) -> None:
    found = sweep(vary={"weight_decay": [0.0, 0.5]}, recipes=["he"], to=tmp_path)
    assert found.trained == 8
    assert losses(found.studies[0]) != losses(found.studies[1])
    assert sweep(vary={"weight_decay": [0.0, 0.5]}, recipes=["he"], to=tmp_path).trained == 0


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"vary": {}}, "expected names with their values"),
        ({"vary": {"depth": 5}}, "depth needs a list of values"),
        ({"vary": {"depth": []}}, "depth needs a list of values"),
        ({"vary": {"depth": [1, 1]}}, "depth has a value twice"),
        ({"vary": {"deepness": [1]}}, "perceptron does not take deepness"),
        ({"recipes": ["normal(std={std})"]}, "{std} is not among what varies: depth"),
        ({"vary": {"weight_decay": [-1.0]}}, r"weight_decay must be a number in \[0, inf\)"),
        ({"signals": 1}, "signals must be true or false"),
    ],
    ids=lambda case: str(case)[:40],
)
def test_what_makes_no_sense_is_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        sweep(**wrong)


def test_a_recipe_that_serves_one_net_only_is_blank_in_the_others() -> None:
    nets = ["residual_cnn(blocks=1, width=4)", "plain_cnn(depth=1, width=4)"]
    found = sweep(nets[0], "pictures", vary={"net": nets}, recipes=["he", "fixup"], steps=2, seeds=1)
    assert found.loss("fixup", net=nets[1]) is None
    assert found.loss("fixup", net=nets[0]) is not None
    assert table(found)[1][1][-1] == "–"
    assert "fixup is left out" in str(found)


def test_the_table_has_recipes_across_or_what_varies_last_if_one_is_alone() -> None:
    many = sweep(steps=2)
    assert table(many)[0] == ["depth", "he", "zeros"]
    one = sweep(vary={"depth": [1, 2], "activation": ["tanh", "relu"]}, recipes=["he"], steps=2)
    head, rows = table(one)
    assert head == ["depth", "activation tanh", "activation relu"]
    assert [row[0] for row in rows] == ["1", "2"]
    assert rows[1][2].startswith(f"{one.loss('he', depth=2, activation='relu'):.3g}")


def test_runs_as_csv(tmp_path: Path) -> None:
    found = sweep()
    with found.to_csv(tmp_path / "runs.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 16
    assert {row["depth"] for row in rows} == {"1", "3"}
    run = found.at(depth=1).of("he", 0.1)[0]
    row = next(r for r in rows if (r["depth"], r["recipe"], r["seed"], r["rate"]) == ("1", "he", "0", "0.1"))
    assert float(row["final_loss"]) == run.final_loss
    with found.at(depth=1).to_csv(tmp_path / "steps.csv", curves=True).open(encoding="utf-8") as file:
        steps = list(csv.DictReader(file))
    assert len(steps) == 8 * 20
    assert [float(s["loss"]) for s in steps[:20]] == list(found.at(depth=1).runs[0].losses)


def test_signals_are_kept_of_the_start_and_of_the_end(tmp_path: Path) -> None:
    study = fanin.compare("perceptron(depth=3, width=16)", "digits", recipes=["he"], to=tmp_path, signals=True, **FEW)
    for run in study.runs:
        assert run.start is not None
        assert run.end is not None
        assert run.start.modules == ("hidden.0", "hidden.1", "hidden.2", "readout")
        assert run.start.values[0] == pytest.approx(1.0, rel=0.5), "He keeps the second moment of digits, about 1"
        assert run.start.values != run.end.values
        assert all(norm and math.isfinite(norm) for norm in run.start.gradients)
    without = fanin.compare("perceptron(depth=3, width=16)", "digits", recipes=["he"], to=tmp_path, **FEW)
    assert without.trained == 0, "a result with signals serves where none are asked for"
    assert without == study


def test_a_result_without_signals_is_trained_again_where_they_are_asked_for(tmp_path: Path) -> None:
    """And comes out the same. Mutant: a store that is asked for the trial alone."""
    arguments: dict[str, Any] = {"recipes": ["he"], "to": tmp_path, **FEW}
    before = fanin.compare("perceptron(depth=1, width=8)", "iris", **arguments)
    after = fanin.compare("perceptron(depth=1, width=8)", "iris", signals=True, **arguments)
    assert (before.trained, after.trained) == (4, 4)
    assert losses(before) == losses(after)
    assert all(run.end for run in after.runs)
    assert fanin.compare("perceptron(depth=1, width=8)", "iris", signals=True, **arguments).trained == 0


def test_weights_that_are_no_numbers_have_no_signals_and_harm_nobody() -> None:
    study = fanin.compare("perceptron(depth=8, width=16)", "digits", recipes=["normal(std=1e19)"], signals=True, **FEW)
    assert all(run.diverged_at for run in study.runs)
    assert not study.failed


def test_alike_is_one_of_equal_rows_and_a_share_of_others() -> None:
    """Mutant: the mean over what a unit reads, rather than over units."""
    source = torch.Generator().manual_seed(0)
    rows = torch.randn(1, 50, generator=source, dtype=torch.float64).expand(20, 50)
    assert alike(rows) == pytest.approx(1.0)
    assert alike(torch.zeros(4, 3)) == 1.0
    assert alike(torch.randn(20, 5000, generator=source)) == pytest.approx(1 / 20, rel=0.2)
    assert alike(rows.T.contiguous()) == pytest.approx(float(rows[0].sum() ** 2 / (50 * rows[0].square().sum())))


def test_arguments_are_checked_where_they_vary() -> None:
    assert checked({"a": [1], "b": (2, 3)}) == {"a": (1,), "b": (2, 3)}
    assert cells({"a": [1, 2], "b": "xy"}) == [
        {"a": 1, "b": "x"},
        {"a": 1, "b": "y"},
        {"a": 2, "b": "x"},
        {"a": 2, "b": "y"},
    ]
    assert partial(NETS["perceptron"], depth=1).keywords == {"depth": 1}
