"""`torch.nn.init`, every name and signature of it, drawn from fanin's stream.

    import fanin.compat.torch as init

    init.kaiming_normal_(weight)                                 # a seed from torch's generator: manual_seed holds
    init.normal_(weight, std=0.02, seed=0, name="0.weight")      # these values in every framework
    with init.installed():                                       # torch.nn.init itself, for what others wrote
        model = build()

Without `seed=`, each call draws a seed from `generator`, or from torch's global one, and advances it once. A tensor of
any strides, memory format or device is filled by its logical index, in place, unseen by autograd; it is returned.
Two weights of one seed need two names: under one name, they are equal as far as their laws are.

Tensors on the meta device and fake tensors have no memory and are left alone, as torch does. Inside `torch.compile`, a
call breaks the graph and runs eagerly; TorchScript cannot compile these functions. Where fanin differs from torch on
purpose: docs/compat.md.
"""

from fanin.compat.torch.deprecated import (
    _make_deprecate,
    constant,
    dirac,
    eye,
    kaiming_normal,
    kaiming_uniform,
    normal,
    orthogonal,
    sparse,
    uniform,
    xavier_normal,
    xavier_uniform,
)
from fanin.compat.torch.fixed import constant_, dirac_, eye_, ones_, zeros_
from fanin.compat.torch.installed import installed
from fanin.compat.torch.plain import normal_, trunc_normal_, uniform_
from fanin.compat.torch.private import (
    _no_grad_fill_,
    _no_grad_normal_,
    _no_grad_trunc_normal_,
    _no_grad_uniform_,
    _no_grad_zero_,
)
from fanin.compat.torch.scaled import (
    _calculate_correct_fan,
    _calculate_fan_in_and_fan_out,
    calculate_gain,
    kaiming_normal_,
    kaiming_uniform_,
    xavier_normal_,
    xavier_uniform_,
)
from fanin.compat.torch.structured import orthogonal_, sparse_

__all__ = [
    "calculate_gain",
    "constant",
    "constant_",
    "dirac",
    "dirac_",
    "eye",
    "eye_",
    "installed",
    "kaiming_normal",
    "kaiming_normal_",
    "kaiming_uniform",
    "kaiming_uniform_",
    "normal",
    "normal_",
    "ones_",
    "orthogonal",
    "orthogonal_",
    "sparse",
    "sparse_",
    "trunc_normal_",
    "uniform",
    "uniform_",
    "xavier_normal",
    "xavier_normal_",
    "xavier_uniform",
    "xavier_uniform_",
    "zeros_",
]
