"""Convolutions of any rank: a linear map at every position, of those taps that fall inside."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from fanin.initializers import Structure
from fanin.signals import latent
from fanin.signals.axes import Axes, Kind, axes_of, axis, size_of
from fanin.signals.distribution import Sizes, Terms
from fanin.signals.flow import Gradient
from fanin.signals.frozen import replace
from fanin.signals.gradient import GradientMoments, total
from fanin.signals.gradient_forms import kept_apart, leaning
from fanin.signals.latent import Array
from fanin.signals.pairs import handed_back, heard
from fanin.signals.places import Places, modes_behind
from fanin.signals.rules.borders import border, by_border, large_together, reach
from fanin.signals.rules.channels_apart import spread_over_channels
from fanin.signals.state import State, gaussian
from fanin.signals.taps import Meeting, Profile, Taps, fitting, flat, taps
from fanin.signals.values import Call, NoRule, Outcome, Pulled, Weight, WeightGradient


def convolution(call: Call) -> Outcome:
    """`conv1d` … `conv3d` with groups, stride, dilation and zero padding: n = C_in/G · K · (share of taps inside).

    References: He et al. 2015, eq. 6–10; Xiao et al. 2018.
    """
    return _convolve(call, transposed=False)


def transposed_convolution(call: Call) -> Outcome:
    """`conv_transpose1d` … `conv_transpose3d`: each input spreads; an output gathers K/s of the taps."""
    return _convolve(call, transposed=True)


def _convolve(call: Call, *, transposed: bool) -> Outcome:
    x, weight = call.state("input"), call["weight"]
    if not isinstance(weight, Weight):
        raise NoRule("the weight is computed from other tensors")
    spatial = len(weight.shape) - 2
    if len(x.axes) != spatial + 2:
        raise NoRule("the input has no axis of samples")
    x = as_image(x)
    groups, n_out = call.get("groups", 1), call.node.shape[1]
    sizes_out = call.node.shape[2:]
    sizes_in, sizes_out = [size_of(a) for a in x.axes[2:]], call.node.shape[2:]
    met = [
        taps(i, o, k, _at(call, "stride", d), _padding(call, d, k), _at(call, "dilation", d), transposed)
        for d, (i, o, k) in enumerate(zip(sizes_in, sizes_out, weight.shape[2:], strict=True))
    ]
    gather = Meeting.of(met, fitting(x.profile, sizes_in))
    if weight.structure is Structure.ISOMETRY:  # the squares of all taps together count, and one is always inside
        gather = _everywhere(weight, sizes_out)
    rows, mean, second, positions, samples = _sums(*heard(x, weight), gather, met, groups, n_out, transposed)
    bias_mean, bias_second = _bias(call["bias"], len(rows))
    axes: Axes = (x.axes[0], axis(Kind.FEATURE, n_out), *axes_of(sizes_out, [Kind.POSITION] * spatial))
    added = 2 * mean * bias_mean + bias_second
    out = gaussian(
        axes,
        rows,
        mean + bias_mean,
        second + added,
        positions + added,
        samples + added,
        draws=heard(x, weight)[0].drawn_through(weight.keeps_norms),
        marks=x.marks,
        profile=gather.profile,
    ).moved_by(second)
    if spatial == 1 and len(rows) == 1:
        out = out.binned(by_border(out, gather.profile[0], float(added[0])))

    terms = _terms(x, weight, groups)
    out = replace(out, scatter=x.own_scatter + (0.0 if terms.alone else 1 / terms.number)).beside(out)
    if terms.alone and not transposed:
        out = replace(out, squares=(large_together(x, met), 0.0)).beside(out)
        out = spread_over_channels(out, x, weight, call["bias"])
    out = out.of_terms(terms, reach(met, x.profile))
    out = out.with_places(_places(call.state("input"), x, weight, gather, met, groups, n_out, added, transposed))

    def pull(gradients: Sequence[Gradient]) -> Pulled:
        seen = total(gradients[0], out)
        profile = fitting(seen.profile, sizes_out)
        spread = Meeting.of([t.flipped() for t in met], profile)
        if weight.structure is Structure.ISOMETRY:
            spread = _everywhere(weight, sizes_in)
        back = handed_back(gradients[0], out, weight)
        of_input = _back(back, out, x, weight, spread, n_out // groups, groups == x.features)
        of_input = leaning(of_input, x, gradients[0], out)
        alone = groups == x.features == n_out
        yield "input", kept_apart(of_input, seen, x, alone=alone, border=border(met) if alone else 0.0)
        inside = math.prod(
            t.met_by_both(i, o) for t, i, o in zip(met, fitting(x.profile, sizes_in), profile, strict=True)
        )
        yield "weight", WeightGradient(_weight_gradient(x, out, seen, inside, met, weight.centred))
        if isinstance(call["bias"], Weight):
            yield "bias", WeightGradient(max(seen.summed(out), 0.0))

    return Outcome((out,), pull)


def _terms(x: State, weight: Weight, groups: int) -> Terms:
    """(Σ λ)²/Σ λ² of the eigenvalues of what the weights of one feature meet: taps are as alike as two positions."""
    channels, k = x.features // groups, math.prod(weight.shape[2:])
    second, across = (x.average(m) - x.average(x.channel_second) for m in (x.second, x.across_positions))
    alike = min(max(across / second, 0.0), 1.0) if second > 0 else 0.0
    fourth = latent.expectation((x.values - x.mean[:, None]) ** 4)
    excess = x.average(fourth) / max(x.average(x.variance) ** 2, 1e-300) - 3
    return Terms(channels * k / (1 + (k - 1) * alike**2), excess, groups == x.features)


def _places(
    given: State,
    x: State,
    weight: Weight,
    gather: Meeting,
    met: Sequence[Taps],
    groups: int,
    n_out: int,
    added: Array,
    transposed: bool,
) -> Places | None:
    """What samples have in common at one position behind a kernel."""
    if weight.centred or weight.pairs[1] or weight.mean.any() or x.positions == 1 or x.samples == 1:
        return None
    of_one = x.across_samples if given.places is None else given.places.second
    if len(of_one) != len(x.sizes):
        return None
    alone = replace(x, across_samples=of_one)
    second = _sums(alone, weight, replace(gather, any_two=gather.same), met, groups, n_out, transposed)[-1] + added
    if given.places is not None and math.prod(weight.shape[2:]) == 1:
        return given.places.changed(second)
    own, any_two = x.average(of_one), x.average(x.across_samples)
    others = (x.positions * any_two - own) / (x.positions - 1)  # of two positions that differ
    apart = (own - others) / others if others > 1e-3 * abs(own) else 1e3
    return Places(second, modes_behind(met, fitting(x.profile, [t.size_in for t in met]), max(apart, 0.0)))


def _everywhere(weight: Weight, sizes: Sequence[int]) -> Meeting:
    whole = math.prod(weight.shape[2:])
    return Meeting(whole, whole, whole, flat(sizes))


def as_image(x: State) -> State:
    """(sample, feature, position, …), whatever the axes were taken for: a model's input is not labelled."""
    kinds = [Kind.SAMPLE, Kind.FEATURE, *[Kind.POSITION] * (len(x.axes) - 2)]
    axes = axes_of([size_of(a) for a in x.axes], kinds)
    if axes == x.axes:
        return x
    features = size_of(axes[1])
    return replace(x if x.features == features else x.pooled([features]), axes=axes)


