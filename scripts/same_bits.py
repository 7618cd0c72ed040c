"""One net in every framework that is installed, with the same weights: `python scripts/same_bits.py [--write]`.

Prints, or writes into docs/frameworks.md, the digest of each start, and how far the outputs are from PyTorch's. To add
a framework: a function (net, recipe, seed) → its plan and what its net makes of a batch, and a line in `FRAMEWORKS`.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import fanin
from fanin.activations import activation
from fanin.plans import Plan

PAGE = Path(__file__).parent.parent / "docs" / "frameworks.md"
BEGIN, END = "<!-- begin table -->\n", "<!-- end table -->"
Array = npt.NDArray[Any]
Forward = Callable[[Array], Array]
SEED = 0
RECIPES = ("auto", "he", "xavier", "orthogonal", "torch_default", "keras_default", "flax_default")
# Batches as PyTorch takes them: rows, and images with channels first.
BATCHES = {"perceptron": (8, 64), "convolutional": (4, 3, 8, 8)}


def batch(net: str) -> Array:
    """White noise, the same for every framework."""
    return np.random.default_rng(0).standard_normal(BATCHES[net], np.float32)


def of_torch(net: str, recipe: str, seed: int) -> tuple[Plan, Forward]:
    """The names of this one are those of all."""
    import torch
    from torch import nn

    nets: dict[str, Callable[[], nn.Module]] = {
        "perceptron": lambda: nn.Sequential(
            nn.Linear(64, 48), nn.ReLU(), nn.Linear(48, 32), nn.Tanh(), nn.Linear(32, 10)
        ),
        "convolutional": lambda: nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(8, 16, 3, groups=2),
            nn.GELU(),
            nn.AvgPool2d(6),
            nn.Flatten(),
            nn.Linear(16, 10),
        ),
    }
    model = nets[net]()
    plan = fanin.initialize_(model, torch.zeros(1, *BATCHES[net][1:]), recipe=recipe, seed=seed)
    return plan, lambda x: np.asarray(model(torch.from_numpy(x)).detach().numpy())


def of_keras(net: str, recipe: str, seed: int) -> tuple[Plan, Forward]:
    """Kernels (in, out) and (height, width, in, out); images with channels last."""
    os.environ.setdefault("KERAS_BACKEND", "torch")
    import keras
    from keras import layers

    nets = {
        "perceptron": lambda: [
            keras.Input((64,)),
            layers.Dense(48, activation="relu", name="0"),
            layers.Dense(32, activation="tanh", name="2"),
            layers.Dense(10, name="4"),
        ],
        "convolutional": lambda: [
            keras.Input((8, 8, 3)),
            layers.Conv2D(8, 3, padding="same", activation="relu", name="0"),
            layers.Conv2D(16, 3, groups=2, activation="gelu", name="2"),
            layers.AveragePooling2D(6),
            layers.Flatten(),
            layers.Dense(10, name="6"),
        ],
    }
    model = keras.Sequential(nets[net]())
    torchs = {"kernel": "weight", "bias": "bias"}
    paths = [f"{layer.name}/{name}" for layer in model.layers if layer.weights for name in torchs]
    rename = {path: f"{path.partition('/')[0]}.{torchs[path.partition('/')[2]]}" for path in paths}
    plan = fanin.initialize_(model, recipe=recipe, seed=seed, rename=rename)

    def forward(x: Array) -> Array:
        given = x.transpose(0, 2, 3, 1) if x.ndim == 4 else x
        made = model(np.ascontiguousarray(given))
        return np.asarray(keras.ops.convert_to_numpy(made.detach() if hasattr(made, "detach") else made))

    return plan, forward


def of_paddle(net: str, recipe: str, seed: int) -> tuple[Plan, Forward]:
    """Dense weights (in, out); kernels and names are PyTorch's."""
    import paddle
    from paddle import nn

    nets = {
        "perceptron": lambda: nn.Sequential(
            nn.Linear(64, 48), nn.ReLU(), nn.Linear(48, 32), nn.Tanh(), nn.Linear(32, 10)
        ),
        "convolutional": lambda: nn.Sequential(
            nn.Conv2D(3, 8, 3, padding=1),
            nn.ReLU(),
            nn.Conv2D(8, 16, 3, groups=2),
            nn.GELU(),
            nn.AvgPool2D(6),
            nn.Flatten(),
            nn.Linear(16, 10),
        ),
    }
    model = nets[net]()
    plan = fanin.initialize_(model, paddle.zeros([1, *BATCHES[net][1:]]), recipe=recipe, seed=seed)
    return plan, lambda x: np.asarray(model(paddle.to_tensor(x)).numpy())


