"""What is wrong with a model, and what to do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from fanin.diagnosis import Diagnosis, Evidence, Selection
from fanin.diagnosis import diagnose as judge
from fanin.errors import FaninError
from fanin.frameworks import adapter_of
from fanin.signals import averaged
from fanin.signals.average import averaged_chance


def diagnose(
    model: Any,
    *example: Any,
    loss: Callable[..., Any] | None = None,
    optimizer: Any = None,
    batches: int = 3,
    select: Sequence[str] = (),
    ignore: Sequence[str] = (),
) -> Diagnosis:
    """What is wrong with the model as it is initialized now, where, why, and what to do.

    Args, and Raises: as for `measure`, and
        example: or a DataLoader alone, of whose first batches the signals are averages. A batch is a tensor, a tuple of
            arguments, or a mapping of keywords.
        loss: may also take the output and a target, as `cross_entropy` does: that is the last of a batch, or what a
            mapping has under "labels" or "target". Without one, what the model has no argument for is left out.
        optimizer: with which the model is to be trained, such as `torch.optim.AdamW(model.parameters())`; then the size
            of its first step is judged, too.
        batches: of a loader, how many to look at.

    Raises:
        BadInput: the data holds NaN or infinities, or is on another device than the model; no target for the loss.

    Example:
        >>> import fanin, torch
        >>> layers = [m for _ in range(30) for m in (torch.nn.Linear(64, 64), torch.nn.ReLU())]
        >>> net = torch.nn.Sequential(*layers)
        >>> fanin.diagnose(net, torch.randn(32, 64)).summary
        'vanishing gradients'
        >>> _ = fanin.initialize_(net, torch.zeros(1, 64), seed=0)
        >>> fanin.diagnose(net, torch.randn(32, 64)).summary
        'healthy'
        >>> fanin.diagnose(net, torch.randint(0, 256, (32, 64)).float()).summary
        'input not normalised'
    """
    return judge(
        gather(model, *example, loss=loss, optimizer=optimizer, batches=batches),
        Selection(tuple(select), tuple(ignore)),
    )


def gather(
    model: Any, *example: Any, loss: Callable[..., Any] | None = None, optimizer: Any = None, batches: int = 3
) -> Evidence:
    """All that the checks look at."""
    adapter = adapter_of(model)
    first, *further = adapter.batches_of(model, example, loss, batches)
    traced = adapter.trace(model, *first.example)
    inputs, *_ = [adapter.inputs_seen(traced, model, batch.example) for batch in (first, *further)]
    try:
        predicted = adapter.predict(traced, model, first.example, None, first.loss)
    except FaninError:  # what is wrong with the call is said by the pass itself
        predicted = None
    axes = predicted.axes if predicted else {}
    passes, chances = [], []
    for batch in (first, *further):
        stake = adapter.stake(traced, model, batch.loss)
        passes.append(adapter.observe(traced, model, batch.example, batch.loss, axes, stake and stake.class_axes))
        chances.append(adapter.chance(stake, passes[-1]))
    return Evidence(
        traced.graph,
        averaged(passes) if further else passes[0],
        predicted,
        adapter.seen(model, traced.graph),
        inputs=inputs,
        chance=averaged_chance(chances),
        training=None if optimizer is None else adapter.training(model, optimizer),
    )
