"""RULES: what each operation does to the moments of its arguments, and of the gradients on their way back.

One family of operations a file; a rule maps a `Call` to an `Outcome`. To add one: a function, and a line here.
What has no rule is run on a sample. Users pass their own: `predict(model, x, rules={"my_op": rule})`.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Final

from fanin.signals.propagate import Rule
from fanin.signals.rules import (
    attention,
    batch_norms,
    choice,
    concatenation,
    convolution,
    cross_entropy,
    dropout,
    embedding,
    factors,
    following,
    gates,
    larger,
    likeness,
    linear,
    losses,
    norms,
    pieces,
    pointwise,
    pooling,
    products,
    recurrent,
    reduction,
    repeats,
    resampling,
    routing,
    softmax,
    sums,
    views,
    weights,
)

_GENERAL: Final[Mapping[str, Rule]] = {
    "activation": pointwise.activated,
    "linear": linear.linear,
    "addmm": linear.matrix_product,
    **dict.fromkeys(("matmul", "mm", "bmm"), products.matrix_product),
    "baddbmm": products.added_product,
    "einsum": products.einsum,
    **dict.fromkeys(pointwise.POINTWISE, pointwise.unary),
    "pow": pointwise.power,
    **dict.fromkeys(("clamp", "clamp_min", "clamp_max"), pointwise.clamp),
    "neg": sums.negate,
    "add": sums.add,
    "sub": sums.subtract,
    "rsub": sums.subtract_from,
    "mul": factors.multiply,
    "div": factors.divide,
    **dict.fromkeys(("alias", "clone", "contiguous", "to", "_to_copy", "getitem"), views.same),
    "detach": views.detached,
    **dict.fromkeys(("view", "reshape", "_unsafe_view", "flatten", "unflatten", "squeeze", "unsqueeze"), views.view),
    **dict.fromkeys(("permute", "transpose", "t", "numpy_T", "mT", "movedim"), views.permute),
    "expand": repeats.expand,
    "broadcast_tensors": repeats.broadcast,
    **dict.fromkeys(("select", "slice", "narrow"), pieces.select),
    **dict.fromkeys(("split", "split_with_sizes", "chunk", "unbind"), pieces.split),
    "cat": concatenation.concatenate,
    **dict.fromkeys(("conv1d", "conv2d", "conv3d"), convolution.convolution),
    **dict.fromkeys(("conv_transpose1d", "conv_transpose2d", "conv_transpose3d"), convolution.transposed_convolution),
    **dict.fromkeys(
        ("batch_norm", "_native_batch_norm_legit", "_native_batch_norm_legit_functional"), batch_norms.batch_norm
    ),
    "_native_batch_norm_legit_no_training": batch_norms.batch_norm_eval,
    "layer_norm": norms.layer_norm,
    "rms_norm": norms.rms_norm,
    **dict.fromkeys(("group_norm", "instance_norm"), batch_norms.group_norm),
    **{f"avg_pool{d}d": pooling.average_pool for d in (1, 2, 3)},
    **{f"adaptive_avg_pool{d}d": pooling.adaptive_average_pool for d in (1, 2, 3)},
    **{f"max_pool{d}d{s}": pooling.max_pool for d in (1, 2, 3) for s in ("", "_with_indices")},
    **{f"adaptive_max_pool{d}d": pooling.adaptive_max_pool for d in (1, 2, 3)},
    **dict.fromkeys(("flip", "roll", "rot90"), resampling.reordered),
    **dict.fromkeys(("pad", "constant_pad_nd"), resampling.pad),
    **{f"{mode}_pad{d}d": resampling.pad for mode in ("reflection", "replication") for d in (1, 2, 3)},
    **{
        f"{name}{d}d": resampling.upsample_nearest
        for name in ("upsample_nearest", "_upsample_nearest_exact")
        for d in (1, 2, 3)
    },
    **dict.fromkeys(("upsample_linear1d", "upsample_bilinear2d", "upsample_trilinear3d"), resampling.upsample_linear),
    "pixel_shuffle": resampling.pixel_shuffle,
    "pixel_unshuffle": resampling.pixel_unshuffle,
    **dict.fromkeys(("repeat", "tile"), resampling.repeat),
    "repeat_interleave": resampling.repeat_interleave,
    "index_select": resampling.index_select,
    "index": partial(routing.gathered, generic=embedding.index),
    **dict.fromkeys(("_grouped_mm", "grouped_mm", "grouped_mm_fallback"), routing.grouped_product),
    **dict.fromkeys(("topk", "sort"), choice.largest),
    "scatter": routing.scatter,
    "stack": resampling.stack,
    "glu": gates.glu,
    "threshold": gates.threshold,
    **dict.fromkeys(("prelu", "_prelu_kernel"), gates.prelu),
    **dict.fromkeys(("gt", "ge", "lt", "le", "eq", "ne"), gates.compare),
    **dict.fromkeys(("logical_not", "bitwise_not"), gates.logical_not),
    "where": gates.where,
    "masked_fill": gates.masked_fill,
    "lerp": gates.lerp,
    **dict.fromkeys(("addcmul", "addcdiv"), gates.add_product),
    "bernoulli": gates.bernoulli,
    **{f"{what}_like": gates.filled for what in ("zeros", "ones", "full", "empty")},
    **{f"new_{what}": gates.filled for what in ("zeros", "ones", "full", "empty")},
    **dict.fromkeys(("rand_like", "randn_like"), gates.random),
    **dict.fromkeys(("maximum", "minimum"), larger.larger),
    **dict.fromkeys(("lstm", "gru", "rnn_tanh", "rnn_relu"), recurrent.recurrent),
    "mean": reduction.mean,
    "sum": reduction.summed,
    "var": reduction.variance,
    "std": reduction.standard_deviation,
    **dict.fromkeys(("var_mean", "std_mean"), reduction.variance_and_mean),
    **dict.fromkeys(("linalg_vector_norm", "norm"), reduction.vector_norm),
    "cosine_similarity": likeness.cosine_similarity,
    "pairwise_distance": likeness.pairwise_distance,
    "logsumexp": reduction.log_sum_exp,
    **dict.fromkeys(("amax", "max"), reduction.maximum),
    **dict.fromkeys(("amin", "min"), reduction.minimum),
    **dict.fromkeys(("argmax", "argmin"), reduction.index_of_extreme),
    "cumsum": reduction.cumulative_sum,
    **dict.fromkeys(("dropout", "native_dropout"), dropout.dropout),
    "scaled_dot_product_attention": attention.scaled_dot_product_attention,
    **dict.fromkeys(("softmax", "_softmax", "_safe_softmax"), softmax.softmax),
    **dict.fromkeys(("log_softmax", "_log_softmax"), cross_entropy.log_softmax),
    **dict.fromkeys(losses.LOSSES, losses.loss),
    "kl_div": cross_entropy.divergence,
    "cross_entropy_loss": cross_entropy.cross_entropy,
    **dict.fromkeys(("nll_loss", "nll_loss_nd", "nll_loss2d"), cross_entropy.nll),
    "embedding": embedding.embedding,
    "embedding_bag": embedding.embedding_bag,
}

_OF_WEIGHTS: Final[Mapping[str, Rule]] = {
    **dict.fromkeys(("exp", "expm1", "log1p", "square", "cos"), weights.of_elements),
    "neg": weights.negated,
    **dict.fromkeys(("view", "reshape", "_unsafe_view", "squeeze", "unsqueeze", "expand"), weights.viewed),
    **dict.fromkeys(("sqrt", "rsqrt"), weights.of_steady),
    **dict.fromkeys(("mul", "div"), weights.product),
    **dict.fromkeys(("add", "sub"), weights.total),
    **dict.fromkeys(("mean", "sum", "var", "std", "linalg_vector_norm"), weights.reduced),
    **dict.fromkeys(("clone", "to", "_to_copy", "contiguous", "clamp_min", "clamp"), weights.same),
}

# What choices of experts go through, being integers that are not known.
_OF_INTEGERS: Final = (
    *("view", "reshape", "flatten", "unsqueeze", "squeeze", "expand", "permute", "transpose", "t"),
    *("sort", "floor_divide", "div", "remainder", "histc", "bincount", "cumsum", "index_put", "empty_like"),
)
_SIGNALS_OR_WEIGHTS: Final[Mapping[str, Rule]] = {
    **_GENERAL,
    **{op: weights.or_of_weights(_GENERAL.get(op, rule), rule) for op, rule in _OF_WEIGHTS.items()},
    **dict.fromkeys(("_weight_norm", "_weight_norm_interface"), weights.weight_norm),
}

RULES: Final[Mapping[str, Rule]] = following.followed(
    {
        **_SIGNALS_OR_WEIGHTS,
        **{op: routing.or_of_integers(_SIGNALS_OR_WEIGHTS.get(op)) for op in _OF_INTEGERS},
    }
)
