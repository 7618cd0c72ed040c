"""The report of `fanin gain`: moments, gains beside torch's, and what deep nets of the activation do."""

from __future__ import annotations

import math
from collections.abc import Mapping

from fanin.activations import (
    Activation,
    CriticalPoint,
    EdgeOfChaos,
    Gain,
    MeanField,
    edge_of_chaos,
    kernel,
    mean_field,
    moments,
    phase_diagram,
)
from fanin.activations.torch_gain import torch_gain_of
from fanin.errors import BadInput
from fanin.reports.page import Block, Column, HeatMap, LinePlot, Page, Section, Series, Table, Text, Value

CORRELATIONS = [i / 24 for i in range(25)]
MAX_MAPS = 4  # curves of the correlation map
LINE_POINTS = 300


def gain_page(
    phi: Activation,
    std: float,
    mean: float,
    bias_var: float,
    facts: Mapping[str, Value],
    program: str,
    *,
    plots: bool = True,
) -> Page:
    """A page on one activation.

    Args:
        std: of the pre-activation whose moments are shown.
        mean: of that pre-activation.
        bias_var: of the deep nets that are shown.
        plots: whether to draw the phase diagram and the correlation map, which take a few seconds.
    """
    seen = moments(phi, std=std, mean=mean)
    edge, nets = edge_of_chaos(phi, bias_var=bias_var), nets_of(phi, bias_var)
    sections = [
        Section(f"Moments for z ~ N({mean:g}, {std:g}²)", [moments_table(seen), gains_table(phi, seen, std, mean)]),
        Section("Deep nets", [Text(_edge_text(edge)), nets_table(nets)], _intro(bias_var)),
    ]
    if plots:
        sections.append(Section("Order and chaos", [phase_map(phi), *correlation_maps(phi, nets)]))
    return Page(str(phi), "What an activation does to a Gaussian signal", sections, facts, program)


def gain_data(phi: Activation, std: float, mean: float, bias_var: float) -> dict[str, object]:
    """The facts of the page, for programs."""
    torch, why = torch_gain_of(phi)
    nets = {name: net.to_dict() for name, net in nets_of(phi, bias_var).items()}
    return {
        **moments(phi, std=std, mean=mean).to_dict(),
        "input": {"std": std, "mean": mean},
        "torch_gain": {"value": torch, "source": why},
        "edge_of_chaos": edge_of_chaos(phi, bias_var=bias_var).to_dict(),
        "nets": nets,
    }


def moments_table(seen: Gain) -> Table:
    """What φ and φ' average to."""
    rows = [
        ("E φ", seen.mean, "the mean that reaches the next layer"),
        ("E φ²", seen.second_moment, "what the next layer's variance is made of"),
        ("Var φ", seen.variance, "E φ² without the mean"),
        ("E φ'²", seen.derivative_second_moment, "what a gradient is multiplied by"),
        *((name, value, text) for name, value, text in _ratios(seen) if value is not None),
    ]
    columns = [Column("moment"), Column("value", align="right"), Column("meaning")]
    note = f"Estimated error of the integrals: at most {seen.error:.1g} of the mean absolute value of each."
    return Table("Moments", columns, [(name, _exact(value), text) for name, value, text in rows], [note])


def _ratios(seen: Gain) -> list[tuple[str, float | None, str]]:
    return [
        ("χ = E φ'²/E φ²", _try(seen, "chi"), "growth of the gradient per layer that keeps E φ²"),
        ("η = d ln E φ²/d ln q", _try(seen, "eta"), "above 1, an error of the variance grows from layer to layer"),
        ("β = E φ⁴/(E φ²)² − 1", _try(seen, "beta"), "Var ln q gains β/width per layer"),
    ]


def gains_table(phi: Activation, seen: Gain, std: float = 1.0, mean: float = 0.0) -> Table:
    """The factors on the std of the weights, and torch's, for z ~ N(mean, std²)."""
    torch, why = torch_gain_of(phi)
    before = std**2 + mean**2  # E z²
    second = "keeps the second moment" if math.isclose(before, 1) else f"makes the second moment 1, from {before:.4g}"
    variance = "keeps the variance" if std == 1 else f"makes the variance 1, from {std**2:.4g}"
    rows: list[tuple[str, str, str]] = [
        ("1/√E φ²", _exact(_try(seen, "forward")), f"{second} going forward"),
        ("1/√Var φ", _exact(_try(seen, "forward_variance")), f"{variance}, where centred weights drop the mean"),
        ("1/√E φ'²", _exact(_try(seen, "backward")), "keeps the gradient going backward"),
        ("torch calculate_gain", _exact(torch), _difference(seen, before, torch, why)),
    ]
    return Table(
        "Gains, with Var(w) = gain²/fan_in", [Column("gain"), Column("value", align="right"), Column("meaning")], rows
    )


def _difference(seen: Gain, before: float, torch: float | None, why: str) -> str:
    if torch is None:
        return "torch has none for it"
    if abs(torch**2 * seen.second_moment - 1) < 1e-6:
        return f"the same: {why}"
    growth = torch**2 * seen.second_moment / before if before else math.inf
    return f"{why}; multiplies the second moment by {growth:.4g}, the gradient's by " + (
        f"{torch**2 * seen.derivative_second_moment:.4g} per layer"
    )


