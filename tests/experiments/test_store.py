"""A result is there whole or not at all, whatever happens to who writes it."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import forked
import pytest

from fanin.errors import BadInput
from fanin.experiments.store import MARK, Store, name_of


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "runs")


def file_of(store: Store) -> Path:
    (file,) = (f for f in store.folder.rglob("*.json") if f.name != MARK)
    return file


def test_what_is_put_is_found_by_all_that_decides_it(store: Store) -> None:
    store.put({"seed": 0, "rate": 0.1}, {"losses": [1.0]})
    assert store.get({"rate": 0.1, "seed": 0}) == {"losses": [1.0]}
    assert store.get({"seed": 1, "rate": 0.1}) is None


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[: len(text) // 2],
        lambda text: "",
        lambda text: text.replace("1.25", "1.5"),
        lambda text: text.replace('"seed": 0', '"seed": 1'),
        lambda text: "[1, 2]",
        lambda text: text.replace("result", "outcome"),
    ],
    ids=["half", "empty", "another number", "another trial", "other JSON", "no result"],
)
def test_a_damaged_result_counts_as_not_there_and_is_said(store: Store, damage: object) -> None:
    """Mutant: a store that does not compare the digest takes the other number for the result."""
    store.put({"seed": 0}, {"losses": [1.25]})
    file = file_of(store)
    file.write_text(damage(file.read_text()))  # type: ignore[operator]
    with pytest.warns(UserWarning, match=f"{file.name} cannot be used: .* counts as not run"):
        assert store.get({"seed": 0}) is None
    store.put({"seed": 0}, {"losses": [1.25]})
    assert store.get({"seed": 0}) == {"losses": [1.25]}


def test_a_result_that_is_no_text_is_damaged(store: Store) -> None:
    store.put({"seed": 0}, {"losses": [1.25]})
    file_of(store).write_bytes(b"\xff\xfe\x00")
    with pytest.warns(UserWarning, match="cannot be used"):
        assert store.get({"seed": 0}) is None


def test_a_store_without_digests_is_read(store: Store) -> None:
    """As the contests wrote theirs before the library had a store."""
    file = store.folder / name_of({"seed": 0})[:2] / f"{name_of({'seed': 0})}.json"
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps({"trial": {"seed": 0}, "result": {"losses": [1.0]}}))
    assert store.get({"seed": 0}) == {"losses": [1.0]}


def test_a_store_of_a_newer_fanin_is_refused(store: Store) -> None:
    store.put({"seed": 0}, {})
    store.check()
    (store.folder / MARK).write_text('{"format": 2}')
    with pytest.raises(BadInput, match=r"of format 2; this fanin reads format 1\. Install the fanin"):
        store.check()


def test_a_folder_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("")
    with pytest.raises(BadInput, match=r"Results cannot be kept in .*Give another folder"):
        Store(tmp_path / "runs").check()


def test_only_one_has_a_claim_and_a_killed_process_has_none(store: Store) -> None:
    code = (
        "import sys, time; from pathlib import Path; from fanin.experiments.store import Store\n"
        "with Store(Path(sys.argv[1])).claim({'seed': 0}) as ours:\n    print(ours, flush=True); time.sleep(60)"
    )
    holder = subprocess.Popen([sys.executable, "-c", code, str(store.folder)], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    with holder:
        assert holder.stdout.readline() == "True\n"
        with store.claim({"seed": 0}) as ours, store.claim({"seed": 1}) as other:
            assert (ours, other) == (False, True)
        holder.kill()
    with store.claim({"seed": 0}) as ours:
        assert ours
    assert [f.name for f in store.folder.rglob("*.claim")] == []


def test_a_writer_killed_at_any_moment_leaves_whole_results_only(store: Store) -> None:
    """Thirty kills at random; the digest in each file would show a half or mixed one."""
    rng, count, kills = random.Random(0), 400, 0
    for _ in range(30):
        begun = forked.CONTEXT.Event()
        writer = forked.start(forked.put_results, store.folder, count, begun)
        assert begun.wait(60)
        time.sleep(rng.uniform(0, 0.1))
        writer.kill()
        kills += forked.wait(writer) == -signal.SIGKILL
        names = [f for f in store.folder.rglob("*.json") if f.name != MARK]
        found = [store.get({"seed": seed}) for seed in range(count)]  # a warning is an error here
        assert sum(result is not None for result in found) == len(names)
        assert all(r is None or r["losses"] == [float(seed)] * 2000 for seed, r in enumerate(found))
    assert kills > 20


@pytest.mark.skipif(os.name != "posix", reason="no limits of this kind")
def test_a_disk_that_is_full_is_said_and_earlier_results_stay(store: Store) -> None:
    """A limit on the size of files fails a write in the middle, as a full disk does."""
    store.put({"seed": 0}, {"losses": [0.0]})
    code = (
        "import resource, signal, sys; from pathlib import Path; from fanin.experiments.store import Store\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        "store = Store(Path(sys.argv[1]))\n"
        "store.put({'seed': 0}, {'losses': [0.5] * 5000})"
    )
    ended = subprocess.run([sys.executable, "-c", code, str(store.folder)], capture_output=True, text=True, check=False)
    assert "BadInput: Cannot write" in ended.stderr
    assert store.get({"seed": 0}) == {"losses": [0.0]}
    assert not list(store.folder.rglob("*.tmp"))
