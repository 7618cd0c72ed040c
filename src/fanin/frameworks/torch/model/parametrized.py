"""Weights that are computed from parameters: what a plan may say of these, and what must follow when they change.

A plan speaks of the parameters. The weight of `weight_norm` then has the law of its direction, since a plan gives its
magnitude the length of the direction's rows. That of `spectral_norm` has it over its largest singular value, 1 as soon
as the vectors by which the module knows it are those of the new values. That of `orthogonal` is orthogonal whatever
happens, but not every value of its parameter is one that its map takes: it is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import torch
from torch.nn.utils.parametrizations import _Orthogonal, _SpectralNorm
from torch.nn.utils.parametrize import ParametrizationList
from torch.nn.utils.spectral_norm import SpectralNorm

from fanin.frameworks.torch.model.names import naming
from fanin.frameworks.torch.model.shards import is_sharded
from fanin.initializers import Keep
from fanin.plans import Decision
from fanin.stream import key, normal

AsMatrix: TypeAlias = Callable[[torch.Tensor], torch.Tensor]
ITERATIONS: Final = 100  # of the power method; of a Gaussian matrix σ₁ is then known to a percent
ORTHOGONAL: Final = Decision(
    Keep(), "an orthogonal parametrization computes the weight from it, and does not take all values: kept as it is"
)


def constrained(model: torch.nn.Module) -> dict[str, Decision]:
    """Path → decision, for parameters of which a recipe cannot know what values they may have."""
    logical = naming(model)
    lists = [(path, m) for path, m in model.named_modules() if isinstance(m, ParametrizationList)]
    return {
        logical(f"{path}.{name}"): ORTHOGONAL
        for path, module in lists
        if any(isinstance(step, _Orthogonal) for step in module)
        for name, _ in module.named_parameters(recurse=False)
    }


class _Vectors:
    """What a module with a spectral norm remembers of its weight W: σ₁ ≈ uᵀ W v."""

    def __init__(self, path: str, weight: torch.Tensor, matrix: torch.Tensor, u: torch.Tensor, v: torch.Tensor) -> None:
        self.path, self.weight, self.matrix, self.u, self.v = path, weight, matrix, u, v

    def follow(self, seed: int) -> None:
        """The singular vectors of the largest singular value, by the power method from a start of the stream's own."""
        start = torch.from_numpy(normal(key(seed, f"{self.path}.v"), range(self.v.numel()), 1.0))
        v = torch.nn.functional.normalize(start.to(self.matrix), dim=0)
        u = self.u
        for _ in range(ITERATIONS):
            u = torch.nn.functional.normalize(torch.mv(self.matrix, v), dim=0)
            v = torch.nn.functional.normalize(torch.mv(self.matrix.mH, u), dim=0)
        self.u.copy_(u)
        self.v.copy_(v)


def singular_vectors(model: torch.nn.Module, written: Mapping[int, str]) -> Iterator[_Vectors]:
    """Those that are out of date now that these parameters were written, by the parameters' `id`.

    Of a sharded weight no process can compute them alone: they are left, and the module's own iterations, one in each
    forward pass in training mode, will find them.
    """
    for module in model.modules():
        for weight, as_matrix, u, v in _of(module):
            if id(weight) in written and not is_sharded(weight):
                yield _Vectors(written[id(weight)], weight, as_matrix(weight.detach()), u, v)


def followers(model: torch.nn.Module) -> dict[str, Follower]:
    """By the paths of their buffers, what becomes of these vectors when their parameter is written."""
    logical = naming(model)
    paths = {id(p): logical(path) for path, p in model.named_parameters(remove_duplicate=False)}
    buffers = {id(b): logical(path) for path, b in model.named_buffers(remove_duplicate=False)}
    return {
        buffers[id(x)]: Follower(paths[id(weight)], as_matrix, tuple(u.shape), tuple(v.shape), left)
        for module in model.modules()
        for weight, as_matrix, u, v in _of(module)
        for x, left in ((u, True), (v, False))
        if id(weight) in paths and id(x) in buffers
    }


@dataclass(frozen=True)
class Follower:
    """A singular vector of a parameter, as the module keeps it.

    Attributes:
        parameter: its path.
        as_matrix: the parameter as the matrix whose norm is taken.
        rows, columns: shapes of the left and the right vector.
        left: which of them it is.
    """

    parameter: str
    as_matrix: AsMatrix
    rows: tuple[int, ...]
    columns: tuple[int, ...]
    left: bool

    def of(self, weight: torch.Tensor, seed: int) -> torch.Tensor:
        """The vector that belongs to these values."""
        matrix = self.as_matrix(weight)
        u, v = (torch.zeros(shape, dtype=matrix.dtype) for shape in (self.rows, self.columns))
        _Vectors(self.parameter, weight, matrix, u, v).follow(seed)
        return u if self.left else v


def _of(module: torch.nn.Module) -> Iterator[tuple[torch.Tensor, AsMatrix, torch.Tensor, torch.Tensor]]:
    """Parameter, how it is seen as the matrix whose norm is taken, u and v; of both of PyTorch's spectral norms."""
    if isinstance(module, ParametrizationList):
        first: Any = module[0]
        if isinstance(first, _SpectralNorm) and hasattr(first, "_u"):
            yield module.original, first._reshape_weight_to_matrix, first._u, first._v
    for hook in module._forward_pre_hooks.values():
        if isinstance(hook, SpectralNorm):
            held: Any = module
            weight = getattr(held, f"{hook.name}_orig")
            yield (
                weight,
                hook.reshape_weight_to_matrix,
                getattr(held, f"{hook.name}_u"),
                getattr(held, f"{hook.name}_v"),
            )
