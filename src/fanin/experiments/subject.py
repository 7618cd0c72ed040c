"""What recipes are compared on: a net and its data."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from hashlib import sha256
from typing import Any

import torch
from torch import nn

from fanin.call import bind
from fanin.errors import BadInput, FaninError, ShapeMismatch
from fanin.experiments.data import DATA, Data, Loss
from fanin.experiments.data.given import given
from fanin.experiments.nets import NETS
from fanin.frameworks.torch import Traced, constrained, seen, sweep, trace
from fanin.graph import Graph
from fanin.plans import Plan, make_plan

Build = Callable[..., nn.Module]


@dataclass(frozen=True, eq=False)
class Subject:
    """A net and its data as the caller names them; built, traced and digested once in every process.

    Attributes:
        net: of `NETS`, with its arguments, or a function that builds a model, from its data or without.
    """

    net: str | Build
    data: Data
    data_name: str

    @property
    def name(self) -> str:
        """Of the net, in tables."""
        return self.net if isinstance(self.net, str) else name_of_function(self.net)

    @cached_property
    def model(self) -> nn.Module:
        """The net as it is built, the same in every process; PyTorch's random state is left as it was."""
        build = bind("net", self.net, NETS) if isinstance(self.net, str) else self.net
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            try:
                built = built_for(build, self.data)
            except FaninError:
                raise
            except Exception as error:
                raise BadInput(f"{self.name} raised {type(error).__name__}: {error}") from error
        if not isinstance(built, nn.Module):
            raise BadInput(f"{self.name} must return a torch.nn.Module; got {type(built).__name__}.")
        return built

    @cached_property
    def traced(self) -> Traced:
        """Its graph on two samples.

        Raises:
            ShapeMismatch: its answers are not of the shape that the loss takes.
        """
        found = trace(self.model, *self.example)
        answers = (2, *self.data.targets.shape[1:])
        expected = answers if self.data.loss is Loss.SQUARED_ERROR else (*answers, self.data.outputs)
        with torch.no_grad():
            out = self.model(*self.example)
        got = tuple(out.shape) if isinstance(out, torch.Tensor) else type(out).__name__
        if got != expected:
            raise ShapeMismatch(
                f"{self.name} answers {got} to two samples of {self.data_name}; expected {expected}, "
                f"{'a number for each target' if self.data.loss is Loss.SQUARED_ERROR else 'a logit for each class'}."
            )
        return found

    def traced_on(self, samples: int) -> Traced:
        """Its graph on so many samples, traced once."""
        if samples not in self._traced:
            self._traced[samples] = trace(self.model, torch.from_numpy(self.data.inputs[:samples]))
        return self._traced[samples]

    @cached_property
    def _traced(self) -> dict[int, Traced]:
        return {}

    @property
    def example(self) -> tuple[torch.Tensor, ...]:
        """Two samples."""
        return (torch.from_numpy(self.data.inputs[:2]),)

    @cached_property
    def digest(self) -> dict[str, str]:
        """All that decides a trial beside its start and its training."""
        arrays = (self.data.inputs, self.data.targets, self.data.test_inputs, self.data.test_targets)
        return {
            "net": self.name,
            "structure": _hash(_structure(self.traced.graph)),
            "source": "" if isinstance(self.net, str) else _hash(_source(self.net)),
            "data": sha256(b"".join(a.tobytes() for a in arrays)).hexdigest(),
            "loss": str(self.data.loss),
        }

    def plan(self, recipe: Any) -> Plan:
        """What `fanin.plan` decides for the net; a finished plan as it is."""
        graph = self.traced.graph
        if isinstance(recipe, Plan):
            return recipe
        if hasattr(recipe, "built"):
            recorded: Plan = recipe.built(self.model, graph).plan
            return recorded
        if recipe == "as_built":
            return seen(self.model, graph).decide(constrained(self.model))
        swept = sweep(self.traced, self.model, self.example)
        return make_plan(graph, recipe, None, swept, constrained(self.model))

    def __getstate__(self) -> dict[str, Any]:
        """For another process, which builds the net itself, but need not trace it again."""
        known = {"digest": self.digest} if "digest" in self.__dict__ else {}
        return {"net": self.net, "data": self.data, "data_name": self.data_name, **known}


def subject(net: str | Build, data: Any) -> Subject:
    """A net and data as `fanin.compare` takes them.

    Raises:
        UnknownName: no net or data of that name.
        BadInput: something else.
    """
    if isinstance(net, nn.Module) or not (isinstance(net, str) or callable(net)):
        got = f"a {type(net).__name__} that is built" if isinstance(net, nn.Module) else repr(net)
        raise BadInput(
            "net: expected a name such as 'perceptron(depth=30)', or a function that builds the model anew in every "
            f"process, such as build in def build(): return MyNet(); got {got}."
        )
    found = given(data, DATA)
    return Subject(net, found, data if isinstance(data, str) else found.name)


def built_for(build: Build, data: Data) -> nn.Module:
    """What a function makes of the data, or without them where it asks for nothing; defaults are its own."""
    try:
        asked = inspect.signature(build).parameters.values()
    except ValueError:  # nothing is known of it
        return build(data)
    by_place = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return build(data) if any(p.kind in by_place and p.default is p.empty for p in asked) else build()


def name_of_function(build: Any) -> str:
    """As "module.function", with the arguments of a partial."""
    if isinstance(build, partial):
        bound = [*map(repr, build.args), *(f"{key}={value!r}" for key, value in build.keywords.items())]
        return f"{name_of_function(build.func)}({', '.join(bound)})"
    if hasattr(build, "reference"):
        return str(build.reference)
    return f"{getattr(build, '__module__', '')}.{getattr(build, '__qualname__', type(build).__qualname__)}"


def _structure(graph: Graph) -> list[Any]:
    """What runs, in plain data: another activation, slope or order of operations is another net."""
    return [
        [
            [n.op, list(n.inputs), list(n.shape), n.dtype, _plain(n.arguments)]
            + ([n.activation.name, _plain(n.activation.parameters)] if n.activation else [])
            for n in graph.nodes
        ],
        [[p.path, list(p.shape), p.dtype, p.frozen] for p in graph.parameters],
    ]


def _plain(arguments: Mapping[str, Any]) -> list[Any]:
    """The arguments of a call that are numbers, names, or lists of those; others have addresses in their text."""

    def simple(x: Any) -> bool:
        return x is None or isinstance(x, str | int | float) or (isinstance(x, tuple | list) and all(map(simple, x)))

    return sorted([str(key), repr(value)] for key, value in arguments.items() if simple(value))


def _source(build: Any) -> str:
    """The text of the function, as what it builds may compute with what no graph shows."""
    while isinstance(build, partial):
        build = build.func
    if hasattr(build, "source"):
        return str(build.source)
    try:
        return inspect.getsource(build if inspect.isroutine(build) or inspect.isclass(build) else type(build))
    except (OSError, TypeError):
        return ""


def _hash(what: Any) -> str:
    return sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()
