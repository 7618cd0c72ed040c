"""The whole of deep learning in a page: initialize, forward, loss, backward, update, in NumPy and with a start.

A net of L layers, every step written out. Change `START` and run it again: "zeros" learns nothing, normal weights of
std 1 saturate, and of std 0.01 what comes through eight layers has 10⁻²⁰ of the second moment that went in.
"""

from itertools import pairwise

import numpy as np

import fanin
from fanin.experiments.data import digits

START = "glorot_normal"  # also "zeros", "normal(std=1)", "normal(std=0.01)", "orthogonal", "he_normal"
SIZES = [64, 32, 32, 32, 32, 32, 32, 32, 10]  # digits have 64 pixels; seven hidden layers; ten classes
RATE, STEPS, BATCH = 0.1, 400, 64

data = digits()
x_train, y_train = data.inputs, data.targets

# 1. Initialize: weights (fan_out, fan_in) from the law, biases 0, which is safe as random weights tell units apart.
weights, biases = [], []
for layer, (fan_in, fan_out) in enumerate(pairwise(SIZES)):
    w = np.empty((fan_out, fan_in), np.float32)
    fanin.fill_(w, START, name=f"layer{layer}.weight", seed=0)
    weights.append(w)
    biases.append(np.zeros(fan_out, np.float32))

losses = []
for step in range(STEPS):
    batch = np.arange(step * BATCH, (step + 1) * BATCH) % len(x_train)
    x, y = x_train[batch], y_train[batch]

    # 2. Forward: z = W a + b, a = tanh(z); the last layer is linear. What each layer saw is kept for the way back.
    seen = [x]
    for w, b in zip(weights[:-1], biases[:-1], strict=True):
        seen.append(np.tanh(seen[-1] @ w.T + b))
    logits = seen[-1] @ weights[-1].T + biases[-1]

    # 3. Loss: cross-entropy, −log of the probability that the softmax gives to the right class; its mean.
    shifted = logits - logits.max(1, keepdims=True)
    probabilities = np.exp(shifted) / np.exp(shifted).sum(1, keepdims=True)
    losses.append(float(-np.log(probabilities[np.arange(BATCH), y] + 1e-30).mean()))

    # 4. Backward: δ = ∂loss/∂z of the last layer is p − 1 at the right class; each layer hands Wᵀ δ · φ'(z) on.
    delta = probabilities
    delta[np.arange(BATCH), y] -= 1
    delta /= BATCH
    steps = []
    for layer in reversed(range(len(weights))):
        steps.append((delta.T @ seen[layer], delta.sum(0)))
        if layer:
            delta = delta @ weights[layer] * (1 - seen[layer] ** 2)  # tanh' = 1 − tanh²

    # 5. Update: a little against the gradient.
    for layer, (dw, db) in enumerate(reversed(steps)):
        weights[layer] -= RATE * dw
        biases[layer] -= RATE * db

hidden = data.test_inputs
for w, b in zip(weights[:-1], biases[:-1], strict=True):
    hidden = np.tanh(hidden @ w.T + b)
right = (hidden @ weights[-1].T + biases[-1]).argmax(1) == data.test_targets
print(f"{START}: loss {losses[0]:.3f} at first, {np.mean(losses[-40:]):.3f} at the end; test {right.mean():.1%}")
