"""What watching costs: steps under fanin.watch beside the same steps without it.

    python benchmarks/watch.py            three models on the CPU; on the GPU, where there is one
    python benchmarks/watch.py --write    also the section of docs/watch.md

Every fifth step is watched, so that many are timed; plain steps are timed beside each, and ratios are medians. What
arms the coming step counts as its cost. A step between is a plain one, without a hook, and then w.step, which is timed
by itself. At every = 50, cost = (watched + 49 × between) / 50 − 1.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from page import Section, arguments
from torch import Tensor, nn

import fanin

PAGE = Path(__file__).parents[1] / "docs" / "watch.md"
EVERY = 50
OFTEN = 5  # steps, so that many watched ones are timed
Step = Callable[[], Tensor]


def perceptron() -> tuple[nn.Module, Tensor]:
    layers = [m for _ in range(20) for m in (nn.Linear(256, 256), nn.ReLU())]
    return nn.Sequential(*layers, nn.Linear(256, 10)), torch.randn(256, 256)


def convolutional(channels: int = 32, batch: int = 32) -> tuple[nn.Module, Tensor]:
    layers: list[nn.Module] = [nn.Conv2d(3, channels, 3, padding=1)]
    for _ in range(8):
        layers += [nn.BatchNorm2d(channels), nn.ReLU(), nn.Conv2d(channels, channels, 3, padding=1)]
    body = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 10))
    return body, torch.randn(batch, 3, 32, 32)


def transformer(blocks: int = 4, width: int = 256, batch: int = 16, tokens: int = 64) -> tuple[nn.Module, Tensor]:
    block = nn.TransformerEncoderLayer(
        width, 8, 4 * width, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
    )
    body = nn.TransformerEncoder(block, blocks, enable_nested_tensor=False)
    return nn.Sequential(body, nn.Linear(width, 10)), torch.randn(batch, tokens, width)


MODELS: dict[str, Callable[[], tuple[nn.Module, Tensor]]] = {
    "perceptron, 20 × 256, batch 256": perceptron,
    "CNN, 9 × 32 channels, batch 32": convolutional,
    "transformer, 4 × 256, 1024 tokens": transformer,
}
# As one trains on a GPU: the device, not the host, decides how long a step takes.
LARGE: dict[str, Callable[[], tuple[nn.Module, Tensor]]] = {
    "CNN, 9 × 256 channels, batch 512": partial(convolutional, 256, 512),
    "transformer, 24 × 1024, 8192 tokens": partial(transformer, 24, 1024, 16, 512),
}


def training(model: nn.Module, x: Tensor) -> tuple[Step, torch.optim.Optimizer]:
    optimizer = torch.optim.AdamW(model.parameters(), 1e-4)
    labels = torch.arange(len(x), device=x.device) % 10

    def step() -> Tensor:
        output = model(x)
        loss = nn.functional.cross_entropy(output if output.dim() == 2 else output.mean(1), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    return step, optimizer


def ratios(model: nn.Module, x: Tensor, rounds: int) -> tuple[float, float, float]:
    """Median seconds of a plain step; a step between and a watched one, in times of it."""
    step, optimizer = training(model, x)
    plain: list[float] = []
    between: list[float] = []
    watched: list[float] = []
    for _ in range(3):
        step()
    with fanin.watch(model, every=OFTEN, optimizer=optimizer, say=print) as w:
        for _ in range(OFTEN):
            w.step(step())
        for _ in range(rounds):  # from behind a watched step to behind the next
            usual = [timed(step) for _ in range(3)]
            for _ in range(OFTEN - 2):
                loss = step()
                between.append(timed(partial(w.step, loss)))
            loss = step()
            arming = timed(partial(w.step, loss)) - statistics.median(between)
            watched.append((timed(lambda: w.step(step())) + arming) / statistics.median(usual))
            plain += usual
    usually = statistics.median(plain)
    return usually, 1 + statistics.median(between) / usually, statistics.median(watched)


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
    parser.add_argument("--rounds", type=int, default=15, help="of five steps, the last of them watched")
    options = parser.parse_args()
    torch.manual_seed(0)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    section = Section("watch", "numpy", "torch", page=PAGE)
    section.say(f"Device: {torch.cuda.get_device_name() if device == 'cuda' else 'the CPU'}; every = {EVERY}.\n")
    section.say("| model | plain step, ms | between, × | watched, × | cost |\n|---|---|---|---|---|")
    for name, make in (MODELS | (LARGE if device == "cuda" else {})).items():
        model, x = make()
        fanin.initialize_(model, x, seed=0)
        plain, between, watched = ratios(model.to(device), x.to(device), options.rounds)
        cost = (watched + (EVERY - 1) * between) / EVERY - 1
        section.say(f"| {name} | {plain * 1e3:.2f} | {between:.4f} | {watched:.2f} | {cost:+.1%} |")
    if options.write:
        section.write()


if __name__ == "__main__":
    main()
