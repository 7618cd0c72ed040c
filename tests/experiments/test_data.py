"""The data are the same every time, split without overlap, and what their names say."""

from __future__ import annotations

import numpy as np
import pytest

from fanin.call import bind
from fanin.errors import BadInput
from fanin.experiments.data import DATA, IGNORED, Loss, digits
from fanin.experiments.data.given import given
from fanin.experiments.data.text import PRINTABLE


@pytest.mark.parametrize("name", DATA)
def test_data_are_the_same_every_time(name: str) -> None:
    one, again = DATA[name](), DATA[name]()
    for part in ("inputs", "targets", "test_inputs", "test_targets"):
        assert np.array_equal(getattr(one, part), getattr(again, part))


@pytest.mark.parametrize("name", DATA)
def test_data_fit_their_loss(name: str) -> None:
    data = DATA[name]()
    assert len(data.inputs) == len(data.targets) > len(data.test_inputs) == len(data.test_targets) > 0
    assert data.inputs.dtype == (np.int64 if data.tokens else np.float32)
    if data.loss is Loss.CROSS_ENTROPY:
        counted = data.targets[data.targets != IGNORED]
        assert counted.dtype == np.int64
        assert 0 <= counted.min() <= counted.max() < data.outputs
    else:
        assert data.targets.shape == (len(data.inputs), data.outputs)
    if data.tokens:
        assert 0 <= data.inputs.min() <= data.inputs.max() < data.tokens


def test_arguments_are_written_as_a_call() -> None:
    assert bind("data", "copy(delay=5, symbols=2)", DATA)().inputs.shape[1] == 9


def test_copy_asks_for_what_it_showed() -> None:
    data = bind("data", "copy(delay=5, symbols=3, alphabet=4, samples=100)", DATA)()
    assert np.array_equal(data.inputs[:, :3], data.targets[:, -3:])
    assert (data.inputs[:, 3:8] == 4).all()
    assert (data.inputs[:, 8:] == 5).all()
    assert (data.targets[:, :-3] == IGNORED).all()
    assert data.chance == pytest.approx(np.log(4), rel=0.02)
    assert DATA["copy"]().inputs.shape[1] == 200


def test_adding_adds_one_number_of_each_half() -> None:
    data = DATA["adding"](length=20, samples=500)
    numbers, marked = data.inputs[..., 0], data.inputs[..., 1]
    assert (marked[:, :10].sum(1) == 1).all()
    assert (marked[:, 10:].sum(1) == 1).all()
    assert np.allclose((numbers * marked).sum(1), data.targets[:, 0])
    assert data.chance == pytest.approx(2 / 3, rel=0.2)


def test_text_asks_for_the_next_character_and_keeps_its_end_for_the_test() -> None:
    data = DATA["text"](length=100, samples=500)
    assert np.array_equal(data.inputs[:, 1:], data.targets[:, :-1])
    shown, test = (["".join(PRINTABLE[i] for i in row) for row in part] for part in (data.inputs, data.test_inputs))
    assert any("def " in text for text in shown)
    assert not set(shown) & set(test)
    assert data.chance < np.log(data.outputs)


def test_pictures_are_the_digits() -> None:
    assert np.array_equal(DATA["pictures"]().inputs.reshape(-1, 64), digits().inputs)
    assert np.array_equal(DATA["reconstruction"]().targets, digits().inputs)


def test_chance_is_the_loss_of_the_best_constant() -> None:
    data = digits()
    shares = np.bincount(data.targets) / len(data.targets)
    assert data.chance == pytest.approx(-np.log(shares[data.targets]).mean())
    whole = DATA["reconstruction"]()
    assert whole.chance == pytest.approx(np.square(whole.targets - whole.targets.mean(0)).mean(), rel=1e-5)


def test_own_data_that_no_net_could_learn_are_refused() -> None:
    inputs, targets = np.zeros((9, 4)), np.zeros(9, np.int64)
    inputs[2, 1] = np.nan
    with pytest.raises(BadInput, match=r"inputs: expected finite numbers; got nan at index \[2, 1\], 1 in all"):
        given((inputs, targets), DATA)
    with pytest.raises(BadInput, match=r"inputs: expected an array of numbers, and only one; got tuple"):
        given(((np.zeros((9, 4)), np.zeros((9, 3))), targets), DATA)
