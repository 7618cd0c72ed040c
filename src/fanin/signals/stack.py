"""Theory on top: blocks that repeat, and where a deep stack of them takes a signal.

From block to block the second moment follows a map q → q', the correlation of two inputs (or of two positions) a map
c → c', and the gradient grows by χ on its way back. Where these settle, and within how many blocks, decides how deep
the stack may be.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from fanin.signals.model import Moments, Signals

if TYPE_CHECKING:
    from fanin.graph import Graph, Node
    from fanin.grid import Grid

FEWEST: Final = 3  # repeats that make a stack
LONGEST_PERIOD: Final = 6  # children of a container that may make up one block: linear, norm, activation, dropout, …
TRAINABLE: Final = 6  # depth scales; Schoenholz et al. 2017, §5
FORESEEN: Final = 10  # times the blocks seen: further than that no depth is foretold
SETTLED: Final = 1e-9  # a change below this is rounding
SLOWING: Final = 0.8  # changes that shrink by so much less than before do not shrink exponentially
UNSETTLED: Final = 0.995  # changes that shrink by less a block do so more slowly than exponentially


class Block(NamedTuple):
    """One repeat, seen at its output.

    Attributes:
        path: of its first module.
        node: whose value leaves the block.
        second: E x².
        samples: E x_s x_s'/E x², how alike two samples are.
        positions: E x_t x_t'/E x², how alike two positions of a sample are; None where there is one.
        gradient: E δ²; None where none arrives.
    """

    path: str
    node: str
    second: float
    samples: float | None
    positions: float | None
    gradient: float | None


@dataclass(frozen=True)
class Stack:
    """Blocks that repeat.

    Attributes:
        path: of the container, "" for the model itself.
        blocks: in the order they run.

    Example:
        >>> blocks = [Block(str(i), f"x{i}", 2.0**i, 1 - 0.5**i, None, 3.0 ** -i) for i in range(8)]
        >>> stack = Stack("blocks", tuple(blocks))
        >>> stack.growth, round(stack.chi, 6), round(stack.correlation_depth, 6), round(stack.trainable_depth, 3)
        (2.0, 3.0, 1.442695, 8.656)

    References: Poole et al. 2016; Schoenholz et al. 2017.
    """

    path: str
    blocks: tuple[Block, ...]

    @property
    def growth(self) -> float:
        """q'/q of a block, in the second half of the stack."""
        return _rate([b.second for b in self.blocks])

    @property
    def chi(self) -> float | None:
        """χ: growth of E δ² through one block on its way back, in the second half of the stack."""
        seen = [b.gradient for b in self.blocks if b.gradient]
        return 1 / _rate(seen) if len(seen) == len(self.blocks) else None

    @property
    def gradient_depth(self) -> float | None:
        """ξ_∇ = 1/|ln χ|: blocks in which a gradient grows or shrinks by e."""
        chi = self.chi
        return None if chi is None or chi <= 0 else 1 / abs(math.log(chi)) if chi != 1 else math.inf

    @property
    def variance_depth(self) -> float:
        """ξ_q: blocks in which the way to the fixed point of q shrinks by e; inf where there is none."""
        return _depth([b.second for b in self.blocks])

    @property
    def correlation_depth(self) -> float | None:
        """ξ_c: likewise of how alike two samples are; None where they stay as they were, as white noise may."""
        seen = [b.samples for b in self.blocks if b.samples is not None]
        if len(seen) < len(self.blocks) or max(seen) - min(seen) < SETTLED:
            return None
        return _depth(seen)

    @property
    def trainable_depth(self) -> float | None:
        """About 6 ξ_c blocks: beyond, inputs cannot be told apart or differ chaotically, and gradients with them."""
        depth = self.correlation_depth
        return None if depth is None else TRAINABLE * depth

    @property
    def collapse(self) -> float | None:
        """How alike two positions are where the stack ends: at 1 all tokens are one (rank collapse)."""
        return self.blocks[-1].positions

    def to_dict(self) -> dict[str, Any]:
        """Fields and what follows from them."""
        names = (
            "growth",
            "chi",
            "gradient_depth",
            "variance_depth",
            "correlation_depth",
            "trainable_depth",
            "collapse",
        )
        told = {name: getattr(self, name) for name in names}
        finite = {name: None if value is None or math.isinf(value) else value for name, value in told.items()}
        return {"path": self.path, "blocks": [b._asdict() for b in self.blocks]} | finite

    def __rich__(self) -> Grid:
        from fanin.grid import Grid

        headers = ("block", "E x²", "two samples", "two positions", "E δ²")
        rows = [(b.path, *(_shown(x) for x in (b.second, b.samples, b.positions, b.gradient))) for b in self.blocks]
        return Grid(headers, rows, ("left", *["right"] * 4))  # type: ignore[arg-type]  # a tuple of the two words

    def __str__(self) -> str:
        from fanin.grid import plain

        return f"{plain(self)}\n{self.summary}"

    @property
    def summary(self) -> str:
        """In one sentence."""
        told = [f"{len(self.blocks)} blocks of {self.path or 'the model'}: q' = {self.growth:.4g} q"]
        if self.chi is not None:
            told.append(f"χ = {self.chi:.4g}")
        if self.blocks[-1].samples is not None:
            told.append(f"two samples end at a correlation of {self.blocks[-1].samples:.3f}")
        depth = self.trainable_depth
        if depth is not None and depth <= FORESEEN * len(self.blocks):
            told.append(f"ξ_c = {self.correlation_depth:.3g}, trainable to about {depth:.0f} blocks")
        elif depth is not None:
            told.append("what tells samples apart is not lost exponentially within a few times as many")
        if self.collapse is not None:
            told.append(f"two positions end at {self.collapse:.3f}")
        return ", ".join(told) + "."


