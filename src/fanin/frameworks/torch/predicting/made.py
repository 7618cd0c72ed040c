"""What is computed from the model's own tensors alone, without a rule: run as a whole, from the parameters up.

The factors of a spectral norm belong together: u and v are what power iterations made of W, and u·W v is its largest
singular value only because they are. Run one by one on tensors that know nothing of each other, they would give a
number near 0 to divide by. Run together, on the values that the parameters have or on a draw of their laws, they give
the law of the weight, and a weight is what it stays.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import torch
from torch.fx.node import Node as FxNode

from fanin.frameworks.torch.model.names import named_parameters
from fanin.frameworks.torch.model.parametrized import Follower, followers
from fanin.frameworks.torch.model.quantiles import quantiles
from fanin.frameworks.torch.model.shards import is_sharded
from fanin.frameworks.torch.model.state import fixed_randomness, unchanged_randomness
from fanin.frameworks.torch.predicting.known import call_on_cpu, own_nodes
from fanin.frameworks.torch.predicting.stand_ins import other, run
from fanin.frameworks.torch.tracing.operations import arguments_of
from fanin.frameworks.torch.tracing.trace import Traced
from fanin.plans import Plan
from fanin.plans.model import writes
from fanin.signals.axes import usual
from fanin.signals.values import Call, Constant, Outcome, Pulled, Unknown, Value, Weight, WeightGradient

RUNS: Final = 4  # where the parameters are drawn
MANY: Final = 256  # elements of which a mean that is noise is told from one that is not
STANDARD_ERRORS: Final = 4.0

Made = dict[FxNode, Any]


@dataclass(frozen=True)
class Stored:
    """What a model holds.

    Attributes:
        values: of the parameters that stay as they are, by path; the others are drawn from their laws.
        followers: buffers that are made anew from a parameter that is written, by path.
    """

    values: Mapping[str, torch.Tensor] = field(default_factory=dict)
    followers: Mapping[str, Follower] = field(default_factory=dict)

    @classmethod
    def of(cls, model: torch.nn.Module, plan: Plan | None) -> Stored:
        """As a plan leaves it; on the meta device, and of a sharded parameter, there are no values."""
        tensors = {path: tensor for path, (tensor, _) in named_parameters(model).items()}
        written = {path for path in tensors if plan is not None and writes(plan[path])}
        there = {path: x for path, x in tensors.items() if path not in written and not x.is_meta and not is_sharded(x)}
        return cls(there, followers(model))


NOTHING: Final = Stored()


class OfParameters:
    """The operations of a program that read parameters, buffers and numbers, and nothing else."""

    def __init__(self, traced: Traced, stored: Stored) -> None:
        self._values, self._followers, self._names = stored.values, stored.followers, traced.names
        self._parameters = {p.path for p in traced.graph.parameters}
        self._own = own_nodes(traced.program)
        self._vectors: dict[tuple[str, int], torch.Tensor] = {}
        self._order = {fx: at for at, fx in enumerate(traced.program.graph.nodes)}

    def holds(self, fx: FxNode) -> bool:
        """Whether the operation is one of them, and at least one parameter takes part."""
        return fx in self._own and any(self._path(i) in self._parameters for i in self._before(fx))

    def outcome(self, fx: FxNode, call: Call) -> Outcome:
        """The laws of the results. What comes back to an argument is taken for independent of its values."""
        before = self._before(fx)
        drawn = any(self._path(i) in self._parameters - self._values.keys() for i in before)
        runs = range(RUNS if drawn else 1)
        with unchanged_randomness(), torch.no_grad():
            results = [_listed(self._run(before, call, seed)[fx]) for seed in runs]
        shapes = call.node.shapes or (call.node.shape,)
        values = tuple(law(call.node.name, tuple(shape), [r[at] for r in results]) for at, shape in enumerate(shapes))

        def pull(gradients: Sequence[Any]) -> Pulled:
            with unchanged_randomness(), torch.no_grad():
                made = self._run(before, call, 0)
            yield from _returned(fx, call, made, gradients)

        return Outcome(values, pull)

    def _path(self, fx: FxNode) -> str:
        return self._names.get(fx.name, "") if fx.op == "placeholder" else ""

    def _before(self, fx: FxNode) -> list[FxNode]:
        """The operation and all that it is made of, in the order of the program."""
        seen, queue = {fx}, [fx]
        while queue:
            for i in queue.pop().all_input_nodes:
                if i not in seen:
                    seen.add(i)
                    queue.append(i)
        return sorted(seen, key=self._order.__getitem__)

    def _run(self, nodes: Sequence[FxNode], call: Call, seed: int) -> Made:
        """The same draw for all operations of one seed."""
        fixed_randomness(seed)
        made: Made = {}
        for fx in nodes:
            made[fx] = self._leaf(fx, call, seed) if fx.op == "placeholder" else call_on_cpu(fx, made)
        return made

    def _leaf(self, fx: FxNode, call: Call, seed: int) -> torch.Tensor:
        path = self._path(fx)
        if path in self._values:
            x = self._values[path].detach().cpu()
            return x.float() if x.is_floating_point() else x
        if path in self._parameters:
            return self._drawn(path, call, seed)
        follower = self._followers.get(path)
        if follower is None or follower.parameter in self._values:
            return other(call.known[fx.name], _generator(fx.name, seed))
        if (path, seed) not in self._vectors:
            self._vectors[path, seed] = follower.of(self._drawn(follower.parameter, call, seed), seed)
        return self._vectors[path, seed]

    def _drawn(self, path: str, call: Call, seed: int) -> torch.Tensor:
        return other(call.known[path], _generator(path, seed))


def _generator(name: str, seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(zlib.crc32(name.encode()) + seed)


def law(name: str, shape: tuple[int, ...], results: Sequence[torch.Tensor]) -> Value:
    """Of what one result was in every run; integers are known where all runs agree.

    A mean that chance explains counts as 0: a sum over n inputs would square n times what is only noise in it.
    """
    first = results[0]
    if not (first.is_floating_point() or first.is_complex()):
        if all(torch.equal(first, r) for r in results):
            return Constant(first.numpy(), own=True)
        return Unknown(shape, str(first.dtype).removeprefix("torch."), usual(shape))
    x = torch.stack([r.abs() if r.is_complex() else r for r in results]).double().reshape(-1)
    mean, second = float(x.mean()), float((x**2).mean())
    if first.is_complex() or (len(x) >= MANY and mean**2 <= STANDARD_ERRORS**2 * second / len(x)):
        mean = 0.0
    variance = max(second - mean**2, 0.0)
    alone = variance > 0 and len(shape) < 2 and len(x) >= MANY  # it acts by itself, and not in sums
    marginal = quantiles(x)[None] if alone else None
    rows = np.array([shape[0] if shape else 1])
    return Weight(name, shape, np.array([mean]), np.array([variance]), rows, marginal=marginal)


def _returned(fx: FxNode, call: Call, made: Made, gradients: Sequence[Any]) -> Iterator[tuple[str, WeightGradient]]:
    """To each weight among the arguments, from independent cotangents of the results."""
    tensors = {name: made[node] for name, node in _tensors(fx)}
    leaves = {name: tensors[name].detach().clone() for name in call.values if isinstance(call.values[name], Weight)}
    leaves = {name: x.requires_grad_() for name, x in leaves.items() if x.is_floating_point()}
    with torch.enable_grad():
        results = run(fx, tensors | leaves)
    pairs = [
        (result, torch.randn(result.shape, generator=torch.Generator().manual_seed(at)) * gradient.second**0.5)
        for at, (result, gradient) in enumerate(zip(results, gradients, strict=False))
        if isinstance(gradient, WeightGradient) and result.requires_grad
    ]
    if not pairs or not leaves:
        return
    outputs, cotangents = [r for r, _ in pairs], [c.to(r.dtype) for r, c in pairs]
    backs = torch.autograd.grad(outputs, list(leaves.values()), cotangents, allow_unused=True)
    for name, back in zip(leaves, backs, strict=True):
        if back is not None:
            yield name, WeightGradient(float((back.double().nan_to_num(0.0, 0.0, 0.0) ** 2).mean()))


def _tensors(fx: FxNode) -> Iterator[tuple[str, FxNode]]:
    """The tensors among the arguments, by the names that a call has for them."""
    for name, given in arguments_of(fx).items():
        if isinstance(given, FxNode):
            yield name, given
        elif isinstance(given, (list, tuple)):
            yield from ((f"{name}.{at}", one) for at, one in enumerate(given) if isinstance(one, FxNode))


def _listed(result: Any) -> tuple[Any, ...]:
    return tuple(result) if isinstance(result, (tuple, list)) else (result,)
