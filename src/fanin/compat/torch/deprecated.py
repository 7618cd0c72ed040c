"""The names of torch before 0.4, without the underscore; each warns and calls the one with it."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from fanin.compat.torch.fixed import constant_, dirac_, eye_
from fanin.compat.torch.plain import normal_, uniform_
from fanin.compat.torch.scaled import kaiming_normal_, kaiming_uniform_, xavier_normal_, xavier_uniform_
from fanin.compat.torch.structured import orthogonal_, sparse_

P = ParamSpec("P")
R = TypeVar("R")


def _make_deprecate(meth: Callable[P, R]) -> Callable[P, R]:
    """The function under its old name, which warns."""
    new = meth.__name__
    old = new[:-1]

    def deprecated(*args: P.args, **kwargs: P.kwargs) -> R:
        warnings.warn(f"`nn.init.{old}` is now deprecated in favor of `nn.init.{new}`.", FutureWarning, stacklevel=2)
        return meth(*args, **kwargs)

    deprecated.__name__ = deprecated.__qualname__ = old
    deprecated.__doc__ = f"Deprecated: `{new}`."
    return deprecated


uniform = _make_deprecate(uniform_)
normal = _make_deprecate(normal_)
constant = _make_deprecate(constant_)
eye = _make_deprecate(eye_)
dirac = _make_deprecate(dirac_)
xavier_uniform = _make_deprecate(xavier_uniform_)
xavier_normal = _make_deprecate(xavier_normal_)
kaiming_uniform = _make_deprecate(kaiming_uniform_)
kaiming_normal = _make_deprecate(kaiming_normal_)
orthogonal = _make_deprecate(orthogonal_)
sparse = _make_deprecate(sparse_)
