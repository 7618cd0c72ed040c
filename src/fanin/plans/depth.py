"""How deep a model is, for recipes whose scale depends on it: residual branches, and stacks of attention layers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from fanin.errors import BadInput
from fanin.graph import Graph, Role
from fanin.graph.attention import Attention
from fanin.graph.paths import Paths
from fanin.graph.residual import ResidualBranch


@dataclass(frozen=True)
class Stack:
    """The layers of one stream of a transformer.

    Attributes:
        stream: its number.
        layers: the branches that attend to the stream itself; one in each layer of an encoder or a decoder.
        decodes: whether it also attends to what is elsewhere (cross attention).
    """

    stream: int
    layers: int
    decodes: bool


def require_roles(graph: Graph, recipe: str, needs: str) -> None:
    """Refuse a graph in which the recipe's roles cannot be seen.

    Raises:
        BadInput: the graph was read from modules alone, without an example.
    """
    if graph.modules_only:
        raise BadInput(
            f"{recipe} needs to know {needs}, and without an example input only the modules of {graph.model} can be "
            "seen, not how signals run between them. Pass one batch: plan(model, x, …), on the command line --input; "
            "or use a recipe that looks at each layer alone, such as auto, he, xavier or lecun."
        )


def require_branches(graph: Graph, recipe: str) -> None:
    """Refuse a model without residual branches.

    Raises:
        BadInput: no x + f(x) was found in it.
    """
    require_roles(graph, recipe, "which weights are in residual branches")
    if not any(p.branch for p in graph.parameters):
        raise BadInput(
            f"{recipe} is made for residual branches, x + f(x), and {graph.model} has none that can be seen. "
            "Use a recipe for plain networks, such as auto, he or xavier."
        )


def stacks(graph: Graph, recipe: str) -> Mapping[str, Stack]:
    """Weight → the stack that it belongs to; keys and values of a cross attention belong to the decoder.

    Raises:
        BadInput: no residual branch, or none that attends.
    """
    require_branches(graph, recipe)
    paths, attended = graph.structure.paths, graph.structure.attentions
    attending: dict[int, set[str]] = {}  # stream → the additions of the branches that attend to it
    crossing: dict[str, int] = {}  # weight of a cross attention → the stream that asks
    for branch in graph.structure.branches:
        for attention in _within(paths, branch, attended):
            if paths.depends(attention.value, branch.fork):
                attending.setdefault(branch.stream, set()).add(branch.add)
            else:
                crossing |= dict.fromkeys(_weights_of(paths, attention), branch.stream)
    if not attending:
        raise BadInput(
            f"{recipe} is made for transformers, and no residual branch of {graph.model} has an attention. "
            "For residual networks without attention use fixup or skipinit."
        )
    found = {s: Stack(s, len(adds), s in crossing.values()) for s, adds in attending.items()}
    streams = {p.path: p.branch.stream for p in graph.parameters if p.branch}
    return {path: found[stream] for path, stream in (crossing | streams).items() if stream in found}


def attending_branches(graph: Graph) -> frozenset[tuple[int, int]]:
    """Stream and index of the branches with a weight that makes queries or values."""
    asks = {Role.QUERY, Role.VALUE}
    return frozenset((p.branch.stream, p.branch.index) for p in graph.parameters if p.branch and asks & set(p.roles))


def _within(paths: Paths, branch: ResidualBranch, attended: tuple[Attention, ...]) -> Iterator[Attention]:
    """The attentions whose result is made in the branch."""
    return (a for a in attended if branch.members >> paths.position[a.output] & 1)


def _weights_of(paths: Paths, attention: Attention) -> Iterator[str]:
    """The weights that make its keys and values."""
    for end in (attention.key, attention.value):
        for name in paths.back(end, lambda name: () if name in paths.weights else paths.sources[name]):
            yield from paths.weights.get(name, ())
