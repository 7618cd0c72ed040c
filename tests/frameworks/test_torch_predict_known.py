"""What is known before any signal flows: inputs by the axis they count, integers, buffers, constants."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fanin.frameworks.torch import trace
from fanin.frameworks.torch.model.call import call_of
from fanin.frameworks.torch.predicting import known
from fanin.frameworks.torch.predicting.known import input_state, known_tensors
from fanin.frameworks.torch.tracing.input_axes import input_axes
from fanin.signals.axes import Kind, usual
from fanin.signals.state import State
from fanin.signals.values import Constant, Unknown, Value


def values_of(model: nn.Module, *example: Any) -> dict[str, Value]:
    return known_tensors(trace(model, *example), call_of(model, example))


class Mixer(nn.Module):
    def __init__(self, tokens_first: bool) -> None:
        super().__init__()
        self.tokens, self.channels = nn.Linear(6, 6), nn.Linear(8, 8)
        self.tokens_first = tokens_first

    def forward(self, x: Tensor) -> Any:
        for kind in (self.tokens_first, not self.tokens_first):
            x = x + (self.tokens(x.mT).mT if kind else self.channels(x))
        return x


class ByHand(nn.Module):
    """Attention over the first axis of (position, sample, feature), by matrix products."""

    def __init__(self) -> None:
        super().__init__()
        self.q, self.k = nn.Linear(8, 8), nn.Linear(8, 8)

    def forward(self, x: Tensor) -> Any:
        q, k = (w(x).transpose(0, 1) for w in (self.q, self.k))
        return F.softmax(q @ k.transpose(1, 2), -1) @ x.transpose(0, 1)


AXES: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...], str]] = {
    "linear": (lambda: nn.Linear(5, 3), (4, 5), "sf"),
    "linear over positions": (lambda: nn.Linear(5, 3), (4, 7, 5), "spf"),
    "linear on channels last": (lambda: nn.Linear(5, 3), (4, 7, 6, 5), "sppf"),
    "conv1d": (lambda: nn.Conv1d(5, 3, 3), (4, 5, 9), "sfp"),
    "conv1d without a batch": (lambda: nn.Conv1d(5, 3, 3), (5, 9), "fp"),
    "conv2d": (lambda: nn.Conv2d(3, 4, 3), (4, 3, 9, 8), "sfpp"),
    "batch norm": (lambda: nn.BatchNorm1d(5), (4, 5, 9), "sfp"),
    "lstm": (lambda: nn.LSTM(5, 3), (7, 4, 5), "psf"),
    "lstm, batch first": (lambda: nn.LSTM(5, 3, batch_first=True), (4, 7, 5), "spf"),
    "transformer": (lambda: nn.TransformerEncoderLayer(8, 2, 16), (7, 4, 8), "psf"),
    "transformer, batch first": (lambda: nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), (4, 7, 8), "spf"),
    "transformer without a batch": (lambda: nn.TransformerEncoderLayer(8, 2, 16), (7, 8), "pf"),
    "attention by hand": (ByHand, (7, 4, 8), "psf"),
    "mixer": (lambda: Mixer(True), (4, 6, 8), "spf"),
    "mixer, channels first": (lambda: Mixer(False), (4, 6, 8), "spf"),
}


@pytest.mark.parametrize("name", AXES)
def test_axes_count_what_the_model_does_along_them(name: str) -> None:
    make, shape, expected = AXES[name]
    traced = trace(make(), torch.zeros(shape))
    (fx,) = (
        fx
        for fx in traced.program.graph.find_nodes(op="placeholder")
        if fx.name in traced.program.graph_signature.user_inputs
    )
    assert "".join(str(axis[0][0])[0] for axis in input_axes(fx)) == expected


def test_a_real_batch_gives_its_moments_and_a_meta_one_white_noise() -> None:
    torch.manual_seed(0)
    x = torch.randn(1, 3, 1, 1) + torch.randn(16, 3, 1, 1) + 2 * torch.randn(16, 3, 8, 8)
    state = input_state(x, usual(x.shape))
    flat = x.double().flatten(2)
    same = (flat.sum(2) ** 2 - (flat**2).sum(2)).mean() / (64 * 63)
    other = ((flat.sum((0, 2)) ** 2 - (flat.sum(2) ** 2).sum(0)) / (16 * 15 * 64 * 64)).mean()
    assert state.second[0] == pytest.approx(float((flat**2).mean()))
    assert state.across_positions[0] == pytest.approx(float(same))
    assert state.across_samples[0] == pytest.approx(float(other))
    white = input_state(x.to("meta"), usual(x.shape))
    assert (white.mean[0], white.second[0], white.across_positions[0], white.across_samples[0]) == (0, 1, 0, 0)


def test_an_input_that_is_not_gaussian_keeps_its_marginal() -> None:
    assert input_state(torch.randn(64, 32).to(torch.bfloat16), usual((64, 32))).marginal is None
    pixels = input_state(torch.rand(64, 32) ** 4, usual((64, 32)))
    assert pixels.marginal is not None
    assert pixels.marginal.min() >= -0.01


class Tokens(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table, self.places = nn.Embedding(50, 8), nn.Embedding(12, 8)
        self.register_buffer("hidden", torch.ones(12, 12).tril())

    def forward(self, ids: Tensor, attention_mask: Tensor, position_ids: Tensor) -> Any:
        x = self.table(ids[:, :]) + self.places(position_ids)
        hidden: Any = self.hidden
        return x * attention_mask[:, :, None].to(x.dtype) + hidden.sum()


def test_integers_on_the_meta_device_are_such_that_the_model_can_be_called() -> None:
    with torch.device("meta"):
        model, ids = Tokens(), torch.zeros(3, 12, dtype=torch.long)
    found = values_of(model, ids, ids.bool(), ids.clone())
    drawn, mask, places = (found[name] for name in ("ids", "attention_mask", "position_ids"))
    assert isinstance(drawn, Constant)
    assert isinstance(mask, Constant)
    assert isinstance(places, Constant)
    assert 0 <= drawn.array.min() < drawn.array.max() < 50
    assert len(np.unique(drawn.array)) > 15
    assert mask.array.all()
    assert (places.array == np.arange(12)).all()
    assert isinstance(found["b_hidden"], Unknown)  # a buffer on the meta device: nobody knows


def test_real_integers_count_by_their_values() -> None:
    ids = torch.arange(36).reshape(3, 12)
    found = values_of(Tokens(), ids, ids > 3, ids % 12)
    for name, expected in (("ids", ids), ("attention_mask", ids > 3)):
        value = found[name]
        assert isinstance(value, Constant)
        assert (value.array == expected.numpy()).all()


class Computes(nn.Module):
    """Constants of several kinds, and what only looks like one."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(8, 8)
        self.register_buffer("scale", torch.tensor([0.5, 2.0]).repeat(4).to(torch.bfloat16))

    def forward(self, x: Tensor) -> Any:
        causal = torch.ones(6, 6).tril().to(torch.bool)
        noise = torch.rand(8)
        scale: Any = self.scale
        kept = F.dropout(torch.ones(8), 0.5)
        return self.layer(x * noise * kept) * (2 * scale.float()) * causal.sum()


