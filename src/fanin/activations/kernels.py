"""E φ(u) φ(v) for two correlated Gaussians: what a layer makes of the likeness of two inputs.

u and v are split into what they share and what is each one's own, u = m + σ(√c·z + √(1−c)·y). Given z they are
independent, so that E φ(u) φ(v) = E g(z) h(z) with g(z) = E[φ(u) | z]: two integrals over a line instead of one over
the plane, both adaptive. g is φ smoothed over σ√(1−c), which is why neither a kink nor c near ±1 costs accuracy.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from fanin.activations.closed_forms import closed_form
from fanin.activations.quadrature import Array, Function, evaluate, gaussian_expectation, gaussian_expectations
from fanin.activations.remember import remember
from fanin.activations.resolve import CentralDifference, resolve
from fanin.activations.table import Activation
from fanin.errors import BadInput

INNER, OUTER = 1e-11, 1e-10  # tolerances relative to √(E φ(u)² · E φ(v)²); the outer integral must not see the inner's
BY_DIFFERENCES = 1e-8  # both, where φ' is no better than that

Pair = float | tuple[float, float]


def kernel(
    what: str | Activation | Function,
    correlation: float,
    *,
    std: Pair = 1.0,
    mean: Pair = 0.0,
    **parameters: float,
) -> float:
    """E φ(u) φ(v) for jointly Gaussian u and v: the dual, or NNGP kernel of an activation.

    In closed form where one is known and both means are 0, else by quadrature. The error is about 1e-9 of
    √(E φ(u)² · E φ(v)²), and 1e-7 where a function jumps at a place that is not among its kinks.

    Args:
        what: a name, an Activation or a function on float64 NumPy arrays; see `activation`.
        correlation: of u and v, from −1 to 1.
        std: of both, or one of each.
        mean: of both, or one of each.
        parameters: of a named activation.

    Raises:
        BadInput: as `activation` and `gaussian_expectation`; a correlation outside [−1, 1].

    Example:
        >>> round(kernel("relu", 0.5), 6), round(kernel("tanh", 0.5, std=(1.0, 2.0)), 6)
        (0.304499, 0.22588)

    References: Cho & Saul 2009; Daniely, Frostig & Singer 2016 (dual activations); Lee et al. 2018 (NNGP).
    """
    return kernel_of(resolve(what, None, parameters), correlation, std=std, mean=mean)


def derivative_kernel(
    what: str | Activation | Function,
    correlation: float,
    *,
    std: Pair = 1.0,
    mean: Pair = 0.0,
    **parameters: float,
) -> float:
    """E φ'(u) φ'(v): how alike the gradients of two inputs stay, and the slope of the correlation map.

    φ' is the almost-everywhere derivative. Where φ jumps, ∂E φ(u) φ(v)/∂E uv has a further term, which grows without
    bound as the correlation nears 1.

    Args and Raises: as `kernel`. With φ' taken by differences the error is about 1e-7.

    Example:
        >>> round(derivative_kernel("relu", 0.5), 6)
        0.333333
    """
    return kernel_of(resolve(what, None, parameters), correlation, std=std, mean=mean, derivative=True)


def kernel_of(
    phi: Activation, correlation: float, *, std: Pair = 1.0, mean: Pair = 0.0, derivative: bool = False
) -> float:
    """What `kernel` and `derivative_kernel` do, for an Activation."""
    if not -1 <= correlation <= 1:
        raise BadInput(f"A correlation lies in [-1, 1]; got {correlation!r}.")
    stds, means = _pair(std, "std"), _pair(mean, "mean")
    if min(stds) < 0:
        raise BadInput(f"A std is at least 0; got {std!r}.")
    known = closed_form(phi) if means == (0.0, 0.0) else None
    if known is not None:
        p, q = stds[0] ** 2, stds[1] ** 2
        return known[derivative](p, q, correlation * stds[0] * stds[1])
    return kernel_by_quadrature(phi, correlation, stds, means, derivative)


def kernel_by_quadrature(
    phi: Activation, correlation: float, std: tuple[float, float], mean: tuple[float, float], derivative: bool
) -> float:
    """The kernel of φ, or of φ', with no use of a closed form."""
    function = phi.derivative if derivative else phi.function
    rough = isinstance(function, CentralDifference)
    inner, outer = (BY_DIFFERENCES, BY_DIFFERENCES) if rough else (INNER, OUTER)
    shared, own = math.sqrt(abs(correlation)), math.sqrt(1 - abs(correlation))
    signs = (1.0, math.copysign(1.0, correlation))

    def factor(m: float, s: float, sign: float) -> tuple[Function, list[float], float]:
        """E[φ | z], where it bends, and √E φ²."""
        size = math.sqrt(_second_moment(function, s, m, phi.kinks))

        def given(z: Array) -> Array:
            means = m + sign * s * shared * z
            return gaussian_expectations(
                function, means, std=s * own, kinks=phi.kinks, tolerance=inner, absolute=inner * size
            ).value

        if s * shared == 0:
            return given, [], size
        width = own / shared  # of a kink, in z, once it is smoothed: cut around it, lest it fall between the nodes
        kinks = phi.kinks if width > 0.25 else (0.0, *phi.kinks)  # where functions bend that do not say so
        centres = [(kink - m) / (sign * s * shared) for kink in kinks]
        return given, [centre + far * width for centre in centres for far in (-6, -2, 0, 2, 6)], size

    g, g_bends, g_size = factor(mean[0], std[0], signs[0])
    h, h_bends, h_size = factor(mean[1], std[1], signs[1])
    same = correlation >= 0 and (mean[0], std[0]) == (mean[1], std[1])
    product: Callable[[Array], Array] = (lambda z: g(z) ** 2) if same else (lambda z: g(z) * h(z))
    return gaussian_expectation(
        product,
        kinks=[bend for bend in {*g_bends, *h_bends} if abs(bend) < 1e3],
        tolerance=outer,
        absolute=outer * g_size * h_size,
    )


@remember(1024)
def _second_moment(function: Function, std: float, mean: float, kinks: tuple[float, ...]) -> float:
    return gaussian_expectation(lambda x: evaluate(function, x) ** 2, std=std, mean=mean, kinks=kinks)


def _pair(value: Pair, name: str) -> tuple[float, float]:
    one, other = value if isinstance(value, tuple) else (value, value)
    if not (math.isfinite(one) and math.isfinite(other)):
        raise BadInput(f"A kernel needs a finite {name}; got {value!r}.")
    return float(one), float(other)
