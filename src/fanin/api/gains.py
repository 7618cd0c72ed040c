"""What an activation does to a signal, and where a deep net of it leads."""

from __future__ import annotations

from typing import Any

from fanin import activations
from fanin.activations import EdgeOfChaos, Gain, MeanField, moments
from fanin.frameworks import activation_of


def gain(what: Any, *, std: float = 1.0, mean: float = 0.0, **parameters: float) -> Gain:
    """The Gaussian moments of an activation, z ~ N(mean, std²), and the gains that follow from them.

    Args:
        what: a name ("gelu"), a function of NumPy arrays or of the framework's tensors, or a module.
        parameters: of a named activation, such as `negative_slope=0.2`.

    Example:
        >>> round(gain("gelu").forward, 6), round(gain("gelu").backward, 6)
        (1.53353, 1.481114)
    """
    return moments(activation_of(what), std=std, mean=mean, **parameters)


def edge_of_chaos(what: Any, *, bias_var: float = 0.0, **parameters: float) -> EdgeOfChaos:
    """The weights at which a deep net of this activation neither merges its inputs nor parts them: χ = σ_w² E φ'² = 1.

    Weights have variance σ_w²/fan_in, so that the gain is √σ_w².

    Args:
        what: as for `gain`.
        bias_var: variance σ_b² of the biases.
        parameters: of a named activation.

    Example:
        >>> edge = edge_of_chaos("tanh", bias_var=0.05)
        >>> round(edge.weight_var, 5), round(edge.variance, 5)
        (1.76095, 0.57005)
        >>> print(edge_of_chaos("relu", bias_var=0.05).reason)
        χ = σ_w²/2 at every q, and at σ_w² = 2 biases add to the variance in each layer without end. Use bias_var=0.

    References: Schoenholz et al. 2017; Hayou, Doucet & Rousseau 2019.
    """
    return activations.edge_of_chaos(activation_of(what), bias_var=bias_var, **parameters)


def mean_field(
    what: Any, *, weight_var: float, bias_var: float = 0.0, start: float = 1.0, **parameters: float
) -> MeanField:
    """Where the variance of a signal and the correlation of two go in a deep net, and within how many layers.

    Args:
        what: as for `gain`.
        weight_var: σ_w², the gain squared.
        bias_var: variance σ_b² of the biases.
        start: variance of the first pre-activation.
        parameters: of a named activation.

    Example:
        >>> seen = mean_field("tanh", weight_var=1.0, bias_var=0.05)
        >>> seen.phase, round(seen.correlation_depth, 3)
        ('ordered', 3.627)

    References: Poole et al. 2016; Schoenholz et al. 2017.
    """
    return activations.mean_field(
        activation_of(what), weight_var=weight_var, bias_var=bias_var, start=start, **parameters
    )
