"""Defects of the adapter to PyTorch."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from noticing import Mutant, noticed, put

from fanin.frameworks.compiled import alike, arrays, looked, spread
from fanin.frameworks.torch.measuring import attention_seen, moments
from fanin.frameworks.torch.tracing import functional
from fanin.frameworks.torch.tracing.same_elements import same_elements
from fanin.graph import fans
from fanin.graph.layout import Layout
from fanin.plans import Measured
from fanin.signals.axes import Axes, Kind

SAME_ELEMENTS, SUMS, PARTS = same_elements, moments.sums, functional._in_parts
EACH, LIMITS, SORTED = looked.look_at_each, spread.limits_of, alike.sorted_by
OF_SCORES = attention_seen._sums
MOMENTS = "frameworks/test_torch_moments.py"
FUNCTIONAL = "frameworks/test_torch_functional.py"


def as_even_as_can_be(positions: range, parts: int, index: int) -> range:
    """As `np.array_split` divides."""
    n = len(positions)
    return positions[index * n // parts : (index + 1) * n // parts]


def with_positions_of_samples(axes: Axes) -> Axes:
    """As if every sample were one more position."""
    kinds = {Kind.SAMPLE: Kind.POSITION}
    return tuple(tuple((kinds.get(kind, kind), size) for kind, size in axis) for axis in axes)


def with_bounds_of_another(arrays: Any, wanted: Any, *rest: Any) -> looked.Looked:
    """As if they had waited in another order."""
    return EACH(arrays, [one._replace(near=other.near) for one, other in zip(wanted, wanted[::-1], strict=True)], *rest)


def of_the_other_end(several: Any) -> Any:
    """Names as they come, and gradients from the last."""
    return list(several) if isinstance(several, dict) else several[::-1]


def read_at_once(x: torch.Tensor, *rest: Any, **options: Any) -> moments.Sums:
    """As if reading a number cost nothing."""
    assert not math.isnan(float(x.detach().sum()))
    return SUMS(x, *rest, **options)


def none_left_whole() -> Any:
    """PyTorch is told of no operation."""
    parts = PARTS()
    assert parts is not None
    return parts[0], lambda operation: False, parts[2]


MUTANTS = (
    Mutant(
        "composite operations are taken apart",
        put("fanin.frameworks.torch.tracing.functional", "_in_parts", none_left_whole),
        (f"{FUNCTIONAL}::test_a_program_is_the_one_of_the_public_method",),
    ),
    Mutant(
        "a program is made anew whatever it does",
        put("fanin.frameworks.torch.tracing.functional", "_stays", lambda node, left_whole: False),
        (f"{FUNCTIONAL}::test_a_program_that_overwrites_nothing_is_kept_and_computes_the_same",),
    ),
    Mutant(
        "operations in place are kept",
        put("fanin.frameworks.torch.tracing.functional", "_stays", lambda node, left_whole: True),
        (f"{FUNCTIONAL}::test_what_is_overwritten_is_made_anew",),
    ),
    Mutant(
        "the mode in which a part runs is forgotten",
        put("fanin.frameworks.torch.tracing.functional", "with_detached", lambda program: program),
        ("frameworks/test_torch_no_grad.py::test_gradients_end_where_the_model_lets_them_end",),
    ),
    Mutant(
        "what hands back its input has the gradient of all that reads it",
        put("fanin.frameworks.torch.tracing.replay", "of_its_own", lambda made, args: made),
        ("frameworks/test_torch_observe.py::test_what_hands_back_its_input_has_a_gradient_of_its_own",),
    ),
    Mutant(
        "sums that are read as soon as they are made",
        put("fanin.frameworks.torch.measuring.looks", "sums", read_at_once),
        (f"{MOMENTS}::test_nothing_is_read_before_both_passes_are_done",),
    ),
    Mutant(
        "what is counted in a piece of a tensor is forgotten at the next",
        put("fanin.frameworks.compiled.summed", "sum", lambda parts: parts[-1]),
        (f"{MOMENTS}::test_the_compiled_sums_are_those_of_operations",),
    ),
    Mutant(
        "−0 is no zero",
        put(
            "fanin.frameworks.compiled.summed",
            "BITS",
            {k: (b, ~(m ^ m), i) for k, (b, m, i) in arrays.BITS.items()},
        ),
        (f"{MOMENTS}::test_zeros_and_what_is_not_finite_are_counted",),
    ),
    Mutant(
        "octaves that are one too high",
        put("fanin.frameworks.compiled.looked", "limits_of", lambda octaves, of: np.roll(LIMITS(octaves, of), -1)),
        (f"{MOMENTS}::test_the_compiled_spread_is_that_of_numpy",),
    ),
    Mutant(
        "sums of tensors that waited, with the bounds of another",
        put("fanin.frameworks.compiled.looked", "look_at_each", with_bounds_of_another),
        (f"{MOMENTS}::test_small_tensors_that_wait_have_the_sums_of_each",),
    ),
    Mutant(
        "samples taken for positions",
        put("fanin.frameworks.compiled.looked", "sorted_by", lambda axes: SORTED(with_positions_of_samples(axes))),
        (f"{MOMENTS}::test_the_compiled_look_at_axes_is_that_of_operations",),
    ),
    Mutant(
        "a digest that does not see where values stand",
        put("fanin.frameworks.torch.measuring.looks", "DIGEST", 1),
        (f"{MOMENTS}::test_equal_values_have_equal_digests_in_any_layout",),
    ),
    Mutant(
        "an array of a net is compared as it lies, not as the logical weight",
        lambda patch: patch.setattr(Layout, "logical", lambda layout, stored: stored.reshape(layout.shape)),
        ("frameworks/test_numpy_net.py::test_initialize_fills_the_callers_own_arrays_and_verify_knows_them",),
    ),
    Mutant(
        "packed gates that count as one weight",
        put("fanin.graph.operations", "fans", lambda shape, use: fans(shape, replace(use, parts=1))),
        ("frameworks/test_torch_trace.py",),
    ),
    Mutant(
        "singular vectors that stay those of a trial",
        put("fanin.frameworks.torch.measuring.drawn", "singular_vectors", lambda model, written: ()),
        ("frameworks/test_torch_drawn.py::test_parameters_and_singular_vectors_come_back",),
    ),
    Mutant(
        "a gradient of a view taken for that of all that reads its source",
        put(
            "fanin.frameworks.torch.measuring.recorder",
            "same_elements",
            lambda n, recorded: (source := SAME_ELEMENTS(n, recorded)[0], {source: n.name} if source else {}),
        ),
        ("frameworks/test_torch_observe.py::test_views_and_copies_have_what_measuring_them_again_would_show",),
    ),
    Mutant(
        "each gradient that was asked for taken for another node's",
        put("fanin.frameworks.torch.measuring.recorder", "reversed", of_the_other_end),
        ("frameworks/test_torch_observe.py::test_values_and_gradients_of_nodes_equal_those_of_hooks",),
    ),
    Mutant(
        "of several attentions that wait, the numbers of the first",
        put("fanin.frameworks.torch.measuring.attention_seen", "_sums", lambda z: OF_SCORES(z[:1].expand_as(z))),
        (f"{MOMENTS}::test_attentions_that_are_added_up_together_have_the_sums_of_each",),
    ),
    Mutant(
        "starts compared by how their laws are written",
        put("fanin.plans.diff", "same_start", lambda here, there: here.initializer == there.initializer),
        ("frameworks/test_torch_from_values.py::test_a_model_that_starts_as_the_paper_says",),
    ),
    Mutant(
        "starts in which a factor of √(2 L) is nothing",
        lambda patch: patch.setattr(Measured, "has_std", lambda seen, std, kurtosis=3.0, sigmas=6.0: True),
        ("frameworks/test_torch_from_values.py::test_the_scaling_that_was_never_applied_is_found",),
    ),
    Mutant(
        "a spectral norm that is one of the weight before",
        put("fanin.frameworks.torch.writing.write", "singular_vectors", lambda model, written: ()),
        ("frameworks/test_torch_parametrized.py::test_a_spectral_norm_is_one_at_once",),
    ),
    Mutant(
        "a recipe that writes over the coordinates of an orthogonal weight",
        put("fanin.frameworks.torch", "constrained", lambda model: {}),
        ("frameworks/test_torch_parametrized.py::test_an_orthogonal_weight_stays_orthogonal",),
    ),
    Mutant(
        "shards as even as can be, where PyTorch fills the first ones",
        put("fanin.frameworks.torch.model.shards", "_chunk", as_even_as_can_be),
        ("frameworks/test_torch_shards.py",),
    ),
    Mutant(
        "weights that change without a word to autograd",
        put("fanin.frameworks.torch.writing.write", "increment_version", lambda written: None),
        ("frameworks/test_torch_write.py::test_gradients_flags_and_kept_parameters_are_left_alone",),
    ),
    Mutant(
        "the first blocks are verified, never others",
        put("fanin.frameworks.torch.writing.verify", "_chosen", lambda count, blocks: np.arange(min(count, blocks))),
        ("frameworks/test_torch_verify.py::test_a_few_blocks_find_what_they_look_at",),
    ),
    Mutant(
        "verify takes 0 for −0",
        put("fanin.frameworks.torch.writing.verify", "_bytes", lambda values: values[:, None]),
        ("frameworks/test_torch_verify.py::test_one_changed_bit_is_found_and_shown",),
    ),
)

test_the_tests_notice = noticed(MUTANTS)
