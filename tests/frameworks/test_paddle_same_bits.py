"""A net written in Paddle starts with the bits of the same net in PyTorch, and computes and measures the same."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

import fanin

pytest.importorskip("paddle", reason="Paddle is not installed: pip install 'fanin[paddle]'", exc_type=ImportError)

import paddle

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Pair:
    """One net in both frameworks; `digests` where PyTorch's module packs its weights as Paddle does."""

    paddle: Callable[[], Any]
    torch: Callable[[], torch.nn.Module]
    x: Array
    rename: Mapping[str, str] = field(default_factory=dict)
    digests: bool = True


class PaddleBlock(paddle.nn.Layer):  # type: ignore[misc]  # Paddle has no types
    """A pre-norm block, attention written out."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = paddle.nn.LayerNorm(width), paddle.nn.LayerNorm(width)
        self.q, self.k, self.v, self.out = (paddle.nn.Linear(width, width) for _ in range(4))
        self.up, self.down = paddle.nn.Linear(width, 4 * width), paddle.nn.Linear(4 * width, width)

    def forward(self, x: Any) -> Any:
        y = self.norm1(x)
        q, k, v = (m(y).reshape([0, 0, 2, -1]).transpose([0, 2, 1, 3]) for m in (self.q, self.k, self.v))
        a = paddle.nn.functional.softmax(paddle.matmul(q, k, transpose_y=True) * q.shape[-1] ** -0.5)
        x = x + self.out((a @ v).transpose([0, 2, 1, 3]).reshape([0, 0, -1]))
        return x + self.down(paddle.nn.functional.gelu(self.up(self.norm2(x))))


class TorchBlock(torch.nn.Module):
    """The same."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = torch.nn.LayerNorm(width), torch.nn.LayerNorm(width)
        self.q, self.k, self.v, self.out = (torch.nn.Linear(width, width) for _ in range(4))
        self.up, self.down = torch.nn.Linear(width, 4 * width), torch.nn.Linear(4 * width, width)

    def forward(self, x: torch.Tensor) -> Any:
        y = self.norm1(x)
        q, k, v = (m(y).unflatten(-1, (2, -1)).transpose(1, 2) for m in (self.q, self.k, self.v))
        a = torch.softmax(q @ k.transpose(-2, -1) * q.shape[-1] ** -0.5, -1)
        x = x + self.out((a @ v).transpose(1, 2).flatten(2))
        return x + self.down(torch.nn.functional.gelu(self.up(self.norm2(x))))


class PaddleTransformer(paddle.nn.Layer):  # type: ignore[misc]
    """Tokens and positions to logits."""

    def __init__(self) -> None:
        super().__init__()
        self.token, self.position = paddle.nn.Embedding(50, 16), paddle.nn.Embedding(6, 16)
        self.blocks = paddle.nn.LayerList([PaddleBlock(16) for _ in range(2)])
        self.norm, self.head = paddle.nn.LayerNorm(16), paddle.nn.Linear(16, 50)

    def forward(self, tokens: Any) -> Any:
        x = self.token(tokens) + self.position(paddle.arange(tokens.shape[1]))
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x))


class TorchTransformer(torch.nn.Module):
    """The same."""

    def __init__(self) -> None:
        super().__init__()
        self.token, self.position = torch.nn.Embedding(50, 16), torch.nn.Embedding(6, 16)
        self.blocks = torch.nn.ModuleList([TorchBlock(16) for _ in range(2)])
        self.norm, self.head = torch.nn.LayerNorm(16), torch.nn.Linear(16, 50)

    def forward(self, tokens: torch.Tensor) -> Any:
        x = self.token(tokens) + self.position(torch.arange(tokens.shape[1]))
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x))


class PaddleRecurrent(paddle.nn.Layer):  # type: ignore[misc]
    """A recurrent layer, and a readout of its last step."""

    def __init__(self, kind: str, **more: Any) -> None:
        super().__init__()
        self.layer = getattr(paddle.nn, kind)(12, 8, num_layers=2, **more)
        self.head = paddle.nn.Linear(16 if more else 8, 3)

    def forward(self, x: Any) -> Any:
        return self.head(self.layer(x)[0][:, -1])


