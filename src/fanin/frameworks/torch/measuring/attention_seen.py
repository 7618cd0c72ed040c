"""What attention attends to: some rows of its scores, made again, and sums over them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import torch

from fanin.frameworks.torch.measuring.later import Later
from fanin.frameworks.torch.measuring.together import Together
from fanin.signals import AttentionDetail

_SAMPLES: Final = 4  # of an attention
_QUERIES: Final = 16  # of each head, evenly strided
_MASKED: Final = -1e4  # a score this far below its row's largest is a mask's; its weight is 0 in any dtype


@dataclass(slots=True)
class AttentionSums(Later):
    """Over the queries of an attention that see several keys.

    Attributes:
        numbers: how many keys a query sees on average, and how many queries see several; over these, the sums of the
            variance of their scores, of their largest weight, and of −Σ p ln p over ln of the number of keys.
    """

    def detail(self) -> AttentionDetail:
        """Once the numbers are read."""
        keys, several, variance, largest, entropy = map(float, self.numbers)
        if not several:
            return AttentionDetail(keys, 0.0, 1.0, 1.0)
        return AttentionDetail(keys, math.sqrt(variance / several), largest / several, entropy / several)


def attentions_together() -> Together[AttentionSums]:
    """Where scores (…, queries, keys) wait for one another; those of a mask lie far below the largest of their row."""
    return Together(_sum_each)


def _sum_each(scores: Sequence[torch.Tensor], those: Sequence[AttentionSums]) -> None:
    """Attentions of one shape, as those of a net are, are added up together: it takes many operations."""
    for shape in dict.fromkeys(z.shape for z in scores):
        alike = [i for i, z in enumerate(scores) if z.shape == shape]
        numbers = _sums(torch.stack([scores[i] for i in alike]).double())
        for i, row in zip(alike, numbers.unbind(), strict=True):
            those[i].numbers = row


def _sums(z: torch.Tensor) -> torch.Tensor:
    """A row of numbers for each attention, the first axis."""
    seen = z > z.amax(-1, keepdim=True) + _MASKED
    keys = seen.sum(-1)
    p = torch.softmax(z, -1)
    entropy = -torch.xlogy(p, p).sum(-1)
    mean = torch.where(seen, z, 0.0).sum(-1) / keys.clamp(min=1)
    variance = torch.where(seen, (z - mean[..., None]).square(), 0.0).sum(-1) / keys.clamp(min=1)
    several = keys > 1
    kept = (variance, p.amax(-1), entropy / keys.clamp(min=2).double().log())
    sums = [torch.where(several, one, 0.0).flatten(1).sum(1) for one in kept]
    return torch.stack([keys.double().flatten(1).mean(1), several.double().flatten(1).sum(1), *sums], 1)


def fused_scores(
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
    query, key = query.detach(), key.detach()
    rows = torch.arange(query.shape[-2], device=query.device)[_some(query.shape[-2])]
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


def some_rows(scores: torch.Tensor) -> torch.Tensor | None:
    """Of a softmax's input, (…, queries, keys)."""
    if scores.dim() < 2 or not scores.is_floating_point():
        return None
    few = scores.detach()[:_SAMPLES] if scores.dim() > 2 else scores.detach()
    return few[..., _some(few.shape[-2]), :].to(torch.float32, copy=True)  # a view would keep all of the scores


def _some(queries: int) -> slice:
    """From the middle of each stretch, so that under a causal mask they see as many keys as all do on average."""
    step = max(1, queries // _QUERIES)
    return slice(step // 2, None, step)
