"""Where the backward sweep begins: the moments of ∂loss/∂output, for every tensor that the model returns."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, Final

import numpy as np
import torch

from fanin.errors import BadInput
from fanin.frameworks.torch.measuring.scalar import Loss, scalar_of
from fanin.frameworks.torch.model.state import fixed_randomness
from fanin.frameworks.torch.predicting.structured import average, cube_of, drawn, noise, seen
from fanin.frameworks.torch.tracing.operations import op_of
from fanin.frameworks.torch.tracing.trace import Traced
from fanin.graph import Ref
from fanin.signals.flow import Gradient
from fanin.signals.gradient import GradientMoments
from fanin.signals.propagate import Propagated
from fanin.signals.state import State
from fanin.signals.values import Constant, Value, Weight

DRAWS: Final = 8  # of the outputs, for a user's loss
EXACT: Final = 1 << 24  # elements of a cotangent that is drawn to be looked at

Seeds = dict[str, Gradient]


def of_fixed_noise(traced: Traced, found: Propagated, known: Mapping[str, Value]) -> tuple[float, Seeds]:
    """That of ⟨output, v⟩/batch with the same v ~ N(0, 1) that a measurement takes; the mean of the scalar is 0.

    A few numbers of v are not white to the last digit, and what they sum to over positions is what a gradient is.

    Raises:
        BadInput: nothing in the output depends on the parameters.
    """
    seeds: Seeds = {}
    generator = torch.Generator().manual_seed(0)
    depending = [(ref, value) for ref, value in _outputs(traced, found, known) if _depends(traced, ref)]
    if not depending:
        raise BadInput(
            "Nothing in the model's output depends on its parameters in a differentiable way. "
            "Give a loss: predict(model, x, loss=…)."
        )
    for ref, value in depending:
        shape = ref.shape
        v = torch.randn(shape, generator=generator) if math.prod(shape) <= EXACT else None
        if not isinstance(value, State):
            continue
        one = np.ones(len(value.sizes))
        moments = (
            GradientMoments(one, 0 * one, 0 * one) if v is None else seen(cube_of(v, value.axes), value.sizes).moments
        )
        seeds[_name(ref)] = moments.times(1 / max(shape[0] if shape else 1, 1) ** 2).flow()
    return 0.0, seeds


def of_loss(
    traced: Traced, model: torch.nn.Module, found: Propagated, known: Mapping[str, Value], loss: Loss
) -> tuple[float, Seeds]:
    """Of a user's loss, on outputs that are drawn as they are predicted, several times; and its mean value.

    Raises:
        BadInput: the loss raises, is not a scalar, or cannot be differentiated.
    """
    outputs = list(_outputs(traced, found, known))
    device = next((p.device for p in model.parameters() if not p.is_meta), torch.device("cpu"))
    values, backs = [], []
    for draw in range(DRAWS):
        generator = torch.Generator().manual_seed(draw)
        fixed_randomness(draw)
        tensors = [_drawn(traced, ref, value, generator).to(device) for ref, value in outputs]
        leaves = [t.requires_grad_() for t in dict.fromkeys(tensors) if t.is_floating_point()]
        with torch.enable_grad():
            scalar = scalar_of(loss, traced.output(tensors))
            gradients = torch.autograd.grad(scalar, leaves, allow_unused=True)
        values.append(float(scalar.detach()))
        of = dict(zip(leaves, gradients, strict=True))
        backs.append([of.get(t) for t in tensors])
    seeds: Seeds = {}
    for at, (ref, value) in enumerate(outputs):
        looks = [back[at] for back in backs]
        if isinstance(value, State) and all(g is not None for g in looks):
            cubes = [cube_of(g.detach().float().cpu(), value.axes) for g in looks if g is not None]
            seeds[_name(ref)] = average([seen(cube, value.sizes) for cube in cubes]).moments.flow()
    return float(np.mean(values)), seeds


def _outputs(traced: Traced, found: Propagated, known: Mapping[str, Value]) -> Iterator[tuple[Ref, Value]]:
    for ref in traced.graph.outputs:
        yield ref, known[ref.name] if ref.name in known else found.values[ref.name][ref.result]


def _name(ref: Ref) -> str:
    return ref.name if ref.result == 0 else f"{ref.name}#{ref.result}"


def _drawn(traced: Traced, ref: Ref, value: Value, generator: torch.Generator) -> torch.Tensor:
    """One output, of the dtype that it has in the program."""
    if isinstance(value, State):
        x = drawn(value, noise(value.axes, generator))
    elif isinstance(value, Constant):
        x = torch.tensor(value.array)
    elif isinstance(value, Weight):
        share = value.sizes / value.sizes.sum()
        mean, std = float(share @ value.mean), math.sqrt(float(share @ value.variance))
        x = mean + std * torch.randn(ref.shape, generator=generator)
    else:
        x = torch.randn(value.shape, generator=generator)
    dtypes = {fx.name: fx.meta.get("val") for fx in traced.program.graph.nodes}
    like = dtypes.get(ref.name)
    like = like[ref.result] if isinstance(like, (tuple, list)) else like
    return x.to(like.dtype) if isinstance(like, torch.Tensor) else x


def _depends(traced: Traced, ref: Ref) -> bool:
    """Whether a gradient can flow from this output to a parameter."""
    graph = traced.graph
    if ref.name in graph.by_path:
        return True
    by_name: Any = {fx.name: fx for fx in traced.program.graph.nodes}
    parameters = set(traced.program.graph_signature.inputs_to_parameters)
    start = by_name.get(ref.name)
    queue, known = [start], {start}
    while queue:
        here = queue.pop()
        if here is None or op_of(here) == "detach" or not _differentiable(here.meta.get("val"), ref, here is start):
            continue
        if here.name in parameters:
            return True
        new = [i for i in here.all_input_nodes if i not in known]
        known |= {*new}
        queue += new
    return False


def _differentiable(value: Any, ref: Ref, is_output: bool) -> bool:
    results = value if isinstance(value, (tuple, list)) else (value,)
    if is_output:
        results = results[ref.result : ref.result + 1]
    return any(isinstance(v, torch.Tensor) and (v.is_floating_point() or v.is_complex()) for v in results)