def of_numpy(net: str, recipe: str, seed: int) -> tuple[Plan, Forward]:
    """A dict of arrays, for x @ W; the net itself is written out below."""
    from fanin.compat.numpy import Net, layer

    def dense(at: int, activation: str = "") -> Any:
        return layer("linear", weight=f"{at}.weight", bias=f"{at}.bias", axes=("in", "out"), activation=activation)

    kernel = ("kernel", "kernel", "in", "out")
    nets = {
        "perceptron": lambda: Net(
            {"0.weight": (64, 48), "0.bias": (48,), "2.weight": (48, 32), "2.bias": (32,)}
            | {"4.weight": (32, 10), "4.bias": (10,)},
            [dense(0, "relu"), dense(2, "tanh"), dense(4)],
        ),
        "convolutional": lambda: Net(
            {"0.weight": (3, 3, 3, 8), "0.bias": (8,), "2.weight": (3, 3, 4, 16), "2.bias": (16,)}
            | {"6.weight": (16, 10), "6.bias": (10,)},
            [
                layer("conv2d", weight="0.weight", bias="0.bias", axes=kernel, padding=1, activation="relu"),
                layer("conv2d", weight="2.weight", bias="2.bias", axes=kernel, groups=2, activation="gelu"),
                layer("avg_pool2d", kernel_size=6),
                layer("flatten"),
                dense(6),
            ],
            example=(1, 3, 8, 8),
        ),
    }
    made = nets[net]()
    plan = fanin.initialize_(made, recipe=recipe, seed=seed)
    return plan, lambda x: (_perceptron if net == "perceptron" else _convolutional)(made, x)


def _perceptron(w: Any, x: Array) -> Array:
    hidden = np.maximum(x @ w["0.weight"] + w["0.bias"], 0)
    return np.asarray(np.tanh(hidden @ w["2.weight"] + w["2.bias"]) @ w["4.weight"] + w["4.bias"])


def _convolutional(w: Any, x: Array) -> Array:
    x = x.transpose(0, 2, 3, 1)
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    first = np.maximum(_conv(padded, w["0.weight"]) + w["0.bias"], 0)
    halves = zip(np.split(first, 2, -1), np.split(w["2.weight"], 2, -1), strict=True)
    second = np.concatenate([_conv(half, kernel) for half, kernel in halves], -1) + w["2.bias"]
    pooled = activation("gelu")(second.astype(np.float64)).mean((1, 2))
    return np.asarray(pooled.astype(np.float32) @ w["6.weight"] + w["6.bias"])


def _conv(x: Array, kernel: Array) -> Array:
    height, width = kernel.shape[:2]
    windows = np.lib.stride_tricks.sliding_window_view(x, (height, width), axis=(1, 2))
    return np.asarray(np.einsum("nxycij,ijco->nxyo", windows, kernel))


def of_nnx(net: str, recipe: str, seed: int) -> tuple[Plan, Forward]:
    """Objects with kernels (in, out) and (height, width, in, out); images with channels last."""
    from flax import nnx

    rngs = nnx.Rngs(0)
    nets: dict[str, Callable[[], list[Any]]] = {
        "perceptron": lambda: [
            *(nnx.Linear(64, 48, rngs=rngs), nnx.relu, nnx.Linear(48, 32, rngs=rngs), nnx.tanh),
            nnx.Linear(32, 10, rngs=rngs),
        ],
        "convolutional": lambda: [
            *(nnx.Conv(3, 8, (3, 3), rngs=rngs), nnx.relu),
            nnx.Conv(8, 16, (3, 3), padding="VALID", feature_group_count=2, rngs=rngs),
            lambda x: nnx.gelu(x, approximate=False),
            lambda x: nnx.avg_pool(x, (6, 6)).reshape(x.shape[0], -1),  # type: ignore[no-untyped-call]
            nnx.Linear(16, 10, rngs=rngs),
        ],
    }
    model = nnx.Sequential(*nets[net]())
    plan, new = _of_jax(model, _channels_last(batch(net)), recipe, seed, {"layers.5": "6"})
    return plan, lambda x: np.asarray(new(_channels_last(x)))


