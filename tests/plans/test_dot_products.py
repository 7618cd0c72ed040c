"""Matrix factorization and its kin: the scores of pairs start as small as other readouts."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import fanin

USERS, ITEMS, WIDTH, BATCH = 400, 300, 32, 512


class Scores(nn.Module):
    """Rows of two tables, multiplied."""

    def __init__(self) -> None:
        super().__init__()
        self.user, self.item = nn.Embedding(USERS, WIDTH), nn.Embedding(ITEMS, WIDTH)

    def forward(self, user: Tensor, item: Tensor) -> Tensor:
        out: Tensor = (self.user(user) * self.item(item)).sum(1)
        return out


class Lean(Scores):
    """With a bias for every user."""

    def __init__(self) -> None:
        super().__init__()
        self.lean = nn.Embedding(USERS, 1)

    def forward(self, user: Tensor, item: Tensor) -> Tensor:
        out: Tensor = super().forward(user, item) + 0.1 * self.lean(user)[:, 0]
        return out


class Pairs(Scores):
    """Every user with every item."""

    def forward(self, user: Tensor, item: Tensor) -> Tensor:
        out: Tensor = self.user(user) @ self.item(item).T
        return out


class Layers(Lean):
    """With layers that read the same rows."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(2 * WIDTH, WIDTH), nn.ReLU(), nn.Linear(WIDTH, 1))

    def forward(self, user: Tensor, item: Tensor) -> Tensor:
        read = torch.cat([self.user(user), self.item(item)], 1)
        out: Tensor = super().forward(user, item) + self.layers(read).squeeze(1)
        return out


class Read(Scores):
    """A product that weights read."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(WIDTH, 1)

    def forward(self, user: Tensor, item: Tensor) -> Tensor:
        out: Tensor = self.layer(self.user(user) * self.item(item))
        return out


def pairs() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return (
        torch.randint(USERS, (BATCH,), generator=generator),
        torch.randint(ITEMS, (BATCH,), generator=generator),
    )


@pytest.mark.parametrize("kind", [Scores, Lean, Pairs, Layers])
def test_scores_have_a_second_moment_of_a_quarter(kind: type[Scores]) -> None:
    """Mutant: rows of unit entries, whose products have d."""
    model, x = kind(), pairs()
    plan = fanin.initialize_(model, *x, seed=0)
    for path in ("user.weight", "item.weight"):
        assert plan[path].std == pytest.approx((0.25 / WIDTH) ** 0.25)
    assert Scores.forward(model, *x).square().mean().item() == pytest.approx(0.25, rel=0.5)  # rows come several times
    assert model(*x).std().item() < 1.5


class Normed(Scores):
    """Rows whose size a norm takes away."""

    def forward(self, user: Tensor, item: Tensor) -> Tensor:
        rows = (nn.functional.layer_norm(table(i), (WIDTH,)) for table, i in ((self.user, user), (self.item, item)))
        out: Tensor = next(rows).mul(next(rows)).sum(1)
        return out


def test_rows_behind_a_norm_stay_as_large_as_others() -> None:
    """Mutant: norms are seen through."""
    assert fanin.plan(Normed(), *pairs())["user.weight"].std == 1


def test_rows_that_weights_read_stay_as_large_as_others() -> None:
    plan = fanin.plan(Read(), *pairs())
    assert plan["user.weight"].std == plan["item.weight"].std == 1


def test_a_lookup_is_no_shortcut_of_a_residual_branch() -> None:
    """Mutant: layers beside a user's own bias are a branch, as wide as the scores they are added to."""
    assert fanin.plan(Layers(), *pairs())["layers.2.weight"].parameter.branch is None
