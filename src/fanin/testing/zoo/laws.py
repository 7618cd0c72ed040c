"""Weights that were not drawn as they should have been, or not at all, and parameters that nobody trains."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final, Literal

import torch
from torch import Tensor, nn

from fanin.testing.zoo.case import Case, Situation

Change = Callable[[nn.Module], None]
DEPTH, WIDTH, WORDS, LENGTH = 6, 64, 96, 16


def situation(
    make: Callable[[], nn.Module],
    change: Change,
    example: Callable[[], Tensor],
    options: Mapping[str, Any] | None = None,
) -> Situation:
    """A classifier, built and then changed."""
    with torch.random.fork_rng(devices=()), torch.no_grad():
        torch.manual_seed(0)
        net = make()
        change(net)
        inputs = example()
    labels = torch.arange(len(inputs)) % 10
    return Situation(net, (inputs,), partial(nn.functional.cross_entropy, target=labels), options or {})


def as_it_is(net: nn.Module) -> None:
    """No change."""


class Block(nn.Module):
    """An MLP branch behind a norm: what a transformer does beside attention."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.up, self.down = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, 4 * WIDTH), nn.Linear(4 * WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        """Add what the branch makes."""
        return x + self.down(nn.functional.gelu(self.up(self.norm(x))))  # type: ignore[no-any-return]


class Decoder(nn.Module):
    """Words, positions, a few blocks, and a head, started as GPT-2 is."""

    def __init__(self, *, scaled: bool = True) -> None:
        super().__init__()
        self.words, self.places = nn.Embedding(WORDS, WIDTH), nn.Embedding(LENGTH, WIDTH)
        self.blocks = nn.ModuleList(Block() for _ in range(DEPTH))
        self.norm, self.head = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, 10)
        for name, p in self.named_parameters():
            if p.dim() > 1:
                nn.init.normal_(p, std=0.02 / math.sqrt(DEPTH) if scaled and "down" in name else 0.02)
            elif name.endswith("bias"):
                nn.init.zeros_(p)

    def forward(self, ids: Tensor) -> Tensor:
        """(batch, length) → (batch, 10)."""
        x = self.words(ids) + self.places(torch.arange(ids.shape[1], device=ids.device))
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x).mean(1))  # type: ignore[no-any-return]


def words() -> Tensor:
    """A batch of 32 sequences."""
    return torch.randint(WORDS, (32, LENGTH))


def one_block_left(net: nn.Module) -> None:
    """The third block keeps what its constructor drew."""
    net.get_parameter("blocks.2.up.weight").copy_(nn.Linear(WIDTH, 4 * WIDTH).weight)


def stuck_at_the_cut(net: nn.Module) -> None:
    """What drawing in bfloat16 by the inverse of the distribution left: some values at −2, 100 standard deviations."""
    net.get_parameter("blocks.1.up.weight").view(-1)[::2000] = -2.0


def by_depth(net: nn.Module) -> None:
    """1/√(block + 1), as several papers have it."""
    for i in range(DEPTH):
        net.get_parameter(f"blocks.{i}.down.weight").div_(math.sqrt(i + 1))


class Convolutions(nn.Module):
    """Depthwise and pointwise convolutions without norms, between them a ReLU."""

    def __init__(self, *, mode: Literal["fan_in", "fan_out"] = "fan_in") -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(3, WIDTH, 1)]
        for _ in range(3):
            layers += [nn.Conv2d(WIDTH, WIDTH, 3, padding=1, groups=WIDTH), nn.ReLU(), nn.Conv2d(WIDTH, WIDTH, 1)]
        self.body, self.head = nn.Sequential(*layers), nn.Linear(WIDTH, 10)
        for layer in layers:
            if isinstance(layer, nn.Conv2d):
                depthwise = layer.groups > 1
                nn.init.kaiming_normal_(layer.weight, mode=mode if depthwise else "fan_in")
                if not depthwise:
                    layer.weight.div_(math.sqrt(2))
                assert layer.bias is not None
                nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, 3, h, w) → (batch, 10)."""
        return self.head(self.body(x).mean((2, 3)))  # type: ignore[no-any-return]


def images() -> Tensor:
    """A batch of 16."""
    return torch.randn(16, 3, 12, 12)


def perceptron() -> nn.Sequential:
    """Two hidden layers of 64 with a norm behind each."""
    return nn.Sequential(
        *(nn.Linear(32, WIDTH), nn.LayerNorm(WIDTH), nn.ReLU(), nn.Linear(WIDTH, WIDTH), nn.LayerNorm(WIDTH)),
        *(nn.ReLU(), nn.Linear(WIDTH, 10)),
    )


def noise() -> Tensor:
    """A batch of 64."""
    return torch.randn(64, 32)


