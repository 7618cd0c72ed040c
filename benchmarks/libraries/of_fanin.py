"""fanin itself: what it declares is what it draws, and layers are PyTorch's, planned from their trace."""

from __future__ import annotations

import math
from typing import Any

import libraries.of_torch as torch_layers
from libraries.base import Library, Offer

import fanin
from fanin.initializers import (
    DeltaOrthogonal,
    Initializer,
    Normal,
    Orthogonal,
    Sparse,
    TruncatedNormal,
    Uniform,
    VarianceScaling,
    glorot_uniform,
    he_normal,
)

LAWS: dict[str, Initializer] = {
    "normal": Normal(0.02),
    "uniform": Uniform(-0.05, 0.05),
    "truncated normal": TruncatedNormal(0.02),
    "He normal": he_normal(),
    "Glorot uniform": glorot_uniform(),
    "orthogonal": Orthogonal(),
    "delta-orthogonal": DeltaOrthogonal(),
    "sparse": Sparse(0.25, 0.01),
}


def weight(layer: str, mode: str, seed: int) -> Any:
    """As `initialize_` fills the traced layer."""
    model, x, path = torch_layers.LAYERS[layer]()
    he = VarianceScaling(math.sqrt(2), mode, "uniform")
    fanin.initialize_(model, x, recipe="torch_default", overrides={path: he}, seed=seed)
    return model.get_parameter(path).detach().numpy()


def library() -> Library:
    """The column."""
    return Library(
        "fanin",
        fanin.__version__,
        {family: Offer(str(law), law) for family, law in LAWS.items()},
        {name: lambda mode, seed, name=name: weight(name, mode, seed) for name in torch_layers.LAYERS},
    )
