"""WHERE: a framework-free picture of a model.

`Graph` holds the operations in the order they run and every parameter with its role and fans.
A framework adapter builds one, of `LayerCall`s (`graph_of`) or by itself; everything above only reads it.
To teach a new operation its parameters' roles and fans, edit `operations.py`.
"""

from fanin.graph.calls import Held, LayerCall, alone, graph_of
from fanin.graph.fans import Axis, Fans, WeightUse, axes_of, fans, fans_of_axes
from fanin.graph.layers import Layer, layers
from fanin.graph.layout import Layout
from fanin.graph.model import ActivationCall, Branch, Graph, Input, Node, Parameter, Ref, Role
from fanin.graph.parts import Part, Parts
from fanin.graph.roles import with_roles

__all__ = [
    "ActivationCall",
    "Axis",
    "Branch",
    "Fans",
    "Graph",
    "Held",
    "Input",
    "Layer",
    "LayerCall",
    "Layout",
    "Node",
    "Parameter",
    "Part",
    "Parts",
    "Ref",
    "Role",
    "WeightUse",
    "alone",
    "axes_of",
    "fans",
    "fans_of_axes",
    "graph_of",
    "layers",
    "with_roles",
]
