"""What makes a loop's arguments from one signal is run with the loop: such factors are large together."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import fanin
from fanin.frameworks.torch import trace
from fanin.frameworks.torch.predicting.loop_cut import Cut
from fanin.frameworks.torch.predicting.loop_draws import LEVELS, Draws
from fanin.signals import latent
from fanin.signals.loops import loops
from fanin.signals.values import Weight

STEPS, INPUTS, WIDTH, STATES = 6, 256, 16, 4
LOW, HIGH = np.log(0.001), np.log(0.1)


class Selective(nn.Module):
    """h ← h/2 + u b, y = c h; b and c are linear in u."""

    def __init__(self) -> None:
        super().__init__()
        self.enter = nn.Linear(INPUTS, WIDTH, bias=False)
        self.select = nn.Linear(WIDTH, 2 * STATES, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        u = torch.relu(self.enter(x))
        b, c = self.select(u).split(STATES, -1)
        drive = u[..., None] * b[:, :, None]
        h, out = torch.zeros_like(drive[:, 0]), []
        for t in range(STEPS):
            h = 0.5 * h + drive[:, t]
            out.append((h * c[:, t, None]).sum(-1))
        return torch.stack(out, 1)


def noise() -> Tensor:
    return torch.randn(8, STEPS, INPUTS, generator=torch.Generator().manual_seed(0))


def planned() -> tuple[Selective, fanin.Plan]:
    model = Selective()
    weights = {"enter.weight": fanin.Normal(std=INPUTS**-0.5), "select.weight": fanin.Normal(std=WIDTH**-0.5)}
    return model, fanin.plan(model, noise(), overrides=weights)


def test_a_loop_has_what_makes_one_of_its_arguments_from_another() -> None:
    graph = trace(Selective(), noise()).graph
    (loop,) = loops(graph)
    assert {graph.by_name[name].op for name in loop.sources} == {"linear", "split"}
    (first,) = {ref.name for ref in loop.arguments.values() if ref.name in graph.by_name}
    assert graph.by_name[first].op == "relu"


def test_what_is_linear_in_one_signal_is_large_together() -> None:
    """At the first step y = u Σ b c, and E y² = N E[u_c² |u|⁴]/C² by counting which of three features are the same.

    Mutant: the factors are independent, which halves it.
    """
    model, plan = planned()
    found = fanin.predict(model, noise(), plan=plan)
    first = next(name for name in found.values if name.startswith("sum"))
    q, fourth, sixth = 0.5, 1.5, 7.5  # E u², E u⁴ and E u⁶ of a rectified Gaussian
    others = WIDTH - 1
    together = sixth + 3 * others * q * fourth + others * (others - 1) * q**3
    assert found.values[first].second_moment == pytest.approx(STATES * together / WIDTH**2, rel=0.08)


def test_gradients_of_what_selects_are_those_that_are_measured() -> None:
    """Every feature sends back to b and c, of which four are run. Mutant: only what those four send."""
    model, plan = planned()
    predicted = fanin.predict(model, noise(), plan=plan)
    measured = fanin.measure(model, noise(), plan=plan, seeds=range(64))
    pairs = [(s.parameters["select.weight"].gradient, s.gradients["linear_1"]) for s in (predicted, measured)]
    for found, exact in zip(*pairs, strict=True):
        assert found is not None
        assert exact is not None
        assert found.second_moment == pytest.approx(exact.second_moment, rel=0.2)


def test_a_sum_over_a_part_of_the_features_varies_as_that_over_all() -> None:
    """Σ w x of n rectified Gaussians has E s⁴ = 3 (1 + 5/n) (E s²)². Mutant: the part stands for all of them."""
    generator = torch.Generator().manual_seed(0)
    few, n, draws = 4, 16, 1 << 18
    x = torch.randn(draws, few, generator=generator).relu() * 2**0.5
    part = (torch.randn(draws, few, generator=generator) * x).sum(1) / few**0.5
    whole = Cut(n, few, few).whole_sum(part, torch.randn(draws, generator=generator), 0.0)
    assert float(whole.square().mean()) == pytest.approx(1, rel=0.02)
    assert float((whole**4).mean()) == pytest.approx(3 * (1 + 5 / n), rel=0.04)


def drawn_steps(*shape: int) -> Draws:
    """Of a b, one a feature, that is even between log 0.001 and log 0.1, drawn four times as often at its upper end."""
    marginal = LOW + (HIGH - LOW) * (np.cumsum(latent.WEIGHTS) - latent.WEIGHTS / 2)
    bias = Weight("bias", shape, np.array([0.0]), np.array([1.0]), np.array([4]), marginal=marginal[None])
    shares = torch.cat([torch.full((LEVELS // 2,), 1.0), torch.full((LEVELS // 2,), 4.0)])[None]
    return Draws({"bias": bias}, 256, 4, shares / shares.sum())


def test_features_that_are_drawn_more_often_count_as_much_less() -> None:
    """E e^{2 b} of such a b."""
    drawn = drawn_steps(4)
    squares = (2 * drawn.tensors()["bias"]).exp()
    exact = (0.1**2 - 0.001**2) / (2 * (HIGH - LOW))
    assert float((drawn.points.weights * squares).mean()) == pytest.approx(exact, rel=0.01)
    assert float((drawn.points.weights * (squares / exact - 1) ** 2).mean()) == pytest.approx(3.6, rel=0.1)


def test_a_column_of_one_number_a_feature_is_drawn_as_a_row_is() -> None:
    """Mutant: only a row is spread evenly, and drawn where most comes from."""
    row, column = (drawn_steps(*shape).tensors()["bias"] for shape in ((4,), (4, 1)))
    assert torch.equal(column, row[..., None])
