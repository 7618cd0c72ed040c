"""A declared net as a model: describe it, fill its arrays, compare them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from fanin.errors import BadInput, CannotWrite
from fanin.frameworks.described import Described, sweep_of
from fanin.frameworks.described import predict as predicted
from fanin.frameworks.files import save as save_logical
from fanin.frameworks.held import Array, drawn, verified
from fanin.frameworks.numpy.array import draw_seed
from fanin.frameworks.numpy.describe import described, held_by
from fanin.frameworks.numpy.net import Net
from fanin.graph import Graph, Held
from fanin.plans import Plan, Sweep, Verification
from fanin.plans.model import Decision
from fanin.signals import Signals
from fanin.signals.propagate import Rule
from fanin.signals.rules import RULES


def trace(model: Net, *example: Any) -> Described:
    """The graph for one batch, of which only the shape matters.

    Raises:
        BadInput: no net, or no array.
    """
    _require(model)
    if len(example) > 1 or (example and not hasattr(example[0], "shape")):
        raise BadInput("A NumPy net is called with one array: plan(net, x).")
    return Described(described(model, tuple(map(int, example[0].shape)) if example else ()))


def has_values(_: Net) -> bool:
    """Arrays always have."""
    return True


def knows_inputs(_: Net) -> bool:
    """Its layers are declared, and no batch is needed to see them."""
    return True


def read_modules(model: Net) -> Graph:
    """The same without a batch: the layers are declared, so they are known."""
    return trace(model).graph


def sweep(traced: Described, model: Net, _: tuple[Any, ...]) -> Sweep:
    """Predict forward from a plan, tuning; the values of the example do not count."""
    return sweep_of(traced, _logical(model))


def predict(
    traced: Described,
    model: Net,
    example: tuple[Any, ...],
    plan: Plan | None = None,
    loss: Any = None,
    rules: Mapping[str, Rule] = RULES,
) -> Signals:
    """See `fanin.predict`; gradients are those of ⟨output, v⟩/batch.

    Raises:
        BadInput: a loss, of which NumPy knows no gradient.
    """
    if loss is not None:
        raise BadInput("fanin.predict takes no loss for a net of NumPy arrays, which cannot differentiate it.")
    given = {one.name: np.asarray(x) for one, x in zip(traced.graph.inputs, example, strict=False)}
    return predicted(traced, given, plan, _logical(model), rules)


def _logical(model: Net) -> Callable[[str], Array]:
    held = {one.path: one for one in held_by(model)}
    return lambda path: held[path].layout.logical(model[path])


def constrained(_: Net) -> Mapping[str, Decision]:
    """Nothing binds an array."""
    return {}


def draw_seed_for(_: Net) -> int:
    """See `draw_seed`."""
    return draw_seed()


def write_(model: Net, plan: Plan, seed: int) -> None:
    """Fill the net's own arrays: all of them, or none.

    Raises:
        CannotWrite: the plan and the net disagree, or an array is read-only.
        BadInput: no net, or a bad seed.
    """
    _require(model)
    if fixed := [name for name, array in model.items() if not array.flags.writeable]:
        raise CannotWrite(f"Nothing was written: {', '.join(fixed)} is read-only. fanin.initialize gives new arrays.")
    before: dict[str, Array] = {}
    try:
        for held, values in drawn(plan, held_by(model), seed):
            before[held.path] = model[held.path].copy()
            model[held.path][...] = values
    except BaseException:
        for name, array in before.items():
            model[name][...] = array
        raise


def initialized(model: Net, plan: Plan, seed: int) -> Net:
    """A net of new arrays."""
    _require(model)
    arrays = {name: array.copy() for name, array in model.items()}
    arrays |= {held.path: values.astype(held.dtype, copy=False) for held, values in drawn(plan, held_by(model), seed)}
    return model.with_arrays(arrays)


def verify(model: Net, plan: Plan, seed: int, blocks: int | None = 8) -> Verification:
    """Compare the arrays with the stream; see `fanin.verify`."""
    _require(model)

    def read(held: Held) -> Array:
        return np.asarray(model[held.path])

    return verified(plan, held_by(model), read, seed, blocks)


def save(model: Net, path: Path, metadata: Mapping[str, str], plan: Plan) -> int:
    """The arrays as a file of logical weights; returns its size in bytes. See `frameworks.files`."""
    return save_logical(plan, _logical(model), path, metadata)


def example_input(shape: tuple[int, ...]) -> Array:
    """A batch of white noise."""
    return np.random.default_rng(0).standard_normal(shape, np.float32)


def _require(model: object) -> None:
    if not isinstance(model, Net):
        _explain(model)


def _explain(model: object) -> NoReturn:
    """A bare container of arrays does not say what they do."""
    names = list(model) if isinstance(model, dict) else []
    first = repr(names[0]) if names else "'W1'"
    raise BadInput(
        f"A {type(model).__name__} of arrays does not say what is done with them. Declare its layers: "
        f"from fanin.compat.numpy import Net, layer; Net(arrays, [layer('linear', weight={first}, "
        "axes=('in', 'out'), activation='relu'), …]) (docs/frameworks.md). For one array: fanin.fill_."
    )
