"""A Paddle model as fanin's verbs see it: write a plan into it, compare it with one, predict and tune."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import paddle

from fanin.frameworks import described
from fanin.frameworks.files import save as save_logical
from fanin.frameworks.given import warn_of_overridden
from fanin.frameworks.held import Array, verified
from fanin.frameworks.held import drawn as drawn_values
from fanin.frameworks.measured import name_of
from fanin.frameworks.paddle.loss import slopes_of
from fanin.frameworks.paddle.parameters import given_initializers, parameters, read, require_values
from fanin.frameworks.paddle.trace import Traced
from fanin.graph import Held
from fanin.plans import Plan, Sweep, Verification
from fanin.plans.model import Decision
from fanin.signals import Signals
from fanin.signals.model import RANDOM_COTANGENT
from fanin.signals.propagate import Rule
from fanin.signals.rules import RULES


def constrained(_: Any) -> Mapping[str, Decision]:
    """Nothing binds a parameter of Paddle beyond its layer."""
    return {}


def draw_seed_for(_: Any) -> int:
    """See `draw_seed`."""
    return draw_seed()


def draw_seed() -> int:
    """62 bits of Paddle's generator, so that `paddle.seed` keeps its meaning; advances it."""
    high, low = paddle.randint(0, 2**31 - 1, [2]).tolist()
    return int(high) << 31 | int(low)


def has_values(model: Any) -> bool:
    """Whether its parameters have memory; under `paddle.LazyGuard` they get it when they are written."""
    return all(tensor._is_initialized() for tensor in parameters(model).stored.values())


def write_(model: Any, plan: Plan, seed: int) -> None:
    """Draw every parameter of the plan and set it: all of them, or none.

    All values are drawn before the first is set; where that fails, those before it are undone. Warns of initializers
    that layers were given and that the plan takes the place of.

    Raises:
        CannotWrite: the plan and the model disagree; lists every such parameter.
        BadInput: the seed is not an integer in [0, 2¹²⁸), or the model is none of Paddle.
    """
    own = parameters(model)
    warn_of_overridden(plan, given_initializers(model))
    _set([(own.stored[held.path], array) for held, array in drawn_values(plan, own.held.values(), seed)])


def _set(values: list[tuple[Any, Array]]) -> None:
    before: list[tuple[Any, Any]] = []
    try:
        for tensor, array in values:
            if not tensor._is_initialized():
                tensor.initialize()
            before.append((tensor, tensor.detach().clone()))
            tensor.set_value(paddle.to_tensor(array, dtype=tensor.dtype, place=tensor.place))
    except BaseException:
        for tensor, old in before:
            tensor.set_value(old)
        raise


def verify(model: Any, plan: Plan, seed: int, blocks: int | None = 8) -> Verification:
    """Compare the parameters with the stream; see `fanin.verify`."""
    own = parameters(model)

    def stored(held: Held) -> Array:
        return read(own.stored[held.path])

    return verified(plan, own.held.values(), stored, seed, blocks)


@contextmanager
def drawn(model: Any, plan: Plan, seed: int) -> Iterator[None]:
    """The model as the plan starts it, for as long as the block lasts."""
    own = parameters(model)
    require_values(own)
    values = [(own.stored[held.path], array) for held, array in drawn_values(plan, own.held.values(), seed)]
    before = [(tensor, tensor.detach().clone()) for tensor, _ in values]
    try:
        _set(values)
        yield
    finally:
        for tensor, old in before:
            tensor.set_value(old)


def logical(model: Any) -> Callable[[str], Array]:
    """The values of a parameter in the order of PyTorch's axes, by path."""
    own = parameters(model)

    def of(path: str) -> Array:
        require_values(own)
        return own.held[path].layout.logical(read(own.stored[path]))

    return of


def sweep(traced: Traced, model: Any, _: tuple[Any, ...]) -> Sweep:
    """Predict forward from a plan, tuning; the values of the example do not count."""
    return described.sweep_of(traced, logical(model))


def predict(
    traced: Traced,
    model: Any,
    example: tuple[Any, ...],
    plan: Plan | None = None,
    loss: Any = None,
    rules: Mapping[str, Rule] = RULES,
) -> Signals:
    """See `fanin.predict`.

    Raises:
        BadInput: an operation that has no rule, or a loss that fails.
    """
    slopes, name = (None, RANDOM_COTANGENT) if loss is None else (slopes_of(traced, loss), name_of(loss))
    return described.predict(traced, feed(traced, example), plan, logical(model), rules, slopes, name)


def fed(traced: Traced, example: tuple[Any, ...]) -> dict[str, Any]:
    """The tensors of a batch, by the names of the graph's inputs."""
    tensors = [x for x in paddle.utils.flatten(list(example)) if hasattr(x, "shape") and hasattr(x, "dtype")]
    return dict(zip((one.name for one in traced.graph.inputs), tensors, strict=False))


def feed(traced: Traced, example: tuple[Any, ...]) -> dict[str, Array]:
    """The same as numbers."""
    return {name: read(x) if isinstance(x, paddle.Tensor) else x for name, x in fed(traced, example).items()}


def save(model: Any, path: Path, metadata: Mapping[str, str], plan: Plan) -> int:
    """The parameters as a file of logical weights; returns its size in bytes. See `frameworks.files`."""
    return save_logical(plan, logical(model), path, metadata)


def seed_everything(seed: int) -> None:
    """The generators that a model's constructor draws from, so that the same command builds the same model."""
    paddle.seed(seed % 2**63)


def example_input(shape: tuple[int, ...]) -> Any:
    """A batch of white noise."""
    return paddle.to_tensor(np.random.default_rng(0).standard_normal(shape, np.float32))
