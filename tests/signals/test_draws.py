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
from fanin.signals.draws import NOTHING, multiplied, together
from fanin.signals.latent import Array
from fanin.signals.paths import Grid, Paths
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


def test_what_one_layer_adds_comes_to_what_was_there() -> None:
    """A q that is kept above its median and a hundredth below: two peaks, which a layer widens and does not merge.

    Mutant: the widened law is Gaussian.
    """
    draws = NOTHING.with_own(0.3).followed(1)
    assert draws.paths is not None
    _, split = Paths.of(np.where(draws.paths.logs > np.median(draws.paths.logs), 0.0, -math.log(100)))
    wider = draws.moved(split).with_own(0.04).paths
    assert wider is not None
    high = wider.logs > wider.logs.mean()
    assert wider.logs[high].mean() - wider.logs[~high].mean() == pytest.approx(math.log(100), rel=0.02)
    assert wider.logs[high].std() == pytest.approx(0.2, rel=0.2)
    assert float(np.mean(wider.sizes)) == pytest.approx(1.0)


def test_two_signals_of_one_past_meet_on_the_same_paths() -> None:
    """E q q' of a log-normal q and its square root, by its closed form; two samples have a part of it in common.

    Mutant: each has paths of its own.
    """
    past = NOTHING.with_own(0.25)
    one, other = past.followed(8), past.followed(8).times(0.5)
    assert one.along(other) == pytest.approx(0.5 * 0.25, rel=0.05)
    samples = NOTHING.with_own(0.3, apart=0.2).followed(8)
    assert samples.variance == pytest.approx(0.3)
    shared = 0.3 - 0.2 / 8
    assert math.log(samples.pairs) == pytest.approx(-0.2 / 4, rel=0.1)  # E √(q₁q₂)/E q = exp(−apart/4)
    assert samples.along_pairs(samples) == pytest.approx(shared, rel=0.15)


@pytest.mark.parametrize("samples", [1, 8])
def test_a_product_is_the_sum_of_logarithms(samples: int) -> None:
    """By the product of sizes, as by their logarithms, which are read from the sizes of a product of products.

    Mutant: one of the two is left out.
    """
    past = NOTHING.with_own(0.25)
    one, other = past.with_own(0.1, apart=0.05).followed(samples), past.with_own(0.2).followed(samples)
    along, product = multiplied(one, other)
    summed = together([(1.0, one), (1.0, other)])
    assert along == pytest.approx(one.along(other), abs=1e-5)
    assert product.variance == pytest.approx(summed.variance)
    _, again = multiplied(product, one)
    sums = together([(2.0, one), (1.0, other)])
    assert again.paths is not None
    assert sums.paths is not None
    assert again.paths.logs == pytest.approx(sums.paths.logs, abs=1e-4)
    assert multiplied(one, NOTHING)[0] == 0.0


def test_samples_of_which_one_is_all_of_a_draw_have_next_to_nothing_in_common() -> None:
    """What is left of (Σ √q)² − Σ q may be less than its rounding: no logarithm fails."""
    logs = np.full((256, 8), -200.0, np.float32)
    logs[:, 0] = 0.0
    alone = NOTHING.with_own(0.3).followed(8).moved(Paths.of(logs)[1])
    assert 0 < alone.pairs < 1e-6
    for other in (alone, NOTHING, NOTHING.with_own(0.1)):
        assert -math.inf < alone.along_pairs(other) < -10


@pytest.mark.parametrize("spread", [0.0, 1e-6, 3.0, 60.0])
def test_a_grid_reaches_from_the_smallest_to_the_largest_path(spread: float) -> None:
    """All logarithms between, ends included, where single precision places them on the last size or beyond it."""
    logs = np.linspace(-spread, spread / 7, 256 * 32, dtype=np.float32).reshape(256, 32)
    found = Grid(logs).along(5.0 * Grid(logs).sizes ** 3)
    assert found == pytest.approx(math.log(5) + 3 * logs, abs=1e-5 * (1 + spread))


