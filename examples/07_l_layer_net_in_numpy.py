"""The L-layer net written out in plain NumPy: initialize, forward, loss, backward, update; started by fanin.

The arrays are the caller's own. A `Net` only says what each of them does, so that the same plans, predictions and names
serve as for a model of a framework.
"""

from itertools import pairwise

import numpy as np

import fanin
from fanin.compat.numpy import Net, layer
from fanin.experiments.data import digits

SIZES = (64, 128, 128, 128, 128, 10)
DEPTH = len(SIZES) - 1


def initialize(recipe: str, seed: int = 0) -> Net:
    """W of shape (in, out), for x @ W + b."""
    pairs = list(pairwise(SIZES))
    arrays = {f"W{i}": np.zeros(pair, np.float32) for i, pair in enumerate(pairs, 1)}
    arrays |= {f"b{i}": np.zeros(outputs, np.float32) for i, (_, outputs) in enumerate(pairs, 1)}
    layers = [
        layer("linear", weight=f"W{i}", bias=f"b{i}", axes=("in", "out"), activation="tanh" if i < DEPTH else "")
        for i in range(1, DEPTH + 1)
    ]
    net = Net(arrays, layers)
    fanin.initialize_(net, recipe=recipe, seed=seed)
    return net


def forward(net: Net, x: np.ndarray) -> list[np.ndarray]:
    """The input and the output of every layer."""
    outputs = [x]
    for i in range(1, DEPTH + 1):
        z = outputs[-1] @ net[f"W{i}"] + net[f"b{i}"]
        outputs.append(np.tanh(z) if i < DEPTH else z)
    return outputs


def cross_entropy(logits: np.ndarray, labels: np.ndarray) -> tuple[float, np.ndarray]:
    """The loss, and its gradient at the logits."""
    shifted = logits - logits.max(1, keepdims=True)
    p = np.exp(shifted) / np.exp(shifted).sum(1, keepdims=True)
    rows = np.arange(len(labels))
    delta = p.copy()
    delta[rows, labels] -= 1
    return float(-np.log(p[rows, labels]).mean()), delta / len(labels)


def backward(net: Net, outputs: list[np.ndarray], delta: np.ndarray) -> dict[str, np.ndarray]:
    """The gradient of every array."""
    gradients = {}
    for i in range(DEPTH, 0, -1):
        gradients[f"W{i}"], gradients[f"b{i}"] = outputs[i - 1].T @ delta, delta.sum(0)
        delta = delta @ net[f"W{i}"].T * (1 - outputs[i - 1] ** 2)  # the slope of tanh, from its value
    return gradients


def update(net: Net, gradients: dict[str, np.ndarray], rate: float) -> None:
    """One step of gradient descent."""
    for name, gradient in gradients.items():
        net[name][...] -= rate * gradient


data = digits()  # 8 × 8 pixels, handwritten; standardised
x, labels = data.inputs, data.targets

print(fanin.plan(initialize("auto")))
for recipe in ("normal(std=0.01)", "normal(std=1.0)", "xavier", "auto"):
    net = initialize(recipe)
    predicted = fanin.predict(net, x)
    losses = []
    for _ in range(200):
        outputs = forward(net, x)
        loss, delta = cross_entropy(outputs[-1], labels)
        losses.append(loss)
        update(net, backward(net, outputs, delta), rate=0.1)
    right = (forward(net, data.test_inputs)[-1].argmax(1) == data.test_targets).mean()
    logits = f"linear_{DEPTH}"
    print(
        f"{recipe}: E[logit²] predicted {predicted.values[logits].second_moment:.2e}, "
        f"loss {losses[0]:.3f} at first, {losses[-1]:.3f} after 200 steps, test {right:.1%}"
    )