def stacks(signals: Signals) -> tuple[Stack, ...]:
    """Every container whose children repeat at least three times, or in turn (linear, activation, linear, …)."""
    graph = signals.graph
    if graph is None:
        return ()
    found = []
    for path, children in _containers(graph).items():
        for repeats in _repeats(children):
            blocks = [_block(run, signals) for run in repeats]
            seen = [b for b in blocks if b is not None]
            if len(seen) >= FEWEST:
                found.append(Stack(path, tuple(seen)))
    return tuple(found)


class _Child(NamedTuple):
    """One numbered module of a container, with its nodes."""

    path: str
    nodes: tuple[Node, ...]

    @property
    def signature(self) -> tuple[str, ...]:
        return tuple(node.op for node in self.nodes)


def _containers(graph: Graph) -> dict[str, list[_Child]]:
    """The numbered children of each container, in the order they run."""
    runs: dict[str, dict[str, list[Node]]] = {}
    for node in graph.nodes:
        parts = node.module.split(".")
        for at, part in enumerate(parts):
            if part.isdecimal():
                container = ".".join(parts[:at])
                runs.setdefault(container, {}).setdefault(".".join(parts[: at + 1]), []).append(node)
    return {c: [_Child(path, tuple(nodes)) for path, nodes in children.items()] for c, children in runs.items()}


def _repeats(children: Sequence[_Child]) -> Iterator[list[Sequence[_Child]]]:
    """Runs of children of which every p-th does the same, the smallest p first; each child in one run at most."""
    at = 0
    while at < len(children):
        runs = (_run(children, at, period) for period in range(1, LONGEST_PERIOD + 1))
        run = max(runs, key=lambda r: sum(map(len, r)))  # of the same reach, the shortest period: the first
        if len(run) >= FEWEST:
            yield run
            at += sum(map(len, run))
        else:
            at += 1


def _run(children: Sequence[_Child], start: int, period: int) -> list[Sequence[_Child]]:
    pieces = [children[i : i + period] for i in range(start, len(children) - period + 1, period)]
    first = [child.signature for child in pieces[0]] if pieces else []
    same: list[Sequence[_Child]] = []
    for piece in pieces:
        if [child.signature for child in piece] != first:
            break
        same.append(piece)
    return same if len(same) >= FEWEST else []


def _block(children: Sequence[_Child], signals: Signals) -> Block | None:
    nodes = [node for child in children for node in child.nodes if node.name in signals.values]
    if not nodes:
        return None
    node = nodes[-1]
    value, gradient = signals.values[node.name], signals.gradients.get(node.name)
    return Block(
        children[0].path,
        node.name,
        value.second_moment,
        _alike(value, value.across_samples),
        _alike(value, value.across_positions),
        gradient.second_moment if gradient else None,
    )


def _alike(value: Moments, product: float | None) -> float | None:
    return product / value.second_moment if product is not None and value.second_moment else None


def _rate(of: Sequence[float]) -> float:
    """The geometric mean of the ratio of neighbours, in the second half."""
    late = of[len(of) // 2 - 1 :]
    if late[0] <= 0 or late[-1] <= 0:
        return math.nan
    return float((late[-1] / late[0]) ** (1 / (len(late) - 1)))


def _depth(of: Sequence[float]) -> float:
    """−1/ln of the factor by which changes shrink from block to block, late in the stack.

    Inf where they do not shrink, or ever more slowly, as those of a residual stream do: that is no exponential.
    """
    changes = [abs(b - a) for a, b in pairwise(of)]
    scale = max(map(abs, of), default=0.0)
    alive = [c for c in changes if c > SETTLED * max(scale, SETTLED)]
    if len(alive) < 2:
        return 0.0
    quarter = max(2, len(alive) // 4)
    shrink, before = _rate_of(alive[-quarter:]), _rate_of(alive[-2 * quarter : -quarter])
    if shrink >= UNSETTLED or 1 - shrink < SLOWING * (1 - before):
        return math.inf
    late = _rate_of(alive[-max(2, len(alive) // 8) :])
    return -1 / math.log(late) if 0 < late < 1 else math.inf


def _rate_of(changes: Sequence[float]) -> float:
    """The geometric mean of the ratio of neighbours; 0, the fastest, of fewer than two."""
    return float((changes[-1] / changes[0]) ** (1 / (len(changes) - 1))) if len(changes) > 1 else 0.0


def _shown(x: float | None) -> str:
    return "–" if x is None else f"{x:.4g}"
