"""Laws whose numbers the caller gives: uniform, normal, truncated normal."""

from __future__ import annotations

import warnings

from torch import Generator, Tensor

from fanin.compat.torch.call import draw_, overridable, share
from fanin.errors import BadInput
from fanin.initializers import Constant, CutNormal, Normal, Uniform


@overridable
def uniform_(
    tensor: Tensor,
    a: float = 0.0,
    b: float = 1.0,
    generator: Generator | None = None,
    *,
    seed: int | None = None,
    name: str = "",
) -> Tensor:
    """U(a, b), symmetric about its middle; complex: both parts.

    Drawn between the bounds; rounding to the dtype may give a or b itself.

    Args:
        tensor: of any shape, filled in place.
        a: the lower bound.
        b: the upper bound; the same as a fills with a.
        generator: draws the seed; torch's global one if None.
        seed: instead of a generator; then the values depend on it, the name and the index alone.
        name: of the weight, as its path in the model.

    Raises:
        BadInput: b is below a, or both a generator and a seed are given.
        CannotWrite: not a floating or complex dtype of the stream.

    Example:
        >>> import torch
        >>> uniform_(torch.empty(3), -0.05, 0.05, seed=0, name="weight")
        tensor([-0.0159, -0.0322, -0.0469])
    """
    a, b = float(a), float(b)
    return draw_(tensor, Constant(a) if a == b and not tensor.is_complex() else Uniform(a, b), generator, seed, name)


@overridable
def normal_(
    tensor: Tensor,
    mean: float = 0.0,
    std: float = 1.0,
    generator: Generator | None = None,
    *,
    seed: int | None = None,
    name: str = "",
) -> Tensor:
    """N(mean, std²); complex: each part N(mean, std²/2), as torch.

    Args:
        tensor: of any shape, filled in place.
        mean: added with a rounding of its own.
        std: at least 0.
        generator, seed, name: as for `uniform_`.

    Raises:
        BadInput, CannotWrite: as for `uniform_`.

    Example:
        >>> import torch
        >>> normal_(torch.empty(3), std=0.02, seed=0, name="weight")
        tensor([-0.0082, -0.0185, -0.0375])
    """
    return draw_(tensor, Normal(float(std) * share(tensor), float(mean)), generator, seed, name)


@overridable
def trunc_normal_(
    tensor: Tensor,
    mean: float = 0.0,
    std: float = 1.0,
    a: float = -2.0,
    b: float = 2.0,
    generator: Generator | None = None,
    *,
    seed: int | None = None,
    name: str = "",
) -> Tensor:
    """N(mean, std²) given a ≤ value ≤ b, in one pass wherever the window lies: nothing is rejected.

    The bounds are absolute and `std` is that before the cut, as in torch: with std=0.02 the default ±2 is 100 σ and
    cuts nothing. For cuts in σ and the std that one gets: `fanin.fill_(tensor, fanin.TruncatedNormal(std=0.02))`.

    Args:
        tensor: of any shape, filled in place.
        mean: of the normal law before the cut.
        std: likewise, above 0.
        a: the lower bound, −∞ for none; values at it are as the dtype rounds it.
        b: the upper bound; the same as a fills with a.
        generator, seed, name: as for `uniform_`.

    Raises:
        BadInput: as for `uniform_`; or the stream has no word for the window, which lies beyond 6.2 σ or is narrower
            than 1e-9 σ or so.
        CannotWrite: not a floating dtype of the stream.

    Example:
        >>> import torch
        >>> trunc_normal_(torch.empty(3), std=0.02, a=-0.02, b=0.02, seed=0, name="weight")
        tensor([-0.0055, -0.0117, -0.0183])
    """
    mean, std, a, b = float(mean), float(std), float(a), float(b)
    if mean < a - 2 * std or mean > b + 2 * std:
        warnings.warn(
            "mean is more than 2 std from [a, b] in nn.init.trunc_normal_. The values follow the law there, whose own "
            "mean and std are far from those given.",
            stacklevel=3,
        )
    if a > b:
        raise BadInput(f"trunc_normal_: a must be below b; got a={a!r}, b={b!r}.")
    what = Constant(a) if a == b else CutNormal(std, mean, a, b)
    return draw_(tensor, what, generator, seed, name)
