"""The idea of fanin in one page of NumPy: `python docs/tiny_fanin.py`. What is left out here is what the library is.

    stream → plan → weights → predict beside measure → diagnose → another plan

A net is a list of layers y = φ(x Wᵀ). tests/test_tiny_fanin.py holds every function against the library's own.
"""

from __future__ import annotations

import hashlib
import math
import struct
from statistics import NormalDist
from typing import NamedTuple

import numpy as np

# 1. The stream. A random number is a function of (seed, name, index), and of nothing else: not of the order of layers,
#    the number of threads, or the machine. A word is the index in counter mode under a key made of seed and name.


def words(seed: int, name: str, count: int) -> np.ndarray:
    """32 random bits for each index: Philox4x32-10 (Salmon et al. 2011), keyed by a hash of seed and name."""
    text = name.encode()
    start = b"fanin/stream/v1\0" + bytes(1) + seed.to_bytes(16, "little") + bytes(4)
    digest = hashlib.sha256(start + struct.pack("<I", len(text)) + text).digest()
    k0, k1, c2, c3 = struct.unpack_from("<4I", digest)
    low, half = np.uint64(0xFFFFFFFF), np.uint64(32)
    block = np.arange(-(-count // 4), dtype=np.uint64)
    x = [block & low, block >> half, np.full_like(block, c2), np.full_like(block, c3)]
    for _ in range(10):
        p, q = x[0] * np.uint64(0xD2511F53), x[2] * np.uint64(0xCD9E8D57)
        x = [(q >> half) ^ x[1] ^ np.uint64(k0), q & low, (p >> half) ^ x[3] ^ np.uint64(k1), p & low]
        k0, k1 = (k0 + 0x9E3779B9) % 2**32, (k1 + 0xBB67AE85) % 2**32
    return np.stack(x, 1).astype(np.uint32).ravel()[:count]


def normal(seed: int, name: str, shape: tuple[int, ...], std: float) -> np.ndarray:
    """By inversion. The library's quantile is integer arithmetic, which no compiler can change: this to 3e-7 σ."""
    tail = (words(seed, name, math.prod(shape)).astype(float) + 0.5) / 2**32
    return std * np.vectorize(NormalDist().inv_cdf)(tail).reshape(shape)


# 2. What an activation does to a Gaussian signal: E φ(z)² forward, E φ′(z)² back.
PHI = {
    "relu": (lambda z: np.maximum(z, 0), lambda z: (z > 0) * 1.0),
    "tanh": (np.tanh, lambda z: 1 - np.tanh(z) ** 2),
    "": (lambda z: z, np.ones_like),  # none
}
NODES = np.linspace(-8, 8, 20001)
DENSITY = np.exp(-(NODES**2) / 2) / math.sqrt(2 * math.pi) * (NODES[1] - NODES[0])


def moments(phi: str, q: float = 1.0) -> tuple[float, float]:
    """(E φ(z)², E φ′(z)²) for z ~ N(0, q)."""
    z = math.sqrt(q) * NODES
    return tuple(float(DENSITY @ f(z) ** 2) for f in PHI[phi])  # type: ignore[return-value]


# 3. The plan: for every weight its law, and why. Var w = gain²/fan_in keeps E z² = 1 from layer to layer.
class Layer(NamedTuple):
    """Y = φ(x Wᵀ), W of shape (fan_out, fan_in)."""

    name: str
    fan_in: int
    fan_out: int
    phi: str = ""


class Decision(NamedTuple):
    """How a weight starts."""

    std: float
    why: str


def auto(net: list[Layer]) -> dict[str, Decision]:
    """The gain that undoes what the activation takes (He et al. 2015, eq. 10, for any activation)."""

    def decided(layer: Layer) -> Decision:
        gain = moments(layer.phi)[0] ** -0.5
        return Decision(gain / math.sqrt(layer.fan_in), f"feeds {layer.phi or 'nothing'}: gain 1/√E[φ²] = {gain:.4g}")

    return {layer.name: decided(layer) for layer in net}


def drawn(net: list[Layer], plan: dict[str, Decision], seed: int) -> dict[str, np.ndarray]:
    """The weights: decided first, then drawn, each under its own name."""
    return {a.name: normal(seed, a.name, (a.fan_out, a.fan_in), plan[a.name].std) for a in net}


# 4. Signals: the second moments of what flows, predicted from the plan alone, or measured in one real pass.
class Signals(NamedTuple):
    """By layer: E y² of its output, and E δ² of the gradient before its activation."""

    values: list[float]
    gradients: list[float]


def predict(net: list[Layer], plan: dict[str, Decision], q: float = 1.0) -> Signals:
    """E z² = fan_in Var(w) E x², E y² = E φ(z)²; back E δ_x² = fan_out Var(w) E δ_z², E δ_z² = E φ′(z)² E δ_y²."""
    values, slopes = [], []
    for layer in net:
        forward, back = moments(layer.phi, layer.fan_in * plan[layer.name].std ** 2 * q)
        values, slopes, q = [*values, forward], [*slopes, back], forward
    gradients, g = [], 1.0
    for layer, slope in zip(reversed(net), reversed(slopes), strict=True):
        gradients, g = [slope * g, *gradients], layer.fan_out * plan[layer.name].std ** 2 * slope * g
    return Signals(values, gradients)


def measure(net: list[Layer], weights: dict[str, np.ndarray], x: np.ndarray) -> Signals:
    """One forward and one backward pass, from a gradient of white noise at the output."""
    before, outputs = [], []
    for layer in net:
        before.append(x @ weights[layer.name].T)
        x = PHI[layer.phi][0](before[-1])
        outputs.append(float(np.mean(x**2)))
    gradients, g = [], normal(0, "output", x.shape, 1.0)
    for layer, z in zip(reversed(net), reversed(before), strict=True):
        delta = g * PHI[layer.phi][1](z)
        gradients, g = [float(np.mean(delta**2)), *gradients], delta @ weights[layer.name]
    return Signals(outputs, gradients)


# 5. The diagnosis: what is wrong, where, why, and a remedy, which is another plan.
class Finding(NamedTuple):
    """One thing that is wrong."""

    what: str
    where: str
    why: str


def diagnose(net: list[Layer], plan: dict[str, Decision], seen: Signals) -> list[Finding]:
    """A signal that changes by the same factor at every layer is lost, or overflows, with depth."""
    found = []
    for what, series in (("activations", seen.values), ("gradients", seen.gradients[::-1])):
        ratio = series[-1] / series[0] if series[0] else 0.0
        if not 1e-4 < ratio < 1e4:
            worst = max(net, key=lambda a: abs(math.log(a.fan_in * plan[a.name].std ** 2 * moments(a.phi)[0] + 1e-99)))
            has, asks = worst.fan_in * plan[worst.name].std ** 2, 1 / moments(worst.phi)[0]
            why = (
                f"fan_in · Var w = {has:.3g} in {worst.name}, where {worst.phi or 'a linear layer'} asks for {asks:.3g}"
            )
            found.append(Finding(f"{'exploding' if ratio > 1 else 'vanishing'} {what}: ×{ratio:.1e}", worst.name, why))
    return found


if __name__ == "__main__":
    net = [Layer(f"layers.{i}", 64, 64, "relu") for i in range(30)] + [Layer("head", 64, 10)]
    x = normal(1, "x", (128, 64), 1.0)
    for plan in ({layer.name: Decision(0.1, "guessed") for layer in net}, auto(net)):
        seen, foreseen = measure(net, drawn(net, plan, seed=0), x), predict(net, plan)
        print(f"{plan['layers.0'].why}: E y² at the end {seen.values[-1]:.2e}, predicted {foreseen.values[-1]:.2e}")
        print("\n".join(f"  {f.what}: {f.why}" for f in diagnose(net, plan, seen)) or "  healthy")
