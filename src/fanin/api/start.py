"""Deciding where a model starts, and writing it: plan → write_, materialize_, verify; one tensor: fill_."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from fnmatch import fnmatchcase
from typing import Any, TypeVar

from fanin.errors import BadInput
from fanin.frameworks import ADAPTERS, adapter_of, adapter_of_tensor
from fanin.graph import Axis, Fans, WeightUse, axes_of, fans
from fanin.initializers import Initializer, Target
from fanin.initializers import initializer as spelled
from fanin.plans import Plan, Verification, make_plan, tuned
from fanin.plans.jitter import jittered
from fanin.plans.learned import Method, free, learned, method
from fanin.plans.make import override
from fanin.plans.names import renamed_graph
from fanin.plans.overrides import Overrides
from fanin.plans.recipes import Recipe

T = TypeVar("T")


def plan(
    model: Any,
    *example: Any,
    recipe: str | Recipe | Any = "auto",
    overrides: Overrides | None = None,
    jitter: float = 0.0,
    rename: Mapping[str, str] | None = None,
) -> Plan:
    """Decide the initial value of every parameter; nothing is written.

    Args:
        model: a `torch.nn.Module`, on any device, meta included; or a model of another framework (docs/frameworks.md).
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
        rename: path here → the name to draw it under: that which the same parameter has in another model, so that both
            start with the same bits (`Plan.rename`).

    Raises:
        BadInput: an example that the model cannot be called with, or none where the recipe needs one; lazy layers that
            have no shape yet; an override that means no parameter; an initializer that cannot serve its parameter.
        UnknownName: no such recipe or initializer; the message names the nearest.
        ShapeMismatch, CannotTrace, NoParameters, UncoveredParameters: see `fanin.errors`.

    Example:
        >>> import fanin, torch
        >>> net = torch.nn.Sequential(torch.nn.Linear(64, 32), torch.nn.ReLU(), torch.nn.Linear(32, 10))
        >>> p = fanin.plan(net, torch.zeros(1, 64))
        >>> str(p["0.weight"].initializer), round(p["0.weight"].std, 4)
        ('normal 1/√fan_in', 0.125)
    """
    adapter = adapter_of(model)
    known = hasattr(adapter, "knows_inputs") and adapter.knows_inputs(model)
    traced = adapter.trace(model, *example) if example or known else None
    graph = traced.graph if traced else adapter.read_modules(model)
    graph = renamed_graph(graph, rename) if rename else graph
    if hasattr(recipe, "built"):
        decided = override(recipe.built(model, graph).plan, overrides or {})
    elif recipe == "as_built":
        seen = adapter_of(model, "seen").seen(model, graph)
        decided = override(seen.decide(adapter.constrained(model)), overrides or {})
    else:
        sweep = adapter.sweep(traced, model, example) if traced and hasattr(adapter, "sweep") else None
        decided = make_plan(graph, recipe, overrides, sweep, adapter.constrained(model))
    return jittered(decided, jitter)


def initialize_(
    model: Any,
    *example: Any,
    recipe: str | Recipe | Plan = "auto",
    overrides: Overrides | None = None,
    jitter: float = 0.0,
    rename: Mapping[str, str] | None = None,
    seed: int | None = None,
) -> Plan:
    """Decide, write, and return the plan that was written: all parameters, or none if anything fails.

    Of a sharded model, each process writes the elements that it holds, and sends nothing (docs/sharding.md).

    Args:
        example: as for `plan`, or none; a finished `Plan` needs none.
        recipe: as for `plan`, or a finished `Plan`.
        jitter, rename: as for `plan`.
        seed: 0 … 2¹²⁸ − 1; every value is a function of the seed, the parameter's name and the element's index.
            None draws one from the framework's own generator, so that `torch.manual_seed` keeps its meaning; not for a
            distributed model, whose processes would draw different ones.

    Raises:
        CannotWrite: a parameter cannot be written; nothing was changed.
        BadInput: the seed is not an integer in its range; nothing was changed.
        All that `plan` raises.

    Example:
        >>> import fanin, torch
        >>> net = torch.nn.Linear(4, 3)
        >>> _ = fanin.initialize_(net, torch.zeros(1, 4), recipe="lecun", seed=0)
        >>> net.weight[0, 0].item(), net.bias.tolist()
        (-0.20..., [0.0, 0.0, 0.0])
    """
    adapter = adapter_of(model, "write_")
    decided = _decided(model, example, recipe, overrides, jitter, rename)
    adapter.write_(model, decided, adapter.draw_seed_for(model) if seed is None else seed)
    return decided


def initialize(
    model: T,
    *example: Any,
    recipe: str | Recipe | Plan = "auto",
    overrides: Overrides | None = None,
    jitter: float = 0.0,
    rename: Mapping[str, str] | None = None,
    seed: Any,
) -> T:
    """The model as the plan starts it, as a new value; what was given stays as it is.

    For models that are values: arrays of NumPy, and models of JAX (docs/jax.md), under `jax.jit` as well. Of a model
    that is a pair of code and arrays, such as a module of Flax Linen, the arrays are given. `plan` says what is drawn.

    Args:
        example, recipe, overrides, jitter, rename: as for `initialize_`.
        seed: 0 … 2¹²⁸ − 1, or for JAX a key; a pure function has no generator to draw one from.

    Raises:
        BadInput: a model that is an object with a state of its own, such as a torch.nn.Module: use `initialize_`.
        All that `plan` raises.

    Example:
        >>> import fanin, numpy as np
        >>> from fanin.compat.numpy import Net, layer
        >>> empty = {"W": np.zeros((64, 32), np.float32), "b": np.zeros(32, np.float32)}
        >>> layers = [layer("linear", weight="W", bias="b", axes=("in", "out"))]
        >>> net = fanin.initialize(Net(empty, layers), recipe="lecun", seed=0)
        >>> net["W"].std().round(3), empty["W"].std()
        (np.float32(0.126), np.float32(0.0))
    """
    adapter = adapter_of(model, "initialized")
    known = adapter.bound(model, *example) if hasattr(adapter, "bound") else model
    started: T = adapter.initialized(known, _decided(known, example, recipe, overrides, jitter, rename), seed)
    return started


def _decided(
    model: Any,
    example: tuple[Any, ...],
    recipe: str | Recipe | Plan,
    overrides: Overrides | None,
    jitter: float,
    rename: Mapping[str, str] | None,
) -> Plan:
    if isinstance(recipe, Plan):
        named = recipe.rename(rename) if rename else recipe
        return jittered(override(named, overrides or {}), jitter)
    return plan(model, *example, recipe=recipe, overrides=overrides, jitter=jitter, rename=rename)


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
    adapter = adapter_of(model, "sweep")
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


def on_meta() -> AbstractContextManager[Any]:
    """Build a model without memory: tensors made in the block are on the meta device; how they are made is recorded.

    The recording is for `materialize_(…, recorded=…)`. With it, buffers that a constructor computes (rotary
    frequencies, masks, position indices) and parameters that a plan keeps get their values although the model has no
    code to make them again. What a constructor draws at random for those becomes a function of the seed and of its
    place in the constructor. PyTorch only.

    Example:
        >>> import fanin, torch
        >>> with fanin.on_meta() as recorded:
        ...     net = torch.nn.Sequential(torch.nn.Linear(64, 8), torch.nn.BatchNorm1d(8))
        >>> net[0].weight.device
        device(type='meta')
    """
    block: AbstractContextManager[Any] = importlib.import_module(ADAPTERS["torch", "Module"]).on_meta()
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
        >>> with fanin.on_meta() as recorded:
        ...     net = torch.nn.Sequential(torch.nn.Linear(64, 8), torch.nn.BatchNorm1d(8))
        >>> fanin.materialize_(net, fanin.plan(net, torch.zeros(2, 64)), seed=0, recorded=recorded)
        >>> net[0].weight.device, net[1].running_var.tolist()
        (device(type='cpu'), [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0])
    """
    adapter = adapter_of(model, "materialize_")
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
        >>> import fanin, torch
        >>> net = torch.nn.Linear(4, 3)
        >>> written = fanin.initialize_(net, torch.zeros(1, 4), recipe="lecun", seed=0)
        >>> bool(fanin.verify(net, written, seed=0))
        True
        >>> with torch.no_grad():
        ...     net.bias[1] = 0.5
        >>> found = fanin.verify(net, written, seed=0)
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
        >>> import fanin, torch, numpy as np
        >>> fanin.fill_(torch.empty(2, 3), "he_normal", name="0.weight", seed=0)
        tensor([[-0.6758, -1.2582,  0.5563],
                [ 0.6242,  1.3770, -1.7304]])
        >>> kernel = np.empty((3, 2), np.float32)
        >>> fanin.fill_(kernel, "he_normal", name="0.weight", seed=0, axes=("in", "out")).T.round(4)
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
