"""Two real processes over gloo: replicated or sharded, the numbers are those of one that has all, and none hangs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from fanin.monitor import read_lines

WORKER = Path(__file__).with_name("watch_worker.py")
SECONDS = 200  # far more than it takes; a process that waits for another must not wait for ever

pytestmark = pytest.mark.skipif(
    not (hasattr(os, "fork") and torch.distributed.is_available() and torch.distributed.is_gloo_available()),
    reason="needs fork and gloo",
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the processes have written."""
    folder = tmp_path_factory.mktemp("watched")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(WORKER), str(folder)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=SECONDS, env=environment)
    assert ended.returncode == 0, ended.stderr
    return folder


@pytest.fixture(scope="module")
def ranks(folder: Path) -> list[dict[str, Any]]:
    """What each process says."""
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in (0, 1)]


@pytest.mark.parametrize("how", ["replicated", "sharded"])
def test_norms_are_those_of_the_whole_model_on_every_process(ranks: list[dict[str, Any]], how: str) -> None:
    """Mutant: a process tells of its own shards."""
    expected = ranks[0]["alone"]
    for rank in ranks:
        found = rank[how]
        assert found["steps"] == expected["steps"] == [1, 4, 8, 12]
        assert found["layers"] == expected["layers"]
        assert found["notes"] == []
        for now, then in zip(found["norms"], expected["norms"], strict=True):
            for (path, shape, *numbers), (path_then, shape_then, *numbers_then) in zip(now, then, strict=True):
                assert (path, shape) == (path_then, shape_then)
                assert numbers == pytest.approx(numbers_then, rel=1e-4)
        assert found["weights"] == pytest.approx(expected["weights"], rel=1e-4, abs=1e-5)


@pytest.mark.parametrize("how", ["norm", "value", "adaptive"])
def test_a_sharded_model_is_clipped_as_a_whole_one(ranks: list[dict[str, Any]], how: str) -> None:
    expected = ranks[0]["clipped alone"][how]
    assert expected["clipped"] > 0
    for rank in ranks:
        found = rank["clipped"][how]
        assert found["clipped"] == expected["clipped"]
        assert found["weights"] == pytest.approx(expected["weights"], rel=1e-4, abs=1e-5)


def test_one_process_speaks_and_writes(folder: Path, ranks: list[dict[str, Any]]) -> None:
    for how in ("replicated", "sharded"):
        lines = read_lines(folder / how)
        assert [line["kind"] for line in lines] == ["run", "step", "step", "step", "step"]
    assert len(ranks[0]["spoiled"]["said"]) == 1
    assert ranks[1]["spoiled"]["said"] == []


def test_a_batch_that_breaks_one_process_is_kept_there(folder: Path, ranks: list[dict[str, Any]]) -> None:
    assert [rank["spoiled"]["onsets"] for rank in ranks] == [[[6, "N01"]], [[6, "N01"]]]
    assert "another process had it" in ranks[0]["spoiled"]["said"][0]
    (kept,) = (folder / "spoiled").glob("*-rank-1")
    assert json.loads((kept / "step.json").read_text())["origin"]["operation"] == "the input of the model"


def test_a_process_that_cannot_watch_a_step_lets_the_others_train_on(ranks: list[dict[str, Any]]) -> None:
    """Mutant: it sends nothing, and the others wait."""
    for rank in ranks:
        assert rank["failing"]["steps"] == [1, 4]
        assert rank["failing"]["weights"] == pytest.approx(rank["sharded"]["weights"])
    assert "not all processes could watch it" in ranks[0]["failing"]["notes"][0]
    assert "MemoryError: no room for it" in ranks[1]["failing"]["notes"][0]
