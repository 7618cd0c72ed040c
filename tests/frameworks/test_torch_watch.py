"""The torch edge of `fanin.watch`: what is seen is right, and the model and its training are as without it."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import fanin
from fanin.errors import BadInput
from fanin.frameworks.torch import Watcher
from fanin.monitor import Watching
from fanin.signals.step import StepSignals


class Functional(nn.Module):
    """Activations as functions, a shared layer, a tuple from an LSTM, dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(8, 16, batch_first=True)
        self.shared = nn.Linear(16, 16)
        self.norm = nn.LayerNorm(16)
        self.head = nn.Linear(16, 4)

    def forward(self, x: Tensor) -> Tensor:
        out, _ = self.lstm(x)
        h = F.relu(self.shared(out[:, -1]))
        h = torch.tanh(self.shared(F.dropout(h, 0.2, self.training)))
        return self.head(self.norm(h))  # type: ignore[no-any-return]


def mlp(activation: Callable[[], nn.Module] = nn.ReLU) -> nn.Sequential:
    return nn.Sequential(nn.Linear(8, 16), activation(), nn.Linear(16, 16), activation(), nn.Linear(16, 4))


def quiet(text: str) -> None:
    """What `say` is in tests."""


def train(
    model: nn.Module,
    steps: int = 12,
    watched: bool = True,
    *,
    every: int = 3,
    shape: tuple[int, ...] = (32, 8),
    lr: float = 0.05,
    **options: Any,
) -> tuple[list[float], Watching | None]:
    """Losses, and the watch, of a run whose data and dropout are those of seed 0."""
    torch.manual_seed(0)
    optimizer = torch.optim.AdamW(model.parameters(), lr)
    losses: list[float] = []

    def step() -> Tensor:
        loss = F.cross_entropy(model(torch.randn(shape)), torch.arange(shape[0]) % 4)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        losses.append(loss.item())
        return loss

    if not watched:
        for _ in range(steps):
            step()
        return losses, None
    with fanin.watch(model, every=every, say=quiet, **options) as w:
        for _ in range(steps):
            w.step(step())
    return losses, w


def one_step(model: nn.Module, x: Tensor, loss: Callable[[Tensor], Tensor], lr: float = 0.1) -> StepSignals:
    optimizer = torch.optim.SGD(model.parameters(), lr)
    watcher = Watcher(model)
    watcher.arm()
    loss(model(x)).backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    return watcher.collect()


@pytest.mark.parametrize(
    ("make", "shape"),
    [
        (mlp, (32, 8)),
        (Functional, (32, 5, 8)),
        (lambda: nn.Sequential(nn.Linear(8, 16), nn.ReLU(inplace=True), nn.Dropout(0.5), nn.Linear(16, 4)), (32, 8)),
        (
            lambda: nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Sigmoid(), nn.Flatten(), nn.Linear(144, 4)),
            (32, 1, 8, 8),
        ),
        (
            lambda: nn.Sequential(
                nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), nn.Flatten(), nn.Linear(40, 4)
            ),
            (32, 5, 8),
        ),
    ],
    ids=["mlp", "functional", "in place", "cnn", "transformer"],
)
def test_losses_and_weights_are_those_of_a_run_without_it_bit_for_bit(
    make: Callable[[], nn.Module], shape: tuple[int, ...], tmp_path: Path
) -> None:
    """Mutant: a hook that returns something, a draw from the generator, a step in the weights."""
    torch.manual_seed(1)
    plain = make()
    watched = copy.deepcopy(plain)
    without, _ = train(plain, watched=False, shape=shape, lr=1e-3)
    with_it, w = train(watched, shape=shape, every=2, lr=1e-3, to=tmp_path)
    assert with_it == without
    assert w is not None
    assert len(w.result.records) == 7
    for a, b in zip(plain.state_dict().values(), watched.state_dict().values(), strict=True):
        assert torch.equal(a, b)


def state(model: nn.Module) -> list[dict[str, Any]]:
    return [{k: dict(v) if isinstance(v, dict) else v for k, v in vars(module).items()} for module in model.modules()]


def test_the_model_is_as_before_whatever_ends_the_block() -> None:
    model = Functional().eval()
    before = state(model)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)

    def interrupted() -> None:
        with fanin.watch(model, optimizer=optimizer, say=quiet):
            model(torch.randn(4, 5, 8))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert state(model) == before
    assert not optimizer._optimizer_step_pre_hooks
    assert all(p.grad is None for p in model.parameters())
    assert torch.overrides._get_current_function_mode() is None  # type: ignore[no-untyped-call]


