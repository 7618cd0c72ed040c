"""How q moves with the draws of the weights: sums, products, functions, and the shape that functions give it."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import fanin
from fanin.signals import latent
from fanin.signals.axes import usual
from fanin.signals.bands import TENTH
from fanin.signals.draws import AT, LIKELY, NOTHING, together
from fanin.signals.rules.over_draws import Response
from fanin.signals.state import State, gaussian
from fanin.testing import std_tolerance


def of_variance(variance: float, q: float = 1.0) -> State:
    state = gaussian(usual((8, 16)), [16], 0.0, q, 0.0, 0.0)
    return gaussian(state.axes, state.sizes, 0.0, q, 0.0, 0.0, draws=NOTHING.with_own(variance))


def test_what_two_branches_inherit_moves_together_and_what_is_their_own_does_not() -> None:
    stream = NOTHING.with_own(0.04)
    one, other = stream.with_own(0.01), stream.with_own(0.01)
    assert together([(0.5, one), (0.5, other)]).variance == pytest.approx(0.04 + 0.01 / 2)
    assert one.along(other) == pytest.approx(0.04)


@pytest.mark.parametrize("variance", [0.05, 0.5, 2.0])
def test_the_mean_over_draws_is_that_of_a_log_normal_q(variance: float) -> None:
    """Against 4000 values of q at its quantiles, each with E gelu(√q z)² by the nodes of the latent."""
    gelu = torch.nn.functional.gelu
    state = of_variance(variance)
    response = Response(state, lambda x: gelu(torch.as_tensor(x)).numpy(), lambda x: x)
    found = response.of(state.of(gelu(torch.as_tensor(state.values)).numpy()))
    z = torch.erfinv(2 * (torch.arange(4000, dtype=torch.float64) + 0.5) / 4000 - 1).numpy() * math.sqrt(2)
    q = np.exp(math.sqrt(variance) * z - variance / 2)
    exact = [float(np.square(gelu(torch.as_tensor(np.sqrt(s) * latent.NODES)).numpy()) @ latent.WEIGHTS) for s in q]
    assert found.average(found.second) == pytest.approx(float(np.mean(exact)), rel=5e-3)
    assert found.draws.variance == pytest.approx(float(np.var(np.log(exact))), rel=0.02)


def test_what_bends_the_law_of_q_is_followed() -> None:
    """A q that is kept above its median and a hundredth below has two peaks, and stays so when a layer adds little."""
    from fanin.signals.draws import response

    _, draws = response(np.where(AT > 0, 1.0, 0.01) * (1 + 1e-6 * AT), NOTHING.with_own(0.3))
    wider = draws.with_own(1e-4)
    low, high = np.interp([-1.5, 1.5], AT, wider.quantiles)
    assert high - low == pytest.approx(math.log(100), rel=0.05)
    assert float(LIKELY @ np.exp(wider.quantiles)) == pytest.approx(1.0)


WIDTH, DEPTH, SEEDS = 64, 10, 40


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(WIDTH, WIDTH, bias=False)
        self.blocks = nn.ModuleList(nn.Linear(WIDTH, WIDTH, bias=False) for _ in range(DEPTH))

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.first(x))
        for block in self.blocks:
            x = torch.relu(x + block(x))
        return x


def test_the_band_of_a_residual_stream_is_as_wide_as_that_of_many_draws() -> None:
    """Branches inherit what the stream was drawn as. The mutant takes them for independent, too narrow a band."""
    net, x = Residual(), torch.randn(1, WIDTH)
    plan = fanin.plan(net, x, recipe="he")
    band = fanin.predict(net, x, plan=plan).values[f"relu_{DEPTH}"].band
    assert band is not None
    logs = []
    for seed in range(SEEDS):
        fanin.initialize_(net, recipe=plan, seed=seed)
        with torch.no_grad():
            logs.append(math.log(float(net(x).square().mean())))
    predicted, measured = math.log(band[1] / band[0]) / (2 * TENTH), float(np.std(logs, ddof=1))
    assert predicted == pytest.approx(measured, rel=std_tolerance(SEEDS, sigmas=4))


def test_orthogonal_weights_keep_the_mean_square_and_add_nothing_to_the_band() -> None:
    """Forty linear layers hand on what came. The mutant lets each add 2/n to Var ln q: a band 15 times as wide."""
    net = nn.Sequential(*[nn.Linear(WIDTH, WIDTH, bias=False) for _ in range(40)])
    x = torch.randn(16, WIDTH, generator=torch.Generator().manual_seed(0))
    plan = fanin.plan(net, x, overrides={"*weight": fanin.Orthogonal()})
    found = fanin.predict(net, x, plan=plan).values["linear_39"]
    measured = fanin.measure(net, x, plan=plan, seeds=range(2)).values["linear_39"].second_moment
    assert found.second_moment == pytest.approx(measured, rel=1e-3)
    assert found.band is not None
    assert found.band[1] / found.band[0] < 1.3
