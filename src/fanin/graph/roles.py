"""Roles: what each parameter does in the whole model, beside what it does in its operation.

To teach a role: a member of `Role`, and a line in `_found` that says which parameters have it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

from fanin.graph.attention import Attention
from fanin.graph.layers import NORMS
from fanin.graph.model import Branch, Graph, Node, Parameter, Ref, Role
from fanin.graph.paths import WEIGHTS, Paths
from fanin.graph.residual import ResidualBranch

# Which of several roles says most: a rule for an earlier one is asked first.
ORDER: Final = tuple(Role)
STEP_BIAS: Final = re.compile(r"dt_(proj\.)?bias$")
EXPERTS: Final = re.compile(r"(^|[._])experts?([._]|$)")
SPLITS: Final = frozenset({"getitem", "slice", "narrow", "select", "chunk", "split", "split_with_sizes", "unbind"})
POSITIONS: Final = re.compile(r"(^|[._])(wpe|pos\w*)([._]|$)")


def with_roles(graph: Graph) -> Graph:
    """The graph whose parameters say all of their roles, and in which residual branch they are.

    Roles come from what runs: an attention's query is what its softmax weighs keys with, whatever the module is called.
    Names decide only where operations cannot: experts kept in a list, tables of positions whose indices are computed,
    and the step sizes of state-space models.
    """
    structure = graph.structure
    paths, branches = structure.paths, structure.branches
    roles: dict[str, set[Role]] = {}
    for path, role in (
        *((path, Role.ROUTER) for path in structure.routers),
        *_found(paths, structure.attentions, branches),
    ):
        roles.setdefault(path, set()).add(role)
    places = _places(paths, branches)

    def described(p: Parameter) -> Parameter:
        further = roles.get(p.path, set()) - {p.role}
        ordered = tuple(sorted(further, key=ORDER.index))
        return replace(p, further=ordered, branch=places.get(p.path))

    return replace(graph, parameters=tuple(described(p) for p in graph.parameters))


def _found(
    paths: Paths, attended: Sequence[Attention], branches: Sequence[ResidualBranch]
) -> Iterator[tuple[str, Role]]:
    graph = paths.graph
    additions = {branch.add for branch in branches}
    for attention in attended:
        for end, role in (
            (attention.query, Role.QUERY),
            (attention.key, Role.KEY),
            (attention.value, Role.VALUE),
        ):
            yield from ((path, role) for path in _weights_behind(paths, end, additions))
        yield from ((path, Role.ATTENTION_OUT) for path in _next_weights(paths, attention.output))
    for branch in branches:
        yield from ((path, Role.RESIDUAL_OUT) for name in branch.last for path in paths.weights[name])
    yield from _readouts(paths)
    for node in graph.nodes:
        yield from _of_node(paths, node, branches)
    for p in graph.parameters:
        if p.role in WEIGHTS and ((p.parts and p.parts.slices and not _one_by_one(paths, p)) or EXPERTS.search(p.path)):
            yield p.path, Role.EXPERT
        if p.role is Role.EMBEDDING and POSITIONS.search(p.path):
            yield p.path, Role.POSITION
        if STEP_BIAS.search(p.path):
            yield p.path, Role.STEP_BIAS


def _one_by_one(paths: Paths, stack: Parameter) -> bool:
    """Whether the matrices of a stack are layers, one behind the other, rather than experts side by side."""
    users = paths.graph.users.get(stack.path, ())
    return len(users) > 1 and paths.depends(users[-1].name, users[0].name)


def _of_node(paths: Paths, node: Node, branches: Sequence[ResidualBranch]) -> Iterator[tuple[str, Role]]:
    graph = paths.graph
    weights = paths.weights.get(node.name, ())
    sources = paths.sources[node.name]
    if weights and node.op != "embedding":
        if not any(name in paths.weights for source in sources for name in _to_weights(paths, source)):
            yield from ((path, Role.FIRST) for path in weights)
        groups = node.arguments.get("groups", 1)
        if isinstance(groups, int) and groups > 1 and groups == _channels(graph, node):
            yield from ((path, Role.DEPTHWISE) for path in weights)
    if node.op == "embedding" and not _reads_an_input(paths, node.arguments.get("indices")):
        yield from ((path, Role.POSITION) for path in weights)
    if node.op == "mul" and len(sources) == 2:
        yield from _gated(paths, sources)
    if node.op == "glu":
        for path in _weights_behind(paths, sources[0], ()):
            yield from ((path, Role.GATE), (path, Role.UP))
    yield from _alone(paths, node, branches)


def _reads_an_input(paths: Paths, indices: object) -> bool:
    """Whether indices come from what the model is called with; False where they are the same in every call."""
    if not isinstance(indices, Ref):
        return True  # not known
    inputs = {i.name for i in paths.graph.inputs}
    return indices.name in paths.position and any(n in inputs for n in paths.nodes_in(paths.before[indices.name]))


def _alone(paths: Paths, node: Node, branches: Sequence[ResidualBranch]) -> Iterator[tuple[str, Role]]:
    """Parameters that are added, multiplied, or set beside a signal, in no operation of layers."""
    graph = paths.graph
    for name in node.inputs:
        p = graph.by_path.get(name)
        if p is None or p.role is not Role.UNKNOWN or p.node != node.name:
            continue
        vector = sum(n > 1 for n in p.shape) <= 1
        if "prelu" in node.op:
            yield p.path, Role.SLOPE
        elif node.op == "exp" and (len(p.shape) > 1 or any(u.op == "neg" for u in graph.users.get(node.name, ()))):
            yield p.path, Role.DECAY
        elif node.op == "cat":
            yield p.path, Role.TOKEN
        elif node.op == "add" and paths.sources[node.name]:
            yield p.path, Role.BIAS if vector and len(p.shape) <= 1 else Role.POSITION
        elif node.op == "mul" and vector and paths.sources[node.name]:
            at_end = any(b.members >> paths.position[node.name] & 1 and _behind_last(paths, b, node) for b in branches)
            yield p.path, Role.LAYER_SCALE if at_end else Role.SCALE


def _behind_last(paths: Paths, branch: ResidualBranch, node: Node) -> bool:
    """Whether the operation stands between the branch's last weights and the addition."""
    return any(paths.depends(node.name, last) for last in branch.last)


