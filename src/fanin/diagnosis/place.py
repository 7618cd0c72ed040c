"""Where a finding is: layer, block, module, operation, source line."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fanin.graph import Graph, Layer, Node, Parameter
from fanin.signals import LayerSignal


@dataclass(frozen=True)
class Place:
    """What is known of where something starts; an empty one is the model as a whole.

    Attributes:
        layer: number of the layer, 1 … `layers`; None where it is not in a layer.
        block: which of the blocks that repeat, as ("body.6", 7, 12): its path, its number, and how many there are.
        module: path of the module.
        operation: such as "linear".
        source: "file.py:line" of the user's code.
        parameter: its path, where the finding is about one.
    """

    layer: int | None = None
    layers: int = 0
    block: tuple[str, int, int] | None = None
    module: str = ""
    operation: str = ""
    source: str = ""
    parameter: str = ""

    def __str__(self) -> str:
        number = f"layer {self.layer} of {self.layers}" if self.layer else ""
        path, which, count = self.block or ("", 0, 0)
        block = f"block {which} of {count}" if path and path != self.module else ""
        operation = f"{self.operation} in {self.module}" if self.operation and self.module else self.operation
        named = self.parameter or (self.module if number else operation)
        detail = ", ".join(part for part in (block, named, self.source) if part)
        return f"{number} ({detail})" if number and detail else number or detail or "the model"

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            "layer": self.layer,
            "layers": self.layers,
            "block": dict(zip(("path", "number", "count"), self.block, strict=True)) if self.block else None,
            "module": self.module,
            "operation": self.operation,
            "source": self.source,
            "parameter": self.parameter,
        }


def place_of_layer(graph: Graph, layer: Layer, layers: int) -> Place:
    """Of an operation with a weight."""
    node = layer.node
    return Place(layer.index, layers, block_of(graph, node.module), layer.module, node.called, node.source)


def place_of_node(graph: Graph, node: Node, layers: Sequence[LayerSignal]) -> Place:
    """Of any operation; its layer is the one that it is part of, if it is."""
    own = next((s.layer.index for s in layers if node.name in (s.layer.node.name, s.layer.output.name)), None)
    block = block_of(graph, node.module)
    return Place(own, len(layers), block, node.module or node.name, node.called, node.source)


def place_of_parameter(graph: Graph, parameter: Parameter, layers: Sequence[LayerSignal]) -> Place:
    """Of a parameter, where it is first used."""
    node = graph.by_name.get(parameter.node or "")
    own = next((s.layer.index for s in layers if s.layer.weight == parameter.path), None)
    module = parameter.path.rpartition(".")[0]
    return Place(
        own,
        len(layers),
        block_of(graph, module),
        module,
        node.called if node else "",
        node.source if node else "",
        parameter.path,
    )


def block_of(graph: Graph, module: str) -> tuple[str, int, int] | None:
    """The outermost numbered part of a module's path that has siblings of other numbers.

    Example:
        >>> block_of(Graph("net", (), tuple(Parameter(f"body.{i}.fc.weight", (4, 4), "float32") for i in range(12))),
        ...          "body.6.fc")
        ('body.6', 7, 12)
    """
    for found in re.finditer(r"(?<![^.])\d+(?![^.])", module):
        prefix = module[: found.start()]
        places = re.compile(re.escape(prefix) + r"(\d+)(?:\.|$)")
        paths = [p.path.rpartition(".")[0] for p in graph.parameters]
        numbers = sorted({int(m[1]) for path in paths if (m := places.match(path))})
        if len(numbers) > 1 and int(found[0]) in numbers:
            return module[: found.end()], numbers.index(int(found[0])) + 1, len(numbers)
    return None