def silu(v: Array) -> Array:
    return np.asarray(v / (1 + np.exp(-v)))


def slope(v: Array) -> Array:
    return np.asarray((1 + v / (1 + np.exp(v))) / (1 + np.exp(-v)))


def test_a_gradient_has_the_chance_that_the_next_signal_has() -> None:
    """Both are means over the same 32 units, of φ² and of φ'²: against their covariance in 40,000 draws of the units.

    Mutant: they have nothing in common.
    """
    n = 32
    plain = gaussian(usual((1, n)), [n], 0.0, 1.5, 0.0, 0.0)
    x = gaussian(plain.axes, plain.sizes, 0.0, 1.5, 0.0, 0.0, draws=NOTHING.with_own(0.2).followed(1))
    response = Response(x, silu, slope)
    out = response.of(x.of(silu(x.values)))
    after, before = out.drawn.paths, out.draws.paths
    assert after is not None
    assert before is not None
    found = float(np.cov(np.ravel(response._by_chance(out)), np.ravel(after.logs - before.logs))[0, 1])
    z = math.sqrt(1.5) * np.random.default_rng(0).standard_normal((40_000, n))
    squares = np.log((silu(z) ** 2).mean(1)), np.log((slope(z) ** 2).mean(1))
    assert found == pytest.approx(float(np.cov(*squares)[0, 1]), rel=0.15)


def gelu_nets(width: int, depth: int, samples: int, draws: int) -> tuple[Array, Array, Array]:
    """Many draws of a net without biases: E z², E δ² and E (∂W)², of shape (draws, layers)."""
    g = torch.Generator().manual_seed(0)
    h, zs, ws = torch.randn(draws, samples, width, generator=g), [], []
    for _ in range(depth):
        ws.append((math.sqrt(2 / width) * torch.randn(draws, width, width, generator=g)).requires_grad_())
        zs.append(h @ ws[-1].mT)
        h = torch.nn.functional.gelu(zs[-1])
    out = (h * torch.randn(h.shape, generator=g)).sum() / samples
    backs = torch.autograd.grad(out, [*zs, *ws])
    tensors = ([z.detach() for z in zs], backs[:depth], backs[depth:])
    q, back, weights = (torch.stack([t.square().mean((1, 2)) for t in of], 1).double().numpy() for of in tensors)
    return q, back, weights


def test_a_deep_net_of_gelu_is_as_in_500_draws() -> None:
    """He's gain, where E φ² grows faster than q: draws differ tenfold, the samples of a draw as much, gradients more.

    Means over draws, to what 500 of them know; and of single draws the share that the bands promise. Mutants: the
    samples of a draw are alike (E (∂W)² at a half), no gradient points along its signal (E δ² at 0.43).
    """
    width, depth, samples, draws = 128, 16, 8, 500
    q, g, w = gelu_nets(width, depth, samples, draws)
    net = nn.Sequential(*[m for _ in range(depth) for m in (nn.Linear(width, width, bias=False), nn.GELU())])
    noise = torch.randn(width, samples, generator=torch.Generator().manual_seed(1))
    x = torch.linalg.qr(noise)[0].T * math.sqrt(width)  # E x² = 1, and samples that have nothing in common
    predicted = fanin.predict(net, x, plan=fanin.plan(net, x, recipe="he"))
    inside = []
    for at in range(depth):
        name = f"linear_{at}" if at else "linear"
        value, gradient = predicted.values[name], predicted.gradients[name]
        weight = predicted.parameters[f"{2 * at}.weight"].gradient
        assert weight is not None
        for moments, seen in ((value, q[:, at]), (gradient, g[:, at]), (weight, w[:, at])):
            known = float(seen.std() / seen.mean()) / math.sqrt(draws)
            assert moments.second_moment == pytest.approx(float(seen.mean()), rel=4 * known + 0.1)
            if moments.band:
                inside.append(float(((moments.band[0] <= seen) & (seen <= moments.band[1])).mean()))
    assert 0.72 < np.mean(inside) < 0.88


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
