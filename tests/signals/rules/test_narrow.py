"""What narrow layers and norms do to one another, against what is measured over many draws.

Tolerances: means of 48 draws of second moments whose relative spread over draws is below 0.25 are within
5 · 0.25/√48 = 18 %; where it is below 0.1, within 7 %.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import fanin
from fanin.signals import Comparison
from fanin.signals.axes import Kind, axes_of
from fanin.signals.distribution import Terms
from fanin.signals.rules.sizes import Sizes, freedom
from fanin.signals.state import gaussian

DRAWS, CHANNELS = 48, 48


def compared(make: Callable[[], nn.Module], x: Tensor, std: dict[str, float]) -> Comparison:
    model = make()
    plan = fanin.plan(model, x, overrides={path: fanin.Normal(std=s) for path, s in std.items()})
    measured = fanin.measure(model, x, plan=plan, seeds=range(DRAWS))
    return fanin.predict(model, x, plan=plan).compare(measured)


def depthwise(activation: type[nn.Module]) -> Callable[[], nn.Module]:
    def make() -> nn.Module:
        c = CHANNELS
        return nn.Sequential(
            nn.Conv2d(c, c, 1, bias=False),
            nn.BatchNorm2d(c),
            activation(),
            nn.Conv2d(c, c, 3, padding=1, groups=c, bias=False),
            nn.BatchNorm2d(c),
            activation(),
            nn.Conv2d(c, c, 1, bias=False),
            nn.BatchNorm2d(c),
        )

    return make


STD = {"0.weight": 0.2, "3.weight": 0.3, "6.weight": 0.2}


def image(size: int) -> Tensor:
    return torch.randn(8, CHANNELS, size, size, generator=torch.Generator().manual_seed(0))


def test_a_scale_that_a_norm_takes_out_again_gets_next_to_no_gradient() -> None:
    """SiLU is no function of scale: a little is left, and it is known. The mutant finds 20 times as much."""
    comparison = compared(depthwise(nn.SiLU), image(8), STD)
    ratio = {row.name: row.gradient.ratio for row in comparison.parameters if row.gradient}
    assert ratio["1.weight"] == pytest.approx(1, rel=0.25)


def test_behind_rectifiers_only_epsilon_leaves_a_gradient() -> None:
    model, x = depthwise(nn.ReLU)(), image(8)
    plan = fanin.plan(model, x, overrides={k: fanin.Normal(std=v) for k, v in STD.items()})
    found = fanin.predict(model, x, plan=plan).parameters
    first, last = (found[path].gradient for path in ("1.weight", "7.weight"))
    assert first is not None
    assert last is not None
    assert first.second_moment < 1e-4 * last.second_moment


def test_what_norms_divide_by_is_that_of_the_weights_in_front() -> None:
    """E 1/v of features that are sums of 9 weights. The mutant takes all features for equally large."""
    comparison = compared(depthwise(nn.SiLU), image(8), STD)
    ratio = {row.name: row.gradient.ratio for row in comparison.rows if row.gradient}
    assert ratio["conv2d_1"] == pytest.approx(1, rel=0.1)
    assert ratio["silu"] == pytest.approx(1, rel=0.07)
    assert ratio["conv2d"] == pytest.approx(1, rel=0.07)


def test_a_gradient_is_large_where_one_of_few_terms_made_the_sum_large() -> None:
    """What made z large comes back through a steep slope. The mutant takes δ for independent of each of nine terms.

    The quotient of two gradients of one draw has a relative spread of 0.05: 5 · 0.05/√48 = 4 %.
    """
    comparison = compared(depthwise(nn.SiLU), image(8), STD)
    ratio = {row.name: row.gradient.ratio for row in comparison.rows if row.gradient}
    assert ratio["conv2d"] / ratio["silu"] == pytest.approx(1, rel=0.04)


@pytest.mark.parametrize("n", [8, 32])
def test_the_inverse_of_a_sum_of_squares_is_that_of_chi_squared(n: int) -> None:
    """E n/χ²_n = n/(n − 2), closed form, and by 10⁵ draws."""
    state = gaussian(axes_of((1, 4), (Kind.SAMPLE, Kind.FEATURE)), [4], 0.0, 1.0, 0.0, 0.0)
    sizes = Sizes(state.of_terms(Terms(n, 0.0, alone=True)), freedom((1e9, np.ones(1))))
    draws = np.random.default_rng(0).chisquare(n, 100_000) / n
    assert float(sizes.inverse[0]) == pytest.approx(n / (n - 2), rel=1e-6)
    assert float(sizes.inverse[0]) == pytest.approx(float((1 / draws).mean()), rel=0.02)


class MixesPositions(nn.Module):
    """A token-mixing layer behind an activation with a mean, a norm, and the mean over positions."""

    def __init__(self) -> None:
        super().__init__()
        self.enter, self.mix, self.norm = nn.Linear(64, 64), nn.Linear(32, 32), nn.LayerNorm(64)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.enter(x))
        mixed: Tensor = self.norm(self.mix(x.transpose(1, 2)).transpose(1, 2))
        return mixed.mean(1)


def test_what_features_share_behind_weights_over_positions_is_taken_away_by_a_layer_norm() -> None:
    """Σ_t w_t μ is one number for all features. The mutant forgets it: a norm then divides by too much."""
    x = torch.randn(8, 32, 64, generator=torch.Generator().manual_seed(0))
    std = {"enter.weight": 0.2, "enter.bias": 0.1, "mix.weight": 0.2, "mix.bias": 0.1}
    comparison = compared(MixesPositions, x, std)
    ratio = {row.name: row for row in comparison.rows}
    mix = ratio["linear_1"].gradient
    assert mix is not None
    assert mix.ratio == pytest.approx(1, rel=0.1)


class Causal(nn.Module):
    """A convolution over time, padded at the start, and what bends behind it."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(CHANNELS, CHANNELS, 4, padding=3, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        seen: Tensor = nn.functional.silu(self.conv(x)[..., :16])
        return seen[..., 0]