def of_linen(net: str, recipe: str, seed: int) -> tuple[Plan, Forward]:
    """A module and its variables, laid out as NNX has them."""
    import flax.linen as nn

    class Perceptron(nn.Module):
        @nn.compact
        def __call__(self, x: Any) -> Any:
            x = nn.relu(nn.Dense(48, name="layers_0")(x))
            return nn.Dense(10, name="layers_4")(nn.tanh(nn.Dense(32, name="layers_2")(x)))

    class Convolutional(nn.Module):
        @nn.compact
        def __call__(self, x: Any) -> Any:
            x = nn.relu(nn.Conv(8, (3, 3), name="layers_0")(x))
            x = nn.Conv(16, (3, 3), padding="VALID", feature_group_count=2, name="layers_2")(x)
            x = nn.avg_pool(nn.gelu(x, approximate=False), (6, 6))  # type: ignore[no-untyped-call]
            return nn.Dense(10, name="layers_6")(x.reshape(x.shape[0], -1))

    model = Perceptron() if net == "perceptron" else Convolutional()
    names = {f"layers_{i}": str(i) for i in (0, 2, 4, 6)}
    plan, variables = _of_jax(model, _channels_last(batch(net)), recipe, seed, names)
    return plan, lambda x: np.asarray(model.apply(variables, _channels_last(x)))


def of_equinox(net: str, recipe: str, seed: int) -> tuple[Plan, Forward]:
    """Pytrees with PyTorch's layout, called on one sample."""
    import equinox as eqx
    import jax

    key, nn = jax.random.key(0), eqx.nn
    nets: dict[str, Callable[[], list[Any]]] = {
        "perceptron": lambda: [
            *(nn.Linear(64, 48, key=key), nn.Lambda(jax.nn.relu), nn.Linear(48, 32, key=key)),
            *(nn.Lambda(jax.numpy.tanh), nn.Linear(32, 10, key=key)),
        ],
        "convolutional": lambda: [
            *(nn.Conv2d(3, 8, 3, padding=1, key=key), nn.Lambda(jax.nn.relu), nn.Conv2d(8, 16, 3, groups=2, key=key)),
            nn.Lambda(lambda x: jax.nn.gelu(x, approximate=False)),
            *(nn.AvgPool2d(6), nn.Lambda(jax.numpy.ravel), nn.Linear(16, 10, key=key)),
        ],
    }
    plan, new = _of_jax(nn.Sequential(nets[net]()), batch(net), recipe, seed, {})
    return plan, lambda x: np.asarray(jax.vmap(new)(x))


def _of_jax(model: Any, x: Array, recipe: str, seed: int, torchs: dict[str, str]) -> tuple[Plan, Any]:
    """The plan under PyTorch's names, and what it starts; layers that are not named otherwise are "layers.0", "0"."""
    named = {f"layers.{i}": str(i) for i in range(7)} | torchs
    words = {"kernel": "weight", "weight": "weight", "bias": "bias"}
    paths = [e.parameter.path for e in fanin.plan(model, x, recipe="zeros")]
    rename = {path: f"{named[path.rpartition('.')[0]]}.{words[path.rpartition('.')[2]]}" for path in paths}
    plan = fanin.plan(model, x, recipe=recipe, rename=rename)
    return plan, fanin.initialize(model, x, recipe=plan, seed=seed)


def _channels_last(x: Array) -> Array:
    return np.ascontiguousarray(x.transpose(0, 2, 3, 1)) if x.ndim == 4 else x


# Package → how its net is started.
FRAMEWORKS: dict[str, Callable[[str, str, int], tuple[Plan, Forward]]] = {
    "torch": of_torch,
    "keras": of_keras,
    "paddle": of_paddle,
    "numpy": of_numpy,
    "flax.nnx": of_nnx,
    "flax.linen": of_linen,
    "equinox": of_equinox,
}


def installed() -> list[str]:
    """Those that can be tried here."""
    return [name for name in FRAMEWORKS if find_spec(name.partition(".")[0])]


def table() -> str:
    """A row for each net and recipe: one digest, and the largest difference of an output."""
    rows = [
        f"| net | recipe | digest (seed {SEED}), the same in {', '.join(installed())} | outputs differ by at most |",
        "|---|---|---|---|",
    ]
    for net in BATCHES:
        for recipe in RECIPES:
            starts = {name: FRAMEWORKS[name](net, recipe, SEED) for name in installed()}
            digests = {plan.digest(SEED) for plan, _ in starts.values()}
            outputs = [forward(batch(net)) for _, forward in starts.values()]
            worst = max(float(np.abs(output - outputs[0]).max()) for output in outputs)
            digest = (
                digests.pop()[:12] if len(digests) == 1 else f"differ: {', '.join(sorted(d[:12] for d in digests))}"
            )
            rows.append(f"| {net} | {recipe} | `{digest}` | {worst:.0e} |")
    return "\n".join(rows) + "\n"


if __name__ == "__main__":
    if sys.argv[1:] == ["--write"]:
        text = PAGE.read_text(encoding="utf-8")
        kept = re.sub(f"({re.escape(BEGIN)}).*({re.escape(END)})", rf"\g<1>{table()}\2", text, flags=re.DOTALL)
        PAGE.write_text(kept, encoding="utf-8")
    else:
        print(table(), end="")
