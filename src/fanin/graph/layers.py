"""Layers: each operation with a weight, together with the activation that consumes its output."""

from __future__ import annotations

from dataclasses import dataclass

from fanin.graph.model import ActivationCall, Graph, Node, Role
from fanin.graph.paths import WEIGHTS

# Operations that hand a signal on to the next activation. Normalisation is among them: the activation after it
# is still the one that the weight feeds.
NORMS = frozenset(
    {
        *("batch_norm", "_native_batch_norm_legit_functional", "_native_batch_norm_legit_no_training"),
        *("layer_norm", "rms_norm", "group_norm", "instance_norm"),
    }
)
# Operations whose result has the same elements as their input, each once, in the same or another order.
REARRANGES = frozenset(
    {
        *("alias", "clone", "contiguous", "view", "reshape", "_unsafe_view"),
        *("flatten", "unflatten", "squeeze", "unsqueeze", "transpose", "permute", "t"),
    }
)
PASSES_ON = (
    NORMS
    | REARRANGES
    | frozenset(
        {
            *("dropout", "native_dropout", "to", "_to_copy"),
            *(
                "max_pool1d",
                "max_pool2d",
                "max_pool3d",
                "avg_pool1d",
                "avg_pool2d",
                "avg_pool3d",
                "adaptive_avg_pool2d",
            ),
        }
    )
)


@dataclass(frozen=True)
class Layer:
    """One weight, the operation that uses it, and what becomes of the result.

    Attributes:
        index: 1, 2, … in the order of execution.
        weight: the parameter's path.
        node: the operation with the weight; its output is the pre-activation z.
        output: the node whose value the next layer sees: the activation φ(z), or z itself where none follows.
        activation: None where the result is not fed to one activation.
        next_op: the operation that ends the walk from z: the activation, a residual "add", "output"; or "a branch".
    """

    index: int
    weight: str
    node: Node
    output: Node
    activation: ActivationCall | None
    next_op: str

    @property
    def module(self) -> str:
        """Where it is: the module's path, or the operation's name at the top level."""
        return self.node.module or self.node.name


def layers(graph: Graph) -> tuple[Layer, ...]:
    """Every operation that uses a weight, in the order of execution."""
    paths = graph.paths
    found: list[Layer] = []
    for node in graph.nodes:
        read = paths.weights.get(node.name, ())
        weight = next((path for path in read if graph.by_path[path].role in WEIGHTS), None)
        if weight is not None and node.op not in PASSES_ON:
            last, next_op = _follow(graph, node)
            output = last if last.activation else node
            found.append(Layer(len(found) + 1, weight, node, output, last.activation, next_op))
    return tuple(found)


def goes_to_a_norm(graph: Graph, layer: Layer) -> bool:
    """Whether norms are all that see a layer's result, through what passes it on: then its scale does not matter."""
    return bool(norms_behind(graph, layer))


def norms_behind(graph: Graph, layer: Layer) -> tuple[Node, ...]:
    """The norms that are all that see a layer's result, through what passes it on; () where something else does."""
    name = layer.node.name
    while len(users := graph.users.get(name, ())) == 1 and users[0].op in PASSES_ON - NORMS:
        name = users[0].name
    return users if all(user.op in NORMS for user in users) else ()


def _follow(graph: Graph, start: Node) -> tuple[Node, str]:
    """Walk from `start` to the activation that consumes it; stop where the signal branches or is combined."""
    node = start
    while True:
        users = graph.users.get(node.name, ())
        if not users:
            return node, "output"
        first = users[0]
        if first.activation and all(user.activation == first.activation for user in users):
            return first, first.op
        if len(users) > 1 or not (first.op in PASSES_ON or _adds_a_bias(graph, first)):
            combined = (user.op for user in users if not user.activation and user.op not in PASSES_ON)
            return node, next(combined, "a branch")
        node = first


def _adds_a_bias(graph: Graph, node: Node) -> bool:
    """A bias that is added by hand belongs to the layer before it."""
    return node.op == "add" and any((p := graph.by_path.get(name)) and Role.BIAS in p.roles for name in node.inputs)
