"""The open watch: its schedule, its sinks, its state, and that nothing it meets stops a training."""

from __future__ import annotations

import gc
import json
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import fanin
from fanin.errors import BadInput, MissingExtra
from fanin.frameworks.torch import Watcher
from fanin.monitor import Watching, read_lines
from fanin.monitor.account import Record
from fanin.monitor.sinks import scalars
from fanin.monitor.thinned import Thinned


def quiet(text: str) -> None:
    """What `say` is in tests."""


def net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 1))


class Loop:
    """A training that can be left and taken up."""

    def __init__(self, model: nn.Module | None = None, lr: float = 0.05) -> None:
        self.model = model or net()
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr)
        self.data = torch.Generator().manual_seed(0)

    def step(self) -> Tensor:
        loss: Tensor = self.model(torch.randn(32, 8, generator=self.data)).square().mean()
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        return loss

    def run(self, w: Watching, steps: int) -> None:
        for _ in range(steps):
            w.step(self.step())


def test_records_and_lines_tell_the_same(tmp_path: Path) -> None:
    loop = Loop()
    with fanin.watch(loop.model, every=4, to=tmp_path, say=quiet) as w:
        loop.run(w, 10)
    head, *steps = read_lines(tmp_path)
    assert (head["kind"], head["model"], head["every"]) == ("run", "Sequential", 4)
    assert [line["step"] for line in steps] == [1, 4, 8]
    for line, record in zip(steps, w.result.records, strict=True):
        assert Record.from_dict(line) == Record.from_dict(record.to_dict()) == record
    assert json.loads(w.result.to_json())["losses"][9][0] == 10


def test_a_run_that_goes_on_counts_on_and_says_nothing_twice(tmp_path: Path) -> None:
    """The state goes through JSON, as a checkpoint may. Mutant: the first record is not in it."""
    loop = Loop(lr=20.0)
    with fanin.watch(loop.model, every=4, say=quiet) as w:
        w.step(loop.step(), fanin.clip_(loop.model, norm=1e-9))
        loop.optimizer.param_groups[0]["lr"] = 1e-3
        loop.run(w, 4)
    assert [o.finding.code for o in w.result] == ["B03"]
    state = json.loads(json.dumps(w.state_dict()))
    again = fanin.watch(loop.model, every=4, say=quiet)
    again.load_state_dict(state)
    with again:
        loop.optimizer.param_groups[0]["lr"] = 20.0
        loop.run(again, 5)
    assert again.result.steps == 10
    assert [o.finding.code for o in again.result if o.finding.code == "B03"] == []
    assert [record.step for record in again.result.records] == [8]
    assert again.result.clipping == (1, 1)
    assert again.state_dict()["first"] == w.result.records[0].to_dict()


def test_a_state_of_something_else_is_refused_and_the_watch_stays_as_it_is() -> None:
    w = fanin.watch(net(), say=quiet)
    before = w.state_dict()
    for state in ({}, {**before, "norms": [1]}, {**before, "trend": {"best": 1}}, {**before, "first": {"step": 1}}):
        with pytest.raises(BadInput, match="Not the state of a watch"):
            w.load_state_dict(state)
    assert w.state_dict() == before
    with w, pytest.raises(BadInput, match="before the watch is open"):
        w.load_state_dict(before)