def nets_of(phi: Activation, bias_var: float) -> dict[str, MeanField]:
    """Deep nets by recipe; the edge of chaos is one of them."""
    weights: dict[str, float] = {"torch_default": 1 / 3, "lecun, xavier": 1.0, "he": 2.0}
    for name, gain in (("auto", auto_gain(phi)), ("torch calculate_gain", torch_gain_of(phi)[0])):
        if gain is not None:
            weights[name] = gain**2
    nets = {name: mean_field(phi, weight_var=w, bias_var=bias_var) for name, w in weights.items()}
    edge = edge_of_chaos(phi, bias_var=bias_var)
    for point in edge.points:
        name = "edge of chaos" if edge.every_variance else f"edge of chaos at q* = {point.variance:.4g}"
        start = point.variance or 1.0
        nets[name] = mean_field(phi, weight_var=point.weight_var, bias_var=bias_var, start=start)
    return nets


def auto_gain(phi: Activation) -> float | None:
    """The gain of recipe auto: 1/|φ'(0)| where φ saturates, else 1/√E φ²; None where there is none."""
    if phi.saturates and phi.slope_at_zero:
        return 1 / abs(phi.slope_at_zero)
    return _try(moments(phi), "forward")


def nets_table(nets: Mapping[str, MeanField]) -> Table:
    """Where the signals of each net end."""
    columns = [
        Column("weights"),
        Column("σ_w²", align="right"),
        Column("phase"),
        Column("q*", align="right"),
        Column("χ", align="right"),
        Column("c*", align="right"),
        Column("ξ_q", align="right"),
        Column("ξ_c", align="right"),
    ]
    rows = [
        (
            name,
            *map(_short, [net.weight_var]),
            net.phase,
            *map(_short, (net.variance, net.chi, net.correlation, net.variance_depth, net.correlation_depth)),
        )
        for name, net in nets.items()
    ]
    notes = [
        "q*: variance of the pre-activation that a signal of variance 1 settles at; on the edge of chaos, one of "
        "variance q*. c*: correlation that two inputs settle at. ξ: layers in which the distance to them shrinks by e; "
        "∞ where it shrinks more slowly or not at all."
    ]
    return Table("Deep nets by recipe", columns, rows, notes)


def phase_map(phi: Activation) -> HeatMap:
    """χ over weights and biases."""
    seen = phase_diagram(phi)
    x, y = [w for w, _ in seen.critical_line], [b for _, b in seen.critical_line]
    step = max(1, len(x) // LINE_POINTS)
    line = Series("χ = 1 at a fixed point", [*x[::step], x[-1]], [*y[::step], y[-1]]) if len(x) > 1 else None
    return HeatMap(
        "Phase diagram",
        "σ_w²",
        "σ_b²",
        "χ",
        seen.weight_vars,
        seen.bias_vars,
        seen.chi,
        reach=2.0,
        line=line,
        beyond="q grows without bound",
        caption="Below 1 inputs merge and gradients vanish with depth, above 1 inputs part and gradients explode. "
        "χ is that at the variance which a signal of variance 1 settles at.",
    )


def correlation_maps(phi: Activation, nets: Mapping[str, MeanField]) -> list[Block]:
    """C(c) of a few nets, each with its own q*."""
    distinct = {net.weight_var: name for name, net in reversed([*nets.items()]) if net.correlation is not None}
    lines = []
    for name in sorted(list(distinct.values())[:MAX_MAPS], key=list(nets).index):
        net = nets[name]
        std = math.sqrt(net.variance)
        kept = net.weight_var * moments(phi, std=std).second_moment + net.bias_var
        after = [(net.weight_var * kernel(phi, c, std=std) + net.bias_var) / kept for c in CORRELATIONS]
        lines.append(Series(f"{name}, σ_w² {net.weight_var:.4g}", CORRELATIONS, after))
    if not lines:
        return [Text("No net above has a variance that settles above 0: there is no correlation map to draw.")]
    same = Series("c = c", CORRELATIONS, CORRELATIONS)
    caption = "Where a curve meets the diagonal, the correlation stays. It is stable where the curve is flatter."
    return [LinePlot("Correlation map", "correlation c", "C(c), one layer on", [same, *lines], caption=caption)]


def _intro(bias_var: float) -> str:
    return (
        "A wide fully connected net of this activation, without norms or residual branches: weights of variance "
        f"σ_w²/fan_in, biases of variance {bias_var:g}."
    )


def _edge_text(edge: EdgeOfChaos) -> str:
    if not edge.points:
        return f"Edge of chaos: none. {edge.reason}"
    if edge.every_variance:
        return (
            f"Edge of chaos: σ_w² = {edge.weight_var:.6g}, gain {math.sqrt(edge.weight_var):.6g}, at every variance: "
            "neither signal nor gradient grows, and correlations go to 1 slowly."
        )
    return "\n".join(
        f"Edge of chaos: σ_w² = {point.weight_var:.6g}, gain {math.sqrt(point.weight_var):.6g}, "
        f"at q* = {point.variance:.6g}; {_stability(point)}"
        for point in edge.points
    )


def _stability(point: CriticalPoint) -> str:
    if point.stable:
        return "the variance comes there, slowly." if point.slope == 1 else "the variance comes there."
    return f"unstable (Q' = {point.slope:.4g}): the variance drifts away with depth, so add a norm."


def _try(seen: Gain, ratio: str) -> float | None:
    try:
        return float(getattr(seen, ratio))
    except BadInput:
        return None


def _exact(value: float | None) -> str:
    return "–" if value is None else f"{value:.6f}" if 1e-3 <= abs(value) < 1e4 or value == 0 else f"{value:.6g}"


def _short(value: float | None) -> str:
    return "–" if value is None else "∞" if math.isinf(value) else f"{value:.4g}"
