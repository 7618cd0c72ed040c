"""What flows through a model: measured in one real pass, or predicted from its graph."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from fanin.errors import BadInput
from fanin.frameworks import adapter_of
from fanin.plans import Plan
from fanin.signals import Signals, averaged

if TYPE_CHECKING:
    from fanin.signals.propagate import Rule


def measure(
    model: Any,
    *example: Any,
    loss: Callable[[Any], Any] | None = None,
    plan: Plan | None = None,
    seeds: int | Sequence[int] | None = None,
) -> Signals:
    """One real forward and backward pass: the moments of every node's value and gradient, and of every parameter's.

    The model keeps its mode, gradients, hooks, buffers and random state.

    Args:
        example: one batch as the model is called with, keywords as for `plan`.
        loss: from the model's output to a scalar, such as `lambda out: cross_entropy(out, labels)`, or from output and
            target, which is then the last of the batch, as for `diagnose`. Without one the gradient is that of
            ⟨output, v⟩/batch with a fixed random v. Of what the model returns it is given the tensors, in their
            containers and dataclasses; in place of other objects, such as a cache, it sees None.
        plan: measure the model as this plan would start it, instead of as it is; its own weights come back afterwards.
        seeds: of the plan's draws, a number of them or a list; the moments are averages over all. None: seed 0 alone.

    Raises:
        BadInput: seeds without a plan to draw from, or none; a loss that raises, is not a scalar or cannot be
            differentiated; a model on the meta device.
        ShapeMismatch, CannotTrace, NoParameters: see `fanin.errors`.

    Example:
        >>> import fanin, torch
        >>> net = torch.nn.Sequential(torch.nn.Linear(64, 64), torch.nn.ReLU())
        >>> _ = fanin.initialize_(net, torch.zeros(1, 64), recipe="zeros", seed=0)
        >>> signals = fanin.measure(net, torch.randn(8, 64), loss=lambda out: (out - 1).square().mean())
        >>> signals.values["relu"].zeros, signals.loss
        (1.0, 1.0)
        >>> he = fanin.plan(net, torch.zeros(1, 64), recipe="he")
        >>> eight = fanin.measure(net, torch.ones(8, 64), plan=he, seeds=8)
        >>> abs(eight.values["linear"].second_moment - 2) < 0.3, net[0].weight.sum().item()
        (True, 0.0)
    """
    adapter = adapter_of(model, "observe")
    example, loss = batch(adapter, model, example, loss)
    traced = adapter.trace(model, *example)
    if plan is None:
        if seeds is not None:
            raise BadInput(
                "There is nothing to draw with these seeds: give a plan, measure(model, x, plan=…, seeds=8)."
            )
        signals: Signals = adapter.observe(traced, model, example, loss)
        return signals
    passes = []
    for seed in (0,) if seeds is None else range(seeds) if isinstance(seeds, int) else seeds:
        with adapter_of(model, "drawn").drawn(model, plan, seed):
            passes.append(adapter.observe(traced, model, example, loss))
    return averaged(passes)


def batch(adapter: Any, model: Any, example: tuple[Any, ...], loss: Any) -> tuple[tuple[Any, ...], Any]:
    """What the model is called with, and the loss of the output alone; one with a target has it behind the example."""
    if loss is None or not hasattr(adapter, "batches_of"):
        return example, loss
    first, *_ = adapter.batches_of(model, example, loss, 1)
    return first.example, first.loss


def predict(
    model: Any,
    *example: Any,
    plan: Plan | Any | None = None,
    loss: Callable[[Any], Any] | None = None,
    rules: Mapping[str, Rule] | None = None,
) -> Signals:
    """The moments of every node's value and gradient, and of every parameter's gradient, before a weight is drawn.

    What `measure` would find on average over seeds, from the traced graph alone: a weight is a law and takes no memory,
    so that a model may be on the meta device. `Signals.sampled` lists the operations that have no rule and were run on
    a small sample, `Signals.assumed` what was assumed beyond the rules. Nothing of the model changes.

    Values: q' = fan_in · Var(w) · q at a linear layer, E φ(z)² at an activation; gradients likewise, on the way back.

    Args:
        example: one batch as the model is called with, keywords as for `plan`. Of a real one the moments count, and of
            integers the values; on the meta device a floating-point input is taken for white noise of second moment 1.
        plan: how the parameters are to start. None: as they are, seen as laws of the same mean and variance. What
            `on_meta` recorded stands for what the model's constructor draws.
        loss: as for `measure`; it is called with outputs that are drawn as they are predicted.
        rules: further ones by the name of an operation, or others in the place of fanin's (docs/extending.md).

    Raises:
        BadInput: parameters on the meta device that no plan gives a value, a plan for another model, or a loss that
            raises, is not a scalar or cannot be differentiated.
        ShapeMismatch, CannotTrace, NoParameters: see `fanin.errors`.

    Example:
        >>> import fanin, torch
        >>> with torch.device("meta"):
        ...     layers = [m for _ in range(30) for m in (torch.nn.Linear(4096, 4096), torch.nn.ReLU())]
        ...     net, x = torch.nn.Sequential(*layers), torch.empty(32, 4096)
        >>> for recipe in ("he", "lecun"):  # E[x²] after 30 layers; nothing is allocated
        ...     fanin.predict(net, x, plan=fanin.plan(net, x, recipe=recipe)).values["relu_29"].second_moment
        0.99...
        9.3...e-10

    References: He et al. 2015, eq. 6-14; Poole et al. 2016; Schoenholz et al. 2017.
    Not for: what training makes of it; layers of a few units, where one draw of the weights is not like the next.
    """
    adapter = adapter_of(model, "predict")
    from fanin.signals.rules import RULES

    known = {**RULES, **(rules or {})}
    example, loss = batch(adapter, model, example, loss)
    signals: Signals = adapter.predict(adapter.trace(model, *example), model, example, plan, loss, known)
    return signals
