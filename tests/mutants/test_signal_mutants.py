"""Defects of predicted signals."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from statistics import NormalDist
from typing import Any

import numpy as np
import torch
from noticing import Mutant, noticed, put

from fanin.frameworks.torch.predicting.loop_cut import Cut
from fanin.frameworks.torch.predicting.loop_draws import Draws, Points
from fanin.frameworks.torch.predicting.made import OfParameters
from fanin.signals import draws, gradient
from fanin.signals.gradient import total
from fanin.signals.orthogonal import Blind
from fanin.signals.paths import Paths
from fanin.signals.rules import affine, batch_norms, norms
from fanin.signals.rules.over_draws import Response
from fanin.signals.rules.sizes import freedom
from fanin.signals.rules.smaller_layer import SmallerLayer
from fanin.signals.state import State
from fanin.signals.taps import flat
from fanin.signals.twins import Kin
from fanin.signals.values import Constant

DRAWS = "signals/test_draws.py"
DEPTHWISE = "signals/rules/test_depthwise.py"
LAST_STEP = "signals/rules/test_last_step.py"
MADE = "frameworks/test_torch_predict_made.py"
SAMPLED = "frameworks/test_torch_predict_sampled.py"
SOURCES = "signals/test_loop_sources.py"
WINDOWS = "signals/rules/test_windows.py"
STEADY = "signals/rules/test_steady.py"
FLATTENED, OF_BATCH, PROJECTED = batch_norms._flattened, batch_norms._of_batch, batch_norms._projected
POINTS = Draws.points.func  # type: ignore[attr-defined]  # of a cached property


def gaussian_paths(self: Paths, layer: int, variance: float, apart: float) -> Paths:
    """As wide, and of no other shape."""
    ranks = (np.argsort(np.argsort(self.logs, 0), 0) + 0.5) / len(self.logs)
    size = math.hypot(float(np.std(self.logs)), math.sqrt(variance))
    return Paths.of(size * np.vectorize(NormalDist().inv_cdf)(ranks))[1]


def strangers(*draws: Any) -> list[Paths]:
    """Each in another order of the draws."""
    return [Paths.of(np.roll(d.paths.logs, 7 * at, 0))[1] for at, d in enumerate(draws)]


def independently(parts: Any) -> draws.Draws:
    """Log q of a sum as if no term had any draw in common with another."""
    return draws.NOTHING.with_own(sum(w**2 * d.variance for w, d in parts))


def at_the_first_state(moments: Callable[..., Any]) -> Callable[..., Any]:
    """Of each part of a gradient what was found first."""
    known: dict[int, Any] = {}
    return lambda flow, state: known.setdefault(id(flow), moments(flow, state))


def counted_alike(drawn: Draws) -> Points:
    """Points that are drawn where most comes from, and not weighted."""
    points: Points = POINTS(drawn)
    return points._replace(weights=torch.ones_like(points.weights))


def unshared(rule: Any) -> Any:
    """A rule for states whose features have nothing in common but their means."""

    def forgetful(call: Any, **options: Any) -> Any:
        values = {n: replace(v, shared=0.0) if isinstance(v, State) else v for n, v in call.values.items()}
        return rule(replace(call, values=values), **options)

    return forgetful


def as_a_kernel_leaves_it(x: State, taken: Any) -> Any:
    """A profile without the mean, as if x had lost as many taps as its square says."""
    return FLATTENED(x if x.profile is None else State._also(replace(x), reach=x.profile), taken)


def spread_over_steps(below: list[Any], ways: Any, *, follows: bool, common: bool) -> Any:
    """What is handed down, known by its average over steps."""
    second = np.mean([(array**2).mean() for array in below], keepdims=True)
    seen = gradient.GradientMoments(second, np.zeros(1), np.zeros(1))
    return [[run.behind(at, [seen], common=common) for at in range(run.draws)] for run in ways]


MUTANTS = (
    Mutant(
        "signals that were drawn independently have a band all the same",
        put("fanin.signals.summary", "APART", ""),
        (f"{SAMPLED}::test_no_band_is_said_of_signals_that_were_drawn_independently",),
    ),
    Mutant(
        "two calls of one module know nothing of each other",
        put("fanin.signals.values", "covariance", lambda x, y: None),
        ("signals/test_twins.py::test_what_two_branches_have_in_common",),
    ),
    Mutant(
        "two calls of one module are twins whatever their inputs",
        lambda patch: patch.setattr(Kin, "twin_of", lambda self, other: self.function == other.function),
        ("signals/test_twins.py::test_twins_share_all_weights_and_not_their_inputs",),
    ),
    Mutant(
        "what is made of parameters is run operation by operation",
        lambda patch: patch.setattr(OfParameters, "holds", lambda self, fx: False),
        (f"{MADE}::test_a_weight_that_is_computed_has_the_law_of_what_is_computed",),
    ),
    Mutant(
        "singular vectors stay those of values that were overwritten",
        put("fanin.frameworks.torch.predicting.made", "followers", lambda model: {}),
        (f"{MADE}::test_singular_vectors_are_those_of_the_values_that_a_plan_draws",),
    ),
    Mutant(
        "a model's own list of indices counts samples",
        put("fanin.frameworks.torch.predicting.known", "Constant", lambda array, own: Constant(array)),
        (f"{WINDOWS}::test_what_comes_back_to_a_bias_by_relative_position",),
    ),
    Mutant(
        "zeros like a signal are never known",
        put("fanin.frameworks.torch.predicting.known", "_FILLED", frozenset()),
        (f"{WINDOWS}::test_a_mask_that_is_filled_in_is_known",),
    ),
    Mutant(
        "memory that nothing wrote to is measured",
        put("fanin.frameworks.torch.measuring.recorder", "UNWRITTEN", frozenset()),
        ("frameworks/test_torch_observe.py::test_memory_that_nothing_has_been_written_to_is_not_measured",),
    ),
    Mutant(
        "branches of a stream are drawn independently",
        put("fanin.signals.rules.sums", "together", independently),
        ("signals/test_draws.py::test_the_band_of_a_residual_stream_is_as_wide_as_that_of_many_draws",),
    ),
    Mutant(
        "orthogonal layers add to the spread over draws as others do",
        lambda patch: patch.setattr(State, "drawn_through", lambda self, norms_kept: self.drawn),
        ("signals/test_draws.py::test_orthogonal_weights_keep_the_mean_square_and_add_nothing_to_the_band",),
    ),
    Mutant(
        "a function of q is taken at the mean of q",
        put("fanin.signals.rules.over_draws", "LITTLE", math.inf),
        ("signals/test_draws.py::test_the_mean_over_draws_is_that_of_a_log_normal_q",),
    ),
    Mutant(
        "log q is Gaussian whatever functions did to it",
        lambda patch: patch.setattr(Paths, "widened", gaussian_paths),
        ("signals/test_draws.py::test_what_one_layer_adds_comes_to_what_was_there",),
    ),
    Mutant(
        "the samples of a draw of the weights are as large as each other",
        lambda patch: patch.setattr(State, "drawn", property(lambda self: self.draws.with_own(self.own_spread))),
        (f"{DRAWS}::test_a_deep_net_of_gelu_is_as_in_500_draws",),
    ),
    Mutant(
        "no gradient points along its signal",
        put("fanin.signals.rules.linear", "through_weights", lambda seen, *at: seen),
        (f"{DRAWS}::test_a_deep_net_of_gelu_is_as_in_500_draws",),
    ),
    Mutant(
        "a gradient has nothing of the chance that the next signal has",
        lambda patch: patch.setattr(Response, "_by_chance", lambda self, out: np.zeros((256, 1))),
        (f"{DRAWS}::test_a_gradient_has_the_chance_that_the_next_signal_has",),
    ),
    Mutant(
        "a product of two leaves one of them out",
        lambda patch: patch.setattr(Paths, "times", lambda self, sizes: (0.0, self)),
        (f"{DRAWS}::test_a_product_is_the_sum_of_logarithms",),
    ),
    Mutant(
        "two signals of one past meet on paths of their own",
        put("fanin.signals.draws", "_alike", strangers),
        (f"{DRAWS}::test_two_signals_of_one_past_meet_on_the_same_paths",),
    ),
    Mutant(
        "loops are not found, and each step is on its own",
        put("fanin.signals.propagate", "loops", lambda graph: ()),
        ("signals/test_loops.py::test_a_decay_is_slow_at_all_steps_or_at_none",),
    ),
    Mutant(
        "gradients reach a loop in another order",
        put("fanin.signals.propagate", "sorted", lambda names: sorted(names, reverse=True)),
        ("signals/test_loops.py::test_gradients_reach_a_loop_in_an_order_of_its_own",),
    ),
    Mutant(
        "the features that a loop is run with send back for themselves only",
        put("fanin.frameworks.torch.predicting.loop_cut", "sent_back", lambda x, by: x),
        (
            "signals/test_loops.py::test_features_are_cut_although_one_end_has_none_of_them",
            f"{SOURCES}::test_gradients_of_what_selects_are_those_that_are_measured",
        ),
    ),
    Mutant(
        "the arguments of a loop are independent",
        put("fanin.signals.loops", "between", lambda *_: frozenset()),
        (f"{SOURCES}::test_what_is_linear_in_one_signal_is_large_together",),
    ),
    Mutant(
        "a part of the features stands for all of them",
        lambda patch: patch.setattr(Cut, "drawn", 1.0),
        (f"{SOURCES}::test_a_sum_over_a_part_of_the_features_varies_as_that_over_all",),
    ),
    Mutant(
        "features that are drawn more often count as the others",
        lambda patch: patch.setattr(Draws, "points", property(counted_alike)),
        (f"{SOURCES}::test_features_that_are_drawn_more_often_count_as_much_less",),
    ),
    Mutant(
        "an entry knows nothing of the mean that it is part of",
        put("fanin.signals.rules.steady", "_is_square", lambda averaged, x: False),
        (f"{STEADY}::test_a_norm_that_is_written_out_leaves_one",),
    ),
    Mutant(
        "draws that make a divisor large make the quotient large",
        put("fanin.signals.rules.factors", "_inverted", lambda x: x.of(1 / x.values)),
        (f"{STEADY}::test_a_norm_that_is_written_out_leaves_one",),
    ),
    Mutant(
        "what features have of their own is spread evenly in rows, and not in columns",
        put("fanin.frameworks.torch.predicting.loop_draws", "_one_each", lambda shape, few: shape == (few,)),
        (f"{SOURCES}::test_a_column_of_one_number_a_feature_is_drawn_as_a_row_is",),
    ),
    Mutant(
        "over channels a depthwise convolution is Gaussian",
        put("fanin.signals.rules.convolution", "spread_over_channels", lambda out, *_: out),
        ("signals/rules/test_channels_apart.py::test_what_bends_a_depthwise_convolution_sees_how_channels_differ",),
    ),
    Mutant(
        "a batch norm keeps how channels differ in scale",
        put("fanin.signals.rules.batch_norms", "_of_one_scale", lambda x: x),
        ("signals/rules/test_channels_apart.py::test_a_batch_norm_takes_away_how_channels_differ_in_scale",),
    ),
    Mutant(
        "what a constructor computes is Gaussian",
        put("fanin.frameworks.torch.predicting.weights", "ALONE", frozenset()),
        ("frameworks/test_torch_predict.py::test_a_bias_that_a_constructor_computes_is_seen_as_it_is_spread",),
    ),
    Mutant(
        "what a norm makes impossible for gradients is forgotten",
        put("fanin.signals.gradient_forms", "Blind", lambda *_: None),
        ("signals/rules/test_narrow.py::test_a_scale_that_a_norm_takes_out_again_gets_next_to_no_gradient",),
    ),
    Mutant(
        "moments of a gradient are kept, whatever state they are asked for at",
        put("fanin.signals.gradient", "_moments", at_the_first_state(gradient._moments)),
        ("signals/test_gradient.py::test_moments_are_those_at_the_state_that_is_asked_for",),
    ),
    Mutant(
        "of a gradient and a normalised signal only covariances are known",
        put(
            "fanin.signals.rules.affine",
            "_along",
            lambda flow, hat, out: affine._product(total({0: flow}, out), hat, out),
        ),
        ("signals/rules/test_scales.py",),
    ),
    Mutant(
        "what features have in common with their mean is as small at borders as their square",
        put("fanin.signals.rules.batch_norms", "_flattened", as_a_kernel_leaves_it),
        ("signals/rules/test_borders.py",),
    ),
    Mutant(
        "samples have no map in common that borders make",
        put("fanin.signals.rules.batch_norms", "_of_batch", lambda x, places: OF_BATCH(x, None)),
        ("signals/test_places.py::test_a_norm_divides_by_what_differs_from_place_to_place",),
    ),
    Mutant(
        "few large eigenvalues are as many of their mean size",
        put("fanin.signals.rules.sizes", "freedom_of_inverse", freedom),
        ("signals/test_places.py::test_the_inverse_of_a_sum_of_unlike_squares_is_that_of_draws",),
    ),
    Mutant(
        "a norm takes from a gradient what one that knows nothing of the signal has along it",
        put("fanin.signals.rules.batch_norms", "_projected", lambda *args, **_: PROJECTED(*args)),
        ("signals/rules/test_scales.py::test_what_a_norm_takes_of_a_gradient_is_what_its_scale_gets",),
    ),
    Mutant(
        "no tap of a kernel misses a position",
        put("fanin.signals.rules.convolution", "border", lambda met: 0.0),
        (f"{DEPTHWISE}::test_what_a_norm_leaves_of_the_gradients_of_a_scale_and_a_shift_in_front",),
    ),
    Mutant(
        "a gradient is orthogonal to the signal beside its own dependence on it",
        put(
            "fanin.signals.gradient_forms", "Blind", lambda signal, along, border, factor: Blind(signal, along, border)
        ),
        (f"{DEPTHWISE}::test_what_a_norm_leaves_of_the_gradients_of_a_scale_and_a_shift_in_front",),
    ),
    Mutant(
        "two positions have no more in common than their correlation",
        put("fanin.signals.rules.convolution", "large_together", lambda x, met: 0.0),
        (f"{DEPTHWISE}::test_positions_that_read_the_same_inputs_are_large_together",),
    ),
    Mutant(
        "features behind a convolution are equally large",
        put("fanin.signals.rules.sizes", "inverse_moment", np.ones_like),
        ("signals/rules/test_narrow.py::test_what_norms_divide_by_is_that_of_the_weights_in_front",),
    ),
    Mutant(
        "gradients do not know which of few terms made their sum large",
        put("fanin.signals.gradient_forms", "FEW_TERMS", 0),
        ("signals/rules/test_narrow.py::test_a_gradient_is_large_where_one_of_few_terms_made_the_sum_large",),
    ),
    Mutant(
        "features share nothing behind weights over positions",
        put("fanin.signals.rules.norms", "_over_features", unshared(norms._over_features)),
        (
            "signals/rules/test_narrow.py::"
            "test_what_features_share_behind_weights_over_positions_is_taken_away_by_a_layer_norm",
        ),
    ),
    Mutant(
        "all positions behind a causal convolution are alike",
        put("fanin.signals.rules.convolution", "by_border", lambda *_: None),
        ("signals/rules/test_narrow.py::test_the_first_position_behind_a_causal_convolution_sees_one_tap_of_four",),
    ),
    Mutant(
        "every bias is Gaussian",
        put("fanin.signals.rules.linear", "DECIDES", math.inf),
        ("signals/rules/test_narrow.py::test_a_bias_that_decides_where_units_stand_is_seen_with_its_own_law",),
    ),
    Mutant(
        "a recurrent layer is given moments of the layer below",
        put("fanin.signals.rules.recurrent", "_beside", lambda _: []),
        ("signals/rules/test_narrow.py::test_a_stack_of_recurrent_layers_sees_how_the_layer_below_changes_in_time",),
    ),
    Mutant(
        "all steps are equally large",
        put("fanin.signals.rules.pieces", "_as_large_as_there", lambda part, *_, **__: part),
        (f"{LAST_STEP}::test_the_last_step_is_as_large_as_it_is",),
    ),
    Mutant(
        "a recurrent layer does not say at which steps it has sent something back",
        put("fanin.signals.rules.recurrent_back", "_handed_down", spread_over_steps),
        (f"{LAST_STEP}::test_gradients_of_all_parameters_are_those_that_are_measured",),
    ),
    Mutant(
        "both directions of a recurrent layer have the same weights",
        put("fanin.signals.rules.recurrent", "SmallerLayer", lambda *args, at, **kw: SmallerLayer(*args, at=0, **kw)),
        (f"{LAST_STEP}::test_gradients_of_all_parameters_are_those_that_are_measured",),
    ),
    Mutant(
        "what comes back to samples has nothing in common",
        put("fanin.signals.rules.recurrent", "in_common", lambda seen, steps: 0.0),
        (f"{LAST_STEP}::test_what_samples_have_in_common_adds_up",),
    ),
    Mutant(
        "what comes back at the last step is spread over all steps",
        put("fanin.signals.rules.smaller_layer", "fitting", lambda profile, sizes: flat(sizes)),
        (f"{LAST_STEP}::test_gradients_of_all_parameters_are_those_that_are_measured",),
    ),
    Mutant(
        "all of a second moment moves with the layers before it, the part of a bias too",
        lambda patch: patch.setattr(State, "moved_by", lambda state, part: state),
        ("signals/test_bands.py::test_the_band_of_a_net_that_its_biases_feed_does_not_drift_away_with_depth",),
    ),
)

test_the_tests_notice = noticed(MUTANTS)
