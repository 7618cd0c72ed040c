"""Pytrees of JAX whose use is declared layer by layer: `Tree`."""

from __future__ import annotations

from fanin.errors import MissingExtra
from fanin.frameworks.numpy import layer

try:
    from fanin.frameworks.jax.declared import Tree
except ImportError as error:
    raise MissingExtra("JAX", "jax", "fanin.compat.trees") from error

__all__ = ["Tree", "layer"]
