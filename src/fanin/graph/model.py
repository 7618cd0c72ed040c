"""Graph, Node and Parameter: what runs, on what, and where in the user's code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from fanin.graph.fans import Fans
from fanin.graph.parts import Parts

if TYPE_CHECKING:
    from fanin.graph.paths import Paths
    from fanin.graph.structure import Structure


class Role(StrEnum):
    """What a parameter does: below the line in the operation that first uses it, above it in the model as a whole.

    In order of how much they say: where a parameter has several, a rule for an earlier one is asked first.
    """

    POSITION = "position table"
    TOKEN = "token"
    LAYER_SCALE = "layer scale"
    SCALE = "scale"
    SLOPE = "slope"
    MAGNITUDE = "weight magnitude"
    DECAY = "state decay"
    STEP_BIAS = "step-size bias"
    ROUTER = "router"
    QUERY = "attention query"
    KEY = "attention key"
    VALUE = "attention value"
    ATTENTION_OUT = "attention output"
    GATE = "gate"
    UP = "gated value"
    RESIDUAL_OUT = "residual output"
    READOUT = "readout"
    DEPTHWISE = "depthwise"
    EXPERT = "expert"
    FIRST = "first weight"
    # ----
    WEIGHT = "weight"
    RECURRENT = "recurrent weight"
    BIAS = "bias"
    EMBEDDING = "embedding"
    NORM_SCALE = "norm scale"
    NORM_SHIFT = "norm shift"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class ActivationCall:
    """A pointwise activation by its name in `fanin.activations.TABLE`, with the parameters it is called with.

    Attributes:
        assumed: why it is taken to be there, where it is not seen.
    """

    name: str
    parameters: Mapping[str, float] = field(default_factory=dict)
    assumed: str = field(default="", compare=False)

    def __str__(self) -> str:
        inside = ", ".join(f"{k}={v:g}" for k, v in self.parameters.items())
        called = f"{self.name}({inside})" if inside else self.name
        return f"{called} ({self.assumed})" if self.assumed else called


class Ref(NamedTuple):
    """A tensor among the arguments of an operation.

    Attributes:
        name: of the node, the graph input, the constant, or the parameter's path.
        result: which result of a node that has several.
        shape: in which it is seen: a parameter may be seen through views.
        rows: first and last but one of the rows that are seen, where only some of a parameter's are.
    """

    name: str
    result: int = 0
    shape: tuple[int, ...] = ()
    rows: tuple[int, int] | None = None


class Input(NamedTuple):
    """A tensor that the model is called with."""

    name: str
    shape: tuple[int, ...]
    dtype: str


@dataclass(frozen=True)
class Node:
    """One operation.

    Attributes:
        name: unique within the graph.
        op: the operation's name in its framework, such as "linear" or "layer_norm".
        inputs: names of the nodes, parameters' paths, or graph inputs that it reads, in order.
        shape: the shape of its (first) output.
        activation: set where the operation is a pointwise activation.
        module: path of the module that runs it, "" for the model itself.
        source: "file.py:line" of the user's own code, or "" where it is not known.
        arguments: all of the operation's by the names of its schema, plain data with a `Ref` for each tensor.
        shapes: of all its outputs.
        notes: what the graph does not show of it, such as a custom backward rule.
    """

    name: str
    op: str
    inputs: tuple[str, ...]
    shape: tuple[int, ...]
    dtype: str
    activation: ActivationCall | None = None
    module: str = ""
    module_type: str = ""
    source: str = ""
    arguments: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)
    shapes: tuple[tuple[int, ...], ...] = field(default=(), compare=False, repr=False)
    notes: tuple[str, ...] = field(default=(), compare=False, repr=False)

    @property
    def called(self) -> str:
        """The operation as people call it."""
        return operation_name(self.op)


def operation_name(op: str) -> str:
    """As people call it.

    Example:
        >>> [operation_name(op) for op in ("_native_batch_norm_legit_functional", "native_dropout", "_softmax")]
        ['batch_norm', 'dropout', 'softmax']
    """
    return op.removeprefix("_").removeprefix("native_").partition("_legit")[0]


@dataclass(frozen=True)
class Branch:
    """The residual branch that a weight is in.

    Attributes:
        stream: the number of the stream that the branch is added to.
        index: of the branch among those of its stream, from 0.
        count: the branches of the stream.
        step: of the weight along the branch, from 1; weights side by side, such as query and key, are one step.
        steps: of the branch.
        normed: each addition of the stream goes through a norm at once, which stands on the skip ("post-LN").
    """

    stream: int
    index: int
    count: int
    step: int
    steps: int
    normed: bool = False


@dataclass(frozen=True)
class Parameter:
    """One tensor to initialize.

    Attributes:
        path: its first name in the model; the name under which it is drawn, unless `name` says another.
        shape: of the logical weight, (out, in, kernel, …) as PyTorch has it, however the framework stores it.
        fans: None where the operation gives no meaning to fans; of one part, where there are parts.
        also: further names of the same tensor (tied weights).
        node: the operation that first reads it, None if none does.
        frozen: not to be trained; recipes leave it as it is.
        parts: the logical tensors that it packs, each drawn under its own name; None if it is one.
        further: what it is in the whole model, beside `role`.
        branch: the residual branch that it is in, for weights.
        owner: the classes of the module that it belongs to, as "package.module.Class", the most special first; of tied
            weights, of each such module.
        name: under which its values are drawn, where that is not the path.
        stored: the axes of the tensor, as the framework stores it, in the order of the logical shape; () where they lie
            in that order.
    """

    path: str
    shape: tuple[int, ...]
    dtype: str
    role: Role = Role.UNKNOWN
    fans: Fans | None = None
    also: tuple[str, ...] = ()
    node: str | None = None
    frozen: bool = False
    parts: Parts | None = None
    further: tuple[Role, ...] = ()
    branch: Branch | None = None
    owner: tuple[str, ...] = ()
    name: str = ""
    stored: tuple[int, ...] = ()

    @property
    def drawn_as(self) -> str:
        """The name under which its values are drawn."""
        return self.name or self.path

    @property
    def roles(self) -> tuple[Role, ...]:
        """All of its roles, the one that says most first."""
        return (*self.further, self.role)


@dataclass(frozen=True)
class Graph:
    """A model's operations in the order they run, and its parameters in the order they are named.

    Attributes:
        inputs: what the model is called with.
        outputs: what it returns, tensor by tensor.
        notes: how it was recorded, where it holds for one run only, and what it does not show.
        modules_only: nothing was run: what each module holds is known, not how signals flow between them.
    """

    model: str
    nodes: tuple[Node, ...]
    parameters: tuple[Parameter, ...]
    inputs: tuple[Input, ...] = ()
    outputs: tuple[Ref, ...] = ()
    notes: tuple[str, ...] = ()
    modules_only: bool = False

    @cached_property
    def by_name(self) -> Mapping[str, Node]:
        """Node by name."""
        return {node.name: node for node in self.nodes}

    @cached_property
    def by_path(self) -> Mapping[str, Parameter]:
        """Parameter by any of its names."""
        return {path: p for p in self.parameters for path in (p.path, *p.also)}

    @cached_property
    def users(self) -> Mapping[str, tuple[Node, ...]]:
        """The nodes that read a node or a parameter, in the order they run."""
        users: dict[str, list[Node]] = {}
        for node in self.nodes:
            for name in dict.fromkeys(node.inputs):
                users.setdefault(name, []).append(node)
        return {name: tuple(nodes) for name, nodes in users.items()}

    @cached_property
    def paths(self) -> Paths:
        """What depends on what."""
        from fanin.graph.paths import Paths

        return Paths(self)

    @cached_property
    def structure(self) -> Structure:
        """Attentions and residual branches."""
        from fanin.graph.structure import structure_of

        return structure_of(self)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            "model": self.model,
            "notes": list(self.notes),
            "nodes": [
                {
                    "name": n.name,
                    "op": n.op,
                    "inputs": list(n.inputs),
                    "shape": list(n.shape),
                    "dtype": n.dtype,
                    "activation": str(n.activation) if n.activation else None,
                    "module": n.module,
                    "source": n.source,
                }
                for n in self.nodes
            ],
        }
