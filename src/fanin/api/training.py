"""What a model does while it trains, and gradients that are too large for it."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from typing import Any

from fanin.errors import BadInput
from fanin.frameworks import training_adapter_of
from fanin.monitor import ALARMS, Alarm, Watching
from fanin.signals import Clipped


def watch(
    model: Any,
    every: int = 50,
    to: str | os.PathLike[str] | None = None,
    *,
    optimizer: Any = None,
    tensorboard: bool = False,
    log: Callable[..., Any] | None = None,
    keep_step: bool = False,
    alarms: Sequence[Alarm] = ALARMS,
    say: Callable[[str], None] | None = None,
) -> Watching:
    """Watch a training loop, and warn at the step where something begins to go wrong.

    At the first step and at every `every`-th, the outputs and gradients of all layers, the gradient and the update of
    every parameter are looked at; of each step between, the loss. What is found is said once: a loss that is not finite
    or diverges, gradients that vanish, explode or jump, units that die or saturate, updates out of proportion. Training
    is not changed by a bit, and a step that cannot be watched goes on unwatched.

    Args:
        model: in any mode, on any device, wrapped by DistributedDataParallel or sharded by `fully_shard`; then every
            process calls `w.step` alike, and rank 0 speaks. Inside `torch.compile` layers are not seen, all else is.
        to: a folder, for `watch.jsonl`: a line for each watched step and each finding. A run is appended to what is
            there.
        optimizer: then learning rates are recorded, and gradients as it gets them, even if `zero_grad` is called before
            `w.step`.
        tensorboard: scalars and histograms in the same folder, too.
        log: called as `log(numbers, step=n)` at watched steps, as `wandb.log` and `mlflow.log_metrics` are.
        keep_step: keep each step until the next: a copy of the model, the batch, the random state. The step whose loss
            or weights are not finite is then made again, its first operation that is not is named, and it stays in the
            folder for `fanin.monitor.replay`. The host waits for every loss.
        alarms: what is looked for, beside values that are not finite: `(*fanin.monitor.ALARMS, mine)` adds one.
        say: what is done with a finding's text; it goes to stderr by default.

    Raises:
        BadInput: no model of PyTorch, one on the meta device, or a folder that cannot be written to.
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
    return Watching(
        model,
        every,
        to,
        optimizer=optimizer,
        tensorboard=tensorboard,
        log=log,
        keep_step=keep_step,
        alarms=alarms,
        say=say,
    )


def clip_(
    model: Any,
    *,
    norm: float | None = None,
    value: float | None = None,
    adaptive: float | None = None,
    skip: str | Sequence[str] = (),
) -> Clipped:
    """Make gradients that are too large smaller, in place, between `loss.backward()` and `optimizer.step()`.

    Exactly one of

    - norm=c: all gradients g together become min(1, c/‖g‖) g, as by `torch.nn.utils.clip_grad_norm_`, bit for bit;
    - value=c: each element becomes max(−c, min(c, g));
    - adaptive=λ: the gradient G_i of each unit becomes min(1, λ max(‖W_i‖, 10⁻³)/‖G_i‖) G_i, in proportion to the
      weights W_i that it changes. 0.01 is usual; the paper leaves the last layer as it is: skip="head.*".

    Nothing waits for the device. Give what is returned to `w.step(loss, clipped)` of `fanin.watch`, which counts the
    steps that were clipped and judges the norm as it was before. Behind a GradScaler, `scaler.unscale_(optimizer)`
    comes first.

    Args:
        skip: globs over paths of parameters whose gradients are neither clipped nor counted in the norm.

    Raises:
        BadInput: none of the three, or several; a threshold that is not positive; a sparse gradient; a glob in `skip`
            that matches no parameter.

    Example:
        >>> import fanin, torch
        >>> net = torch.nn.Linear(4, 2)
        >>> (1000 * net(torch.ones(3, 4)).sum()).backward()
        >>> clipped = fanin.clip_(net, norm=1.0)
        >>> round(float(clipped.norm)), bool(clipped.clipped)
        (9487, True)
        >>> round(float(torch.nn.utils.get_total_norm([p.grad for p in net.parameters()])), 3)
        1.0

    Reference: Pascanu, Mikolov & Bengio 2013, algorithm 1; Brock, De, Smith & Simonyan 2021, eq. 3.
    """
    given = {name: t for name, t in (("norm", norm), ("value", value), ("adaptive", adaptive)) if t is not None}
    if len(given) != 1:
        raise BadInput(
            f"clip_ takes exactly one of norm=, value= and adaptive=; got {' and '.join(given) or 'none'}. "
            "Usual ones are norm=1.0 and adaptive=0.01."
        )
    ((how, threshold),) = given.items()
    if isinstance(threshold, bool) or not isinstance(threshold, int | float) or not 0 < threshold < math.inf:
        raise BadInput(f"{how}= takes a positive number; got {threshold!r}.")
    if callable(getattr(model, "__next__", None)) or isinstance(model, list | tuple):
        raise BadInput(f"clip_ takes the model itself, not its parameters: fanin.clip_(model, {how}={threshold:g}).")
    globs = (skip,) if isinstance(skip, str) else tuple(skip)
    found: Clipped = training_adapter_of(model, "clip_").clip_(model, how, threshold, globs)
    return found
