"""WHAT: laws for drawing initial values, one law or family a file.

An `Initializer` is a frozen description: it says its moments and structure, and draws from the stream.
To add one: a file with a dataclass deriving from `Initializer`, and a line in `ALL`; other names go to `ALIASES`.
"""

from collections.abc import Callable
from typing import Final

from fanin.initializers.assign import Assign
from fanin.initializers.base import Initializer, Law, Structure, Target
from fanin.initializers.bilinear import Bilinear
from fanin.initializers.chrono import Chrono
from fanin.initializers.constant import Constant, Ones, Zeros
from fanin.initializers.cut_normal import (
    CutNormal,
    jax_truncated_normal,
    keras_truncated_normal,
    timm_truncated_normal,
    torch_truncated_normal,
)
from fanin.initializers.identity import Dirac, Identity
from fanin.initializers.isometry import DeltaOrthogonal, IsometricConvolution
from fanin.initializers.jittered import Jittered
from fanin.initializers.keep import Keep
from fanin.initializers.mimetic import Mimetic
from fanin.initializers.mirrored import Mirrored
from fanin.initializers.normal import Normal
from fanin.initializers.orthogonal import Orthogonal
from fanin.initializers.parts import PerPart, block_orthogonal, forget_gate_bias
from fanin.initializers.pretrained import Pretrained
from fanin.initializers.prior_bias import prior_bias
from fanin.initializers.s4d_real import S4DReal
from fanin.initializers.sparse import Sparse
from fanin.initializers.spelling import from_dict, initializer, to_dict
from fanin.initializers.step_bias import StepBias
from fanin.initializers.stft import STFT
from fanin.initializers.truncated_normal import TruncatedNormal
from fanin.initializers.uniform import Uniform
from fanin.initializers.variance_scaling import (
    VarianceScaling,
    glorot_normal,
    glorot_truncated_normal,
    glorot_uniform,
    he_normal,
    he_truncated_normal,
    he_uniform,
    lecun_normal,
    lecun_truncated_normal,
    lecun_uniform,
    scaled_normal,
    scaled_uniform,
    torch_uniform,
)
from fanin.initializers.zero import ZerO

ALL: Final[dict[str, Callable[..., Initializer]]] = {
    "zeros": Zeros,
    "ones": Ones,
    "constant": Constant,
    "assign": Assign,
    "uniform": Uniform,
    "normal": Normal,
    "truncated_normal": TruncatedNormal,
    "cut_normal": CutNormal,
    "torch_truncated_normal": torch_truncated_normal,
    "timm_truncated_normal": timm_truncated_normal,
    "jax_truncated_normal": jax_truncated_normal,
    "keras_truncated_normal": keras_truncated_normal,
    "variance_scaling": VarianceScaling,
    "glorot_uniform": glorot_uniform,
    "glorot_normal": glorot_normal,
    "glorot_truncated_normal": glorot_truncated_normal,
    "he_uniform": he_uniform,
    "he_normal": he_normal,
    "he_truncated_normal": he_truncated_normal,
    "lecun_uniform": lecun_uniform,
    "lecun_normal": lecun_normal,
    "lecun_truncated_normal": lecun_truncated_normal,
    "scaled_uniform": scaled_uniform,
    "scaled_normal": scaled_normal,
    "torch_uniform": torch_uniform,
    "orthogonal": Orthogonal,
    "sparse": Sparse,
    "block_orthogonal": block_orthogonal,
    "delta_orthogonal": DeltaOrthogonal,
    "isometric_convolution": IsometricConvolution,
    "identity": Identity,
    "dirac": Dirac,
    "hadamard_identity": ZerO,
    "mimetic": Mimetic,
    "mirrored": Mirrored,
    "jittered": Jittered,
    "bilinear": Bilinear,
    "stft": STFT,
    "prior_bias": prior_bias,
    "forget_gate_bias": forget_gate_bias,
    "chrono": Chrono,
    "s4d_real": S4DReal,
    "step_bias": StepBias,
    "per_part": PerPart,
    "pretrained": Pretrained,
    "keep": Keep,
}

# Other names for the same. "trunc_normal" is not among them: in torch, timm, JAX and Keras it means different laws.
ALIASES: Final[dict[str, str]] = {
    "const": "constant",
    "gaussian": "normal",
    "random_normal": "normal",
    "random_uniform": "uniform",
    "xavier_uniform": "glorot_uniform",
    "xavier_normal": "glorot_normal",
    "kaiming_uniform": "he_uniform",
    "kaiming_normal": "he_normal",
    "msra": "he_normal",
    "torch_linear": "torch_uniform",
    "convolution_orthogonal": "isometric_convolution",
    "eye": "identity",
    "bilinear_upsampling": "bilinear",
    "ZerO": "hadamard_identity",
}

__all__ = [
    "ALIASES",
    "ALL",
    "STFT",
    "Assign",
    "Bilinear",
    "Chrono",
    "Constant",
    "CutNormal",
    "DeltaOrthogonal",
    "Dirac",
    "Identity",
    "Initializer",
    "IsometricConvolution",
    "Jittered",
    "Keep",
    "Law",
    "Mimetic",
    "Mirrored",
    "Normal",
    "Ones",
    "Orthogonal",
    "PerPart",
    "Pretrained",
    "S4DReal",
    "Sparse",
    "StepBias",
    "Structure",
    "Target",
    "TruncatedNormal",
    "Uniform",
    "VarianceScaling",
    "ZerO",
    "Zeros",
    "block_orthogonal",
    "forget_gate_bias",
    "from_dict",
    "glorot_normal",
    "glorot_truncated_normal",
    "glorot_uniform",
    "he_normal",
    "he_truncated_normal",
    "he_uniform",
    "initializer",
    "jax_truncated_normal",
    "keras_truncated_normal",
    "lecun_normal",
    "lecun_truncated_normal",
    "lecun_uniform",
    "prior_bias",
    "scaled_normal",
    "scaled_uniform",
    "timm_truncated_normal",
    "to_dict",
    "torch_truncated_normal",
    "torch_uniform",
]
