"""Whatever a call does or raises, the model and the process are as they were."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fanin.errors import FaninError
from fanin.frameworks.torch import observe, trace


class Busy(nn.Module):
    """Everything that a forward pass can change: buffers, attributes, random state, its own input."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(6, 8)
        self.norm = nn.BatchNorm1d(8)
        self.frozen = nn.Linear(8, 8).requires_grad_(False)
        self.running = nn.InstanceNorm1d(8, affine=True, track_running_stats=True)
        self.drop = nn.Dropout(0.5)
        self.register_buffer("passing", torch.ones(8), persistent=False)
        self.calls = 0
        self.last: Tensor | None = None
        self.raises = False

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        random.random()
        np.random.rand()
        x.mul_(2)
        h = self.drop(self.norm(self.first(x))) * self.passing
        self.last = h
        if self.raises:
            raise RuntimeError("in the middle")
        y: Tensor = self.running(self.frozen(h).unsqueeze(-1).expand(-1, -1, 3) + torch.rand(1))
        return y


def snapshot(model: nn.Module, x: Tensor) -> dict[str, Any]:
    """All that must not change, by value and by identity."""
    hooks = {
        (path, name): len(value)
        for path, module in model.named_modules()
        for name, value in vars(module).items()
        if "hook" in name and hasattr(value, "__len__")
    }
    tensors = [*model.parameters(), *model.buffers(), x]
    return {
        "modes": [module.training for module in model.modules()],
        "attributes": [{k: id(v) for k, v in vars(module).items()} for module in model.modules()],
        "hooks": hooks,
        "tensor hooks": [len(t._backward_hooks or ()) for t in tensors],
        "identity": [id(t) for t in tensors],
        "bits": [t.detach().clone().numpy().tobytes() for t in tensors],
        "version": [t._version for t in tensors],
        "memory": [t.data_ptr() for t in tensors],
        "requires_grad": [t.requires_grad for t in tensors],
        "grad": [id(t.grad) for t in tensors],
        "grad bits": [None if t.grad is None else t.grad.numpy().tobytes() for t in tensors],
        "torch": torch.get_rng_state().numpy().tobytes(),
        "python": random.getstate(),
        "numpy": str(np.random.get_state()),
        "flags": (
            torch.is_grad_enabled(),
            torch.are_deterministic_algorithms_enabled(),
            torch.is_inference_mode_enabled(),
            torch.get_default_dtype(),
            torch.get_num_threads(),
        ),
    }


def busy() -> tuple[Busy, Tensor]:
    """A model in use: a gradient here and not there, one submodule in another mode, hooks of the user's own."""
    torch.manual_seed(3)
    model = Busy()
    model.drop.eval()
    model.first.weight.grad = torch.full((8, 6), 7.0)
    model.first.register_forward_hook(lambda *_: None)
    model.norm.weight.register_hook(lambda g: g)  # type: ignore[no-untyped-call]
    return model, torch.randn(5, 6)


def fine(model: Busy, x: Tensor) -> None:
    observe(trace(model, x), model, (x,), lambda y: y.square().mean())


def no_loss(model: Busy, x: Tensor) -> None:
    observe(trace(model, x), model, (x,))


def forward_raises(model: Busy, x: Tensor) -> None:
    model.raises = True
    try:
        with pytest.raises(FaninError, match="in the middle"):
            trace(model, x)
    finally:
        model.raises = False


def loss_raises(model: Busy, x: Tensor) -> None:
    def loss(y: Tensor) -> Tensor:
        torch.rand(3)
        model.eval()
        raise KeyError("loss")

    with pytest.raises(FaninError, match="loss"):
        observe(trace(model, x), model, (x,), loss)


def interrupted(model: Busy, x: Tensor) -> None:
    def loss(y: Tensor) -> Tensor:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        observe(trace(model, x), model, (x,), loss)


def run_raises(model: Busy, x: Tensor) -> None:
    traced = trace(model, x)
    with pytest.raises(FaninError):
        observe(traced, model, (torch.zeros(1, 2),))


@pytest.mark.parametrize("what", [fine, no_loss, forward_raises, loss_raises, interrupted, run_raises])
@pytest.mark.parametrize("grad_mode", [True, False])
def test_nothing_is_left_behind(what: Callable[[Busy, Tensor], None], grad_mode: bool) -> None:
    model, x = busy()
    with torch.set_grad_enabled(grad_mode):
        before = snapshot(model, x)
        what(model, x)
        after = snapshot(model, x)
    for name, value in before.items():
        assert after[name] == value, name


class Echoes(nn.Linear):
    def forward(self, x: Tensor) -> Any:
        return super().forward(x), x


def test_an_example_that_requires_a_gradient_is_measured_like_any_other_and_gets_none() -> None:
    model, x = Echoes(4, 4), torch.randn(3, 4)
    tracked = x.clone().requires_grad_()
    found = observe(trace(model, tracked), model, (tracked,))
    assert found == observe(trace(model, x), model, (x,))  # mutant: run on the example itself, not on an alias
    assert tracked.grad is None
    assert not tracked._backward_hooks


def test_no_seed_is_queued_for_a_cuda_that_has_not_started(monkeypatch: pytest.MonkeyPatch) -> None:
    queued: list[int] = []
    monkeypatch.setattr(torch.cuda, "manual_seed_all", queued.append)
    model, x = nn.Sequential(nn.Linear(4, 4), nn.Dropout()), torch.randn(3, 4)
    observe(trace(model, x), model, (x,))
    assert not queued  # mutant: torch.manual_seed(0)


def test_a_failing_forward_prints_and_logs_nothing(
    capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    class Fails(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.w = nn.Linear(4, 4)

        def forward(self, x: Tensor) -> Tensor:
            if self.w(x).sum() > 1e9:  # a branch that the exporter cannot follow
                return x
            raise RuntimeError("whatever the user's code raises")

    for model, x in [(Fails(), torch.zeros(2, 4)), (nn.Linear(4, 4), torch.zeros(2, 5))]:
        with pytest.raises(FaninError):
            trace(model, x)
    assert capfd.readouterr() == ("", "")
    assert not [record for record in caplog.records if record.levelname in {"WARNING", "ERROR"}]
