"""A plan tuned on one real batch, or by descent on a loss."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from typing import Any, Final

from fanin.api.signals import batch
from fanin.call import parse_call
from fanin.errors import BadInput, UnknownName
from fanin.frameworks import adapter_of
from fanin.plans import Plan, tuned
from fanin.plans.learned import METHODS, Method, free, learned, method

SWEEPS: Final = ("lsuv", "predicted")  # layer by layer; the others descend


def calibrate(
    model: Any,
    *example: Any,
    plan: Plan,
    how: str | Method = "lsuv",
    loss: Callable[..., Any] | None = None,
    seed: int = 0,
    keep: Sequence[str] = (),
    steps: int = 200,
    progress: Callable[[int, float], None] | None = None,
) -> Plan:
    """The plan with each weight as wide as one real batch asks for; nothing is written.

    "lsuv": layer by layer in the order they run, the weights that the plan draws are multiplied until their result has
    the second moment that it should have: 1 before an activation that does not saturate, 1/N of the stream at the end
    of one of its N residual branches, ¼ at the readout. What a norm takes in is left, as is what attends. This is LSUV
    for any graph: the first layer counts as every other, and a weight used twice is tuned at its first use.

    "predicted": the same on signals that are predicted, of white noise: no weight is drawn and values do not count.

    "gradinit": one positive factor for every parameter that is drawn at random, by descent on the loss after one step
    of SGD or Adam, min L(θ − η A(g)), with the gradient's norm held at ‖g‖ ≤ γ. See `fanin.plans.learned.GradInit`.

    "metainit": such factors, by descent on the gradient quotient |(g − H g)/(g + ε sign g) − 1|: how much a step along
    the gradient g changes it. See `fanin.plans.learned.MetaInit`.

    Args:
        example: one batch, as for `plan`; its values count.
        plan: where to start, of any recipe.
        how: one of these, with arguments if need be: "gradinit(optimizer='adam', step=0.001)".
        loss: as for `measure`; for "gradinit" and "metainit".
        seed: of the draw that is measured; give the same to `initialize_`.
        keep: paths, or globs over them, that are not to be changed.
        steps: of the descent; the place where the objective was least counts. Each costs a few passes.
        progress: called with the number of steps done and what the descent minimises then.

    Raises:
        BadInput: a plan for another model, a model on the meta device or sharded (unless predicted), no such method; a
            descent without a loss, with one that cannot be differentiated twice (the message names the operation) or is
            not finite, or of a plan that draws nothing at random.
        All that `plan` raises about the model.

    Example:
        >>> import fanin, torch
        >>> net = torch.nn.Sequential(torch.nn.Linear(64, 64), torch.nn.ReLU(), torch.nn.Linear(64, 8))
        >>> x = 10 * torch.randn(128, 64)
        >>> he = fanin.plan(net, x, recipe="he")
        >>> def seen(plan):
        ...     return fanin.measure(net, x, plan=plan).values["linear"].second_moment
        >>> seen(he) > 100, 0.95 < seen(fanin.calibrate(net, x, plan=he)) < 1.05
        (True, True)
        >>> labels = torch.arange(128) % 8
        >>> entropy = lambda out: torch.nn.functional.cross_entropy(out, labels)
        >>> gentle = fanin.calibrate(net, x, plan=he, loss=entropy, how="gradinit", steps=30)
        >>> fanin.measure(net, x, plan=gentle, loss=entropy).loss < fanin.measure(net, x, plan=he, loss=entropy).loss
        True

    References: Mishkin & Matas 2016, "All you need is a good init", algorithm 1; Zhu et al. 2021, "GradInit";
    Dauphin & Schoenholz 2019, "MetaInit".
    """
    if isinstance(how, str) and (name := parse_call(how)[0]) not in (*SWEEPS, *METHODS):
        raise UnknownName("method", name, (*SWEEPS, *METHODS))
    adapter = adapter_of(model, "sweep")
    example, loss = batch(adapter, model, example, loss)
    traced = adapter.trace(model, *example)
    kept = frozenset(
        p.path for p in traced.graph.parameters if any(fnmatchcase(n, k) for n in (p.path, *p.also) for k in keep)
    )
    if how == "lsuv":
        adapter_of(model, "measured_sweep")
        return tuned(plan, traced.graph, adapter.measured_sweep(traced, model, example, seed), kept, "this batch shows")
    if how == "predicted":
        return tuned(plan, traced.graph, adapter.sweep(traced, model, example), kept)
    chosen = method(how)
    if loss is None:
        raise BadInput(
            f"{type(chosen).__name__} descends on a loss: calibrate(model, x, plan=…, how={how!r}, loss=lambda out: "
            "cross_entropy(out, labels))."
        )
    if type(steps) is not int or steps < 1:
        raise BadInput(f"steps must be an integer, at least 1; got {steps!r}.")
    factors = adapter_of(model, "learned_factors").learned_factors(
        traced,
        model,
        example,
        plan,
        free(plan, kept),
        chosen,
        loss=loss,
        seed=seed,
        steps=steps,
        progress=progress,
    )
    return learned(plan, factors, chosen)
