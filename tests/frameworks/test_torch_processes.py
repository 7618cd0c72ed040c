"""Real processes over gloo: however many hold a model, and whatever of it, its weights are the same bits."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import fanin
from fanin.plans.model import writes

WORKER = Path(__file__).with_name("sharded_worker.py")
SECONDS = 240  # far more than it takes; a process that waits for another must not wait for ever

pytestmark = pytest.mark.skipif(
    not (hasattr(os, "fork") and torch.distributed.is_available() and torch.distributed.is_gloo_available()),
    reason="needs fork and gloo",
)


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What each process says, by `world-rank`."""
    folder = tmp_path_factory.mktemp("processes")
    command = [sys.executable, str(WORKER), str(folder)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=SECONDS, env=environment)
    assert ended.returncode == 0, ended.stderr
    return {file.stem: json.loads(file.read_text()) for file in folder.glob("*.json")}


@pytest.fixture(scope="module")
def reference() -> tuple[str, torch.Tensor]:
    """The digest of the stream's own values, without a model, and the output of one that is not sharded."""
    from sharded_worker import EXAMPLE, Net, plan

    decided, found = plan(), hashlib.sha256()
    for entry in decided:
        assert writes(entry)
        found.update(entry.parameter.path.encode() + entry.initializer.draw(entry.target, 7).tobytes())
    net = Net()
    fanin.initialize_(net, recipe=decided, seed=7)
    with torch.no_grad():
        return found.hexdigest(), net(EXAMPLE).flatten()


@pytest.fixture(scope="module", autouse=True)
def beside() -> Any:
    """The worker can be imported here for its model."""
    sys.path.insert(0, str(WORKER.parent))
    yield
    sys.path.remove(str(WORKER.parent))


def test_every_world_and_placement_gives_the_weights_of_the_stream(
    reports: dict[str, Any], reference: tuple[str, torch.Tensor]
) -> None:
    assert len(reports) == 1 + 2 + 3 + 4
    for who, report in reports.items():
        assert len(report["digests"]) == (14 if who.startswith("4") else 9)
        assert set(report["digests"].values()) == {reference[0]}, (who, report["digests"])


def test_nothing_is_sent(reports: dict[str, Any]) -> None:
    for who, report in reports.items():
        assert not any(report["sent"].values()), (who, report["sent"])
        assert (report["seen by the counter"] > 0) == (not who.startswith("1-"))  # gathering the weights is seen


def test_the_sharded_model_computes_with_what_was_written(
    reports: dict[str, Any], reference: tuple[str, torch.Tensor]
) -> None:
    for who, report in reports.items():
        for name, output in report["outputs"].items():
            torch.testing.assert_close(torch.tensor(output), reference[1], msg=f"{who} {name}")


def test_the_generator_of_torch_does_not_pass_this_test(reports: dict[str, Any]) -> None:
    """The control: with one seed in all processes, the weights depend on how many there are."""
    assert len({report["of torch"] for who, report in reports.items() if who.endswith("-0")}) == 4
