"""Deciding how every parameter of a model starts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fanin.frameworks import adapter_of
from fanin.plans import Plan, make_plan
from fanin.plans.jitter import jittered
from fanin.plans.make import override
from fanin.plans.names import renamed_graph
from fanin.plans.overrides import Overrides
from fanin.plans.recipes import Recipe


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
