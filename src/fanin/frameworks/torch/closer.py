"""A closer look at one pass, for a diagnosis: spread, dead units, alikeness across samples, what attention attends to.

What it costs is kept small: sums run over each tensor once, histograms over a strided sample, and of an attention's
scores only some rows are made again.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np
import torch

from fanin.frameworks.closer import histogram, magnitudes
from fanin.graph import Graph
from fanin.signals import AttentionDetail, Detail, Moments
from fanin.signals.axes import Axes, Kind, count
from fanin.signals.detail import SAMPLE

_SAMPLES: Final = 4  # of an attention
_QUERIES: Final = 64
_MASKED: Final = -1e4  # a score this far below its row's largest is a mask's; its weight is 0 in any dtype


class Closer:
    """What is looked at in one graph.

    Args:
        axes: what the axes of a node's value count, as a prediction knows them.
        classes: which axis of a node's value counts classes, where it is logits.
    """

    def __init__(self, graph: Graph, axes: Mapping[str, Axes], classes: Mapping[str, int]) -> None:
        self.axes = axes
        self._classes = classes
        self.details: dict[str, Detail] = {}
        self.gradient_details: dict[str, Detail] = {}
        self.parameter_details: dict[str, Detail] = {}
        self.attention: dict[str, AttentionDetail] = {}
        self._attentions = {found.softmax: found.output for found in graph.structure.attentions}
        self._ops = {node.name: node.op for node in graph.nodes}

    def value(self, name: str, x: torch.Tensor, seen: Moments) -> Moments:
        """The moments with alikeness, where the axes are known; the rest is kept here."""
        if x.is_complex() or x.numel() == 0:
            return seen
        axes = self._axes(name, x)
        units = count(axes, Kind.FEATURE) if axes else 0
        self.details[name] = self._over_classes(name, x, detail(x, axes if seen.zeros else None, units=units))
        return _with_alikeness(x, axes, seen) if axes else seen

    def gradient(self, name: str, x: torch.Tensor) -> None:
        """The spread of ∂loss/∂value."""
        if not x.is_complex() and x.numel():
            self.gradient_details[name] = detail(x, None)

    def value_again(self, name: str, source: str, x: torch.Tensor) -> None:
        """Of the same elements in another order."""
        if source in self.details:
            self.details[name] = self._over_classes(name, x, self.details[source])

    def gradient_again(self, name: str, source: str) -> None:
        """Likewise, of the same gradient."""
        if source in self.gradient_details:
            self.gradient_details[name] = self.gradient_details[source]

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

    def _over_classes(self, name: str, x: torch.Tensor, seen: Detail) -> Detail:
        """With the variance over classes, where these are logits."""
        if name not in self._classes:
            return seen
        return replace(seen, spread=float(x.double().var(self._classes[name], correction=0).mean()))

    def _axes(self, name: str, x: torch.Tensor) -> Axes | None:
        axes = self.axes.get(name)
        fits = axes is not None and tuple(math.prod(n for _, n in axis) for axis in axes) == tuple(x.shape)
        return axes if fits else None


def detail(x: torch.Tensor, axes: Axes | None, units: int = 0) -> Detail:
    """The spread of a tensor, and the share of its units that are 0 throughout.

    Args:
        axes: where there may be such units.
        units: how many it has, where that is known.
    """
    dead = 0.0 if units else None
    largest = _largest(x)
    if axes and units:
        peaks = _peaks(x, axes)
        dead = float((peaks == 0).double().mean())
    flat = x.reshape(-1)
    some = flat[:: max(1, flat.numel() // SAMPLE)][:SAMPLE].double().cpu().numpy()
    finite = some[np.isfinite(some)]
    sizes = np.abs(finite[finite != 0])
    if not math.isfinite(largest):
        largest = float(np.abs(finite).max()) if finite.size else math.inf
    return Detail(
        largest,
        float(sizes.min()) if sizes.size else math.inf,
        magnitudes(sizes),
        histogram(finite),
        units or None,
        dead,
    )


def _largest(x: torch.Tensor) -> float:
    """The largest |x|; NaN where there is one."""
    low, high = torch.aminmax(x)  # thirty times as fast as vector_norm
    return max(-float(low), float(high))


def _peaks(x: torch.Tensor, axes: Axes) -> torch.Tensor:
    """The largest |x| of each unit."""
    parts = _by_factor(x, axes)
    over = [i for i, (kind, _) in enumerate(factor for axis in axes for factor in axis) if kind is not Kind.FEATURE]
    return torch.maximum(parts.amax(over), -parts.amin(over)) if over else parts.abs()


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
