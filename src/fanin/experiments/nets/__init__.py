"""NETS: small nets, most of them hard to start, each written out so that it can be read.

A builder takes the data that the net is for and keyword arguments with defaults, written `perceptron(depth=100)`.
To add one: a file here, whose docstring says what is hard about its start, and a line in `NETS`.
"""

from collections.abc import Callable
from typing import Final

from torch import nn

from fanin.experiments.nets.activations import ACTIVATIONS
from fanin.experiments.nets.autoencoder import Autoencoder, autoencoder
from fanin.experiments.nets.experts import MixtureOfExperts, mixture_of_experts
from fanin.experiments.nets.perceptron import Perceptron, perceptron
from fanin.experiments.nets.plain_cnn import PlainCNN, plain_cnn
from fanin.experiments.nets.recurrent import Recurrent, recurrent
from fanin.experiments.nets.residual_cnn import ResidualCNN, residual_cnn
from fanin.experiments.nets.transformer import Transformer, transformer

NETS: Final[dict[str, Callable[..., nn.Module]]] = {
    "autoencoder": autoencoder,
    "mixture_of_experts": mixture_of_experts,
    "perceptron": perceptron,
    "plain_cnn": plain_cnn,
    "recurrent": recurrent,
    "residual_cnn": residual_cnn,
    "transformer": transformer,
}

__all__ = [
    "ACTIVATIONS",
    "NETS",
    "Autoencoder",
    "MixtureOfExperts",
    "Perceptron",
    "PlainCNN",
    "Recurrent",
    "ResidualCNN",
    "Transformer",
]
