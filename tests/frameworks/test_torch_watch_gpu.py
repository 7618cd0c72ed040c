"""On a CUDA device: nothing between watched steps waits for it, and what is seen is what the CPU sees."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import fanin
from fanin.monitor import replay

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


def quiet(text: str) -> None:
    """What `say` is in tests."""


def net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 128), nn.Tanh(), nn.Linear(128, 4))


def train(device: str, *, strict: bool = False, how: str = "norm") -> fanin.Watch:
    model = net().to(device)
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3, capturable=device == "cuda")
    data = torch.randn(12, 32, 64, generator=torch.Generator().manual_seed(0)).to(device)
    labels = (torch.arange(32) % 4).to(device)
    with fanin.watch(model, every=6, optimizer=optimizer, say=quiet) as w:
        for i, x in enumerate(data, 1):
            loss = F.cross_entropy(model(x), labels)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            watched = i == 1 or i % 6 == 0
            if strict and not watched:
                torch.cuda.set_sync_debug_mode("error")
            try:
                clipped = fanin.clip_(model, **{how: 0.5})  # type: ignore[arg-type]
                optimizer.step()
                w.step(loss, clipped)
            finally:
                torch.cuda.set_sync_debug_mode("default")
    return w.result


@pytest.mark.parametrize("how", ["norm", "value", "adaptive"])
def test_between_watched_steps_nothing_waits_for_the_device(how: str) -> None:
    watch = train("cuda", strict=True, how=how)
    assert watch.notes == ()
    assert [step for step, _ in watch.losses] == list(range(1, 13))


def test_the_numbers_are_those_of_the_cpu() -> None:
    for a, b in zip(train("cuda").records, train("cpu").records, strict=True):
        assert a.loss == pytest.approx(b.loss, rel=1e-3)
        assert a.signals.gradient_norm == pytest.approx(b.signals.gradient_norm, rel=1e-2)
        for layer, same in zip(a.signals.layers, b.signals.layers, strict=True):
            assert layer.value.second_moment == pytest.approx(same.value.second_moment, rel=1e-2)


def test_a_step_kept_on_the_device_is_made_again_there_and_on_the_cpu(tmp_path: Path) -> None:
    class Log(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear, self.drop = nn.Linear(8, 8), nn.Dropout(0.5)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            out: torch.Tensor = self.drop(self.linear(x)).log()
            return out

    model = Log().cuda()
    with fanin.watch(model, to=tmp_path, keep_step=True, say=quiet) as w, torch.autocast("cuda", torch.bfloat16):
        w.step(model(torch.randn(4, 8, device="cuda")).sum())
    for device in ("cuda", "cpu"):
        found = replay(tmp_path / "nan-step-1", Log().to(device))
        assert found is not None
        assert found.operation == "log"
