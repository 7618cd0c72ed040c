"""A training is what torch does, on batches that depend on the seed alone."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pytest
import torch

from fanin.errors import UnknownName
from fanin.experiments import Training, stack
from fanin.experiments.data import digits, permutation
from fanin.experiments.nets import ACTIVATIONS, Perceptron
from fanin.experiments.statistics import spread
from fanin.experiments.together import train_together
from fanin.experiments.training import batches, train


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """As workers compute: sums over two threads round differently, and small nets gain nothing from the second."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_weight_decay_is_that_of_torch(optimizer: str) -> None:
    """In a stack as alone, by torch's own optimizers; and it makes the weights smaller."""
    data = digits()
    lengths, curves = [], []
    for decay in (0.0, 0.3):
        how = Training(steps=30, batch_size=16, learning_rate=0.01, optimizer=optimizer, weight_decay=decay)
        net = started()
        starts = [{name: w.detach().clone() for name, w in net.named_parameters()}]
        losses, _ = train(net, data, how, 0)
        (stacked, _), *_ = train_together(started(), starts, (0,), (0.01,), data, how)
        assert losses == pytest.approx(stacked, rel=1e-4)
        lengths.append(sum(float(w.detach().square().sum()) for w in net.parameters()))
        curves.append(losses)
    assert lengths[1] < 0.95 * lengths[0]
    assert curves[0] != curves[1]


def test_results_without_weight_decay_keep_the_names_they_had() -> None:
    assert "weight_decay" not in Training().to_dict()
    assert Training(weight_decay=0.1).to_dict() == {**Training().to_dict(), "weight_decay": 0.1}


def started() -> Perceptron:
    torch.manual_seed(0)
    return Perceptron(2, 16, 64, 10)


def test_batches_depend_on_the_seed_alone_and_cover_each_epoch() -> None:
    def epoch(seed: int) -> torch.Tensor:
        source = batches(seed, 10, 3)
        return torch.cat([next(source) for _ in range(3)])

    assert torch.equal(epoch(0), epoch(0))
    assert not torch.equal(epoch(0), epoch(1))
    assert len(set(epoch(0).tolist())) == 9


def test_digits_are_standardised_and_split() -> None:
    data = digits()
    assert (len(data.targets), len(data.test_targets)) == (1438, 359)
    assert data.inputs.mean() == pytest.approx(0, abs=1e-4)
    assert np.square(data.inputs).mean() == pytest.approx(1, abs=1e-4)
    assert set(np.unique(data.test_targets)) == set(range(10))


def test_a_permutation_is_one_and_a_function_of_seed_and_name() -> None:
    assert sorted(permutation(0, "a", 100)) == list(range(100))
    assert list(permutation(0, "a", 100)) == list(permutation(0, "a", 100))
    assert list(permutation(0, "a", 100)) != list(permutation(0, "b", 100))


def test_outputs_that_are_not_finite_are_wrong() -> None:
    class Broken(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.full((len(x), 10), math.nan)

    assert stack.tested(Broken(), {}, digits()) == (None, 0.0)


def test_the_spread_of_one_seed_is_zero_and_of_a_diverged_one_is_said() -> None:
    assert spread([0.5]) == (0.5, 0.0)
    assert spread([0.8, 0.6]) == pytest.approx((0.7, math.sqrt(0.02)))
    assert str(spread([1.0, math.inf])) == "diverged"


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_the_perceptron_is_the_formula(activation: str) -> None:
    torch.manual_seed(0)
    net, x = Perceptron(2, 5, 3, 4, activation), torch.randn(7, 3)
    phi = ACTIVATIONS[activation]()
    hidden = [layer for layer in net.hidden if isinstance(layer, torch.nn.Linear)]
    h = phi(phi(x @ hidden[0].weight.T + hidden[0].bias) @ hidden[1].weight.T + hidden[1].bias)
    torch.testing.assert_close(net(x), h @ net.readout.weight.T + net.readout.bias)


def test_an_unknown_activation_is_refused() -> None:
    with pytest.raises(UnknownName, match="Did you mean 'relu'"):
        Perceptron(1, 2, 3, 4, "rellu")
