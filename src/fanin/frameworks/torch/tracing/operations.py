"""An FX node as an operation of ATen: its name, and its arguments by the names of its schema."""

from __future__ import annotations

from typing import Any


def arguments_of(node: Any) -> dict[str, Any]:
    """The arguments of an FX node by the names of its operation's schema, defaults included."""
    schema = getattr(node.target, "_schema", None)
    if schema is None:  # not one of ATen's: a Python function of the exporter
        return dict(node.kwargs)
    bound = {a.name: a.default_value for a in schema.arguments if a.has_default_value()}
    bound |= dict(zip((a.name for a in schema.arguments), node.args, strict=False))
    return bound | dict(node.kwargs)


def op_of(node: Any) -> str:
    """The name without namespace and overload: "linear" for aten.linear.default."""
    packet = getattr(node.target, "overloadpacket", None)
    return str(packet.__name__ if packet is not None else getattr(node.target, "__name__", node.target))