def _gated(paths: Paths, sources: Sequence[str]) -> Iterator[tuple[str, Role]]:
    """The halves of a gated unit a · φ(b), of which neither is computed from the other."""
    a, b = sources
    shapes = {node.shape for source in sources if (node := paths.node(source)) is not None}
    if len(shapes) > 1 or any(paths.depends(x, y) and not _split(paths.node(y)) for x, y in ((a, b), (b, a))):
        return
    acts = [_activated(paths, source) for source in sources]
    if (acts[0] is None) == (acts[1] is None):  # products of gates, or of no activation, are something else
        return
    chains = [paths.to_weight(source if act is None else act) for source, act in zip(sources, acts, strict=True)]
    if not all(chains) or (chains[0][-1] == chains[1][-1] and not any(map(_split, (paths.node(n) for n in chains[0])))):
        return  # x · (1 + tanh x), by hand, is one activation
    for chain, activated in zip(chains, acts, strict=True):
        yield from ((path, Role.UP if activated is None else Role.GATE) for path in paths.weights[chain[-1]])


def _split(node: Node | None) -> bool:
    """Whether the operation takes a part of what a packed weight made."""
    return node is not None and node.op in SPLITS


def _activated(paths: Paths, name: str) -> str | None:
    """The activation whose result is seen here, through operations of one input that leave it as it is."""
    while True:
        node = paths.node(name)
        if node is None or name in paths.weights:
            return None
        if node.activation is not None:
            return name
        if len(paths.sources[name]) == 2 and node.op == "mul":  # x · sigmoid(x), by hand
            a, b = paths.sources[name]
            gate = next((y for x, y in ((a, b), (b, a)) if paths.depends(y, x) and _activated(paths, y)), None)
            return None if gate is None else _activated(paths, gate)
        if len(paths.sources[name]) != 1:
            return None
        name = paths.sources[name][0]


