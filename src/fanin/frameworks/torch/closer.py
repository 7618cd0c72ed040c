"""A closer look at one pass, for a diagnosis: spread, dead units, alikeness across samples, what attention attends to.

What it costs is kept small: sums run over each tensor once, histograms over a strided sample, and of an attention's
scores only some rows are made again.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import torch

from fanin.graph import Graph
from fanin.graph.attention import attentions
from fanin.graph.paths import Paths
from fanin.signals import AttentionDetail, Detail, Histogram, Moments, ParameterSignal
from fanin.signals.axes import Axes, Kind
from fanin.signals.detail import BINS, OCTAVES, SAMPLE

_SAMPLES: Final = 4  # of an attention
_QUERIES: Final = 64
_COLUMNS: Final = 64  # of a weight, on which rows are compared before they are compared as a whole
_DIGEST: Final = 1 << 12
_MASKED: Final = -1e4  # a score this far below its row's largest is a mask's; its weight is 0 in any dtype
_PRIME: Final = 0x9E3779B97F4A7C15 - (1 << 64)  # as a signed integer


class Closer:
    """What is looked at in one graph.

    Args:
        axes: what the axes of a node's value count, as a prediction knows them.
    """

    def __init__(self, graph: Graph, axes: Mapping[str, Axes]) -> None:
        self.axes = axes
        self.details: dict[str, Detail] = {}
        self.gradient_details: dict[str, Detail] = {}
        self.parameter_details: dict[str, Detail] = {}
        self.attention: dict[str, AttentionDetail] = {}
        self._attentions = {found.softmax: found.output for found in attentions(Paths(graph))}
        self._ops = {node.name: node.op for node in graph.nodes}

    def value(self, name: str, x: torch.Tensor, seen: Moments) -> Moments:
        """The moments with alikeness, where the axes are known; the rest is kept here."""
        if x.is_complex() or x.numel() == 0:
            return seen
        axes = self._axes(name, x)
        self.details[name] = detail(x, axes)
        return _with_alikeness(x, axes, seen) if axes else seen

    def gradient(self, name: str, x: torch.Tensor) -> None:
        """The spread of ∂loss/∂value."""
        if not x.is_complex() and x.numel():
            self.gradient_details[name] = detail(x, None)

    def parameters(self, values: Mapping[str, torch.Tensor]) -> None:
        """The spread of each parameter."""
        plain = {path: x for path, x in values.items() if x.is_floating_point() and x.numel()}
        self.parameter_details = {path: detail(x, None) for path, x in plain.items()}

    def attends(self, name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        """Called with what an operation is called with, before its result is thrown away."""
        if name in self._attentions:
            scores = _fused_scores(*args, **kwargs) if "scaled_dot" in self._ops[name] else _some_rows(args[0])
            if scores is not None:
                self.attention[self._attentions[name]] = attention_detail(scores)

    def _axes(self, name: str, x: torch.Tensor) -> Axes | None:
        axes = self.axes.get(name)
        fits = axes is not None and tuple(math.prod(n for _, n in axis) for axis in axes) == tuple(x.shape)
        return axes if fits else None


def detail(x: torch.Tensor, axes: Axes | None) -> Detail:
    """The spread of a tensor, and with axes the share of its units that are 0 throughout."""
    units = dead = None
    kinds = [kind for axis in axes or () for kind, _ in axis]
    if axes and Kind.FEATURE in kinds:
        over = [i for i, kind in enumerate(kinds) if kind is not Kind.FEATURE]
        peaks = torch.linalg.vector_norm(_by_factor(x, axes), math.inf, dim=over) if over else x.abs()
        units, dead = peaks.numel(), float((peaks == 0).double().mean())
        largest = float(peaks.max())
    else:
        largest = float(torch.linalg.vector_norm(x, math.inf))
    flat = x.reshape(-1)
    some = flat[:: max(1, flat.numel() // SAMPLE)][:SAMPLE].double()
    finite = some[torch.isfinite(some)]
    sizes = finite[finite != 0].abs()
    if not math.isfinite(largest):
        largest = float(finite.abs().max()) if finite.numel() else math.inf
    return Detail(
        largest,
        float(sizes.min()) if sizes.numel() else math.inf,
        tuple(float((sizes < 2.0**k).double().mean()) if sizes.numel() else 0.0 for k in OCTAVES),
        _histogram(finite),
        units,
        dead,
    )


def _histogram(x: torch.Tensor) -> Histogram | None:
    if not x.numel():
        return None
    reach = 4 * float(x.square().mean().sqrt()) or 1.0
    counts = torch.histc(x.clamp(-reach, reach), BINS, -reach, reach)
    return Histogram(-reach, reach, tuple(int(n) for n in counts))


def _by_factor(x: torch.Tensor, axes: Axes) -> torch.Tensor:
    """One dimension a factor."""
    return x.reshape([size for axis in axes for _, size in axis])


def _with_alikeness(x: torch.Tensor, axes: Axes, seen: Moments) -> Moments:
    """E x x' over two positions of a sample, and over two samples, as predictions define them."""
    kinds = [kind for axis in axes for kind, _ in axis]
    sizes = [size for axis in axes for _, size in axis]
    positions, samples = (
        math.prod(n for k, n in zip(kinds, sizes, strict=True) if k is kind) for kind in (Kind.POSITION, Kind.SAMPLE)
    )
    means = _mean(_by_factor(x if x.dtype.itemsize > 2 else x.float(), axes), kinds, Kind.POSITION).double()
    of_means = float(means.square().mean())
    together = float(_mean(means, kinds, Kind.SAMPLE).square().mean())
    return replace(
        seen,
        across_positions=(positions * of_means - seen.second_moment) / (positions - 1) if positions > 1 else None,
        across_samples=(samples * together - of_means) / (samples - 1) if samples > 1 else None,
    )


