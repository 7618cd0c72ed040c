"""What watching costs: steps under fanin.watch beside the same steps without it.

    python benchmarks/watch.py            three models on the CPU; on the GPU, where there is one
    python benchmarks/watch.py --write    also the section of docs/benchmarks.md

Steps with and without a watch take turns on one model. Of both, the median time is taken, of watched steps and of those
between apart, since a watched step is one in fifty: cost = (watched + 49 × between) / (50 × plain) − 1.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch
from page import Section, arguments
from torch import Tensor, nn

import fanin

EVERY = 50
Step = Callable[[], Tensor]


def perceptron() -> tuple[nn.Module, Tensor]:
    layers = [m for _ in range(20) for m in (nn.Linear(256, 256), nn.ReLU())]
    return nn.Sequential(*layers, nn.Linear(256, 10)), torch.randn(256, 256)


def convolutional() -> tuple[nn.Module, Tensor]:
    layers: list[nn.Module] = [nn.Conv2d(3, 32, 3, padding=1)]
    for _ in range(8):
        layers += [nn.BatchNorm2d(32), nn.ReLU(), nn.Conv2d(32, 32, 3, padding=1)]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10)), torch.randn(32, 3, 32, 32)


def transformer() -> tuple[nn.Module, Tensor]:
    block = nn.TransformerEncoderLayer(256, 8, 1024, dropout=0.0, activation="gelu", batch_first=True, norm_first=True)
    body = nn.TransformerEncoder(block, 4, enable_nested_tensor=False)
    return nn.Sequential(body, nn.Linear(256, 10)), torch.randn(16, 64, 256)


MODELS = {
    "perceptron, 20 × 256, batch 256": perceptron,
    "CNN, 9 × 32 channels, batch 32": convolutional,
    "transformer, 4 × 256, 1024 tokens": transformer,
}


def training(model: nn.Module, x: Tensor) -> tuple[Step, torch.optim.Optimizer]:
    optimizer = torch.optim.AdamW(model.parameters(), 1e-4)

    def step() -> Tensor:
        loss: Tensor = model(x).square().mean()
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        return loss

    return step, optimizer


def times(model: nn.Module, x: Tensor, rounds: int) -> tuple[float, float, float]:
    """Median seconds of a plain step, of a watched one, and of one between under a watch."""
    step, optimizer = training(model, x)
    plain: list[float] = []
    watched: list[float] = []
    between: list[float] = []
    for _ in range(3):
        step()
    for _ in range(rounds):
        with fanin.watch(model, every=EVERY, optimizer=optimizer, say=lambda text: None) as w:
            w.step(step())  # the first, which is watched: not counted
            for i in range(2, EVERY + 1):
                plain.append(timed(step))
                coming = i + 1 == EVERY
                if coming:  # what arms the watched step is part of its cost
                    armed = timed(lambda: w.step(step()))
                elif i == EVERY:
                    watched.append(timed(lambda: w.step(step())) + armed - statistics.median(between))
                else:
                    between.append(timed(lambda: w.step(step())))
    return statistics.median(plain), statistics.median(watched), statistics.median(between)


def timed(call: Callable[[], object]) -> float:
    synchronize()
    start = time.perf_counter()
    call()
    synchronize()
    return time.perf_counter() - start


def synchronize() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--rounds", type=int, default=6, help="watches of 50 steps")
    options = parser.parse_args()
    torch.manual_seed(0)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    section = Section("watch", "numpy", "torch")
    section.say(f"Device: {torch.cuda.get_device_name() if device == 'cuda' else 'the CPU'}; every = {EVERY}.\n")
    section.say("| model | plain step, ms | between, × | watched, × | cost |\n|---|---|---|---|---|")
    for name, make in MODELS.items():
        model, x = make()
        plain, watched, between = times(model.to(device), x.to(device), options.rounds)
        cost = (watched + (EVERY - 1) * between) / (EVERY * plain) - 1
        section.say(f"| {name} | {plain * 1e3:.2f} | {between / plain:.3f} | {watched / plain:.2f} | {cost:+.1%} |")
    if options.write:
        section.write()


if __name__ == "__main__":
    main()