def freed_list_of_addresses(net: nn.Module) -> None:
    """What a freed block of Python objects looks like: 64-bit addresses, read as pairs of float32."""
    weight = net.get_parameter("3.weight")
    addresses = 0x7F3A_6A00_0000 + 48 * torch.arange(weight.numel() // 2)
    weight.view(-1).copy_(addresses.view(torch.float32))


def freed_tensor(net: nn.Module) -> None:
    """The values of another tensor, with the allocator's two addresses at its head."""
    weight = net.get_parameter("3.weight")
    weight.copy_(torch.randn(WIDTH, WIDTH) / 8)
    weight.view(-1)[:4] = torch.tensor([0x7F3A_1C00_0010, 0x7F3A_1C00_0020]).view(torch.float32)


def half_written(net: nn.Module) -> None:
    """A page and more of zeros that ends inside a row."""
    net.get_parameter("3.weight").view(-1)[100:1700] = 0


def sparse_and_blocked(net: nn.Module) -> None:
    """Zeros by design: scattered ones, and blocks beside the diagonal."""
    nn.init.sparse_(net.get_parameter("0.weight"), 0.9, std=0.5)
    weight = net.get_parameter("3.weight")
    weight[: WIDTH // 2, WIDTH // 2 :] = 0
    weight[WIDTH // 2 :, : WIDTH // 2] = 0
    weight.mul_(math.sqrt(2))


class Forgetful(nn.Module):
    """A layer that is made and not called."""

    def __init__(self, *, called: bool) -> None:
        super().__init__()
        self.called, self.net, self.extra = called, perceptron(), nn.Linear(32, 32)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, 32) → (batch, 10)."""
        return self.net(self.extra(x) if self.called else x)  # type: ignore[no-any-return]


class Detached(nn.Module):
    """An encoder whose features are detached, though it is to be trained."""

    def __init__(self, *, detach: bool) -> None:
        super().__init__()
        self.detach, self.encoder, self.head = detach, nn.Linear(32, 32), perceptron()

    def forward(self, x: Tensor) -> Tensor:
        """(batch, 32) → (batch, 10)."""
        features = self.encoder(x)
        return self.head(features.detach() if self.detach else features)  # type: ignore[no-any-return]


def frozen(net: nn.Module) -> None:
    """The first layer, with the values of its constructor."""
    net.get_parameter("0.weight").requires_grad_(False)


def frozen_when_trained(net: nn.Module) -> None:
    """The first layer, with values that no initializer gives: a few strong directions in noise."""
    weight = net.get_parameter("0.weight")
    weight.add_(torch.randn(WIDTH, 2) @ torch.randn(2, 32).pow(3) / 8)
    weight.requires_grad_(False)


W01, W02, W03, W04 = (frozenset({code}) for code in ("W01", "W02", "W03", "W04"))
P01, P02 = frozenset({"P01"}), frozenset({"P02"})
GPT2: Final[Mapping[str, Any]] = {"follows": "gpt2"}
unscaled: Final = partial(Decoder, scaled=False)

CASES: Final = (
    Case("decoder, residual scale not applied", partial(situation, unscaled, as_it_is, words, GPT2), W01),
    Case("decoder, as GPT-2", partial(situation, Decoder, as_it_is, words, GPT2)),
    Case("decoder, one block left as built", partial(situation, Decoder, one_block_left, words), W01),
    Case("decoder, scales by depth", partial(situation, Decoder, by_depth, words)),
    Case("decoder, stuck at the cut", partial(situation, Decoder, stuck_at_the_cut, words), W02, W01),
    Case(
        "depthwise, fans of all groups",
        partial(situation, partial(Convolutions, mode="fan_out"), as_it_is, images),
        W03,
        frozenset({"F01", "B01"}),
    ),
    Case("depthwise, its own fans", partial(situation, Convolutions, as_it_is, images)),
    Case(
        "memory of a freed list",
        partial(situation, perceptron, freed_list_of_addresses, noise),
        W04,
        frozenset({"N01", "F02", "B02"}),
    ),
    Case("memory of a freed tensor", partial(situation, perceptron, freed_tensor, noise), W04),
    Case("memory half written", partial(situation, perceptron, half_written, noise), W04, frozenset({"U01"})),
    Case("memory, written", partial(situation, perceptron, as_it_is, noise)),
    Case("zeros by design", partial(situation, perceptron, sparse_and_blocked, noise)),
    Case(
        "a layer never called",
        partial(situation, partial(Forgetful, called=False), as_it_is, noise),
        P01,
        hopeless=True,
    ),
    Case("a layer that is called", partial(situation, partial(Forgetful, called=True), as_it_is, noise)),
    Case("an encoder cut off", partial(situation, partial(Detached, detach=True), as_it_is, noise), P01, hopeless=True),
    Case("an encoder that is trained", partial(situation, partial(Detached, detach=False), as_it_is, noise)),
    Case("frozen at random", partial(situation, perceptron, frozen, noise), P02, hopeless=True),
    Case("frozen when trained", partial(situation, perceptron, frozen_when_trained, noise)),
)