def test_the_first_position_behind_a_causal_convolution_sees_one_tap_of_four() -> None:
    """E silu(z/2)², by quadrature. The mutant makes a quarter of the others' E silu(z)² of it: 1.2 times as much."""
    x = torch.randn(8, CHANNELS, 16, generator=torch.Generator().manual_seed(0))
    model = Causal()
    plan = fanin.plan(model, x, overrides={"*weight": fanin.Normal(std=(4 * CHANNELS) ** -0.5)})
    found = fanin.predict(model, x, plan=plan)
    z, weights = np.polynomial.hermite_e.hermegauss(40)
    exact = weights @ (z / 2 / (1 + np.exp(-z / 2))) ** 2 / weights.sum()
    assert found.values["select"].second_moment == pytest.approx(float(exact), rel=0.05)


def test_a_bias_that_decides_where_units_stand_is_seen_with_its_own_law() -> None:
    """Steps of 0.001 to 0.1, log-uniform: E softplus² = E step². A Gaussian bias, the mutant, has twice that."""
    torch.manual_seed(0)
    layer = nn.Linear(8, 4096)
    steps = torch.exp(torch.linspace(np.log(0.001), np.log(0.1), 4096))
    with torch.no_grad():
        layer.weight.mul_(0.01)
        layer.bias.copy_(steps + torch.log(-torch.expm1(-steps)))
    model, x = nn.Sequential(layer, nn.Softplus()), torch.randn(16, 8)
    assert fanin.predict(model, x).values["softplus"].second_moment == pytest.approx(
        float(steps.square().mean()), rel=0.03
    )


def test_a_stack_of_recurrent_layers_sees_how_the_layer_below_changes_in_time() -> None:
    """The mutant draws the input of the second layer from its moments: 17 % less, since gates add up what lasts."""

    class Stack(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.recurrent = nn.GRU(64, 64, 2, batch_first=True)

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.recurrent(x)[0]
            return out

    x = torch.randn(8, 16, 64, generator=torch.Generator().manual_seed(0))
    model = Stack()
    plan = fanin.plan(model, x, recipe="torch_default")
    measured = fanin.measure(model, x, plan=plan, seeds=range(12)).values["gru"].second_moment
    assert fanin.predict(model, x, plan=plan).values["gru"].second_moment == pytest.approx(measured, rel=0.08)
