"""The verbs, in the order of a call: trace → plan → write or materialize, trace → predict, trace → measure → diagnose.

Each is a few lines: it finds the framework's adapter, traces the model once, and hands over to the package that
decides.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, TypeVar

from fanin import activations
from fanin.activations import EdgeOfChaos, Gain, MeanField, moments
from fanin.diagnosis import Diagnosis
from fanin.diagnosis import diagnose as judge
from fanin.errors import BadInput
from fanin.frameworks import ADAPTERS, activation_of, adapter_of, adapter_of_tensor
from fanin.graph import Axis, Fans, WeightUse, axes_of, fans
from fanin.initializers import Initializer, Target
from fanin.initializers import initializer as spelled
from fanin.plans import Plan, Verification, make_plan, tuned
from fanin.plans.jitter import jittered
from fanin.plans.learned import Method, free, learned, method
from fanin.plans.make import override
from fanin.plans.overrides import Overrides
from fanin.plans.recipes import Recipe
from fanin.signals import Signals, averaged

if TYPE_CHECKING:
    from fanin.signals.propagate import Rule

T = TypeVar("T")


def plan(
    model: Any,
    *example: Any,
    recipe: str | Recipe | Any = "auto",
    overrides: Overrides | None = None,
    jitter: float = 0.0,
) -> Plan:
    """Decide the initial value of every parameter; nothing is written.

    Args:
        model: a `torch.nn.Module`, on any device, meta included.
        example: one batch as the model is called with; only its shapes and dtypes matter, so that its tensors may be on
            the meta device if the model is. A mapping at the end, such as a tokenizer returns, is passed as keywords
            if one of its keys is an argument of the model's: plan(model, {"input_ids": ids, "attention_mask": mask}).
            Without one, only what the modules hold is known: `Plan.notes` says what is not, and recipes that need to
            see residual branches, attention or the readout refuse.
        recipe: a name ("auto", "he", …), one with arguments ("normal(std=0.02)"), or a function from a `Graph` to
            decisions by path. What `on_meta` gave stands for the model's own constructor: the laws that it draws from.
            "as_built" is what the model's values show: the laws that they may have been drawn from (docs/plans.md).
        overrides: which parameters → initializer, or its spelling; the last match wins. Which: a glob over paths
            ("*head.weight"), a role (`fanin.Role.READOUT`, "role:readout"), or a module's class (`torch.nn.Linear`,
            "type:torch.nn.Linear") and those derived from it. Or the name of a TOML file that says the same
            (docs/plans.md).
        jitter: standard deviation, in its root mean square, of a noise on each weight that would start with an exact
            symmetry: identity, Dirac, ZerO, constant and mirrored weights, not zeros, norms and biases. 0.01 lets units
            come apart and changes signals by 0.01 %.

    Raises:
        BadInput: an example that the model cannot be called with, or none where the recipe needs one; lazy layers that
            have no shape yet; an override that means no parameter; an initializer that cannot serve its parameter.
        UnknownName: no such recipe or initializer; the message names the nearest.
        ShapeMismatch, CannotTrace, NoParameters, UncoveredParameters: see `fanin.errors`.

    Example:
        >>> import torch
        >>> net = torch.nn.Sequential(torch.nn.Linear(64, 32), torch.nn.ReLU(), torch.nn.Linear(32, 10))
        >>> p = plan(net, torch.zeros(1, 64))
        >>> str(p["0.weight"].initializer), round(p["0.weight"].std, 4)
        ('normal 1/√fan_in', 0.125)
    """
    adapter = adapter_of(model)
    traced = adapter.trace(model, *example) if example else None
    graph = traced.graph if traced else adapter.read_modules(model)
    if hasattr(recipe, "built"):
        decided = override(recipe.built(model, graph).plan, overrides or {})
    elif recipe == "as_built":
        decided = override(adapter.seen(model, graph).decide(adapter.constrained(model)), overrides or {})
    else:
        sweep = adapter.sweep(traced, model, example) if traced else None
        decided = make_plan(graph, recipe, overrides, sweep, adapter.constrained(model))
    return jittered(decided, jitter)


def initialize_(
    model: Any,
    *example: Any,
    recipe: str | Recipe | Plan = "auto",
    overrides: Overrides | None = None,
    seed: int | None = None,
) -> Plan:
    """Decide, write, and return the plan that was written: all parameters, or none if anything fails.

    Of a sharded model, each process writes the elements that it holds, and sends nothing (docs/sharding.md).

    Args:
        example: as for `plan`, or none; a finished `Plan` needs none.
        recipe: as for `plan`, or a finished `Plan`.
        seed: 0 … 2¹²⁸ − 1; every value is a function of the seed, the parameter's name and the element's index.
            None draws one from the framework's own generator, so that `torch.manual_seed` keeps its meaning; not for a
            distributed model, whose processes would draw different ones.

    Raises:
        CannotWrite: a parameter cannot be written; nothing was changed.
        BadInput: the seed is not an integer in its range; nothing was changed.
        All that `plan` raises.

    Example:
        >>> import torch
        >>> net = torch.nn.Linear(4, 3)
        >>> _ = initialize_(net, torch.zeros(1, 4), recipe="lecun", seed=0)
        >>> net.weight[0, 0].item(), net.bias.tolist()
        (-0.20..., [0.0, 0.0, 0.0])
    """
    adapter = adapter_of(model)
    if isinstance(recipe, Plan):
        decided = override(recipe, overrides or {})
    else:
        decided = plan(model, *example, recipe=recipe, overrides=overrides)
    adapter.write_(model, decided, adapter.draw_seed_for(model) if seed is None else seed)
    return decided


def calibrate(
    model: Any,
    *example: Any,
    plan: Plan,
    how: str | Method = "lsuv",
    loss: Callable[[Any], Any] | None = None,
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
        >>> import torch
        >>> net = torch.nn.Sequential(torch.nn.Linear(64, 64), torch.nn.ReLU(), torch.nn.Linear(64, 8))
        >>> x = 10 * torch.randn(128, 64)
        >>> he = plan(net, x, recipe="he")
        >>> seen = [measure(net, x, plan=p).values["linear"].second_moment for p in (he, calibrate(net, x, plan=he))]
        >>> seen[0] > 100, 0.95 < seen[1] < 1.05
        (True, True)
        >>> labels = torch.arange(128) % 8
        >>> entropy = lambda out: torch.nn.functional.cross_entropy(out, labels)
        >>> gentle = calibrate(net, x, plan=he, loss=entropy, how="gradinit", steps=30)
        >>> measure(net, x, plan=gentle, loss=entropy).loss < measure(net, x, plan=he, loss=entropy).loss
        True

    References: Mishkin & Matas 2016, "All you need is a good init", algorithm 1; Zhu et al. 2021, "GradInit";
    Dauphin & Schoenholz 2019, "MetaInit".
    """
    adapter = adapter_of(model)
    traced = adapter.trace(model, *example)
    kept = frozenset(
        p.path for p in traced.graph.parameters if any(fnmatchcase(n, k) for n in (p.path, *p.also) for k in keep)
    )
    if how == "lsuv":
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
    factors = adapter.learned_factors(
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


def on_meta() -> AbstractContextManager[Any]:
    """Build a model without memory: tensors made in the block are on the meta device; how they are made is recorded.

    The recording is for `materialize_(…, recorded=…)`. With it, buffers that a constructor computes (rotary
    frequencies, masks, position indices) and parameters that a plan keeps get their values although the model has no
    code to make them again. What a constructor draws at random for those becomes a function of the seed and of its
    place in the constructor. PyTorch only.

    Example:
        >>> import torch
        >>> with on_meta() as recorded:
        ...     net = torch.nn.Sequential(torch.nn.Linear(64, 8), torch.nn.BatchNorm1d(8))
        >>> net[0].weight.device
        device(type='meta')
    """
    block: AbstractContextManager[Any] = importlib.import_module(ADAPTERS["torch"]).on_meta()
    return block


def materialize_(
    model: Any,
    plan: Plan,
    *,
    seed: int | None = None,
    device: Any = None,
    buffers: Mapping[str, Any] | None = None,
    recorded: Any = None,
) -> None:
    """Give a model on the meta device its memory and its values: all of it, or nothing if anything fails.

    What is on the meta device is allocated, in the dtypes that it has there; tensors that are real stay where they are.
    A sharded parameter (DTensor) gets this rank's part only. Every parameter is filled as the plan says. Other tensors
    get their value from `buffers`, else from `recorded`, else from the module's own method, whichever it has of
    `reset_buffers`, `init_buffers`, `init_non_persistent_buffers`, `reset_parameters` and a few others, or Hugging
    Face's `_init_weights`. Ties are kept. Parameters are new objects, as after `to_empty`: make the optimizer
    afterwards. PyTorch's, NumPy's and Python's random states are left as they were, but for the seed drawn by None.

    Args:
        plan: for the model, sharded or not; `fanin.plan` makes one without memory.
        seed: as for `initialize_`.
        device: "cuda", "cpu", …. None is the mesh's for sharded tensors, and for others `torch.get_default_device()`.
        buffers: glob over paths → a tensor, a number, or a function of the module that owns the buffer; the last match
            wins. Functions are called when the parameters have their values.
        recorded: what `on_meta` gave.

    Raises:
        StillUninitialized: lists every parameter and buffer that nobody gave a value.
        CannotWrite: the plan and the model disagree, or a parameter cannot be written.
        BadInput: no plan, a bad seed or device, a glob that matches nothing, a value of another shape, lazy layers.

    Example:
        >>> import fanin, torch
        >>> with on_meta() as recorded:
        ...     net = torch.nn.Sequential(torch.nn.Linear(64, 8), torch.nn.BatchNorm1d(8))
        >>> materialize_(net, fanin.plan(net, torch.zeros(2, 64)), seed=0, recorded=recorded)
        >>> net[0].weight.device, net[1].running_var.tolist()
        (device(type='cpu'), [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0])
    """
    adapter = adapter_of(model)
    drawn = adapter.draw_seed_for(model) if seed is None else seed
    adapter.materialize_(model, plan, drawn, device=device, buffers=buffers, recorded=recorded)


def verify(model: Any, plan: Plan, *, seed: int, blocks: int | None = 8) -> Verification:
    """Whether the model still is what the plan and the seed say, without a checkpoint of its start.

    Blocks of 4096 elements of each parameter, others in each call, are drawn again from the stream and compared with
    the model, bit for bit. Of b blocks among B, one element that was changed is found with a chance of b/B; training
    changes them all. Of a sharded model, each process compares what it holds, and nothing is sent. It never raises on
    what it finds: the result is false, prints as a table, and names the first differing element with both values.

    Args:
        plan: that `initialize_` returned, or one that was read back with `Plan.from_json`.
        seed: with which it was written.
        blocks: of each parameter and process; None compares every element.

    Raises:
        BadInput: no plan, the seed is not an integer in [0, 2¹²⁸), or blocks is not an integer above 0.

    Example:
        >>> import torch
        >>> net = torch.nn.Linear(4, 3)
        >>> written = initialize_(net, torch.zeros(1, 4), recipe="lecun", seed=0)
        >>> bool(verify(net, written, seed=0))
        True
        >>> with torch.no_grad():
        ...     net.bias[1] = 0.5
        >>> found = verify(net, written, seed=0)
        >>> found.ok, found.differences[0].element, found.differences[0].got
        (False, (1,), 0.5)
        >>> print(found)
        1 parameter(s) are not what the plan (digest 1c719144b005) says
        parameter  what differs                   first at  expected  got
        ─────────────────────────────────────────────────────────────────
        bias       1 of 3 compared values differ  [1]              0  0.5

    Not for: parameters that the plan keeps, of which it knows no values; `Orthogonal(method="qr")` on another machine,
    whose bits are not promised.
    """
    result: Verification = adapter_of(model).verify(model, plan, seed, blocks)
    return result


def fill_(
    tensor: T,
    initializer: str | Initializer,
    *,
    name: str = "",
    seed: int | None = None,
    axes: Sequence[str] | None = None,
    fan: Fans | tuple[float, float] | None = None,
) -> T:
    """Fill one tensor in place and return it: the same seed, name and logical weight give the same bits everywhere.

    Args:
        tensor: a torch.Tensor or a numpy.ndarray, of any strides.
        initializer: or its spelling, such as "he_normal(negative_slope=0.1)".
        name: the path of the weight, as `initialize_` would call it.
        seed: as for `initialize_`.
        axes: what each axis counts, "out", "in" or "kernel"; (out, in, kernel, …) if None. The bits are those of that
            order, whatever the order of the tensor is: ("in", "out") for a dense kernel of Keras or Flax.
        fan: (fan_in, fan_out) where the shape does not say them: grouped, strided, transposed or packed weights. See
            `fanin.graph.fans`.

    Raises:
        BadInput: another kind of tensor, axes that do not fit it, a law that cannot serve it, or a bad seed.
        CannotWrite: a dtype that the stream does not have, or no memory to write into.

    Example:
        >>> import numpy as np, torch
        >>> fill_(torch.empty(2, 3), "he_normal", name="0.weight", seed=0)
        tensor([[-0.6758, -1.2582,  0.5563],
                [ 0.6242,  1.3770, -1.7304]])
        >>> fill_(np.empty((3, 2), np.float32), "he_normal", name="0.weight", seed=0, axes=("in", "out")).T.round(4)
        array([[-0.6758, -1.2582,  0.5563],
               [ 0.6242,  1.377 , -1.7304]], dtype=float32)
    """
    adapter = adapter_of_tensor(tensor)
    rank = len(tensor.shape)  # type: ignore[attr-defined]  # all that the adapters fill have one
    named = axes_of(rank, axes)
    view = adapter.permuted(tensor, sorted(range(rank), key=lambda i: tuple(Axis).index(named[i])))
    shape = tuple(view.shape)
    if fan is None:
        counted = fans(shape, WeightUse(axes_of(rank))) if {Axis.OUT, Axis.IN} <= set(named) else None
    else:
        counted = fan if isinstance(fan, Fans) else Fans(*fan)
    target = Target(name, shape, adapter.dtype_of(tensor), counted)
    adapter.fill_(view, target, spelled(initializer), adapter.draw_seed() if seed is None else seed)
    return tensor


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
        loss: from the model's output to a scalar, such as `lambda out: cross_entropy(out, labels)`. Without one the
            gradient is that of ⟨output, v⟩/batch with a fixed random v. Of what the model returns it is given the
            tensors, in their containers and dataclasses; in place of other objects, such as a cache, it sees None.
        plan: measure the model as this plan would start it, instead of as it is; its own weights come back afterwards.
        seeds: of the plan's draws, a number of them or a list; the moments are averages over all. None: seed 0 alone.

    Raises:
        BadInput: seeds without a plan to draw from, or none; a loss that raises, is not a scalar or cannot be
            differentiated; a model on the meta device.
        ShapeMismatch, CannotTrace, NoParameters: see `fanin.errors`.

    Example:
        >>> import torch
        >>> net = torch.nn.Sequential(torch.nn.Linear(64, 64), torch.nn.ReLU())
        >>> _ = initialize_(net, torch.zeros(1, 64), recipe="zeros", seed=0)
        >>> signals = measure(net, torch.randn(8, 64), loss=lambda out: (out - 1).square().mean())
        >>> signals.values["relu"].zeros, signals.loss
        (1.0, 1.0)
        >>> he = plan(net, torch.zeros(1, 64), recipe="he")
        >>> eight = measure(net, torch.ones(8, 64), plan=he, seeds=8)
        >>> abs(eight.values["linear"].second_moment - 2) < 0.3, net[0].weight.sum().item()
        (True, 0.0)
    """
    adapter = adapter_of(model)
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
        with adapter.drawn(model, plan, seed):
            passes.append(adapter.observe(traced, model, example, loss))
    return averaged(passes)


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
        >>> import torch
        >>> with torch.device("meta"):
        ...     layers = [m for _ in range(30) for m in (torch.nn.Linear(4096, 4096), torch.nn.ReLU())]
        ...     net, x = torch.nn.Sequential(*layers), torch.empty(32, 4096)
        >>> for recipe in ("he", "lecun"):  # E[x²] after 30 layers; nothing is allocated
        ...     predict(net, x, plan=plan(net, x, recipe=recipe)).values["relu_29"].second_moment
        0.99...
        9.3...e-10

    References: He et al. 2015, eq. 6-14; Poole et al. 2016; Schoenholz et al. 2017.
    Not for: what training makes of it; layers of a few units, where one draw of the weights is not like the next.
    """
    adapter = adapter_of(model)
    from fanin.signals.rules import RULES

    known = {**RULES, **(rules or {})}
    signals: Signals = adapter.predict(adapter.trace(model, *example), model, example, plan, loss, known)
    return signals


def diagnose(model: Any, *example: Any, loss: Callable[[Any], Any] | None = None) -> Diagnosis:
    """What is wrong with the model as it is initialized now, where, why, and what to do.

    Args and Raises: as for `measure`.

    Example:
        >>> import torch
        >>> layers = [m for _ in range(30) for m in (torch.nn.Linear(64, 64), torch.nn.ReLU())]
        >>> net = torch.nn.Sequential(*layers)
        >>> diagnose(net, torch.randn(32, 64)).summary
        'vanishing gradients'
        >>> _ = initialize_(net, torch.zeros(1, 64), seed=0)
        >>> diagnose(net, torch.randn(32, 64)).summary
        'healthy'
    """
    signals = measure(model, *example, loss=loss)
    assert signals.graph is not None  # a measurement is always of a graph
    return judge(signals.graph, signals)


def gain(what: Any, *, std: float = 1.0, mean: float = 0.0, **parameters: float) -> Gain:
    """The Gaussian moments of an activation, z ~ N(mean, std²), and the gains that follow from them.

    Args:
        what: a name ("gelu"), a function of NumPy arrays or of the framework's tensors, or a module.
        parameters: of a named activation, such as `negative_slope=0.2`.

    Example:
        >>> round(gain("gelu").forward, 6), round(gain("gelu").backward, 6)
        (1.53353, 1.481114)
    """
    return moments(activation_of(what), std=std, mean=mean, **parameters)


def edge_of_chaos(what: Any, *, bias_var: float = 0.0, **parameters: float) -> EdgeOfChaos:
    """The weights at which a deep net of this activation neither merges its inputs nor parts them: χ = σ_w² E φ'² = 1.

    Weights have variance σ_w²/fan_in, so that the gain is √σ_w².

    Args:
        what: as for `gain`.
        bias_var: variance σ_b² of the biases.
        parameters: of a named activation.

    Example:
        >>> edge = edge_of_chaos("tanh", bias_var=0.05)
        >>> round(edge.weight_var, 5), round(edge.variance, 5)
        (1.76095, 0.57005)
        >>> print(edge_of_chaos("relu", bias_var=0.05).reason)
        χ = σ_w²/2 at every q, and at σ_w² = 2 biases add to the variance in each layer without end. Use bias_var=0.

    References: Schoenholz et al. 2017; Hayou, Doucet & Rousseau 2019.
    """
    return activations.edge_of_chaos(activation_of(what), bias_var=bias_var, **parameters)


def mean_field(
    what: Any, *, weight_var: float, bias_var: float = 0.0, start: float = 1.0, **parameters: float
) -> MeanField:
    """Where the variance of a signal and the correlation of two go in a deep net, and within how many layers.

    Args:
        what: as for `gain`.
        weight_var: σ_w², the gain squared.
        bias_var: variance σ_b² of the biases.
        start: variance of the first pre-activation.
        parameters: of a named activation.

    Example:
        >>> seen = mean_field("tanh", weight_var=1.0, bias_var=0.05)
        >>> seen.phase, round(seen.correlation_depth, 3)
        ('ordered', 3.627)

    References: Poole et al. 2016; Schoenholz et al. 2017.
    """
    return activations.mean_field(
        activation_of(what), weight_var=weight_var, bias_var=bias_var, start=start, **parameters
    )