class TorchRecurrent(torch.nn.Module):
    """The same."""

    def __init__(self, kind: str, **more: Any) -> None:
        super().__init__()
        self.layer = getattr(torch.nn, kind)(12, 8, num_layers=2, batch_first=True, **more)
        self.head = torch.nn.Linear(16 if more else 8, 3)

    def forward(self, x: torch.Tensor) -> Any:
        return self.head(self.layer(x)[0][:, -1])


def paddle_cnn() -> Any:
    """Plain, depthwise and grouped convolutions, norms, pooling."""
    nn = paddle.nn
    return nn.Sequential(
        *(nn.Conv2D(3, 8, 3, padding=1, stride=2), nn.BatchNorm2D(8), nn.ReLU()),
        *(nn.Conv2D(8, 16, 3, groups=8, padding="SAME"), nn.GroupNorm(4, 16), nn.Silu()),
        *(nn.Conv2D(16, 8, 1, groups=2), nn.LeakyReLU(0.2), nn.MaxPool2D(2)),
        *(nn.Conv2DTranspose(8, 4, 4, stride=2), nn.GELU(), nn.AdaptiveAvgPool2D(1), nn.Flatten()),
        *(nn.Dropout(0.1), nn.Linear(4, 5)),
    )


def torch_cnn() -> torch.nn.Module:
    """The same."""
    nn = torch.nn
    return nn.Sequential(
        *(nn.Conv2d(3, 8, 3, padding=1, stride=2), nn.BatchNorm2d(8), nn.ReLU()),
        *(nn.Conv2d(8, 16, 3, groups=8, padding="same"), nn.GroupNorm(4, 16), nn.SiLU()),
        *(nn.Conv2d(16, 8, 1, groups=2), nn.LeakyReLU(0.2), nn.MaxPool2d(2)),
        *(nn.ConvTranspose2d(8, 4, 4, stride=2), nn.GELU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()),
        *(nn.Dropout(0.1), nn.Linear(4, 5)),
    )


def paddle_mlp() -> Any:
    """Three layers."""
    nn = paddle.nn
    return nn.Sequential(nn.Linear(12, 32), nn.Tanh(), nn.Linear(32, 32), nn.ELU(), nn.Linear(32, 4))


def torch_mlp() -> torch.nn.Module:
    """The same."""
    nn = torch.nn
    return nn.Sequential(nn.Linear(12, 32), nn.Tanh(), nn.Linear(32, 32), nn.ELU(), nn.Linear(32, 4))


def _noise(*shape: int) -> Array:
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def _encoder() -> torch.nn.Module:
    layer = torch.nn.TransformerEncoderLayer(16, 2, 64, activation="gelu", norm_first=True, batch_first=True)
    return torch.nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)


# Paddle's own attention has three projections, PyTorch's packs them in one.
UNPACKED = {
    f"layers.{i}.self_attn.{part}_proj.{kind}": f"layers.{i}.self_attn.in_proj_{kind}.{part}"
    for i in range(2)
    for part in "qkv"
    for kind in ("weight", "bias")
}
PAIRS: Mapping[str, Pair] = {
    "MLP": Pair(paddle_mlp, torch_mlp, _noise(8, 12)),
    "CNN": Pair(paddle_cnn, torch_cnn, _noise(4, 3, 16, 16)),
    "transformer": Pair(PaddleTransformer, TorchTransformer, np.arange(12).reshape(2, 6) % 7),
    "TransformerEncoder": Pair(
        lambda: paddle.nn.TransformerEncoder(
            paddle.nn.TransformerEncoderLayer(16, 2, 64, activation="gelu", normalize_before=True), 2
        ),
        _encoder,
        _noise(2, 5, 16),
        UNPACKED,
        digests=False,
    ),
    "LSTM": Pair(
        lambda: PaddleRecurrent("LSTM", direction="bidirect"),
        lambda: TorchRecurrent("LSTM", bidirectional=True),
        _noise(2, 5, 12),
    ),
    "GRU": Pair(lambda: PaddleRecurrent("GRU"), lambda: TorchRecurrent("GRU"), _noise(2, 5, 12)),
    "RNN": Pair(lambda: PaddleRecurrent("SimpleRNN"), lambda: TorchRecurrent("RNN"), _noise(2, 5, 12)),
}