def _weights_behind(paths: Paths, start: str, additions: Sequence[str] | set[str]) -> list[str]:
    """The first weights met against the flow; a residual addition ends the walk."""

    def onward(name: str) -> Sequence[str]:
        return () if name in paths.weights or name in additions else paths.sources[name]

    return [path for name in paths.back(start, onward) for path in paths.weights.get(name, ())]


def _to_weights(paths: Paths, start: str) -> dict[str, None]:
    """All that is met against the flow before a weight is, weights and graph inputs included."""
    return paths.back(start, lambda name: () if name in paths.weights else paths.sources[name])


def _next_weights(paths: Paths, start: str) -> Iterator[str]:
    """The weights that take the result, through operations of one input that leave it as it is."""
    pending = list(paths.graph.users.get(start, ()))
    while pending:
        node = pending.pop()
        if node.name in paths.weights:
            yield from paths.weights[node.name]
        elif len(paths.sources[node.name]) == 1 and node.activation is None:
            pending.extend(paths.graph.users.get(node.name, ()))


def _readouts(paths: Paths) -> Iterator[tuple[str, Role]]:
    """Weights whose result is the model's, through operations of one input; nothing else uses it on the way."""
    outputs = {ref.name for ref in paths.graph.outputs}
    for output in outputs & paths.position.keys():
        name = output
        while name not in paths.weights and len(paths.sources[name]) == 1:
            if len(paths.graph.users.get(paths.sources[name][0], ())) > 1:
                break
            name = paths.sources[name][0]
        alone = name == output or name not in outputs
        if name in paths.weights and alone and len(paths.graph.users.get(name, ())) <= (0 if name == output else 1):
            yield from ((path, Role.READOUT) for path in paths.weights[name])


def _channels(graph: Graph, node: Node) -> int:
    shape = next((graph.by_name[n].shape for n in node.inputs if n in graph.by_name), None)
    shape = shape or next((i.shape for i in graph.inputs if i.name in node.inputs), ())
    spatial = len(node.shape) - 2
    return shape[-spatial - 1] if len(shape) > spatial else 0


def _places(paths: Paths, branches: Sequence[ResidualBranch]) -> dict[str, Branch]:
    """Weight → its branch, the innermost where branches lie in each other, and its step there."""
    counts: dict[int, int] = {}
    for branch in branches:
        counts[branch.stream] = counts.get(branch.stream, 0) + 1
    normed = {stream: count > 1 for stream, count in counts.items()}
    for branch in branches:
        users = paths.graph.users.get(branch.add, ())
        normed[branch.stream] &= bool(users) and all(user.op in NORMS for user in users)
    numbers: dict[int, int] = {}
    found: dict[str, Branch] = {}
    sized: dict[str, int] = {}
    for branch in branches:
        number = numbers.get(branch.stream, 0)
        numbers[branch.stream] = number + 1
        size = branch.members.bit_count()
        steps: dict[str, int] = {}
        for name in paths.nodes_in(branch.members & paths.with_weights):
            if any(name != last and paths.depends(name, last) for last in branch.last):
                continue  # the weights of a gate on what the branch made
            steps[name] = 1 + max((step for other, step in steps.items() if paths.depends(name, other)), default=0)
        of = max(steps.values())
        for name, step in steps.items():
            place = Branch(branch.stream, number, counts[branch.stream], step, of, normed[branch.stream])
            for path in paths.weights[name]:
                if size < sized.get(path, size + 1):
                    found[path], sized[path] = place, size
    return found
