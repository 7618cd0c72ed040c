"""Writing a plan into a model, and verifying afterwards that it is there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from fanin.api.plan import plan
from fanin.frameworks import adapter_of
from fanin.plans import Plan, Verification
from fanin.plans.jitter import jittered
from fanin.plans.make import override
from fanin.plans.overrides import Overrides
from fanin.plans.recipes import Recipe

T = TypeVar("T")


def initialize_(
    model: Any,
    *example: Any,
    recipe: str | Recipe | Plan = "auto",
    overrides: Overrides | None = None,
    jitter: float = 0.0,
    rename: Mapping[str, str] | None = None,
    seed: int | None = None,
) -> Plan:
    """Decide, write, and return the plan that was written: all parameters, or none if anything fails.

    Of a sharded model, each process writes the elements that it holds, and sends nothing (docs/sharding.md).

    Args:
        example: as for `plan`, or none; a finished `Plan` needs none.
        recipe: as for `plan`, or a finished `Plan`.
        jitter, rename: as for `plan`.
        seed: 0 … 2¹²⁸ − 1; every value is a function of the seed, the parameter's name and the element's index.
            None draws one from the framework's own generator, so that `torch.manual_seed` keeps its meaning; not for a
            distributed model, whose processes would draw different ones.

    Raises:
        CannotWrite: a parameter cannot be written; nothing was changed.
        BadInput: the seed is not an integer in its range; nothing was changed.
        All that `plan` raises.

    Example:
        >>> import fanin, torch
        >>> net = torch.nn.Linear(4, 3)
        >>> _ = fanin.initialize_(net, torch.zeros(1, 4), recipe="lecun", seed=0)
        >>> net.weight[0, 0].item(), net.bias.tolist()
        (-0.20..., [0.0, 0.0, 0.0])
    """
    adapter = adapter_of(model, "write_")
    decided = _decided(model, example, recipe, overrides, jitter, rename)
    adapter.write_(model, decided, adapter.draw_seed_for(model) if seed is None else seed)
    return decided


def initialize(
    model: T,
    *example: Any,
    recipe: str | Recipe | Plan = "auto",
    overrides: Overrides | None = None,
    jitter: float = 0.0,
    rename: Mapping[str, str] | None = None,
    seed: Any,
) -> T:
    """The model as the plan starts it, as a new value; what was given stays as it is.

    For models that are values: arrays of NumPy, and models of JAX (docs/jax.md), under `jax.jit` as well. Of a model
    that is a pair of code and arrays, such as a module of Flax Linen, the arrays are given. `plan` says what is drawn.

    Args:
        example, recipe, overrides, jitter, rename: as for `initialize_`.
        seed: 0 … 2¹²⁸ − 1, or for JAX a key; a pure function has no generator to draw one from.

    Raises:
        BadInput: a model that is an object with a state of its own, such as a torch.nn.Module: use `initialize_`.
        All that `plan` raises.

    Example:
        >>> import fanin, numpy as np
        >>> from fanin.compat.numpy import Net, layer
        >>> empty = {"W": np.zeros((64, 32), np.float32), "b": np.zeros(32, np.float32)}
        >>> layers = [layer("linear", weight="W", bias="b", axes=("in", "out"))]
        >>> net = fanin.initialize(Net(empty, layers), recipe="lecun", seed=0)
        >>> net["W"].std().round(3), empty["W"].std()
        (np.float32(0.126), np.float32(0.0))
    """
    adapter = adapter_of(model, "initialized")
    known = adapter.bound(model, *example) if hasattr(adapter, "bound") else model
    started: T = adapter.initialized(known, _decided(known, example, recipe, overrides, jitter, rename), seed)
    return started


def _decided(
    model: Any,
    example: tuple[Any, ...],
    recipe: str | Recipe | Plan,
    overrides: Overrides | None,
    jitter: float,
    rename: Mapping[str, str] | None,
) -> Plan:
    if isinstance(recipe, Plan):
        named = recipe.rename(rename) if rename else recipe
        return jittered(override(named, overrides or {}), jitter)
    return plan(model, *example, recipe=recipe, overrides=overrides, jitter=jitter, rename=rename)


def verify(model: Any, plan: Plan, *, seed: int, blocks: int | None = 8) -> Verification:
    """Whether the model still is what the plan and the seed say, without a checkpoint of its start.

    Blocks of 4096 elements of each parameter, others in each call, are drawn again from the stream and compared with
    the model, bit for bit. Of b blocks among B, one element that was changed is found with a chance of b/B; training
    changes them all. Of a sharded model, each process compares what it holds, and nothing is sent. It never raises on
    what it finds: the result is false, prints as a table, and names the first differing element with both values.

    Args:
        plan: that `initialize_` returned, or one that was read back with `Plan.from_json`.
        seed: with which it was written.
        blocks: of each parameter and process; None compares every element.

    Raises:
        BadInput: no plan, the seed is not an integer in [0, 2¹²⁸), or blocks is not an integer above 0.

    Example:
        >>> import fanin, torch
        >>> net = torch.nn.Linear(4, 3)
        >>> written = fanin.initialize_(net, torch.zeros(1, 4), recipe="lecun", seed=0)
        >>> bool(fanin.verify(net, written, seed=0))
        True
        >>> with torch.no_grad():
        ...     net.bias[1] = 0.5
        >>> found = fanin.verify(net, written, seed=0)
        >>> found.ok, found.differences[0].element, found.differences[0].got
        (False, (1,), 0.5)
        >>> print(found)
        1 parameter(s) are not what the plan (digest 1c719144b005) says
        parameter  what differs                   first at  expected  got
        ─────────────────────────────────────────────────────────────────
        bias       1 of 3 compared values differ  [1]              0  0.5

    Not for: parameters that the plan keeps, of which it knows no values; `Orthogonal(method="qr")` on another machine,
    whose bits are not promised.
    """
    result: Verification = adapter_of(model).verify(model, plan, seed, blocks)
    return result