def _at(call: Call, name: str, dim: int) -> Any:
    value = call.get(name, 1 if name != "padding" else 0)
    if isinstance(value, str):
        return value
    if isinstance(value, int):
        return value
    return value[dim] if len(value) > 1 else value[0]


def _padding(call: Call, dim: int, kernel: int) -> int:
    value = _at(call, "padding", dim)
    if isinstance(value, str):
        return 0 if value == "valid" else _at(call, "dilation", dim) * (kernel - 1) // 2
    return int(value)


def _sums(
    x: State, weight: Weight, meeting: Meeting, met: Sequence[Taps], groups: int, n_out: int, transposed: bool
) -> tuple[Sizes, Array, Array, Array, Array]:
    """Segments of the result, and the moments of Σ w x: by group where each feature is a group."""
    v, m, channels = _average(weight, weight.variance), _average(weight, weight.mean), x.features // groups
    if groups > 1 and len(x.sizes) > 1 and groups == x.features and n_out % groups == 0:
        rows, q, k, s, mu = x.sizes * (n_out // groups), x.second, x.across_positions, x.across_samples, x.mean
    else:
        rows = weight.sizes if not transposed and int(weight.sizes.sum()) == n_out else np.array([n_out])
        q, k, s, mu = (np.array([x.average(a)]) for a in (x.second, x.across_positions, x.across_samples, x.mean))
        if len(rows) > 1:
            v, m = weight.variance, weight.mean

    if weight.centred:
        meet, gone = (meeting.same, meeting.two, meeting.any_two), _gone(met, x.profile)
        q, k, s = (channels * v * (of * m - mu**2 * g) for of, m, g in zip((q, k, s), meet, gone, strict=True))
        return rows, 0 * q, q, k, s

    def moment(of: Array, meet: float) -> Array:
        fan = channels * meet
        return np.asarray(fan * (v * of + m**2 * (of - mu**2)) + (fan * m * mu) ** 2)

    mean = np.asarray(channels * meeting.same * m * mu)
    return rows, mean, moment(q, meeting.same), moment(k, meeting.two), moment(s, meeting.any_two)


def _gone(met: Sequence[Taps], profile: Profile | None) -> tuple[float, float, float]:
    """What a mean loses, in taps, where those of a unit add up to 0: E n n'/K with n of the K taps inside.

    Of one position, of two, and of any two. Everywhere inside all of it is lost; at a border those inside have a sum.
    """
    roots = [np.sqrt(p) for p in fitting(profile, [t.size_in for t in met])]
    counts = [t.gathered(root / root.mean()) for t, root in zip(met, roots, strict=True)]
    taps_, places = math.prod(t.kernel for t in met), math.prod(t.size_out for t in met)
    same = math.prod(float((n**2).mean()) for n in counts) / taps_
    any_two = math.prod(float(n.mean()) for n in counts) ** 2 / taps_
    return same, (places * any_two - same) / max(places - 1, 1), any_two


def _average(weight: Weight, of: Array) -> Array:
    return np.array([weight.sizes @ of / weight.sizes.sum()])


def _bias(bias: Any, rows: int) -> tuple[Array, Array]:
    if not isinstance(bias, Weight):
        return np.zeros(1), np.zeros(1)
    if len(bias.mean) == rows:
        return bias.mean, bias.second
    share = bias.sizes / bias.sizes.sum()
    return np.array([share @ bias.mean]), np.array([share @ bias.second])


def _back(
    seen: GradientMoments, out: State, x: State, weight: Weight, meeting: Meeting, channels: int, depthwise: bool
) -> Gradient:
    second = weight.second if len(weight.second) == len(out.sizes) else _average(weight, weight.second)
    n = len(x.sizes)
    by_feature = n > 1 and len(out.sizes) == n and depthwise
    back = seen.behind_weights(out).each(
        lambda m: channels * (second * m if by_feature else np.full(n, float(out.shares @ (second * m))))
    )
    return replace(back.scaled(meeting.same, meeting.two, meeting.any_two), profile=meeting.profile).flow()


def _weight_gradient(
    x: State, out: State, seen: GradientMoments, inside: float, met: Sequence[Taps], centred: bool
) -> float:
    """E (Σ δ x)² of one tap that meets n inputs: B (n q g + n (n − 1) k h + (B − 1) n² s r), averaged over the taps.

    Of weights that add up to 0, what comes back to all of a unit alike is lost: that of the mean.
    """
    b = out.samples
    meetings = [np.bincount(t.taps, minlength=t.kernel) for t in met]
    n, n_squared = (math.prod(float((m.astype(float) ** e).mean()) for m in meetings) for e in (1, 2))
    lost = x.average(x.mean) ** 2 if centred else 0.0
    q, k, s = (x.average(a) - lost for a in (x.second, x.across_positions, x.across_samples))
    g, h, r = (out.average(a) for a in (seen.second, seen.across_positions, seen.across_samples))
    return max(b * (inside * out.positions * q * g + (n_squared - n) * k * h + (b - 1) * n_squared * s * r), 0.0)
