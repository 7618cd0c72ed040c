"""Models trained together are those trained one by one, to the rounding of sums."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from fanin.experiments import Training
from fanin.experiments.data import DATA
from fanin.experiments.nets import NETS
from fanin.experiments.together import train_together
from fanin.experiments.training import train

CASES: dict[str, tuple[Callable[..., nn.Module], dict[str, Any], str, str]] = {
    "perceptron": (NETS["perceptron"], {"depth": 3, "width": 8, "activation": "tanh"}, "digits", "sgd"),
    "normed perceptron": (NETS["perceptron"], {"depth": 2, "width": 8, "norm": "batch"}, "digits", "sgd"),
    "plain_cnn": (NETS["plain_cnn"], {"depth": 2, "width": 4}, "pictures", "sgd"),
    "residual_cnn": (NETS["residual_cnn"], {"blocks": 1, "width": 4, "norm": "batch"}, "pictures", "sgd"),
    "autoencoder": (NETS["autoencoder"], {"depth": 2, "width": 8, "code": 4}, "reconstruction", "adam"),
    "recurrent": (NETS["recurrent"], {"width": 4}, "adding", "adam"),
    "transformer": (NETS["transformer"], {"blocks": 1, "width": 8}, "text", "adam"),
    "mixture_of_experts": (NETS["mixture_of_experts"], {"blocks": 1, "width": 8}, "text", "sgd"),
}
SEEDS, RATES = (0, 0, 1), (1e-3, 1e-2, 1e-2)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def drawn(model: nn.Module, seed: int) -> dict[str, torch.Tensor]:
    source = torch.Generator().manual_seed(seed)
    return {n: 0.3 * torch.randn(w.shape, generator=source) for n, w in model.named_parameters()}


@pytest.mark.parametrize("case", CASES)
def test_together_is_one_by_one(case: str) -> None:
    build, arguments, data_name, optimizer = CASES[case]
    data = DATA[data_name]()
    how = Training(steps=4, batch_size=8, optimizer=optimizer)
    model = build(data, **arguments)
    before = {name: t.clone() for name, t in model.state_dict().items()}
    together = train_together(model, [drawn(model, s) for s in SEEDS], SEEDS, RATES, data, how)
    assert all(torch.equal(t, before[name]) for name, t in model.state_dict().items())
    for seed, rate, (losses, diverged_at) in zip(SEEDS, RATES, together, strict=True):
        alone = build(data, **arguments)
        alone.load_state_dict(drawn(alone, seed), strict=False)
        expected, never = train(alone, data, replace(how, learning_rate=rate), seed)
        assert losses == pytest.approx(expected, rel=1e-4)
        assert diverged_at is never is None
        assert losses[0] != losses[-1]


def test_a_model_that_diverges_does_not_disturb_the_others() -> None:
    data = DATA["digits"]()
    how = Training(steps=12, batch_size=8)
    model = NETS["perceptron"](data, depth=2, width=8)
    start = drawn(model, 0)
    (calm, never), (wild, diverged_at) = train_together(model, [start, start], (0, 0), (1e-3, 1e30), data, how)
    (alone, _), *_ = train_together(model, [start], (0,), (1e-3,), data, how)
    assert never is None
    assert diverged_at is not None
    assert len(wild) == diverged_at - 1
    assert calm == pytest.approx(alone, rel=1e-5)


def test_what_has_diverged_altogether_is_not_trained_further() -> None:
    data = DATA["digits"]()
    model = NETS["perceptron"](data, depth=2, width=8)
    steps: list[int] = []
    train_together(
        model,
        [drawn(model, 0)],
        (0,),
        (1e30,),
        data,
        Training(steps=50, batch_size=8),
        lambda step, _: steps.append(step),
    )
    assert len(steps) < 50
