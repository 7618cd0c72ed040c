"""Units that are copies of each other, units that never speak, and layers that hold one draw."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Final

import torch
from torch import Tensor, nn

from fanin.testing.zoo.case import Case, Situation

WIDTH: Final = 64
Change = Callable[[nn.Module], None]


def classified(make: Callable[[], nn.Module], change: Change, features: int = 32) -> Situation:
    """A classifier of noise, built and then changed."""
    with torch.random.fork_rng(devices=()), torch.no_grad():
        torch.manual_seed(0)
        net = make()
        change(net)
        inputs = torch.randn(64, features)
    return Situation(net, (inputs,), partial(nn.functional.cross_entropy, target=torch.arange(64) % 10))


def as_it_is(net: nn.Module) -> None:
    """No change."""


def perceptron() -> nn.Sequential:
    """Three hidden layers with He's weights and no biases."""
    sizes = (32, WIDTH, WIDTH, WIDTH)
    hidden = [m for n, k in pairwise(sizes) for m in (nn.Linear(n, k), nn.ReLU())]
    net = nn.Sequential(*hidden, nn.Linear(WIDTH, 10))
    for layer in hidden:
        if isinstance(layer, nn.Linear):
            nn.init.kaiming_normal_(layer.weight)
            nn.init.zeros_(layer.bias)
    return net


def shards_drawn_alike(net: nn.Module) -> None:
    """Each of two ranks fills its half of the rows from the same seed."""
    for layer in net.modules():
        if isinstance(layer, nn.Linear) and layer.out_features == WIDTH:
            layer.weight[WIDTH // 2 :] = layer.weight[: WIDTH // 2]


def widened_by_copies(net: nn.Module) -> None:
    """Half of the first layer's units are copies, and what reads them has equal columns."""
    first, second = net.get_parameter("0.weight"), net.get_parameter("2.weight")
    first[WIDTH // 2 :] = first[: WIDTH // 2]
    second[:, WIDTH // 2 :] = second[:, : WIDTH // 2]


def biases_of(value: float) -> Change:
    """The second layer's biases."""

    def change(net: nn.Module) -> None:
        net.get_parameter("2.bias").fill_(value)

    return change


def leaning_weights(net: nn.Module) -> None:
    """Weights of mean −0.2, on inputs that are all positive."""
    net.get_parameter("2.weight").sub_(0.2)


class Attention(nn.Module):
    """One head over four tokens of 32 features, with a residual connection, and a head on their mean."""

    def __init__(self) -> None:
        super().__init__()
        self.query, self.key, self.value, self.out = (nn.Linear(32, 32, bias=False) for _ in range(4))
        self.head = nn.Linear(32, 10)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, 128) → (batch, 10)."""
        x = x.view(len(x), 4, 32)
        z = self.query(x) @ self.key(x).transpose(-1, -2) / 32**0.5
        y = x + self.out(z.softmax(-1) @ self.value(x))
        return self.head(y.mean(1))  # type: ignore[no-any-return]


def query_is_key(net: nn.Module) -> None:
    """One seed for both."""
    net.get_parameter("key.weight").copy_(net.get_parameter("query.weight"))


class Packed(nn.Module):
    """PyTorch's attention, which packs query, key and value."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(32, 4, batch_first=True)
        self.head = nn.Linear(32, 10)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, 128) → (batch, 10)."""
        x = x.view(len(x), 4, 32)
        return self.head((x + self.attention(x, x, x, need_weights=False)[0]).mean(1))  # type: ignore[no-any-return]


def packed_query_is_key(net: nn.Module) -> None:
    """The first two thirds of the rows are equal."""
    packed = net.get_parameter("attention.in_proj_weight")
    packed[32:64] = packed[:32]


class Branches(nn.Module):
    """Three branches side by side, averaged."""

    def __init__(self) -> None:
        super().__init__()
        made = [nn.Sequential(nn.Linear(32, WIDTH), nn.ReLU(), nn.Linear(WIDTH, WIDTH)) for _ in range(3)]
        self.branches = nn.ModuleList(made)
        self.head = nn.Linear(WIDTH, 10)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, 32) → (batch, 10)."""
        return self.head(sum(branch(x) for branch in self.branches) / 3)  # type: ignore[no-any-return]


def copied_branches(net: nn.Module) -> None:
    """All have the first one's values."""
    assert isinstance(net, Branches)
    for branch in net.branches[1:]:
        branch.load_state_dict(net.branches[0].state_dict())


class Encoder(nn.Module):
    """`torch.nn.TransformerEncoder`, which copies its layer; or the same with layers of their own."""

    def __init__(self, *, copies: bool) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(32, 4, WIDTH, dropout=0.0, batch_first=True, norm_first=True)
        self.encoder = nn.TransformerEncoder(layer, 4, enable_nested_tensor=False)
        if not copies:
            for one in self.encoder.layers:
                again = nn.TransformerEncoderLayer(32, 4, WIDTH, dropout=0.0, batch_first=True, norm_first=True)
                one.load_state_dict(again.state_dict())
        self.head = nn.Linear(32, 10)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, 128) → (batch, 10)."""
        return self.head(self.encoder(x.view(len(x), 4, 32)).mean(1))  # type: ignore[no-any-return]


class Momentum(nn.Module):
    """An encoder and a frozen copy of it, as momentum contrast has."""

    def __init__(self) -> None:
        super().__init__()
        self.online = nn.Sequential(nn.Linear(32, WIDTH), nn.ReLU(), nn.Linear(WIDTH, 10))
        self.target = copy.deepcopy(self.online).requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, 32) → (batch, 10)."""
        return self.online(x) + self.target(x)  # type: ignore[no-any-return]


U01, U03, U04 = frozenset({"U01"}), frozenset({"U03"}), frozenset({"U04"})

CASES: Final = (
    Case("relu, shards drawn from one seed", partial(classified, perceptron, shards_drawn_alike), U01),
    Case("relu, widened by copies", partial(classified, perceptron, widened_by_copies), U01),
    Case("relu, three layers", partial(classified, perceptron, as_it_is)),
    Case("relu, biases of -8", partial(classified, perceptron, biases_of(-8.0)), U03, frozenset({"B01", "F01"})),
    Case(
        "relu, leaning weights", partial(classified, perceptron, leaning_weights), U03, frozenset({"B01", "F01", "F08"})
    ),
    Case("relu, biases of -0.5", partial(classified, perceptron, biases_of(-0.5))),
    Case("attention, query is key", partial(classified, Attention, query_is_key, 128), U04),
    Case("attention, independent draws", partial(classified, Attention, as_it_is, 128)),
    Case("attention, packed query is key", partial(classified, Packed, packed_query_is_key, 128), U04),
    Case("attention, packed", partial(classified, Packed, as_it_is, 128)),
    Case("branches, copied", partial(classified, Branches, copied_branches), U04),
    Case("branches, independent draws", partial(classified, Branches, as_it_is)),
    Case("encoder, copied layers", partial(classified, partial(Encoder, copies=True), as_it_is, 128), U04),
    Case("encoder, layers of their own", partial(classified, partial(Encoder, copies=False), as_it_is, 128)),
    Case("momentum encoder", partial(classified, Momentum, as_it_is)),
)