def test_hooks_are_there_in_watched_steps_only() -> None:
    model = mlp()
    with fanin.watch(model, every=3, say=quiet) as w:
        hooked = []
        for _ in range(6):
            hooked.append(len(model[0]._forward_hooks))
            F.cross_entropy(model(torch.randn(8, 8)), torch.zeros(8, dtype=torch.long)).backward()  # type: ignore[no-untyped-call]
            w.step()
    assert hooked == [1, 0, 1, 0, 0, 1]


def test_moments_gradients_and_updates_are_what_they_say() -> None:
    torch.manual_seed(0)
    model, x = mlp(), torch.randn(64, 8)
    clone = copy.deepcopy(model)
    seen = one_step(model, x, lambda out: out.square().mean())

    z1 = clone[0](x)
    h1 = clone[1](z1)
    z2 = clone[2](h1)
    z3 = clone[4](clone[3](z2))
    z3.square().mean().backward()
    z1, h1, z3 = z1.detach(), h1.detach(), z3.detach()
    first = seen.layers[0]
    assert [layer.path for layer in seen.layers] == ["0", "2", "4"]
    assert first.value.second_moment == pytest.approx(float(z1.square().mean()), rel=1e-5)
    assert first.value.mean == pytest.approx(float(z1.mean()), abs=1e-6)
    assert first.activated is not None
    assert first.activated.name == "relu"
    assert first.activated.value.zeros == pytest.approx(float((h1 == 0).float().mean()), rel=1e-5)
    assert first.activated.dead == pytest.approx(float((h1 == 0).all(0).float().mean()))
    assert first.activated.samples == 64
    assert seen.layers[2].activated is None
    delta = 2 * z3 / z3.numel()
    assert seen.layers[2].gradient == pytest.approx(float(delta.square().sum()), rel=1e-5)
    assert seen.gradient_norm == pytest.approx(
        float(torch.nn.utils.get_total_norm([p.grad for p in clone.parameters() if p.grad is not None])), rel=1e-5
    )
    for p, tensor in zip(seen.parameters, clone.parameters(), strict=True):
        assert tensor.grad is not None
        assert p.gradient == pytest.approx(float(tensor.grad.norm()), rel=1e-5)
        assert p.weight == pytest.approx(float(tensor.detach().norm()), rel=1e-5)
        assert p.update == pytest.approx(0.1 * float(tensor.grad.norm()), rel=1e-3)


def test_the_update_of_a_large_weight_is_told_from_a_sample() -> None:
    """6 σ of the norm of 30,000 normal values. Mutant: the sample's norm as that of the whole."""
    net = nn.Linear(300, 300, bias=False)
    noise = torch.randn(300, 300)
    optimizer = torch.optim.SGD(net.parameters(), 0.1)
    watcher = Watcher(net)
    watcher.arm()
    assert sum(x.numel() for x in watcher._before.values()) == 30_000
    (net.weight * noise).sum().backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    (seen,) = watcher.collect().parameters
    assert seen.update == pytest.approx(0.1 * float(noise.norm()), rel=6 * math.sqrt(2 / (4 * 30_000)))
    assert seen.gradient == pytest.approx(float(noise.norm()), rel=1e-5)


def test_saturation_is_counted_behind_functions_and_modules() -> None:
    net = nn.Sequential(nn.Linear(4, 8), nn.Tanh())
    nn.init.constant_(net.get_parameter("0.bias"), 9.0)
    seen = one_step(net, torch.randn(32, 4), lambda out: out.sum()).layers[0].activated
    assert seen is not None
    assert seen.value.saturated == 1.0


def test_the_tanh_of_a_gelu_that_is_written_out_is_none_of_the_models() -> None:
    class WrittenGELU(nn.Module):
        def forward(self, z: Tensor) -> Tensor:
            return 0.5 * z * (1 + torch.tanh(0.7979 * (z + 0.044715 * z**3)))

    seen = one_step(nn.Sequential(nn.Linear(4, 8), WrittenGELU()), 100 * torch.randn(32, 4), lambda out: out.sum())
    assert seen.layers[0].activated is None


def test_units_of_a_convolution_lie_along_axis_1() -> None:
    """Mutant: the last axis, of which none is dead."""
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 2))
    with torch.no_grad():
        net.get_parameter("0.bias")[:3] = -100.0
    seen = one_step(net, torch.randn(32, 1, 8, 8), lambda out: out.sum()).layers[0].activated
    assert seen is not None
    assert seen.dead == 0.75
    assert seen.samples == 32 * 36


def test_a_shared_module_is_one_layer_with_the_average_of_its_calls() -> None:
    seen = one_step(Functional(), torch.randn(32, 5, 8), lambda out: out.square().mean())
    assert [layer.path for layer in seen.layers] == ["lstm", "shared", "norm", "head"]


