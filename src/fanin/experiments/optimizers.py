"""Updates written out on plain tensors, so that each of many models stacked along the first axis has its own rate."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import torch
from torch import Tensor

Update = Callable[[Sequence[Tensor], Tensor], None]
"""(gradients, rates) → the parameters are updated; one rate a model, shaped to broadcast against each parameter."""


def sgd(parameters: Sequence[Tensor], momentum: float = 0.9, decay: float = 0.0) -> Update:
    """Momentum v ← m v + g + λ w, then w ← w − η v; what `torch.optim.SGD` does."""
    velocities = [torch.zeros_like(w) for w in parameters]

    @torch.no_grad()
    def update(gradients: Sequence[Tensor], rates: Tensor) -> None:
        for w, g, v in zip(parameters, gradients, velocities, strict=True):
            v.mul_(momentum).add_(g)
            if decay:
                v.add_(w, alpha=decay)
            w.sub_(_beside(rates, w) * v)

    return update


def adam(
    parameters: Sequence[Tensor],
    momentum: float = 0.9,
    decay: float = 0.0,
    of_squares: float = 0.999,
    smallest: float = 1e-8,
) -> Update:
    """Step w ← (1 − η λ) w − η m̂/(√v̂ + ε), m̂ and v̂ means of g and g² without the bias of their start.

    What `torch.optim.AdamW` does, and Adam without λ (Kingma & Ba 2015; Loshchilov & Hutter 2019).
    """
    means, squares = ([torch.zeros_like(w) for w in parameters] for _ in range(2))
    steps = 0

    @torch.no_grad()
    def update(gradients: Sequence[Tensor], rates: Tensor) -> None:
        nonlocal steps
        steps += 1
        of_mean, of_square = 1 - momentum**steps, 1 - of_squares**steps
        for w, g, m, v in zip(parameters, gradients, means, squares, strict=True):
            m.lerp_(g, 1 - momentum)
            v.mul_(of_squares).addcmul_(g, g, value=1 - of_squares)
            if decay:
                w.mul_(1 - decay * _beside(rates, w))
            w.sub_(_beside(rates, w) / of_mean * m / ((v / of_square).sqrt() + smallest))

    return update


def _beside(rates: Tensor, w: Tensor) -> Tensor:
    return rates.view(-1, *(1,) * (w.dim() - 1))


OPTIMIZERS: Final[dict[str, Callable[..., Update]]] = {"sgd": sgd, "adam": adam}
