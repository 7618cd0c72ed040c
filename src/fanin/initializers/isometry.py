"""Convolutions that keep norms: an orthogonal matrix at the center, or spread over the whole kernel."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from fanin.errors import BadInput
from fanin.initializers.base import Initializer, Law, Structure, Target, all_elements, require_non_negative, rounded
from fanin.initializers.by_index import at_center, pieces, require_kernel
from fanin.initializers.orthogonal import Orthogonal
from fanin.stream import Domain, Elements, key, orthogonal, words
from fanin.stream.elements import index_array

Kernel: TypeAlias = npt.NDArray[np.float64]


@dataclass(frozen=True)
class DeltaOrthogonal(Initializer):
    """gain · Q at the kernel's center, 0 elsewhere; Q Haar-distributed with orthonormal columns.

    At every position the norm of the outputs is gain times that of the inputs, so a stride of 1 keeps all norms
    exactly, with circular or zero padding. The center is k // 2 (JAX, for even k: (k − 1)//2).

    Raises:
        BadInput: gain is negative; later, the target is no convolution, or has fewer outputs than inputs: its columns
            could not be orthonormal (use `IsometricConvolution`, whose gradient then keeps its norm).

    Reference: Xiao et al. 2018, "Dynamical isometry and a mean field theory of CNNs".
    Not for: grouped convolutions (draw each group by `PerPart`).

    Example:
        >>> w = DeltaOrthogonal().draw(Target("weight", (4, 2, 3), "float64"), seed=0).reshape(4, 2, 3)
        >>> bool(np.allclose(w[:, :, 1].T @ w[:, :, 1], np.eye(2))), bool(w[:, :, [0, 2]].any())
        (True, False)
    """

    gain: float = 1.0

    def __post_init__(self) -> None:
        require_non_negative(self, ["gain"])

    def law(self, target: Target) -> Law:
        """Of an element anywhere in the kernel."""
        outputs, inputs, _ = require_kernel(self, target)
        if outputs < inputs:
            raise BadInput(
                f"{self} needs at least as many outputs as inputs; {target.name!r} has shape {target.shape}. "
                "Use IsometricConvolution, or Orthogonal."
            )
        return _law(self.gain, target)

    def draw(self, target: Target, seed: int, elements: Elements | None = None) -> npt.NDArray[Any]:
        """In float64, rounded once to the target's dtype."""
        self.law(target)
        asked = all_elements(target, elements)
        values = np.zeros(len(asked), rounded(np.empty(0), target.dtype).dtype)
        begin = 0
        found, wanted = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
        for indices in pieces(asked):
            place = np.unravel_index(indices, target.shape)
            here = at_center(target.shape[2:], place)
            found.append(np.flatnonzero(here) + begin)
            wanted.append((place[0] * target.shape[1] + place[1])[here])
            begin += len(indices)
        at, centers = np.concatenate(found), np.concatenate(wanted)
        if len(at):
            values[at] = Orthogonal(self.gain).draw(Target(target.name, target.shape[:2], target.dtype), seed, centers)
        return values


@dataclass(frozen=True)
class IsometricConvolution(Initializer):
    """An isometry that uses its whole kernel: the product of an orthogonal matrix and of steps P + (I − P) S.

    S moves by one position along an axis, P is a random projection; a step is orthogonal, hence so is the convolution
    that all steps make together, k − 1 of them along each axis. With circular padding and stride 1, norms are
    multiplied by gain exactly; with fewer outputs than inputs, the norms of gradients are.

    P projects on some columns of a Haar-distributed matrix, each kept with probability ½; step s and matrix are
    drawn as `tensor.s` and `tensor`.

    Raises:
        BadInput: gain is negative; later, the target is no convolution, or its kernel is empty.

    Reference: Xiao et al. 2018, "Dynamical isometry and a mean field theory of CNNs", Algorithm 1, for kernels of any
    size and number of axes.
    Not for: thousands of channels (the time grows with their cube); every shard computes the whole.

    Example:
        >>> w = IsometricConvolution().draw(Target("weight", (4, 4, 3), "float64"), seed=0).reshape(4, 4, 3)
        >>> x = np.random.default_rng(0).normal(size=(4, 10))
        >>> y = sum(w[:, :, t] @ np.roll(x, -t, axis=1) for t in range(3))
        >>> bool(np.isclose(np.linalg.norm(y), np.linalg.norm(x)))
        True
    """

    gain: float = 1.0

    def __post_init__(self) -> None:
        require_non_negative(self, ["gain"])

    def law(self, target: Target) -> Law:
        """Of an element anywhere in the kernel."""
        _, _, kernel = require_kernel(self, target)
        if 0 in kernel:
            raise BadInput(f"{self} needs a kernel; {target.name!r} has shape {target.shape}.")
        return _law(self.gain, target)

    def draw(self, target: Target, seed: int, elements: Elements | None = None) -> npt.NDArray[Any]:
        """In float64, rounded once to the target's dtype."""
        self.law(target)
        asked = all_elements(target, elements)
        if not len(asked):
            return rounded(np.empty(0), target.dtype)
        chosen = index_array(asked)
        return rounded(self.gain * _kernel(target, seed).reshape(-1)[chosen], target.dtype)


def _law(gain: float, target: Target) -> Law:
    std = gain / math.sqrt(max(*target.shape[:2], 1) * max(math.prod(target.shape[2:]), 1))
    kurtosis = 3.0 * max(math.prod(target.shape[2:]), 1)  # at most: one place may have all of it
    return Law(0.0, std, -gain, gain, kurtosis, fixed_norm=True, structure=Structure.ISOMETRY)


def _kernel(target: Target, seed: int) -> Kernel:
    """Shape (out, in, *kernel); built for the wider side, as a list of matrices by position."""
    outputs, inputs, *sizes = target.shape
    n = max(outputs, inputs)
    taps: dict[tuple[int, ...], Kernel] = {(0,) * len(sizes): orthogonal(seed, target.name, n, min(outputs, inputs))}
    steps = [axis for step in range(max(sizes) - 1) for axis, size in enumerate(sizes) if step < size - 1]
    for number, axis in enumerate(steps):
        basis = _projection_basis(f"{target.name}.{number}", seed, n)
        side_by_side = np.concatenate(list(taps.values()), axis=1)
        projections = np.split(_product(basis, _product(basis.T, side_by_side)), len(taps), axis=1)
        moved: dict[tuple[int, ...], Kernel] = {}
        for (position, matrix), projected in zip(taps.items(), projections, strict=True):
            further = (*position[:axis], position[axis] + 1, *position[axis + 1 :])
            for where, part in ((position, projected), (further, matrix - projected)):
                moved[where] = moved[where] + part if where in moved else part
        taps = moved
    kernel = np.empty((n, min(outputs, inputs), *sizes))
    for position, matrix in taps.items():
        at: Any = (..., *position)
        kernel[at] = matrix
    return kernel if outputs >= inputs else kernel.swapaxes(0, 1)


def _projection_basis(name: str, seed: int, n: int) -> Kernel:
    kept = words(key(seed, name, domain=Domain.MASK), range(n)) >> 31 == 1
    return np.ascontiguousarray(orthogonal(seed, name, n, n)[:, kept])


def _product(a: Kernel, b: Kernel) -> Kernel:
    """A @ b by elementwise operations in one order: the bits depend on no BLAS."""
    result = np.zeros((a.shape[0], b.shape[1]))
    for k in range(a.shape[1]):
        result += a[:, k, None] * b[k]
    return result
