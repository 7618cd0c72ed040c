"""What every function of the drop-in does around its law: dispatch, seed, and the write."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial, wraps
from typing import Any, Final, ParamSpec

import torch
from torch import Generator, Tensor
from torch.overrides import handle_torch_function, has_torch_function_unary

from fanin.errors import BadInput, CannotWrite
from fanin.frameworks.torch.model.seed import draw_seed
from fanin.frameworks.torch.writing.tensor import copy_, dtype_of, fill_, values
from fanin.graph import Fans
from fanin.initializers import Initializer, Target
from fanin.stream import key, sample

P = ParamSpec("P")
PARTS: Final = {torch.complex32: torch.float16, torch.complex64: torch.float32, torch.complex128: torch.float64}


def overridable(function: Callable[P, Tensor]) -> Callable[P, Tensor]:
    """Subclasses of Tensor and function modes see the call itself, as that of a function of torch.

    Under `torch.compile` it breaks the graph and runs eagerly: Dynamo would try to compile the stream.
    """

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> Tensor:
        tensor: Any = args[0] if args else kwargs.get("tensor")
        chosen: Callable[P, Tensor] = function
        if has_torch_function_unary(tensor):
            chosen = partial(handle_torch_function, call, (tensor,))
        elif torch.compiler.is_compiling():
            chosen = torch.compiler.disable(function)  # type: ignore[no-untyped-call]
        return chosen(*args, **kwargs)

    return call


def draw_(
    tensor: Tensor,
    what: Initializer,
    generator: Generator | None,
    seed: int | None,
    name: str,
    fans: Fans | None = None,
) -> Tensor:
    """Fill a tensor by a law; without memory, as on the meta device, there is nothing to do.

    A complex tensor has the law in its real part, and independently (`draw=1` of the stream) in its imaginary part.

    Raises:
        BadInput: both a generator and a seed, or a law that cannot serve the tensor.
        CannotWrite: numbers of that dtype cannot be drawn by this law, or torch.export is recording.
    """
    if generator is not None and seed is not None:
        raise BadInput("Give a generator to draw the seed from, or the seed itself; got both.")
    if torch.compiler.is_exporting():
        raise CannotWrite(f"Nothing was written: {what} cannot be recorded by torch.export. Draw before the export.")
    if tensor.is_meta or is_fake(tensor):
        return tensor
    real = PARTS.get(tensor.dtype)
    dtype = dtype_of(torch.empty(0, dtype=real)) if real else dtype_of(tensor)
    target = Target(name, tuple(tensor.shape), dtype, fans)
    chosen = draw_seed(generator) if seed is None else seed
    if real:
        _draw_complex(tensor, target, what, chosen)
    else:
        fill_(tensor, target, what, chosen)
    return tensor


def share(tensor: Tensor) -> float:
    """The standard deviation of the real part of a number whose standard deviation is 1."""
    return math.sqrt(1 / 2) if tensor.is_complex() else 1.0


def is_fake(tensor: Tensor) -> bool:
    """Whether it is a FakeTensor: it says a device, and has no memory there."""
    from torch._subclasses.fake_tensor import FakeTensor

    return isinstance(tensor, FakeTensor)


def _draw_complex(tensor: Tensor, target: Target, what: Initializer, seed: int) -> None:
    sampling = what.sampling(target)
    if sampling is None:
        raise CannotWrite(f"Nothing was written: {what} draws real numbers only; got a tensor of {tensor.dtype}.")
    whole = torch.empty(tensor.shape, dtype=tensor.dtype, device="cpu")
    for part, place in enumerate((whole.real, whole.imag)):
        drawn = sample(key(seed, target.name, draw=part), range(target.size), sampling, dtype=target.dtype)
        place.copy_(values(drawn, place))
    with torch.no_grad():
        copy_(tensor, whole)