def _mean(x: torch.Tensor, kinds: Sequence[Kind], over: Kind) -> torch.Tensor:
    """Over the axes of a kind, which stay with size 1."""
    dims = [i for i, kind in enumerate(kinds) if kind is over]
    return x.mean(dim=dims, keepdim=True) if dims else x


def _fused_scores(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attn_mask: torch.Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> torch.Tensor | None:
    """Some rows of what `scaled_dot_product_attention` gives its softmax."""
    if query.dim() < 3 or query.shape[-2] < 1:
        return None
    heads = query.shape[-3] // key.shape[-3] if enable_gqa else 1
    rows = torch.arange(query.shape[-2], device=query.device)[:: max(1, query.shape[-2] // _QUERIES)]
    few = slice(None, _SAMPLES) if query.dim() > 3 else slice(None)
    k = key[few].repeat_interleave(heads, -3) if heads > 1 else key[few]
    scores = query[few][..., rows, :].float() @ k.float().transpose(-1, -2)
    scores = scores * (query.shape[-1] ** -0.5 if scale is None else scale)
    if is_causal:
        hidden = torch.arange(key.shape[-2], device=query.device) > rows[:, None]
        scores = scores.masked_fill(hidden, -math.inf)
    if attn_mask is not None:
        mask = attn_mask.expand(*query.shape[:-1], key.shape[-2])[few][..., rows, :]
        scores = scores.masked_fill(~mask, -math.inf) if mask.dtype == torch.bool else scores + mask.float()
    return scores


def _some_rows(scores: torch.Tensor) -> torch.Tensor | None:
    """Of a softmax's input, (…, queries, keys)."""
    if scores.dim() < 2 or not scores.is_floating_point():
        return None
    few = scores[:_SAMPLES] if scores.dim() > 2 else scores
    return few[..., :: max(1, few.shape[-2] // _QUERIES), :].float()


def attention_detail(scores: torch.Tensor) -> AttentionDetail:
    """From scores (…, queries, keys); those of a mask lie far below the largest of their row."""
    z = scores.detach().double()
    seen = z > z.amax(-1, keepdim=True) + _MASKED
    keys = seen.sum(-1)
    p = torch.softmax(z, -1)
    entropy = -torch.xlogy(p, p).sum(-1)
    mean = torch.where(seen, z, 0.0).sum(-1) / keys.clamp(min=1)
    variance = torch.where(seen, (z - mean[..., None]).square(), 0.0).sum(-1) / keys.clamp(min=1)
    several = keys > 1
    if not bool(several.any()):
        return AttentionDetail(float(keys.double().mean()), 0.0, 1.0, 1.0)
    return AttentionDetail(
        float(keys.double().mean()),
        math.sqrt(float(variance[several].mean())),
        float(p.amax(-1)[several].mean()),
        float((entropy[several] / keys[several].double().log()).mean()),
    )


def told_apart(
    parameters: Mapping[str, ParameterSignal], values: Mapping[str, torch.Tensor]
) -> dict[str, ParameterSignal]:
    """The parameters with how many rows differ in each, and a digest that is equal where all values are."""
    digests = _digests(values)
    return {
        path: replace(seen, distinct_rows=distinct_rows(values[path]), digest=digests[path])
        for path, seen in parameters.items()
    }


def distinct_rows(x: torch.Tensor) -> int | None:
    """How many slices along the first axis differ from all others; None of vectors."""
    if x.dim() < 2 or x.numel() == 0:
        return None
    rows = x.reshape(x.shape[0], -1)
    some = _hash(rows[:, :: max(1, rows.shape[1] // _COLUMNS)])
    _, group, size = torch.unique(some, return_inverse=True, return_counts=True)
    if len(size) == len(rows):
        return len(rows)
    alike = size[group] > 1  # on these columns; now on all
    return int((~alike).sum()) + len(torch.unique(_hash(rows[alike])))


def _digests(values: Mapping[str, torch.Tensor]) -> dict[str, int]:
    """Equal numbers for tensors that are equal; those that look alike on a sample are compared as a whole."""
    found: dict[str, int] = {}
    kept: dict[tuple[tuple[int, ...], int], list[str]] = {}
    for path, x in values.items():
        flat = x.reshape(1, -1)
        digest = int(_hash(flat[:, :: max(1, flat.shape[1] // _DIGEST)])[0]) if flat.numel() else 0
        twins = kept.setdefault((tuple(x.shape), digest), [])
        same = next((twin for twin in twins if torch.equal(values[twin], x)), None)
        found[path] = found[same] if same else digest + len(twins)
        if same is None:
            twins.append(path)
    return found


def _hash(rows: torch.Tensor) -> torch.Tensor:
    """A 64-bit number for each row, a function of its bits: sums of integers do not depend on their order."""
    whole = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
    plain = torch.view_as_real(rows).flatten(1) if rows.is_complex() else rows
    bits = plain.contiguous().view(whole[plain.dtype.itemsize]).long()
    keys = torch.arange(1, bits.shape[1] + 1, device=bits.device) * _PRIME | 1
    mixed = (bits ^ (bits >> 17)) * keys
    return (mixed ^ (mixed >> 29)).sum(1)