@pytest.mark.parametrize("where", ["_collected", "arm", "disarm"])
def test_whatever_fails_inside_is_said_and_training_goes_on(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Mutant: it is raised in the loop."""
    loop, said = Loop(), list[str]()
    plain = Loop()
    expected = [plain.step().item() for _ in range(6)]
    losses = []
    with fanin.watch(loop.model, every=2, optimizer=loop.optimizer, say=said.append) as w:
        kept, calls = getattr(Watcher, where), [0]

        def fails(self: Watcher) -> Any:
            calls[0] += 1
            if calls[0] == 1:
                raise MemoryError("no room")
            return kept(self)

        monkeypatch.setattr(Watcher, where, fails)
        for _ in range(6):
            loss = loop.step()
            losses.append(loss.item())
            w.step(loss)
    assert losses == expected
    assert said == [next(text for text in said if "could not be watched: MemoryError: no room" in text)]
    assert not any(module._forward_hooks for module in loop.model.modules())
    assert not loop.optimizer._optimizer_step_pre_hooks


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
@pytest.mark.parametrize("moment", ["forward", "backward", "between"])
@pytest.mark.parametrize("options", [{}, {"keep_step": True}])
def test_nothing_is_left_behind_whatever_ends_the_loop_and_wherever(
    error: type[BaseException], moment: str, options: dict[str, Any], tmp_path: Path
) -> None:
    """Mutant: the hooks stay."""

    class Interrupted(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner, self.armed = net(), False

        def forward(self, x: Tensor) -> Tensor:
            if self.armed and moment == "forward":
                raise error
            out: Tensor = self.inner(x)
            if self.armed and moment == "backward":
                out.register_hook(self.fail)  # type: ignore[no-untyped-call]
            return out

        def fail(self, gradient: Tensor) -> None:
            raise error

    model = Interrupted().eval()
    loop, random = Loop(model), torch.get_rng_state()

    def interrupted() -> None:
        with fanin.watch(model, every=3, to=tmp_path, optimizer=loop.optimizer, say=quiet, **options) as w:
            loop.run(w, 2)
            model.armed = True
            if moment == "between":
                raise error
            loop.run(w, 1)

    with pytest.raises(error):
        interrupted()
    assert not any(m._forward_hooks or m._forward_pre_hooks or m._backward_hooks for m in model.modules())
    assert not loop.optimizer._optimizer_step_pre_hooks
    assert torch.overrides._get_current_function_mode() is None  # type: ignore[no-untyped-call]
    assert not model.training
    assert torch.equal(random, torch.get_rng_state())
    assert [line["kind"] for line in read_lines(tmp_path)] == ["run", "step"]


def test_a_watch_keeps_no_tensor_of_a_step() -> None:
    """O(1) memory a layer: losses, outputs and graphs go when the step ends."""
    loop = Loop()
    with fanin.watch(loop.model, every=1, say=quiet) as w:
        loss = loop.step()
        gone = weakref.ref(loss)
        w.step(loss)
        del loss
        gc.collect()
        assert gone() is None


def test_a_long_run_keeps_few_records_and_all_of_its_span() -> None:
    series = Thinned[int](8)
    for i in range(1000):
        series.add(i)
    assert len(series.kept) <= 9
    assert (series.kept[0], series.kept[-1]) == (0, 999)
    assert series.kept == tuple(sorted(set(series.kept)))


def test_a_folder_that_goes_away_stops_the_file_and_not_the_training(tmp_path: Path) -> None:
    loop, said = Loop(), list[str]()
    with fanin.watch(loop.model, every=1, to=tmp_path, say=said.append) as w:

        class Full:
            def write(self, text: str) -> None:
                raise OSError(28, "No space left on device")

            def close(self) -> None:
                """Nothing to close."""

        assert w._sinks._lines is not None
        w._sinks._lines._file.close()
        w._sinks._lines._file = Full()  # type: ignore[assignment]
        loop.run(w, 3)
    assert w.result.steps == 3
    assert len(said) == 1
    assert "No space left on device" in said[0]


def test_a_torn_line_is_left_out_and_the_next_run_starts_a_new_one(tmp_path: Path) -> None:
    (tmp_path / "watch.jsonl").write_text('{"kind": "run"}\n{"kind": "st', encoding="utf-8")
    with fanin.watch(net(), to=tmp_path, say=quiet):
        pass
    assert [line["kind"] for line in read_lines(tmp_path)] == ["run", "run"]
    with pytest.raises(BadInput, match="Cannot read"):
        read_lines(tmp_path / "nothing.jsonl")
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput, match="Cannot write"), fanin.watch(net(), to=tmp_path / "file"):
        pass


def test_a_logger_gets_the_numbers_of_watched_steps_and_its_troubles_are_its_own() -> None:
    loop, got = Loop(), list[tuple[int, dict[str, float]]]()

    def log(numbers: dict[str, float], *, step: int) -> None:
        if step > 4:
            raise ConnectionError("no server")
        got.append((step, numbers))

    with fanin.watch(loop.model, every=2, log=log, optimizer=loop.optimizer, say=quiet) as w:
        loop.run(w, 8)
    assert [step for step, _ in got] == [1, 2, 4]
    assert got[1][1] == scalars(w.result.records[1])
    expected = {
        "watch/loss",
        "watch/gradient_norm",
        "watch/learning_rate_0",
        "activation_dead/0",
        "update_ratio/2.bias",
    }
    assert expected <= got[0][1].keys()
    assert w.result.notes == ("nothing more is given to log: ConnectionError: no server",)
    assert w.result.steps == 8


def test_tensorboard_shows_scalars_histograms_and_findings(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    loop = Loop(lr=20.0)
    with fanin.watch(loop.model, every=2, to=tmp_path, tensorboard=True, say=quiet) as w:
        loop.run(w, 4)
    shown = EventAccumulator(str(tmp_path))
    shown.Reload()
    tags = shown.Tags()
    assert {"watch/loss", "output_second_moment/0", "gradient_norm/0.weight"} <= set(tags["scalars"])
    assert {"weight/0.weight", "gradient/0.weight", "output/0"} <= set(tags["histograms"])
    assert shown.Scalars("watch/loss")[0].value == pytest.approx(w.result.records[0].loss)
    assert "findings/text_summary" in tags["tensors"]


def test_without_tensorboard_the_message_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "tensorboard.summary.writer.event_file_writer", None)
    with pytest.raises(MissingExtra, match=r"fanin\[watch\]"), fanin.watch(net(), to=tmp_path, tensorboard=True):
        pass


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"every": 0}, "1 or more; got 0"),
        ({"every": True}, "got True"),
        ({"tensorboard": True}, "tensorboard=True needs a folder"),
    ],
)
def test_settings_that_make_no_sense_are_refused_at_once(options: dict[str, Any], said: str) -> None:
    with pytest.raises(BadInput, match=said):
        fanin.watch(net(), **options)


def test_models_that_fanin_cannot_watch_are_refused_by_name() -> None:
    for model in ([np.zeros(3)], net):
        with pytest.raises(BadInput, match=r"fanin.watch does not serve models of numpy|Expected a torch.nn.Module"):
            fanin.watch(model)


def test_it_is_opened_once_and_used_inside() -> None:
    w = fanin.watch(net(), say=quiet)
    with pytest.raises(BadInput, match="not open"):
        w.step(1.0)
    with w, pytest.raises(BadInput, match="open already"):
        w.__enter__()
