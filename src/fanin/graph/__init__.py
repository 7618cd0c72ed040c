"""WHERE: a framework-free picture of a model.

`Graph` holds the operations in the order they run and every parameter with its role and fans.
A framework adapter builds one (`frameworks/<name>/trace.py`); everything above only reads it.
To teach a new operation its parameters' roles and fans, edit the adapter's table of operations.
"""

from fanin.graph.fans import Axis, Fans, WeightUse, axes_of, fans, fans_of_axes
from fanin.graph.layers import Layer, layers
from fanin.graph.model import ActivationCall, Branch, Graph, Input, Node, Parameter, Ref, Role
from fanin.graph.parts import Part, Parts
from fanin.graph.roles import with_roles

__all__ = [
    "ActivationCall",
    "Axis",
    "Branch",
    "Fans",
    "Graph",
    "Input",
    "Layer",
    "Node",
    "Parameter",
    "Part",
    "Parts",
    "Ref",
    "Role",
    "WeightUse",
    "axes_of",
    "fans",
    "fans_of_axes",
    "layers",
    "with_roles",
]
