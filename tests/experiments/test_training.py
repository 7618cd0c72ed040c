"""Trials are functions of their spec, paired by seed, and summed up honestly."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch

from fanin.errors import UnknownName
from fanin.experiments import Training, Trial, Trials, TrialSpec, run_trials
from fanin.experiments.data import digits, permutation
from fanin.experiments.nets import ACTIVATIONS, Perceptron
from fanin.experiments.study import spread
from fanin.experiments.training import accuracy, batches, run_trial

SPEC = TrialSpec(2, 16, "relu", "auto", 0, Training(steps=30, batch_size=32, learning_rate=0.05))


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """As workers compute: sums over two threads round differently, and small nets gain nothing from the second."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_a_trial_is_a_function_of_its_spec() -> None:
    trial = run_trial(SPEC)
    assert run_trial(SPEC) == trial
    assert run_trial(replace(SPEC, seed=1)).losses != trial.losses


def test_trials_in_processes_equal_trials_in_this_one_and_keep_their_order() -> None:
    specs = [SPEC, replace(SPEC, start="zeros"), replace(SPEC, seed=1)]
    done: list[Trial] = []
    study = run_trials(specs, on_done=done.append)
    assert [t.spec for t in study.trials] == specs
    assert set(done) == set(study.trials)
    assert study.trials == tuple(run_trial(spec) for spec in specs)


def test_a_small_net_learns_digits() -> None:
    trial = run_trial(replace(SPEC, training=Training(steps=300, batch_size=32, learning_rate=0.05)))
    assert trial.accuracy > 0.9
    assert trial.final_loss < 0.3


def test_all_zero_weights_learn_the_class_frequencies_at_most() -> None:
    """The first hidden layer's units stay alike, and with zero weights nothing but the last bias moves."""
    trial = run_trial(replace(SPEC, start="zeros", training=Training(steps=200, batch_size=32, learning_rate=0.05)))
    assert trial.losses[-1] == pytest.approx(math.log(10), abs=0.1)


def test_a_run_that_leaves_the_finite_numbers_stops_and_says_when() -> None:
    trial = run_trial(replace(SPEC, depth=30, width=64, start="normal(std=2.0)"))
    assert trial.diverged_at is not None
    assert len(trial.losses) == trial.diverged_at - 1
    assert trial.final_loss == math.inf


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

    assert accuracy(Broken(), digits()) == 0.0


def trial(seed: int, losses: list[float], reached: float, diverged_at: int | None = None) -> Trial:
    return Trial(replace(SPEC, seed=seed), tuple(losses), reached, diverged_at)


def test_mean_and_spread_are_over_seeds() -> None:
    study = Trials((trial(0, [2.0, 1.0], 0.8), trial(1, [4.0, 3.0], 0.6)))
    assert study.accuracy(SPEC.net, "auto") == pytest.approx((0.7, math.sqrt(0.02)))
    assert study.curve(SPEC.net, "auto") == [(1, 3.0, 2.0, 4.0), (2, 2.0, 1.0, 3.0)]
    assert str(study.final_loss(SPEC.net, "auto")) == "2.000 ± 1.414"


def test_one_diverged_seed_makes_the_mean_loss_infinite_and_ends_the_curve() -> None:
    study = Trials((trial(0, [2.0, 1.0], 0.8), trial(1, [4.0], 0.1, 2)))
    assert str(study.final_loss(SPEC.net, "auto")) == "diverged"
    assert [point[0] for point in study.curve(SPEC.net, "auto")] == [1]


def test_the_spread_of_one_seed_is_zero() -> None:
    assert spread([0.5]) == (0.5, 0.0)


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
