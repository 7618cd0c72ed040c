"""The callbacks, with the real Lightning and the real Trainer where they are installed."""

from __future__ import annotations

import importlib
import sys
import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fanin.errors import MissingExtra


def quiet(text: str) -> None:
    """What `say` is here."""


@pytest.mark.parametrize(
    ("extra", "packages"),
    [("lightning", ["lightning", "lightning.pytorch", "pytorch_lightning"]), ("transformers", ["transformers"])],
)
def test_without_the_package_the_message_says_what_to_install(
    extra: str, packages: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, f"fanin.monitor.{extra}", raising=False)
    for package in packages:
        monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtra, match=rf"fanin\[{extra}\]"):
        importlib.import_module(f"fanin.monitor.{extra}")


@pytest.mark.skipif(find_spec("lightning") is None, reason="Lightning is not installed")
@pytest.mark.filterwarnings("ignore")
def test_lightning_is_watched_a_step_for_each_of_the_optimizer(tmp_path: Path) -> None:
    pl: Any = importlib.import_module("lightning.pytorch")
    callbacks: Any = importlib.import_module("fanin.monitor.lightning")

    class Net(pl.LightningModule):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 2))

        def forward(self, x: Tensor) -> Tensor:
            return self.body(x)  # type: ignore[no-any-return]

        def training_step(self, batch: Any, index: int) -> Tensor:
            x, y = batch
            return F.cross_entropy(self(x), y)

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.SGD(self.parameters(), 0.01)

    logged: dict[int, dict[str, float]] = {}

    class Logger(pl.loggers.logger.DummyLogger):  # type: ignore[misc]
        def log_metrics(self, *given: Any, **named: Any) -> None:
            if "watch/loss" in (given[0] if given else named["metrics"]):
                logged[named["step"]] = given[0]

    def fit(*callbacks: Any, checkpoint: Path | None = None, epochs: int = 2) -> Net:
        torch.manual_seed(0)
        net = Net()
        data = torch.utils.data.TensorDataset(torch.randn(160, 8), torch.randint(0, 2, (160,)))
        trainer = pl.Trainer(
            max_epochs=epochs,
            accumulate_grad_batches=2,
            callbacks=list(callbacks),
            accelerator="cpu",
            logger=Logger(),
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            gradient_clip_val=1.0,
        )
        trainer.fit(net, torch.utils.data.DataLoader(data, 16), ckpt_path=checkpoint)
        trainer.save_checkpoint(tmp_path / "last.ckpt")
        return net

    callback = callbacks.WatchCallback(every=5, to=tmp_path, say=quiet, log=True)
    net, plain = fit(callback), fit()
    assert sorted(logged) == [1, 5, 10]
    assert logged[5]["watch/loss"] == callback.watch.records[1].loss
    fit(callback)
    again = callbacks.WatchCallback(every=5, say=quiet)
    fit(again, checkpoint=tmp_path / "last.ckpt", epochs=3)
    assert (again.watch.steps, [record.step for record in again.watch.records]) == (15, [15])
    assert [record.step for record in callback.watch.records] == [1, 5, 10]
    assert callback.watch.steps == 10
    assert all(record.loss is not None for record in callback.watch.records)
    assert [layer.path for layer in callback.watch.records[0].signals.layers] == ["body.0", "body.2"]
    assert callback.watch.records[0].signals.learning_rates == (0.01,)
    assert callback.watch.records[0].signals.gradient_norm > 0
    assert not net.body[0]._forward_hooks
    assert all(torch.equal(a, b) for a, b in zip(net.parameters(), plain.parameters(), strict=True))


@pytest.mark.skipif(find_spec("transformers") is None, reason="transformers is not installed")
@pytest.mark.skipif(find_spec("accelerate") is None, reason="accelerate is not installed")
@pytest.mark.filterwarnings("ignore")
def test_the_trainer_is_watched_with_the_loss_that_the_model_returns(tmp_path: Path) -> None:
    hf: Any = importlib.import_module("transformers")
    callbacks: Any = importlib.import_module("fanin.monitor.transformers")
    torch.manual_seed(0)
    config = hf.GPT2Config(vocab_size=50, n_positions=16, n_embd=32, n_layer=2, n_head=2)
    model = hf.GPT2LMHeadModel(config)
    tokens = torch.randint(0, 50, (64, 16))
    data = [{"input_ids": row, "labels": row} for row in tokens]
    args = hf.TrainingArguments(
        output_dir=str(tmp_path / "out"),
        per_device_train_batch_size=8,
        gradient_accumulation_steps=2,
        num_train_epochs=2,
        report_to=[],
        save_strategy="steps",
        save_steps=4,
        disable_tqdm=True,
        use_cpu=True,
    )
    callback = callbacks.WatchCallback(every=4, to=tmp_path, say=quiet)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer = hf.Trainer(model, args, train_dataset=data, callbacks=[callback])
        callback.log_to(trainer)
        trainer.train()
    assert callback.watch.steps == 8
    assert [record.step for record in callback.watch.records] == [1, 4, 8]
    assert all(record.loss > 0 for record in callback.watch.records)
    assert callback.watch.records[0].signals.gradient_norm > 0
    assert "transformer.h.0.mlp.c_fc" in [layer.path for layer in callback.watch.records[0].signals.layers]
    assert not any(module._forward_hooks for module in model.modules())
    assert callback.watch.records[0].signals.learning_rates != ()
    logged = [line["step"] for line in trainer.state.log_history if "watch/loss" in line]
    assert logged == [1, 4, 8]
    again = callbacks.WatchCallback(every=4, say=quiet)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        resumed = hf.Trainer(model, args, train_dataset=data, callbacks=[again])
        resumed.train(resume_from_checkpoint=str(tmp_path / "out" / "checkpoint-4"))
    assert (again.watch.steps, [record.step for record in again.watch.records]) == (8, [8])
