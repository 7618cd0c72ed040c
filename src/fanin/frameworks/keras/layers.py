"""What each of Keras's own layers is in PyTorch's words, seen from outside.

To teach a layer: a line in `LAYERS`, class → a function of the description and the call. Layers that are not here are
looked into.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from fanin.frameworks.keras.convolutions import conv, conv_transposed, depthwise, separable
from fanin.frameworks.keras.describe import Describe
from fanin.frameworks.keras.images import normalization, rescaling, up_sampling
from fanin.frameworks.keras.linear import dense, einsum_dense, embedding
from fanin.frameworks.keras.norms import batch_norm, dropout, group_norm, layer_norm, passes_on, prelu
from fanin.frameworks.keras.outside import opaque
from fanin.frameworks.keras.recurrent import CELLS, recurrent

# Classes of Keras by name, base classes included, since those of convolutions are not public.
LAYERS: Final[Mapping[str, Describe]] = {
    "Dense": dense,
    "EinsumDense": einsum_dense,
    "Embedding": embedding,
    "BaseConv": conv,
    "BaseConvTranspose": conv_transposed,
    "BaseDepthwiseConv": depthwise,
    "BaseSeparableConv": separable,
    "BatchNormalization": batch_norm,
    "GroupNormalization": group_norm,
    "LayerNormalization": layer_norm,
    "RMSNormalization": layer_norm,
    **dict.fromkeys(("Dropout", "BaseSpatialDropout"), dropout),
    **dict.fromkeys(("GaussianNoise", "GaussianDropout", "AlphaDropout"), passes_on),
    **dict.fromkeys(("Identity", "ActivityRegularization", "InputLayer"), passes_on),
    **dict.fromkeys(("UpSampling1D", "UpSampling2D", "UpSampling3D"), up_sampling),
    "Rescaling": rescaling,
    "Normalization": normalization,
    "PReLU": prelu,
    "RNN": recurrent,
}


# Layers of Keras that run on the back end's own tensors, or over steps.
OPAQUE: Final = frozenset({"ConvLSTM", "StackedRNNCells", "SpectralNormalization", "Lambda", "DataLayer", "Masking"})


def describer_of(layer: Any) -> Describe | None:
    """How a layer is described from outside; None for those that are looked into."""
    for base in type(layer).__mro__:
        if base.__module__.partition(".")[0] != "keras":
            continue
        if base.__name__ == "RNN":
            cells = [kind.__name__ for kind in type(layer.cell).__mro__ if kind.__module__.startswith("keras.")]
            return recurrent if any(name in CELLS for name in cells) else opaque
        if base.__name__ in OPAQUE:
            return opaque
        if base.__name__ in LAYERS:
            return LAYERS[base.__name__]
    return None
