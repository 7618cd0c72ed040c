"""The laws of a model's parameters: those that a plan decides, or what is seen of the values they have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

import numpy as np
import torch

from fanin.errors import BadInput
from fanin.frameworks.torch.measuring.moments import moments
from fanin.frameworks.torch.model.names import named_parameters
from fanin.frameworks.torch.model.quantiles import quantiles
from fanin.graph import Graph, Parameter, Role
from fanin.initializers import Law
from fanin.plans import Plan
from fanin.plans.model import writes
from fanin.signals.latent import Array
from fanin.signals.laws import weight_of
from fanin.signals.values import Weight

STANDARD_ERRORS: Final = 4.0  # of a mean; chance goes beyond in one of 16000 tensors
# Those that act each by itself and not in sums, so that it shows how they are spread.
ALONE: Final = frozenset({Role.DECAY, Role.STEP_BIAS, Role.BIAS, Role.UNKNOWN})


def weights_of(
    graph: Graph,
    model: torch.nn.Module,
    plan: Plan | None,
    kept: Mapping[str, Law] | None = None,
    spread: Mapping[str, Array] | None = None,
) -> dict[str, Weight]:
    """By path; no memory is taken for what a plan decides.

    Args:
        kept: the laws of parameters that the plan keeps and the model has no values of.
        spread: how the values of some of those are spread, at the nodes of `latent`.

    Raises:
        BadInput: parameters on the meta device that no plan gives a value, or a plan for another model; lists them.
    """
    tensors = {path: tensor for path, (tensor, _) in named_parameters(model).items()}
    if plan is not None:
        _agree(tensors, plan)
    decided = {path: plan[path] for path in tensors if plan is not None and writes(plan[path])}
    kept = kept or {}
    if missing := [path for path, tensor in tensors.items() if tensor.is_meta and path not in {**decided, **kept}]:
        what = f"{len(missing)} parameter(s) are on the meta device and have no values: {_some(missing)}. "
        if plan is None:
            raise BadInput(f"{what}Say how they are to start: predict(model, x, plan=fanin.plan(model, x)).")
        raise BadInput(f"{what}The plan keeps them as they are; override it with an initializer for each.")

    def weight(p: Parameter) -> Weight:
        if p.path in decided:
            return weight_of(decided[p.path].initializer, decided[p.path].target)
        if p.path in kept and plan is not None:
            law = weight_of(plan[p.path].initializer, plan[p.path].target, kept[p.path])
            alone = spread and p.path in spread and p.role in ALONE and len(law.mean) == 1
            return replace(law, marginal=spread[p.path][None]) if spread and alone else law
        return seen_weight(p, tensors[p.path])

    return {p.path: weight(p) for p in graph.parameters}


def seen_weight(parameter: Parameter, tensor: torch.Tensor) -> Weight:
    """The law of the values that a parameter has, part by part where it packs several along its first axis."""
    rows = tensor.shape[0] if tensor.dim() else 1
    parts = parameter.parts.of(tuple(tensor.shape)) if parameter.parts and parameter.parts.axis == 0 else ()
    sizes = [part.size for part in parts] or [rows]
    seen = [_mean_and_variance(piece) for piece in (torch.split(tensor.detach(), sizes) if tensor.dim() else (tensor,))]
    mean, variance = (np.array(x) for x in zip(*seen, strict=True))
    marginal = None
    if parameter.role in ALONE and len(sizes) == 1 and variance[0] > 0:
        marginal = quantiles(tensor.reshape(-1))[None]
    return Weight(parameter.path, tuple(tensor.shape), mean, variance, np.array(sizes), marginal=marginal)


def _mean_and_variance(x: torch.Tensor) -> tuple[float, float]:
    """In float64; where all elements are equal, exactly that and 0.

    A mean that chance explains counts as 0: a sum over n inputs would square n times what is only noise in it.
    """
    if x.numel() == 0:
        return 0.0, 0.0
    flat = x.detach().reshape(-1)
    if bool((flat == flat[0]).all()):
        return float(flat[0].real), 0.0
    found = moments(flat)
    by_chance = found.mean**2 <= STANDARD_ERRORS**2 * found.second_moment / len(flat)
    mean = 0.0 if by_chance else found.mean
    return mean, max(found.second_moment - mean**2, 0.0)


def _agree(tensors: Mapping[str, torch.Tensor], plan: Plan) -> None:
    planned = {e.parameter.path: e.parameter.shape for e in plan}
    problems = [f"{path}: in the plan, not in the model" for path in planned if path not in tensors]
    problems += [f"{path}: in the model, not in the plan" for path in tensors if path not in planned]
    problems += [
        f"{path}: shape {planned[path]} in the plan, {tuple(tensor.shape)} in the model"
        for path, tensor in tensors.items()
        if planned.get(path, tuple(tensor.shape)) != tuple(tensor.shape)
    ]
    if problems:
        raise BadInput(f"The plan is not for this model: {_some(problems)}.")


def _some(what: Sequence[str]) -> str:
    return ", ".join(what[:5]) + (", …" if len(what) > 5 else "")
