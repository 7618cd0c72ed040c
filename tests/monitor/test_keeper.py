"""The step that breaks: found at its first operation, kept, made again, and the model as it was."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
import torch.utils.checkpoint
from torch import Tensor, nn

import fanin
from fanin.errors import BadInput
from fanin.monitor import replay
from fanin.signals import Origin


def quiet(text: str) -> None:
    """What `say` is in tests."""


class Net(nn.Module):
    """A body, and a head that can go wrong in as many ways as there are functions."""

    def __init__(self, head: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(8), nn.Dropout(0.5))
        self.head = Head(head)

    def forward(self, x: Tensor, scale: float = 1.0) -> Tensor:
        out: Tensor = self.head(scale * self.body(x))
        return out


class Head(nn.Module):
    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.linear, self.function = nn.Linear(8, 4), function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self.linear(x))


def fine(x: Tensor) -> Tensor:
    return x


def log_of_what_is_negative(x: Tensor) -> Tensor:
    return torch.log(x)


def zero_times_infinity(x: Tensor) -> Tensor:
    p = F.relu(x)
    return p * torch.log(p)


def masked(x: Tensor) -> Tensor:
    return torch.softmax(x.masked_fill(torch.tensor([False, True, True, True]), -torch.inf), -1)


def masked_whole(x: Tensor) -> Tensor:
    return torch.softmax(x.masked_fill(torch.ones(4, dtype=torch.bool), -torch.inf), -1)


def root_at_zero(x: Tensor) -> Tensor:
    return torch.sqrt(0 * x)


def written_in_place(x: Tensor) -> Tensor:
    y = x.clone()
    y.log_()
    return y


def run(
    net: nn.Module,
    folder: Path,
    *,
    breaks: int = 3,
    steps: int = 4,
    spoil: Callable[[Tensor], Tensor] = fine,
    loss_of: Callable[[Tensor], Tensor] = lambda out: out.square().mean(),
    every: int = 50,
) -> fanin.Watch:
    """Trains until after the step that breaks; before it, the head hands on what it gets."""
    optimizer = torch.optim.SGD(net.parameters(), 1e-3)
    head = getattr(net, "head", None)
    function = head.function if head else None
    with fanin.watch(net, every=every, to=folder, keep_step=True, say=quiet) as w:
        for step in range(1, steps + 1):
            if head:
                head.function = function if step == breaks else fine
            x = torch.randn(16, 8)
            loss = (loss_of if step == breaks else torch.mean)(net(spoil(x) if step == breaks else x))
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            w.step(loss)
    if head:
        head.function = function
    return w.result


def kept(folder: Path, step: int = 3) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / f"nan-step-{step}" / "step.json").read_text())
    return found


@pytest.mark.parametrize(
    ("head", "operation", "backward"),
    [
        (log_of_what_is_negative, "log", False),
        (zero_times_infinity, "log", False),
        (masked_whole, "softmax", False),
        (root_at_zero, "sqrt", True),
        (written_in_place, "log", False),
    ],
)
def test_the_first_operation_is_named_with_its_module_and_line(
    head: Callable[[Tensor], Tensor], operation: str, backward: bool, tmp_path: Path
) -> None:
    """Mutant: the last operation, or a mask that was written on purpose."""
    watch = run(Net(head), tmp_path)
    assert [o.finding.code for o in watch if o.finding.code == "N01"] == ["N01"]
    (onset,) = [o for o in watch if o.finding.code == "N01"]
    line = head.__code__.co_firstlineno
    origin = kept(tmp_path)["origin"]
    assert onset.step == 3
    assert (origin["operation"], origin["module"], origin["backward"]) == (operation, "head", backward)
    assert origin["source"] in {f"test_keeper.py:{line + i}" for i in (1, 2)}
    assert onset.finding.place.module == "head"
    assert operation in onset.finding.what
    assert "fanin.monitor.replay(" in onset.finding.remedy
    again = replay(tmp_path / "nan-step-3", Net(head).eval())
    assert again is not None
    assert json.loads(json.dumps(again.to_dict())) == origin


def test_a_mask_is_no_trouble(tmp_path: Path) -> None:
    assert "N01" not in [o.finding.code for o in run(Net(masked), tmp_path, breaks=2)]
    assert not list(tmp_path.glob("nan-step-*"))


@pytest.mark.parametrize("every", [50, 1, 3])
def test_watched_or_not_the_step_is_the_same(every: int, tmp_path: Path) -> None:
    watch = run(Net(log_of_what_is_negative), tmp_path, every=every)
    assert [(o.step, o.finding.code) for o in watch if o.finding.code == "N01"] == [(3, "N01")]
    assert kept(tmp_path)["origin"]["operation"] == "log"


def test_the_input_and_the_loss_are_named_where_they_are_to_blame(tmp_path: Path) -> None:
    run(Net(fine), tmp_path / "input", spoil=lambda x: x / 0)
    assert kept(tmp_path / "input")["origin"]["operation"] == "the input of the model"
    run(Net(fine), tmp_path / "loss", loss_of=lambda out: out.log().mean())
    assert "the loss" in kept(tmp_path / "loss")["origin"]["operation"]
    run(Net(fine), tmp_path / "gradient", loss_of=lambda out: (out - out.detach()).abs().sum().sqrt())
    found = kept(tmp_path / "gradient")
    assert (found["origin"]["operation"], found["origin"]["backward"]) == ("the loss", True)
    assert found["loss"] == 0.0


def test_a_bad_element_that_dropout_may_hide_is_found_in_the_step_that_drew_it(tmp_path: Path) -> None:
    """Mutant: the random state is not kept; then the replay draws another mask."""

    class Dropped(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(8, 1)

        def forward(self, x: Tensor) -> Tensor:
            kept = F.dropout(torch.ones(8), 0.9, self.training)
            out: Tensor = self.linear(x) + torch.log((kept[0] == 0).float())
            return out

    torch.manual_seed(3)
    net = Dropped()
    net(torch.ones(2, 8)).sum().backward()  # so that there are gradients to see
    with fanin.watch(net, to=tmp_path, keep_step=True, say=quiet) as w:
        for _ in range(200):
            w.step(net(torch.ones(2, 8)).sum())
    assert "N01" in [o.finding.code for o in w.result]
    step = next(o.step for o in w.result if o.finding.code == "N01")
    torch.manual_seed(99)
    for _ in range(5):
        again = replay(tmp_path / f"nan-step-{step}", Dropped())
        assert again is not None
        assert again.operation == "log"


def test_the_model_the_random_state_and_the_training_are_as_without_it(tmp_path: Path) -> None:
    def weights(keep: bool) -> tuple[list[Tensor], Tensor]:
        net = Net(fine)
        optimizer = torch.optim.SGD(net.parameters(), 0.1)
        options: dict[str, Any] = {"to": tmp_path, "keep_step": True} if keep else {}
        with fanin.watch(net, every=2, say=quiet, **options) as w:
            for _ in range(6):
                loss = net(torch.randn(16, 8)).square().mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                w.step(loss)
        assert not any(m._forward_hooks or m._forward_pre_hooks for m in net.modules())
        return list(net.state_dict().values()), torch.get_rng_state()

    with_it, without = weights(True), weights(False)
    assert all(torch.equal(a, b) for a, b in zip(with_it[0], without[0], strict=True))
    assert torch.equal(with_it[1], without[1])


def test_a_replay_leaves_the_model_as_it_was(tmp_path: Path) -> None:
    run(Net(log_of_what_is_negative), tmp_path)
    net = Net(log_of_what_is_negative).eval()
    before = {name: x.clone() for name, x in net.state_dict().items()}
    state = torch.get_rng_state()
    replay(tmp_path / "nan-step-3", net)
    assert all(torch.equal(before[name], x) for name, x in net.state_dict().items())
    assert torch.equal(state, torch.get_rng_state())
    assert not any(module.training for module in net.modules())
    assert all(p.grad is None for p in net.parameters())


def test_a_kept_step_is_data_and_any_other_folder_or_model_is_refused(tmp_path: Path) -> None:
    run(Net(log_of_what_is_negative), tmp_path)
    folder = tmp_path / "nan-step-3"
    assert sorted(file.name for file in folder.iterdir()) == ["step.json", "tensors.safetensors"]
    with pytest.raises(BadInput, match="holds no step"):
        replay(tmp_path, Net(fine))
    with pytest.raises(BadInput, match=r"another model: 11 tensor.*kept none, the model has \(3, 3\)"):
        replay(folder, nn.Sequential(nn.Linear(3, 3)))
    text = (folder / "step.json").read_text()
    (folder / "step.json").write_text(text.replace("kept-step/1", "kept-step/2"))
    with pytest.raises(BadInput, match="kept-step/2"):
        replay(folder, Net(fine))
    (folder / "step.json").write_text(text[:50])
    with pytest.raises(BadInput, match="holds no step"):
        replay(folder, Net(fine))


def test_what_cannot_be_written_as_data_is_said_and_training_goes_on(tmp_path: Path) -> None:
    class Strange(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(8, 8)

        def forward(self, x: Tensor, how: object = None) -> Tensor:
            out: Tensor = self.linear(x).log()
            return out

    net = Strange()
    with fanin.watch(net, to=tmp_path, keep_step=True, say=quiet) as w:
        for _ in range(3):
            w.step(net(-torch.ones(2, 8), how=object()).sum())
    assert w.result.steps == 3
    assert "a object, which cannot be written as data" in w.result.notes[0]
    assert "log" in next(iter(w.result)).finding.what


def test_keyword_arguments_and_several_calls_in_a_step_are_kept(tmp_path: Path) -> None:
    net = Net(log_of_what_is_negative)
    with fanin.watch(net, to=tmp_path, keep_step=True, say=quiet) as w:
        losses = [net(torch.randn(4, 8), scale=2.0).sum() for _ in range(2)]
        w.step(losses[0] + losses[1])
    assert len(kept(tmp_path, 1)["calls"]) == 2
    assert kept(tmp_path, 1)["calls"][0]["keywords"] == {"mapping": {"scale": {"value": 2.0}}}


def test_a_compiled_model_is_made_again_as_it_was_written(tmp_path: Path) -> None:
    """The eager backend: what counts is where the hooks are."""
    net = Net(log_of_what_is_negative)
    compiled: Any = torch.compile(net, backend="eager")
    with fanin.watch(compiled, to=tmp_path, keep_step=True, say=quiet) as w:
        w.step(compiled(torch.randn(4, 8)).sum())
    torch.compiler.reset()
    assert kept(tmp_path, 1)["origin"]["operation"] == "log"
    assert w.result.notes[0].startswith("Layers inside torch.compile")


@pytest.mark.filterwarnings("ignore:The .grad attribute")  # what dynamo itself does
def test_a_part_that_is_compiled_is_made_again_as_it_was_written(tmp_path: Path) -> None:
    net = nn.Sequential(nn.Linear(8, 8), Head(log_of_what_is_negative))
    net[1].compile(backend="eager")
    with fanin.watch(net, to=tmp_path, keep_step=True, say=quiet) as w:
        w.step(net(torch.randn(4, 8)).sum())
    torch.compiler.reset()
    found = kept(tmp_path, 1)["origin"]
    assert (found["operation"], found["module"]) == ("log", "1")


def test_a_model_that_does_not_tell_what_it_is_called_with_is_said_to_be_so(tmp_path: Path) -> None:
    net = Net(log_of_what_is_negative)
    with fanin.watch(net, to=tmp_path, keep_step=True, say=quiet) as w:
        w.step(net.forward(torch.randn(4, 8)).sum())
    assert w.result.notes == ("step 1 could not be made again: the model did not tell what it is called with",)
    assert not list(tmp_path.glob("nan-step-*"))


def test_recomputed_activations_are_kept_once(tmp_path: Path) -> None:
    class Checkpointed(Net):
        def forward(self, x: Tensor, scale: float = 1.0) -> Tensor:
            hidden = torch.utils.checkpoint.checkpoint(self.body, x, use_reentrant=False)
            out: Tensor = self.head(hidden)
            return out

    run(Checkpointed(root_at_zero), tmp_path)
    found = kept(tmp_path)
    assert len(found["calls"]) == 1
    assert (found["origin"]["operation"], found["origin"]["backward"]) == ("sqrt", True)


def test_a_step_that_a_grad_scaler_skips_is_no_broken_one(tmp_path: Path) -> None:
    net = Net(fine)
    optimizer = torch.optim.SGD(net.parameters(), 0.1)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**127)
    with fanin.watch(net, to=tmp_path, keep_step=True, optimizer=optimizer, say=quiet) as w:
        with torch.autocast("cpu", torch.bfloat16):
            loss = net(8 * torch.randn(8, 8)).square().mean()
        scaler.scale(8 * loss).backward()
        scaler.step(optimizer)
        scaler.update()
        w.step(loss)
    assert [o.finding.code for o in w.result] == []


def test_it_needs_a_folder(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="keep_step=True needs a folder"):
        fanin.watch(Net(fine), keep_step=True)


def test_an_origin_reads_as_a_sentence() -> None:
    assert str(Origin("log", "head", "net.py:3", result="inf")) == "log (head, net.py:3) is the first to give inf"
    assert str(Origin("sqrt", backward=True)) == "the gradient of sqrt is the first to give nan"
