"""A recipe is a function from a graph to decisions; an activation may be your own function."""

import numpy as np
import torch
from torch import nn

import fanin
from fanin.graph import Graph, Role
from fanin.plans import Decision


def squared_relu(z: np.ndarray) -> np.ndarray:
    return np.maximum(z, 0) ** 2


print(fanin.gain(squared_relu))


def orthogonal(graph: Graph) -> dict[str, Decision]:
    """Orthogonal weights, zero biases."""
    laws = {Role.WEIGHT: fanin.Orthogonal(), Role.BIAS: fanin.Zeros()}
    return {p.path: Decision(laws[p.role], "my own choice") for p in graph.parameters if p.role in laws}


net = nn.Sequential(*[nn.Linear(32, 32, bias=False) for _ in range(50)])
x = torch.randn(64, 32)
fanin.initialize_(net, x, recipe=orthogonal, seed=0)
print("50 orthogonal layers keep every norm:", torch.allclose(net(x).norm(dim=1), x.norm(dim=1), rtol=1e-4))