def test_passes_without_gradients_are_not_looked_at() -> None:
    """Validation between two steps is no part of training."""
    model = mlp()
    watcher = Watcher(model)
    watcher.arm()
    with torch.no_grad():
        model(1e6 * torch.randn(4, 8))
    assert watcher.collect().layers == ()


def test_gradients_are_seen_behind_zero_grad_where_the_optimizer_is_given() -> None:
    model = mlp()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    for given, expected in ((optimizer, True), (None, False)):
        with fanin.watch(model, optimizer=given, say=quiet) as w:
            F.cross_entropy(model(torch.randn(8, 8)), torch.zeros(8, dtype=torch.long)).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            optimizer.zero_grad()
            w.step()
        assert (w.result.records[0].signals.gradient_norm is not None) is expected
        assert ("T03" in [onset.finding.code for onset in w.result]) is not expected


def test_gradient_accumulation_is_one_step() -> None:
    model = mlp()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with fanin.watch(model, every=1, say=quiet) as w:
        for _ in range(4):
            F.cross_entropy(model(torch.randn(8, 8)), torch.zeros(8, dtype=torch.long)).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        w.step()
    assert w.result.steps == 1
    assert [layer.path for layer in w.result.records[0].signals.layers] == ["0", "2", "4"]


def test_frozen_parameters_are_left_out() -> None:
    model = mlp()
    model[0].requires_grad_(False)
    seen = one_step(model, torch.randn(8, 8), lambda out: out.square().mean())
    assert [p.path for p in seen.parameters] == ["2.weight", "2.bias", "4.weight", "4.bias"]


def test_inside_torch_compile_gradients_and_updates_are_seen() -> None:
    """The eager backend: what counts is that no hook enters the compiled program."""
    model: Any = torch.compile(mlp(), backend="eager")
    losses, w = train(model)
    assert w is not None
    record = w.result.records[-1]
    assert record.signals.layers == ()
    assert [p.path for p in record.signals.parameters][:2] == ["0.weight", "0.bias"]
    assert record.update_ratio is not None
    assert "torch.compile" in w.result.notes[0]
    torch.compiler.reset()
    assert len(losses) == 12


def test_a_compiled_step_around_a_watched_model_computes_the_same() -> None:
    torch.manual_seed(0)
    model, x = mlp(), torch.randn(16, 8)
    compiled = torch.compile(lambda x: model(x).square().mean(), backend="eager")
    expected = compiled(x).item()
    with fanin.watch(model, every=1, say=quiet) as w:
        loss = compiled(x)
        assert loss.item() == expected
        loss.backward()
        w.step(loss)
    torch.compiler.reset()


def test_distributed_data_parallel_is_watched_under_the_names_of_the_model_within(tmp_path: Path) -> None:
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path / 'store'}", rank=0, world_size=1)
    try:
        _, w = train(nn.parallel.DistributedDataParallel(mlp()), to=tmp_path)
    finally:
        torch.distributed.destroy_process_group()
    assert w is not None
    assert [layer.path for layer in w.result.records[0].signals.layers] == ["0", "2", "4"]
    assert w.result.records[0].signals.parameters[0].path == "0.weight"


def test_a_step_that_a_grad_scaler_skips_is_no_finding() -> None:
    model = mlp()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**127)
    with fanin.watch(model, every=1, optimizer=optimizer, say=quiet) as w:
        with torch.autocast("cpu", torch.bfloat16):
            loss = F.cross_entropy(model(8 * torch.randn(8, 8)), torch.zeros(8, dtype=torch.long))
        scaler.scale(8 * loss).backward()  # type: ignore[no-untyped-call]
        scaler.step(optimizer)
        scaler.update()
        w.step(loss)
    (record,) = w.result.records
    assert record.skipped
    assert [onset.finding.code for onset in w.result] == []


def test_what_cannot_be_watched_is_refused_at_once() -> None:
    with pytest.raises(BadInput, match="meta device"):
        fanin.watch(nn.Linear(2, 2, device="meta"))
    with pytest.raises(BadInput, match="Optimizer"):
        fanin.watch(mlp(), optimizer=0.1)
    with pytest.raises(BadInput, match="Module"):
        fanin.watch("model")


def test_a_loss_must_be_a_scalar() -> None:
    with fanin.watch(mlp(), say=quiet) as w, pytest.raises(BadInput, match=r"shape \(3,\)"):
        w.step(torch.zeros(3))
    with fanin.watch(mlp(), say=quiet) as w, pytest.raises(BadInput, match="str"):
        w.step("high")
