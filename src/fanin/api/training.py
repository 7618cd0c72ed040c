"""What a model does while it trains."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from fanin.monitor import Watching


def watch(
    model: Any,
    every: int = 50,
    to: str | os.PathLike[str] | None = None,
    *,
    optimizer: Any = None,
    tensorboard: bool = False,
    say: Callable[[str], None] | None = None,
) -> Watching:
    """Watch a training loop, and warn at the step where something begins to go wrong.

    At the first step and at every `every`-th, the outputs and gradients of all layers, the gradient and the update of
    every parameter are looked at; of each step between, the loss. What is found is said once: a loss that is not finite
    or diverges, gradients that vanish, explode or jump, units that die or saturate, updates out of proportion. Training
    is not changed by a bit, and a step that cannot be watched goes on unwatched.

    Args:
        model: in any mode, wrapped by DistributedDataParallel, on any device. Inside `torch.compile` layers are not
            seen, all else is.
        to: a folder, for `watch.jsonl`: a line for each watched step and each finding. A run is appended to what is
            there.
        optimizer: then learning rates are recorded, and gradients as it gets them, even if `zero_grad` is called before
            `w.step`.
        tensorboard: scalars and histograms in the same folder, too.
        say: what is done with a finding's text; it goes to stderr by default.

    Raises:
        BadInput: no model of PyTorch, a sharded one, or a folder that cannot be written to.
        MissingExtra: TensorBoard is not installed.

    Example:
        >>> import fanin, torch
        >>> _ = torch.manual_seed(0)
        >>> net = torch.nn.Sequential(torch.nn.Linear(8, 32), torch.nn.ReLU(), torch.nn.Linear(32, 1))
        >>> optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
        >>> x = torch.randn(64, 8)
        >>> with fanin.watch(net, every=10) as w:
        ...     for _ in range(40):
        ...         loss = (net(x) - x[:, :1]).square().mean()
        ...         optimizer.zero_grad()
        ...         loss.backward()
        ...         norm = torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        ...         optimizer.step()
        ...         w.step(loss, norm)
        >>> w.result.summary
        'healthy'
        >>> [record.step for record in w.result.records]
        [1, 10, 20, 30, 40]
    """
    return Watching(model, every, to, optimizer=optimizer, tensorboard=tensorboard, say=say)
