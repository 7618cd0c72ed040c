"""First losses far from chance, logits that are sure of themselves, and steps out of proportion."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final

import torch
from torch import Tensor, nn

from fanin.testing.zoo.case import Case, Situation

CLASSES: Final = 10
SAMPLES: Final = 64


class Words(nn.Module):
    """Says the next of 100 words with the table that it reads them by."""

    def __init__(self, divide: bool) -> None:
        super().__init__()
        self.table, self.norm = nn.Embedding(100, 256), nn.LayerNorm(256)
        self.by = 64.0 if divide else 1.0  # √width alone would leave each word an answer to itself of √width

    def forward(self, words: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """With the loss, as Hugging Face's models return it."""
        logits = self.norm(self.table(words)) @ self.table.weight.T / self.by
        return {"loss": nn.functional.cross_entropy(logits.flatten(0, 1), labels.flatten()), "logits": logits}


def classifier(
    readout: float,
    loss: Callable[..., Any] | None = nn.functional.cross_entropy,
    last: Callable[[], nn.Module] = nn.Identity,
    outputs: int = CLASSES,
    optimizer: Callable[..., torch.optim.Optimizer] | None = None,
    dtype: torch.dtype = torch.float32,
) -> Situation:
    """Two layers of ReLUs with He's law and a readout of `readout`/√fan_in; the last of the example are labels."""
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(0)
        layers = (nn.Linear(32, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, outputs))
        net = nn.Sequential(*layers, last())
        for layer, std in zip(layers[::2], (2**0.5, 2**0.5, readout), strict=True):
            if isinstance(layer, nn.Linear):
                nn.init.normal_(layer.weight, std=std / layer.in_features**0.5)
                nn.init.zeros_(layer.bias)
        inputs = torch.randn(SAMPLES, 32)
        labels = torch.arange(SAMPLES) % CLASSES if outputs == CLASSES else torch.randn(SAMPLES, outputs)
    net = net.to(dtype)
    options = {} if optimizer is None else {"optimizer": optimizer(net.parameters())}
    return Situation(net, (inputs.to(dtype), labels) if loss else (inputs.to(dtype),), loss, options)


def binary(readout: float) -> Situation:
    """The same with one logit for each of four questions of yes or no."""

    def loss(out: Tensor, target: Tensor) -> Tensor:
        return nn.functional.binary_cross_entropy_with_logits(out, (target > 0).float())

    return classifier(readout, loss, outputs=4)


def words(divide: bool) -> Situation:
    """Random words and random labels."""
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(0)
        model, ids, labels = Words(divide), torch.randint(100, (8, 16)), torch.randint(100, (8, 16))
    return Situation(model, (ids, labels), _loss_of_the_model)


def _loss_of_the_model(out: dict[str, Tensor]) -> Tensor:
    return out["loss"]


def _adam(rate: float) -> Callable[..., torch.optim.Optimizer]:
    return partial(torch.optim.Adam, lr=rate)


def _sgd(rate: float) -> Callable[..., torch.optim.Optimizer]:
    return partial(torch.optim.SGD, lr=rate, momentum=0.9)


SMALL: Final = 0.5  # of the readout, as recipe auto has it
MSE: Final = nn.functional.mse_loss
SOFTMAX: Final = partial(nn.Softmax, -1)
CASES: Final = (
    Case("a readout of N(0, 1)", partial(classifier, 128**0.5), frozenset({"L01"})),
    Case("a readout of unit gain", partial(classifier, 1.0)),
    Case("a readout of half the gain", partial(classifier, SMALL)),
    Case("yes or no, a large readout", partial(binary, 40.0), frozenset({"L01"})),
    Case("yes or no, a small readout", partial(binary, SMALL)),
    Case("a regression with a large readout", partial(classifier, 10.0, MSE, outputs=3), frozenset({"L01"})),
    Case("a regression with a small readout", partial(classifier, SMALL, MSE, outputs=3)),
    Case("a tied table of N(0, 1)", partial(words, False), frozenset({"L01"})),
    Case("a tied table, divided", partial(words, True)),
    Case("a hot softmax, no loss", partial(classifier, 16.0, None, SOFTMAX), frozenset({"L02"})),
    Case("a softmax of unit gain, no loss", partial(classifier, 1.0, None, SOFTMAX)),
    Case("Adam at 0.1", partial(classifier, SMALL, optimizer=_adam(0.1)), frozenset({"B03"}), hopeless=True),
    Case("Adam at 1e-3", partial(classifier, SMALL, optimizer=_adam(1e-3))),
    Case("SGD at 100", partial(classifier, SMALL, optimizer=_sgd(100.0)), frozenset({"B03"}), hopeless=True),
    Case("SGD at 1e-9", partial(classifier, SMALL, optimizer=_sgd(1e-9)), frozenset({"B03"}), hopeless=True),
    Case("SGD at 0.1", partial(classifier, SMALL, optimizer=_sgd(0.1))),
    Case(
        "Adam at 1e-5 on bfloat16",
        partial(classifier, SMALL, optimizer=_adam(1e-5), dtype=torch.bfloat16),
        frozenset({"B03"}),
        hopeless=True,
    ),
    Case("Adam at 1e-3 on bfloat16", partial(classifier, SMALL, optimizer=_adam(1e-3), dtype=torch.bfloat16)),
)