def test_constants_are_computed_and_what_is_random_is_none() -> None:
    model, x = Computes(), torch.randn(6, 8)
    found = values_of(model, x)
    ops = {n.name: n.op for n in trace(model, x).graph.nodes}
    constants = {ops[name] for name, value in found.items() if isinstance(value, Constant) and name in ops}
    assert {"tril", "sum"} <= constants
    assert not constants & {"rand", "native_dropout", "dropout", "linear"}
    (buffer,) = (v.array for name, v in found.items() if "scale" in name and isinstance(v, Constant))
    assert buffer.dtype == np.float32
    assert buffer.tolist() == [0.5, 2.0] * 4


def test_evaluating_constants_does_not_touch_the_users_generators_or_tensors() -> None:
    model, x = Computes(), torch.randn(6, 8)
    before, scale = torch.get_rng_state(), model.get_buffer("scale").clone()
    values_of(model, x)
    assert torch.equal(before, torch.get_rng_state())
    assert torch.equal(scale, model.get_buffer("scale"))


def test_large_constants_are_forgotten_when_only_constants_were_computed_from_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Masked(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(8, 8)

        def forward(self, x: Tensor) -> Any:
            return self.layer(x) * torch.ones(300, 300).tril().sum()

    found = values_of(Masked(), torch.randn(4, 8))
    assert isinstance(found["tril"], Unknown)
    total = found["sum_1"]
    assert isinstance(total, Constant)
    assert total.array == 300 * 301 / 2
    monkeypatch.setattr(known, "LARGEST", 1000)
    assert "tril" not in values_of(Masked(), torch.randn(4, 8))


@pytest.mark.parametrize("training", [True, False])
def test_running_statistics_on_the_meta_device_are_those_of_the_constructor(training: bool) -> None:
    with torch.device("meta"):
        model, x = nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5)).train(training), torch.zeros(8, 4)
    found = values_of(model, x)
    arrays = {name: v.array for name, v in found.items() if isinstance(v, Constant)}
    assert arrays["b_1_running_var"].tolist() == [1] * 5
    assert arrays["b_1_running_mean"].tolist() == [0] * 5


def test_positions_and_samples_are_told_apart_in_the_state() -> None:
    model, x = nn.LSTM(5, 3), torch.randn(7, 4, 5)
    (state,) = (v for v in values_of(model, x).values() if isinstance(v, State))
    assert (state.positions, state.samples, state.features) == (7, 4, 5)
    assert state.axes[0] == ((Kind.POSITION, 7),)


class Filling(nn.Module):
    """Zeros like a signal: some are written to, some are what a signal is added to."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("order", torch.tensor([2, 0, 1]))
        self.linear = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Any:
        x = self.linear(x)
        mask = x.new_zeros(4, 4)
        mask[:2] = 1.0
        return (x + torch.zeros_like(x)) * mask[self.get_buffer("order")].sum()


def test_what_is_filled_like_a_signal_is_known_where_only_constants_read_it() -> None:
    known_ = values_of(Filling(), torch.randn(4, 4))
    assert isinstance(total := known_["sum_1"], Constant)
    assert float(total.array) == 8
    assert "zeros_like" not in known_  # a rule knows which of its axes count samples
    assert isinstance(indices := known_["b_order"], Constant)
    assert indices.own
    assert not total.own  # its shape came from the user's


class Kinds(nn.Module):
    """Tokens of one kind, as encoders take them where nobody says of which."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens, self.kinds = nn.Embedding(8, 16), nn.Embedding(2, 16)

    def forward(self, ids: Tensor) -> Tensor:
        return torch.as_tensor(self.tokens(ids) + self.kinds(torch.zeros_like(ids)))


def test_what_is_filled_like_a_known_tensor_is_known_whatever_reads_it() -> None:
    ids = torch.randint(0, 8, (4, 6))
    known_ = values_of(Kinds(), ids)
    assert isinstance(zeros := known_["zeros_like"], Constant)
    assert zeros.array.shape == (4, 6)