def started(pair: Pair, recipe: str = "auto") -> tuple[Any, torch.nn.Module, fanin.Plan, fanin.Plan]:
    """Both nets, each planned and written by its own adapter."""
    of_paddle, of_torch = pair.paddle(), pair.torch()
    x, y = paddle.to_tensor(pair.x), torch.tensor(pair.x)
    plan = fanin.initialize_(of_paddle, x, recipe=recipe, rename=pair.rename, seed=3)
    return of_paddle, of_torch, plan, fanin.initialize_(of_torch, y, recipe=recipe, seed=3)


@pytest.mark.parametrize("recipe", ["auto", "he", "torch_default", "orthogonal"])
@pytest.mark.parametrize("name", [name for name, pair in PAIRS.items() if pair.digests])
def test_the_digest_is_that_of_pytorch(name: str, recipe: str) -> None:
    of_paddle, _, plan, other = started(PAIRS[name], recipe)
    assert plan.digest(3) == other.digest(3)
    assert fanin.verify(of_paddle, plan, seed=3, blocks=None).ok


@pytest.mark.parametrize("name", PAIRS)
def test_outputs_are_equal_to_rounding(name: str) -> None:
    of_paddle, of_torch, *_ = started(PAIRS[name])
    of_paddle.eval()
    of_torch.eval()
    made = of_paddle(paddle.to_tensor(PAIRS[name].x)).numpy()
    expected = of_torch(torch.tensor(PAIRS[name].x)).detach().numpy()
    assert np.abs(made - expected).max() <= 1e-5 * np.abs(expected).max()


@pytest.mark.parametrize("name", ["MLP", "CNN", "transformer", "LSTM"])
def test_what_flows_is_measured_alike(name: str) -> None:
    of_paddle, of_torch, *_ = started(PAIRS[name])
    for one in (*of_paddle.sublayers(), *of_torch.modules()):
        if "Dropout" in type(one).__name__:
            one.p = 0.0
    there = fanin.measure(of_paddle, paddle.to_tensor(PAIRS[name].x), loss=lambda out: (out**2).mean())
    here = fanin.measure(of_torch, torch.tensor(PAIRS[name].x), loss=lambda out: (out**2).mean())
    assert there.loss == pytest.approx(here.loss, rel=1e-4)
    for path, parameter in here.parameters.items():
        seen = there.parameters[path]
        assert seen.value.second_moment == pytest.approx(parameter.value.second_moment, rel=1e-12)
        assert seen.gradient is not None
        assert parameter.gradient is not None
        assert seen.gradient.second_moment == pytest.approx(parameter.gradient.second_moment, rel=2e-3, abs=1e-12)
    for kind in ("linear", "conv2d", "gelu", "layer_norm", "lstm"):
        if kind in there.values:
            assert there.values[kind].second_moment == pytest.approx(here.values[kind].second_moment, rel=1e-4)
            assert there.gradients[kind].second_moment == pytest.approx(here.gradients[kind].second_moment, rel=2e-3)


@pytest.mark.parametrize("name", ["MLP", "CNN", "transformer"])
def test_what_is_predicted_is_what_is_measured(name: str) -> None:
    pair = PAIRS[name]
    model, x = pair.paddle(), paddle.to_tensor(pair.x)
    plan = fanin.plan(model, x)
    predicted, measured = fanin.predict(model, x, plan=plan), fanin.measure(model, x, plan=plan, seeds=8)
    last = list(predicted.values)[-1]
    assert predicted.values[last].second_moment == pytest.approx(measured.values[last].second_moment, rel=0.5)


@pytest.mark.parametrize("recipe", ["torch_default", "he"])
def test_a_diagnosis_is_that_of_pytorch(recipe: str) -> None:
    x = np.random.default_rng(0).normal(size=(32, 64)).astype(np.float32)
    of_paddle = paddle.nn.Sequential(*[m for _ in range(30) for m in (paddle.nn.Linear(64, 64), paddle.nn.ReLU())])
    of_torch = torch.nn.Sequential(*[m for _ in range(30) for m in (torch.nn.Linear(64, 64), torch.nn.ReLU())])
    fanin.initialize_(of_paddle, recipe=recipe, seed=0)
    fanin.initialize_(of_torch, recipe=recipe, seed=0)
    found = fanin.diagnose(of_paddle, paddle.to_tensor(x)).summary
    assert found == fanin.diagnose(of_torch, torch.tensor(x)).summary
    assert ("indistinguishable samples" in found) == (recipe == "torch_default")
