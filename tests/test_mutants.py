"""Would the tests notice? Each mutant is a defect patched into the library; the tests named with it must fail.

To add one: a line in `MUTANTS`.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import math
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from hashlib import sha256
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from markupsafe import Markup

from fanin.activations.mean_field import gradient_growth
from fanin.cli.settings import Settings
from fanin.diagnosis import Evidence
from fanin.diagnosis.checks import alike
from fanin.diagnosis.checks.input_scale import MOVES
from fanin.diagnosis.checks.value_range import Range
from fanin.diagnosis.progress import Progress
from fanin.experiments.optimizers import OPTIMIZERS
from fanin.experiments.settings import Training
from fanin.experiments.statistics import paired
from fanin.experiments.vary import cells
from fanin.frameworks.closer import looked_at
from fanin.frameworks.torch import draw_seed, write_
from fanin.frameworks.torch.objectives import Objective, gradient_quotient
from fanin.frameworks.torch.same_elements import same_elements
from fanin.frameworks.torch.step_forward import Forward
from fanin.graph import Fans, Parameter, Role, fans
from fanin.graph.layers import NORMS
from fanin.graph.layout import Layout
from fanin.initializers import CutNormal, Jittered, Law, Normal, Sparse, Target, TruncatedNormal, Uniform
from fanin.monitor.seen import Seen
from fanin.plans import Measured, Plan
from fanin.plans.by_role import NORMS_AT_IDENTITY, PLAIN, always
from fanin.plans.learned import GradInit
from fanin.signals import LayerSignal, draws
from fanin.signals.over_depth import GRADIENTS
from fanin.signals.rules import norms
from fanin.signals.state import State
from fanin.signals.step import StepSignals
from fanin.stream import Distribution, distributions, key, keys, masks, philox, quantile, reflections, sample
from fanin.stream.gaussian import TruncatedMoments
from fanin.stream.laws import NORMAL
from fanin.stream.reference import ROUNDED

TESTS = Path(__file__).parent
ZEROS = bytes(48 if 48 <= byte < 58 else byte for byte in range(256))  # digits as the digit 0
Patch = Callable[[pytest.MonkeyPatch], None]


def stored_shape(path: str, shape: tuple[int, ...], *further: Any, **named: Any) -> Any:
    """A parameter whose axes are turned."""
    return Parameter(path, shape[::-1], *further, **named)


def put(module: str, name: str, value: object) -> Patch:
    """Replace what a module means by a name, builtins included."""
    return lambda patch: patch.setattr(importlib.import_module(module), name, value, raising=False)


def by_the_reference(*patches: Patch) -> Patch:
    """With these patches, and no kernel drawing in the reference's place, whatever was drawn before."""
    without = (
        put("fanin.stream.draw", "_kernels", {}),
        put("fanin.stream.draw", "_drawn_without", Counter()),
        put("fanin.stream.draw", "WORTH_A_START", math.inf),
    )

    def patch_all(patch: pytest.MonkeyPatch) -> None:
        for one in (*without, *patches):
            one(patch)

    return patch_all


def _without_decay(optimizer: Any) -> Any:
    return lambda parameters, momentum, decay: optimizer(parameters, momentum)


def ignoring(ignored: str, mask: int) -> Patch:
    """A key made of a seed or a draw with some of its bits cleared."""
    checked = keys._integer
    return put(
        "fanin.stream.keys",
        "_integer",
        lambda label, value, bits: checked(label, value, bits=bits) & (mask if label == ignored else -1),
    )


def one_word_a_block(key: keys.Key, blocks: Any) -> Any:
    """The first lane of each block in all four."""
    return _block_words(key, blocks)[:, [0, 0, 0, 0]]


def window_from_the_first_word(low: float, high: float) -> tuple[int, int, int, int]:
    _, count, lowest, highest = _window(low, high)
    return 0, count, lowest, highest


_block_words, _window = philox._block_words, distributions._window
SUITE = "testing/test_initializer_suite.py"
LAWS = "initializers/test_initializer_laws.py"
REPAIR = "diagnosis/test_repair.py"
COMPARING = "experiments/test_comparing.py"
STATISTICS = "stream/test_stream_statistics.py"
TOKENS, RESIDUAL = "diagnosis/test_tokens.py", "diagnosis/test_residual.py"


def random_norm_scales(patch: pytest.MonkeyPatch) -> None:
    """As in paddle: one rule for biases and everything else that is a vector."""
    for rules in (PLAIN, NORMS_AT_IDENTITY):
        patch.setitem(rules, Role.NORM_SCALE, always(Normal(0.1), "like any vector"))


def same(evidence: Evidence, seen: LayerSignal) -> bool:
    """All units have the same weights, whatever their gradients."""
    return evidence.weight(seen.layer).same_rows


@contextlib.contextmanager
def for_good(model: Any, plan: Plan, seed: int) -> Iterator[None]:
    """Writes, and does not put back."""
    write_(model, plan, seed)
    yield


def signs_of_lapack(seed: int, name: str, rows: int, columns: int) -> Any:
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(rows, columns)))[0]


def first_columns(stream: Any, m: int, columns: Any, rows: Any, out: Any) -> None:
    """As many columns as are asked for, but the first ones."""
    reflections.haar_columns(stream, m, np.arange(len(columns)), rows, out)


def without_ties(stream: Any, groups: Any, asked: Any, keep: int, word: Any, place: Any) -> None:
    FIND_THRESHOLDS(stream, groups, asked, keep, word, place)
    place[:] = -1


def uniformly(stream: Any, elements: Any, sampled: Distribution, **dtype: Any) -> Any:
    kind, *_, unit, _ = sampled.law
    same_std = Uniform.of_std(unit * 2**27).sampling(Target("w", ())) if kind == NORMAL else sampled
    return sample(stream, elements, same_std, **dtype)


LAW_OF_SPARSE = Sparse.law
LOST_OF, SAME_ELEMENTS = alike.lost_of, same_elements
FIND_THRESHOLDS = masks._find_thresholds


def quotient_turned(*arguments: Any) -> Objective:
    """As if a gradient that changes much were wanted."""
    return Objective(-gradient_quotient(*arguments).value)


def as_even_as_can_be(positions: range, parts: int, index: int) -> range:
    """As `np.array_split` divides."""
    n = len(positions)
    return positions[index * n // parts : (index + 1) * n // parts]


def independently(parts: Any) -> draws.Draws:
    """Log q of a sum as if no term had any draw in common with another."""
    return draws.NOTHING.with_own(sum(w**2 * d.variance for w, d in parts))


def unshared(rule: Any) -> Any:
    """A rule for states whose features have nothing in common but their means."""

    def forgetful(call: Any, **options: Any) -> Any:
        values = {n: replace(v, shared=0.0) if isinstance(v, State) else v for n, v in call.values.items()}
        return rule(replace(call, values=values), **options)

    return forgetful


@dataclass(frozen=True)
class Mutant:
    """A defect and the test files each of which must notice it; the test itself (file::test) where the file is long."""

    defect: str
    patch: Patch
    noticed_by: tuple[str, ...]


MUTANTS: tuple[Mutant, ...] = (
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
        put("fanin.signals.draws", "_widened", lambda logs, own: float(np.std(logs)) * draws.AT),
        ("signals/test_draws.py::test_what_bends_the_law_of_q_is_followed",),
    ),
    Mutant(
        "loops are not found, and each step is on its own",
        put("fanin.signals.propagate", "loops", lambda graph: ()),
        ("signals/test_loops.py::test_a_decay_is_slow_at_all_steps_or_at_none",),
    ),
    Mutant(
        "what a norm makes impossible for gradients is forgotten",
        put("fanin.signals.gradient", "Blind", lambda *_: None),
        ("signals/rules/test_narrow.py::test_a_scale_that_a_norm_takes_out_again_gets_next_to_no_gradient",),
    ),
    Mutant(
        "features behind a convolution are equally large",
        put("fanin.signals.rules.sizes", "inverse_moment", np.ones_like),
        ("signals/rules/test_narrow.py::test_what_norms_divide_by_is_that_of_the_weights_in_front",),
    ),
    Mutant(
        "gradients do not know which of few terms made their sum large",
        put("fanin.signals.gradient", "FEW_TERMS", 0),
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
        put("fanin.signals.rules.convolution", "_by_border", lambda *_: None),
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
        "a net that says the same for all inputs counts as one that trains",
        put("fanin.experiments.criterion", "trains", lambda loss, chance, bar=0.5: loss <= chance * 1.01),
        ("experiments/test_criterion.py",),
    ),
    Mutant(
        "a run that left the finite numbers is judged by those before",
        put("fanin.experiments.criterion", "final_loss", lambda losses, diverged_at=None: losses[-1]),
        ("experiments/test_criterion.py",),
    ),
    Mutant(
        "an interval of plain percentiles, too narrow for few seeds",
        put("fanin.experiments.statistics", "student_quantile", lambda share, degrees: 1.0),
        ("experiments/test_statistics.py::test_an_interval_covers_the_mean_about_as_often_as_it_says",),
    ),
    Mutant(
        "differences of recipes not taken seed by seed",
        put("fanin.experiments.statistics", "zip", lambda a, b, strict: zip(a, b[::-1], strict=True)),
        ("experiments/test_statistics.py::test_pairs_take_away_what_a_seed_does_to_both",),
    ),
    Mutant(
        "a trial that is known without its training",
        put("fanin.experiments.settings", "asdict", lambda how: {}),
        (f"{COMPARING}::test_whatever_decides_a_trial_makes_another_one",),
    ),
    Mutant(
        "a stack for each trial of a sweep",
        put("fanin.experiments.conduct", "LARGEST_STACK", 1),
        ("experiments/test_sweep.py::test_cells_of_one_net_are_trained_in_one_stack",),
    ),
    Mutant(
        "signals taken for kept where only losses are",
        put("fanin.experiments.conduct", "has", lambda result, signals: result is not None),
        ("experiments/test_sweep.py::test_a_result_without_signals_is_trained_again_where_they_are_asked_for",),
    ),
    Mutant(
        "weight decay left out in a stack",
        put("fanin.experiments.together", "OPTIMIZERS", {n: _without_decay(one) for n, one in OPTIMIZERS.items()}),
        ("experiments/test_training.py::test_weight_decay_is_that_of_torch",),
    ),
    Mutant(
        "trials of any weight decay under one name",
        lambda patch: patch.setattr(Training, "to_dict", lambda how: asdict(replace(how, weight_decay=0.0))),
        ("experiments/test_sweep.py::test_weight_decay_is_another_trial",),
    ),
    Mutant(
        "claims looked for the other way round",
        put("fanin.experiments.lessons.claims", "paired", lambda first, second: paired(second, first)),
        ("experiments/test_lessons.py::test_what_is_looked_for_is_what_is_said",),
    ),
    Mutant(
        "values of a sweep put into the wrong cells",
        put("fanin.experiments.sweep", "cells", lambda vary: cells(vary)[::-1]),
        ("experiments/test_sweep.py::test_the_last_name_changes_fastest_and_values_find_their_study",),
    ),
    Mutant(
        "one name for all results",
        put("fanin.experiments.store", "name_of", lambda what: "0" * 64),
        ("experiments/test_store.py::test_what_is_put_is_found_by_all_that_decides_it",),
    ),
    Mutant(
        "every recipe judged at the first rate",
        put("fanin.experiments.study", "min", lambda whole, **_: whole[0]),
        (f"{COMPARING}::test_each_recipe_is_judged_at_its_own_best_rate",),
    ),
    Mutant(
        "fan_in and fan_out swapped",
        put("fanin.graph.fans", "Fans", lambda fan_in, fan_out: Fans(fan_out, fan_in)),
        ("graph/test_fans.py",),
    ),
    Mutant(
        "a stride that is forgotten",
        put("fanin.graph.fans", "_divide", lambda connections, step: connections),
        ("graph/test_fans.py",),
    ),
    Mutant(
        "fan_out used where fan_in is meant",
        lambda patch: patch.setattr(Fans, "of", lambda fans, mode: fans.fan_out),
        (f"{LAWS}::test_the_std_is_that_of_the_closed_form", "plans/test_recipes.py"),
    ),
    Mutant(
        "he_normal without its gain",
        put("fanin.initializers.variance_scaling", "_rectifier_gain", lambda negative_slope: 1.0),
        (f"{LAWS}::test_a_fan_that_is_given_needs_no_operation", "plans/test_recipes.py"),
    ),
    Mutant(
        "a truncated law without the correction of its std",
        put("fanin.initializers.truncated_normal", "truncated_std", lambda cut: 1.0),
        (
            f"{SUITE}::test_every_initializer_of_the_literal_conforms",
            f"{LAWS}::test_the_declared_law_is_measured_with_other_arguments",
        ),
    ),
    Mutant(
        "a rule for biases that randomizes norm scales",
        random_norm_scales,
        ("plans/test_recipes.py",),
    ),
    Mutant(
        "an asymmetric cut whose realised mean is forgotten",
        put("fanin.initializers.truncated_normal", "truncated_moments", lambda a, b: TruncatedMoments(0.0, 0.88, 3.0)),
        ("initializers/test_truncated_laws.py::test_a_draw_between_any_cuts_has_the_mean_and_std_that_are_asked_for",),
    ),
    Mutant(
        "complex numbers of twice the variance",
        put("fanin.initializers.base", "COMPONENT_SCALE", 1.0),
        (
            f"{LAWS}::test_a_complex_draw_is_two_of_half_the_variance",
            f"{SUITE}::test_every_initializer_of_the_literal_conforms_in_complex_numbers",
        ),
    ),
    Mutant(
        "parts all drawn under one name",
        put("fanin.initializers.parts", "part_name", lambda target, part: target.name),
        ("initializers/test_parts.py",),
    ),
    Mutant(
        "a renamed parameter is drawn under its path",
        put("fanin.plans.names", "_with", lambda parameter, name: parameter),
        ("plans/test_names.py",),
    ),
    Mutant(
        "a described parameter has the shape in which it is stored",
        put("fanin.graph.calls", "Parameter", stored_shape),
        ("graph/test_calls.py",),
    ),
    Mutant(
        "an array of a net is compared as it lies, not as the logical weight",
        lambda patch: patch.setattr(Layout, "logical", lambda layout, stored: stored.reshape(layout.shape)),
        ("frameworks/test_numpy_net.py::test_initialize_fills_the_callers_own_arrays_and_verify_knows_them",),
    ),
    Mutant(
        "a bias that is added by hand ends the walk to the activation",
        put("fanin.graph.layers", "_adds_a_bias", lambda graph, node: False),
        ("graph/test_layers.py::test_a_bias_that_is_added_by_hand_belongs_to_its_layer",),
    ),
    Mutant(
        "packed gates that count as one weight",
        put("fanin.graph.operations", "fans", lambda shape, use: fans(shape, replace(use, parts=1))),
        ("frameworks/test_torch_trace.py",),
    ),
    Mutant(
        "a projection that is not one",
        put("fanin.initializers.isometry", "_product", lambda a, b: a @ b * 1.001),
        ("initializers/test_structured.py", f"{SUITE}::test_every_initializer_of_the_literal_conforms"),
    ),
    Mutant(
        "a bilinear kernel that is skewed for odd sizes",
        put("fanin.initializers.bilinear", "_tent", lambda k, i: 2 * ((k + 1) // 2) - abs(2 * i - k + 1 + k % 2)),
        ("initializers/test_structured.py",),
    ),
    Mutant(
        "a dirac kernel whose groups are ignored",
        put("fanin.initializers.identity", "max", lambda a, b: 1 << 40),
        ("initializers/test_structured.py",),
    ),
    Mutant(
        "a draw that ignores the name",
        put("fanin.initializers.base", "key", lambda seed, name, **more: key(seed, "weight", **more)),
        ("testing/test_initializer_suite.py",),
    ),
    Mutant(
        "a draw that ignores the seed",
        put("fanin.initializers.base", "key", lambda seed, name, **more: key(0, name, **more)),
        ("testing/test_initializer_suite.py",),
    ),
    Mutant(
        "a QR decomposition with the signs of LAPACK",
        put("fanin.initializers.orthogonal", "by_qr", signs_of_lapack),
        (
            "initializers/test_initializer_laws.py::test_qr_is_haar",
            f"{SUITE}::test_orthogonal_matrices_with_the_signs_of_lapack_are_noticed",
        ),
    ),
    Mutant(
        "all draws zero",
        put("fanin.initializers.base", "sample", lambda key, elements, law, dtype: np.zeros(len(elements), dtype)),
        (f"{SUITE}::test_every_initializer_of_the_literal_conforms",),
    ),
    Mutant(
        "a normal law drawn uniformly, of the same std",
        put("fanin.initializers.base", "sample", uniformly),
        (f"{SUITE}::test_every_initializer_of_the_literal_conforms",),
    ),
    Mutant(
        "the kurtosis of a sparse law taken for that of its non-zero elements",
        lambda patch: patch.setattr(
            Sparse, "law", lambda what, target: replace(LAW_OF_SPARSE(what, target), kurtosis=3.0)
        ),
        (f"{SUITE}::test_every_initializer_of_the_literal_conforms",),
    ),
    Mutant(
        "an orthogonal kernel that adds the rows of a sum in one go",
        put("fanin.stream.reflections", "PANEL", 1 << 30),
        ("stream/test_stream_orthogonal.py::test_the_kernel_has_the_bits_of_the_reference_for_whole_matrices",),
    ),
    Mutant(
        "a part of an orthogonal matrix numbered as if it were the whole",
        put("fanin.stream.orthogonal", "_engine", lambda multiply_adds: SimpleNamespace(haar_columns=first_columns)),
        ("stream/test_stream_orthogonal.py::test_a_part_has_the_bits_of_the_whole",),
    ),
    Mutant(
        "a mask whose groups are always rows",
        lambda patch: patch.setattr(masks._Groups, "of", lambda groups, e: (e // groups.length, e % groups.length)),
        ("stream/test_stream_masks.py", f"{LAWS}::test_each_column_has_as_many_zeros_as_torch_gives_it"),
    ),
    Mutant(
        "a mask that drops an element whenever words are equal",
        put("fanin.stream.masks", "_find_thresholds", without_ties),
        ("stream/test_stream_masks.py::test_of_equal_words_the_first_are_kept",),
    ),
    Mutant(
        "the std of a sparse law taken for that of its non-zero elements",
        lambda patch: patch.setattr(Sparse, "law", lambda sparse, target: Law(0.0, sparse.std, kurtosis=30.0)),
        (
            f"{SUITE}::test_every_initializer_of_the_literal_conforms",
            f"{LAWS}::test_the_declared_law_is_measured_with_other_arguments",
        ),
    ),
    Mutant(
        "bfloat16 by cutting off",
        put("fanin.initializers.base", "ROUNDED", ROUNDED | {"bfloat16": lambda x: (x.view("u4") >> 16).astype("u2")}),
        (f"{SUITE}::test_every_initializer_of_the_literal_conforms",),
    ),
    Mutant(
        "the activation of any branch taken for that of the layer",
        put("fanin.graph.layers", "all", lambda activations: True),
        ("graph/test_layers.py",),
    ),
    Mutant(
        "layers told apart by their first and last number only",
        put("fanin.plans.repeated", "_combinations", lambda group, path: [group]),
        ("plans/test_plan_text.py",),
    ),
    Mutant(
        "a vanishing net reported as healthy",
        put("fanin.diagnosis.checks.trend", "NOTICEABLE", 1e300),
        ("diagnosis/test_checks.py::test_a_planted_fault_is_found_and_nothing_else_is_and_its_remedy_makes_it_go",),
    ),
    Mutant(
        "any one layer out of range taken for a trend",
        put("fanin.diagnosis.checks.trend", "takewhile", filter),
        ("diagnosis/test_checks.py::test_a_side_branch_with_a_small_signal_is_no_trend",),
    ),
    Mutant(
        "symmetry judged by the weights alone, so that a zero head is a finding",
        put(
            "fanin.diagnosis.checks.symmetric",
            "_symmetric_layers",
            lambda seen: [s for s in seen.layers if same(seen, s)],
        ),
        ("diagnosis/test_checks.py::test_a_head_that_starts_at_zero_on_purpose_is_not_symmetric",),
    ),
    Mutant(
        "a remedy that is kept whatever else it breaks",
        put("fanin.diagnosis.repair", "harm", lambda before, after, checks: ()),
        (f"{REPAIR}::test_a_remedy_that_brings_another_error_is_taken_back",),
    ),
    Mutant(
        "a remedy of which nobody looks whether it helped",
        put("fanin.diagnosis.repair", "progress", lambda check, before, after: Progress.GONE),
        (f"{REPAIR}::test_a_remedy_that_made_it_worse_is_said_to_have",),
    ),
    Mutant(
        "harm that is judged by the selected checks alone",
        put("fanin.diagnosis.repair", "replace", lambda selection, select: selection),
        (f"{REPAIR}::test_harm_is_seen_by_checks_that_are_not_selected",),
    ),
    Mutant(
        "a ratio below 1 that counts as better the smaller it is",
        put("fanin.diagnosis.progress", "abs", lambda x: x),
        (f"{REPAIR}::test_a_number_tells_how_a_finding_changes",),
    ),
    Mutant(
        "trials that stay in the model",
        put("fanin.frameworks.torch", "drawn", for_good),
        (f"{REPAIR}::test_ctrl_c_leaves_the_model_as_it_was",),
    ),
    Mutant(
        "singular vectors that stay those of a trial",
        put("fanin.frameworks.torch.drawn", "singular_vectors", lambda model, written: ()),
        ("frameworks/test_torch_drawn.py::test_parameters_and_singular_vectors_come_back",),
    ),
    Mutant(
        "a severity to fail on that nobody looks at",
        lambda patch: patch.setattr(Settings, "fails", lambda settings, finding: True),
        ("cli/test_check.py::TestExitCodes::test_a_warning_fails_only_from_warnings_on",),
    ),
    Mutant(
        "a fingerprint of the line",
        put("fanin.reports.sarif", "_fingerprint", lambda located: str(located.line)),
        ("reports/test_sarif.py",),
    ),
    Mutant(
        "annotations whose percent signs are escaped last",
        put("fanin.reports.github", "_escaped", lambda text: text.replace("\n", "%0A").replace("%", "%25")),
        ("reports/test_github.py",),
    ),
    Mutant(
        "a schema that takes anything",
        put("fanin.diagnosis.schema", "schema_text", lambda: "{}"),
        ("diagnosis/test_schema.py::test_the_schema_refuses_what_is_not_so",),
    ),
    Mutant(
        "a gradient of a view taken for that of all that reads its source",
        put(
            "fanin.frameworks.torch.observe",
            "same_elements",
            lambda n, recorded: (source := SAME_ELEMENTS(n, recorded)[0], {source: n.name} if source else {}),
        ),
        ("frameworks/test_torch_observe.py::test_views_and_copies_have_what_measuring_them_again_would_show",),
    ),
    Mutant(
        "keys that a mask hides counted among those that attention may choose from",
        put("fanin.frameworks.torch.closer", "_MASKED", -math.inf),
        (f"{TOKENS}::test_a_mask_that_leaves_few_keys_is_no_collapse",),
    ),
    Mutant(
        "readouts, with their biases, among the places where samples must differ",
        put("fanin.diagnosis.checks.alike", "without_readouts", lambda evidence: list(evidence.layers)),
        (f"{TOKENS}::test_a_readout_that_says_its_prior_is_not_judged",),
    ),
    Mutant(
        "a gate taken for the signal",
        put("fanin.diagnosis.checks.alike", "passages", lambda paths, outputs: set(paths.names)),
        ("diagnosis/test_checks.py::test_a_side_branch_with_a_small_signal_is_no_trend",),
    ),
    Mutant(
        "queries and keys taken for a part of the signal's way",
        put("fanin.diagnosis.checks.trend", "ASKS", frozenset()),
        (f"{TOKENS}::test_uniform_attention_is_no_finding",),
    ),
    Mutant(
        "any positions taken for tokens",
        put("fanin.diagnosis.checks.alike", "_between_tokens", lambda evidence: lambda node, x: x.across_positions),
        (f"{TOKENS}::test_the_maps_of_a_convolution_are_not_tokens",),
    ),
    Mutant(
        "samples that are twice as alike as they were taken for one",
        put("fanin.diagnosis.checks.alike", "lost_of", lambda points, noticeable: LOST_OF(points, 0.5)),
        (f"{TOKENS}::test_a_deep_relu_net_at_its_gain_tells_samples_apart",),
    ),
    Mutant(
        "a stream that grows by sums taken for one that multiplies",
        put("fanin.diagnosis.checks.growing_stream", "SHARE", 0.0),
        (f"{RESIDUAL}::test_a_stream_that_grows_by_sums_is_no_finding",),
    ),
    Mutant(
        "a branch that starts at 0 on purpose taken for a fault",
        put("fanin.diagnosis.checks.dominated", "_by_design", lambda evidence, addition: False),
        (f"{RESIDUAL}::test_a_branch_that_is_shut_by_design_is_a_note",),
    ),
    Mutant(
        "the small gain of a norm taken for a small input",
        put("fanin.diagnosis.checks.starved_norm", "_second_moment", lambda evidence, node, argument: None),
        (f"{RESIDUAL}::test_a_norm_that_starts_with_a_small_gain_is_not_starved",),
    ),
    Mutant(
        "batch norm judged in evaluation",
        put("fanin.diagnosis.checks.starved_norm", "_EVALUATION", ""),
        (f"{RESIDUAL}::test_batch_norm_in_evaluation_is_not_judged",),
    ),
    Mutant(
        "orthogonal weights as sensitive as independent ones",
        put("fanin.diagnosis.checks.sensitive", "_independent", lambda entry: True),
        (f"{RESIDUAL}::test_weights_that_keep_sizes_are_not_sensitive",),
    ),
    Mutant(
        "copies of rows that are never enough",
        put("fanin.diagnosis.checks.symmetric", "COPIES", 2.0),
        ("diagnosis/test_units.py::test_shards_of_one_seed_are_half_a_layer",),
    ),
    Mutant(
        "more than half of the units dead taken for more than chance",
        put("fanin.diagnosis.checks.dead", "_tail", lambda n, k: 0.0),
        ("diagnosis/test_units.py::test_half_of_all_units_are_dead_for_a_single_sample_and_that_is_chance",),
    ),
    Mutant(
        "copies whose gradients are not looked at",
        put("fanin.diagnosis.checks.identical", "_pushed_alike", lambda evidence, same: False),
        ("diagnosis/test_units.py::test_copies_are_worse_the_longer_they_stay_alike",),
    ),
    Mutant(
        "an odd one among sisters of which no two agree",
        put("fanin.diagnosis.sisters", "MOST_AGREE", 0.0),
        ("diagnosis/test_laws.py::test_scales_that_follow_depth_have_no_odd_one",),
    ),
    Mutant(
        "biases compared whatever their weights' fan_in",
        put("fanin.diagnosis.sisters", "_beside", lambda evidence, p: ()),
        ("diagnosis/test_laws.py::test_biases_of_layers_with_another_fan_in_are_no_sisters",),
    ),
    Mutant(
        "two equal values in a tail taken for a cut",
        put("fanin.diagnosis.checks.truncation", "APART", 1e-9),
        ("diagnosis/test_laws.py::test_large_values_that_are_not_apart_are_a_tail",),
    ),
    Mutant(
        "He's fan_out divided by the stride",
        put("fanin.diagnosis.checks.fan_mistaken", "_without_stride", lambda evidence, p: p.fans),
        ("diagnosis/test_laws.py::test_a_stride_is_no_mistake",),
    ),
    Mutant(
        "weights that decayed to nothing taken for addresses",
        put("fanin.diagnosis.checks.uninitialized", "_is_random", lambda evidence, p: True),
        ("diagnosis/test_laws.py::test_units_that_training_decayed_to_nothing_are_no_old_memory",),
    ),
    Mutant(
        "a loss taken for given",
        put("fanin.diagnosis.evidence", "RANDOM_COTANGENT", "another"),
        ("diagnosis/test_laws.py::test_what_is_stopped_without_a_loss_may_have_one_of_its_own",),
    ),
    Mutant(
        "outputs of 0 stand for probabilities of 0",
        put("fanin.frameworks.stakes", "LOG_SOFTMAX", frozenset()),
        ("diagnosis/test_surroundings.py::test_chance_is_the_loss_of_logits_that_are_0",),
    ),
    Mutant(
        "every optimizer goes by the sign of the gradient",
        put("fanin.frameworks.torch.training", "_ALIKE", 10.0),
        ("diagnosis/test_surroundings.py::test_the_first_step_is_that_of_the_optimizer",),
    ),
    Mutant(
        "of a loader the first batch alone",
        put("fanin.frameworks.torch.batches", "islice", lambda loader, count: islice(loader, 1)),
        ("diagnosis/test_surroundings.py::test_signals_of_a_loader_are_averages_over_its_first_batches",),
    ),
    Mutant(
        "any loss above chance is too much",
        put("fanin.diagnosis.checks.first_loss", "NOTICED", 0.1),
        ("diagnosis/test_surrounding_checks.py::test_the_first_loss_is_judged_by_nats_above_chance",),
    ),
    Mutant(
        "no allowance for the number of samples",
        put("fanin.diagnosis.checks.first_loss", "LUCK", 0.0),
        ("diagnosis/test_surrounding_checks.py::test_a_few_samples_may_have_bad_luck",),
    ),
    Mutant(
        "a readout is drawn anew as wide as it was",
        put("fanin.diagnosis.checks.first_loss", "with_smaller_readout", lambda plan, evidence, by: plan),
        ("diagnosis/test_surrounding_checks.py::test_the_remedy_makes_the_planted_fault_go",),
    ),
    Mutant(
        "one bound on the variance of logits, however many classes",
        put("fanin.diagnosis.checks.hot_logits", "math", SimpleNamespace(log=lambda v: 2.3, isfinite=math.isfinite)),
        ("diagnosis/test_surrounding_checks.py::test_many_classes_bear_logits_of_a_larger_variance",),
    ),
    Mutant(
        "float32 is held to the range of float16",
        put("fanin.diagnosis.checks.value_range", "RANGES", {"float32": Range(-14, 15)}),
        ("diagnosis/test_surrounding_checks.py::test_half_precision_is_only_noted_where_it_is_not_in_use",),
    ),
    Mutant(
        "a mask is blamed for a row that it hides as a whole",
        put("fanin.diagnosis.checks.non_finite", "_hides_a_whole_row", lambda evidence, node: False),
        ("diagnosis/test_surrounding_checks.py::test_a_row_that_is_masked_as_a_whole_is_told_from_a_mask",),
    ),
    Mutant(
        "the features' means may cancel",
        put("fanin.diagnosis.checks.input_scale", "ENOUGH", math.inf),
        ("diagnosis/test_surrounding_checks.py::test_features_that_are_off_to_either_side_are_seen_one_by_one",),
    ),
    Mutant(
        "data that goes to a norm is judged, too",
        put("fanin.diagnosis.checks.input_scale", "MOVES", MOVES | NORMS),
        ("diagnosis/test_surrounding_checks.py::test_only_data_that_goes_into_a_weight_as_it_is_is_judged",),
    ),
    Mutant(
        "χ without the variance of the weights",
        put("fanin.activations.mean_field", "gradient_growth", lambda phi, w, q: gradient_growth(phi, 1.0, q)),
        ("activations/test_mean_field.py::test_reference_depth_scales",),
    ),
    Mutant(
        "q* taken for where the variance starts",
        put("fanin.activations.mean_field", "settled", lambda phi, w, b, start: start),
        ("activations/test_mean_field.py::test_reference_depth_scales",),
    ),
    Mutant(
        "a correlation map that ignores the correlation",
        put("fanin.activations.mean_field", "_alike", lambda phi, c, q, derivative=False: 0.0),
        ("activations/test_mean_field.py::test_reference_depth_scales",),
    ),
    Mutant(
        "an angle without its quadrant",
        put("fanin.activations.closed_forms", "_angle", lambda p, q, k: math.asin(math.sqrt(1 - k * k / (p * q)))),
        ("activations/test_kernels.py::test_closed_forms_are_what_quadrature_finds",),
    ),
    Mutant(
        "a kernel of inputs that share nothing",
        put("fanin.activations.kernels", "abs", lambda c: 0.0),
        ("activations/test_kernels.py::test_closed_forms_are_what_quadrature_finds",),
    ),
    Mutant(
        "auto without the gain of an activation that is no rectifier",
        put("fanin.plans.recipes.auto", "gain_for", lambda phi: 1.0),
        ("plans/test_recipes.py",),
    ),
    Mutant(
        "a key that ignores the last character of the name",
        put("fanin.stream.keys", "sha256", lambda message: sha256(message[:-1])),
        (f"{STATISTICS}::test_names_that_differ_in_a_character_are_independent",),
    ),
    Mutant(
        "a key that ignores the digits of the name",
        put("fanin.stream.keys", "sha256", lambda message: sha256(message[:41] + message[41:].translate(ZEROS))),
        (f"{STATISTICS}::test_names_that_differ_in_a_character_are_independent",),
    ),
    Mutant(
        "a key that ignores the low bit of the seed",
        ignoring("seed", ~1),
        (f"{STATISTICS}::test_neighbouring_seeds_are_independent",),
    ),
    Mutant(
        "a key that ignores the upper half of the seed",
        ignoring("seed", (1 << 64) - 1),
        (f"{STATISTICS}::test_neighbouring_seeds_are_independent",),
    ),
    Mutant(
        "a key that ignores the draw",
        ignoring("draw", 0),
        (f"{STATISTICS}::test_draws_are_independent",),
    ),
    Mutant(
        "a key that ignores the domain",
        put("fanin.stream.keys", "bytes", lambda domain: b"\0"),
        (f"{STATISTICS}::test_domains_are_independent",),
    ),
    Mutant(
        "one word for the four elements of a block",
        by_the_reference(put("fanin.stream.philox", "_block_words", one_word_a_block)),
        (f"{STATISTICS}::test_neighbouring_elements_are_independent",),
    ),
    Mutant(
        "Philox with a multiplier that does not mix",
        by_the_reference(put("fanin.stream.philox", "_MULTIPLIER_1", np.uint64(1))),
        (f"{STATISTICS}::test_neighbouring_elements_are_independent",),
    ),
    Mutant(
        "the slope and the curvature of the quantile swapped",
        by_the_reference(
            put("fanin.stream.quantile", "_C1", quantile._C2),
            put("fanin.stream.quantile", "_C2", quantile._C1),
        ),
        (f"{STATISTICS}::test_distributions",),
    ),
    Mutant(
        "a quantile whose tails end at three sigmas",
        by_the_reference(put("fanin.stream.quantile", "_C0", np.minimum(quantile._C0, 3 << 27))),
        (f"{STATISTICS}::test_skewness_and_kurtosis",),
    ),
    Mutant(
        "a truncated normal that cuts nothing",
        put("fanin.stream.distributions", "_window", lambda low, high: (0, 1 << 32, -(1 << 31), (1 << 31) - 1)),
        (f"{STATISTICS}::test_moments", f"{STATISTICS}::test_distributions"),
    ),
    Mutant(
        "a truncated normal whose window starts at the first word",
        put("fanin.stream.distributions", "_window", window_from_the_first_word),
        (f"{STATISTICS}::test_moments", f"{STATISTICS}::test_distributions"),
    ),
    Mutant(
        "a law told from few values",
        put("fanin.plans.recognition.recognise", "FEWEST", 20),
        ("plans/test_recognition.py::test_few_values_are_too_few_to_tell",),
    ),
    Mutant(
        "the simplest law, however unlikely",
        put("fanin.plans.recognition.families", "TELLS_APART", math.inf),
        (
            "plans/test_recognition.py::test_normal_and_uniform_values_are_told_apart_from_the_first_size_that_is_enough",
        ),
    ),
    Mutant(
        "orthogonal by the products of vectors, whatever their lengths",
        put(
            "fanin.plans.recognition.structure",
            "np",
            SimpleNamespace(**vars(np) | {"abs": lambda x: np.abs(x) * (1 - np.eye(len(x)))}),
        ),
        ("plans/test_recognition.py::test_orthogonal_matrices_of_any_shape",),
    ),
    Mutant(
        "a tolerance of a std that does not shrink with the number of values",
        lambda patch: patch.setattr(Measured, "std_error", lambda seen, kurtosis=3.0: 0.1),
        ("plans/test_recognition.py::test_the_tolerance_of_a_std_is_that_of_so_many_values",),
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
        put("fanin.frameworks.torch.write", "singular_vectors", lambda model, written: ()),
        ("frameworks/test_torch_parametrized.py::test_a_spectral_norm_is_one_at_once",),
    ),
    Mutant(
        "a recipe that writes over the coordinates of an orthogonal weight",
        put("fanin.frameworks.torch", "constrained", lambda model: {}),
        ("frameworks/test_torch_parametrized.py::test_an_orthogonal_weight_stays_orthogonal",),
    ),
    Mutant(
        "shards as even as can be, where PyTorch fills the first ones",
        put("fanin.frameworks.torch.shards", "_chunk", as_even_as_can_be),
        ("frameworks/test_torch_shards.py",),
    ),
    Mutant(
        "weights that change without a word to autograd",
        put("fanin.frameworks.torch.write", "increment_version", lambda written: None),
        ("frameworks/test_torch_write.py::test_gradients_flags_and_kept_parameters_are_left_alone",),
    ),
    Mutant(
        "complex weights with the whole variance in each part",
        put("fanin.compat.torch.scaled", "share", lambda tensor: 1.0),
        ("compat/test_compat_torch_laws.py",),
    ),
    Mutant(
        "one draw for both parts of a complex number",
        put("fanin.compat.torch.call", "key", lambda seed, name, draw: key(seed, name)),
        ("compat/test_compat_torch_laws.py",),
    ),
    Mutant(
        "fan_in and fan_out swapped in the drop-in for torch",
        put("fanin.compat.torch.scaled", "Fans", lambda fan_in, fan_out: Fans(fan_out, fan_in)),
        ("compat/test_compat_torch_laws.py",),
    ),
    Mutant(
        "bounds of a window taken for sigmas",
        put(
            "fanin.compat.torch.plain",
            "CutNormal",
            lambda std, mean, a, b: CutNormal(std, mean, mean + a * std, mean + b * std),
        ),
        ("compat/test_compat_torch_laws.py",),
    ),
    Mutant(
        "a lower bound that rounding may cross",
        put("fanin.initializers.cut_normal", "bisect_left", lambda span, bound, key: 0),
        ("compat/test_compat_torch_laws.py",),
    ),
    Mutant(
        "an upper bound that rounding may cross",
        put("fanin.initializers.cut_normal", "bisect_right", lambda span, bound, key: len(span)),
        ("compat/test_compat_torch_laws.py",),
    ),
    Mutant(
        "a generator that is ignored",
        put("fanin.compat.torch.call", "draw_seed", lambda generator: draw_seed()),
        ("compat/test_compat_torch.py",),
    ),
    Mutant(
        "a seed that is always the same",
        put("fanin.compat.torch.call", "draw_seed", lambda generator: 0),
        ("compat/test_compat_torch.py",),
    ),
    Mutant(
        "products that XLA may fuse with sums",
        put("fanin.frameworks.jax.values", "_unfused", lambda product: product),
        ("frameworks/test_jax_draw.py::test_values_have_the_bits_of_the_reference",),
    ),
    Mutant(
        "bfloat16 by cutting off, in JAX",
        put(
            "fanin.frameworks.jax.values",
            "_to_bfloat16",
            lambda numbers: (numbers.view("uint32") >> 16).astype("uint16").view("bfloat16"),
        ),
        ("frameworks/test_jax_draw.py::test_values_have_the_bits_of_the_reference",),
    ),
    Mutant(
        "a JAX kernel drawn in the order of its own axes",
        lambda patch: patch.setattr(
            "fanin.frameworks.jax.layout.Layout.order", lambda layout, shape: tuple(range(len(shape)))
        ),
        ("compat/test_compat_jax.py::test_a_kernel_is_the_transposed_weight_of_a_torch_model",),
    ),
    Mutant(
        "fan_in and fan_out of a JAX kernel swapped",
        put("fanin.frameworks.jax.layout", "Fans", lambda fan_in, fan_out: Fans(fan_out, fan_in)),
        ("compat/test_compat_jax.py::test_the_variance_is_scale_over_fan_after_the_cut",),
    ),
    Mutant(
        "weights are not transposed into the layout of the framework",
        lambda patch: patch.setattr(Layout, "stored", lambda layout, values, shape: values.reshape(shape)),
        ("graph/test_layout.py", "compat/test_compat_numpy.py"),
    ),
    Mutant(
        "the first blocks are verified, never others",
        put("fanin.frameworks.torch.verify", "_chosen", lambda count, blocks: np.arange(min(count, blocks))),
        ("frameworks/test_torch_verify.py::test_a_few_blocks_find_what_they_look_at",),
    ),
    Mutant(
        "verify takes 0 for −0",
        put("fanin.frameworks.torch.verify", "_bytes", lambda values: values[:, None]),
        ("frameworks/test_torch_verify.py::test_one_changed_bit_is_found_and_shown",),
    ),
    Mutant(
        "a gradient quotient that is made large",
        put("fanin.frameworks.torch.learned", "gradient_quotient", quotient_turned),
        ("plans/test_learned.py::test_metainit_finds_the_layer_that_is_ten_times_too_wide",),
    ),
    Mutant(
        "steps of GradInit without a bound on the gradient",
        lambda patch: patch.setattr(GradInit, "bound", math.inf),
        ("plans/test_learned.py::test_the_bound_counts_before_the_loss",),
    ),
    Mutant(
        "noise on whatever is fixed, norms and biases too",
        put("fanin.plans.jitter", "WEIGHTS", frozenset(Role)),
        ("plans/test_jitter.py::test_structured_weights_get_noise_and_nothing_else_does",),
    ),
    Mutant(
        "noise of the absolute size that is meant as a share",
        lambda patch: patch.setattr(Jittered, "_noise", lambda what, law: Normal(what.relative_std)),
        ("initializers/test_jittered.py::test_it_is_relative_to_the_rms_so_that_zeros_stay_zeros",),
    ),
    Mutant(
        "the band of one element of a gradient is drawn around its squared norm",
        put(
            "fanin.reports.over_depth",
            "GRADIENTS",
            replace(GRADIENTS, band=lambda seen: seen.gradient.band if seen.gradient else None),
        ),
        ("reports/test_check_page.py::test_a_prediction_is_a_line_with_its_band_and_a_measurement_is_points",),
    ),
    Mutant(
        "all of a second moment moves with the layers before it, the part of a bias too",
        lambda patch: patch.setattr(State, "moved_by", lambda state, part: state),
        ("signals/test_bands.py::test_the_band_of_a_net_that_its_biases_feed_does_not_drift_away_with_depth",),
    ),
    Mutant(
        "what is marked in the page of a check is not escaped",
        put("fanin.reports.markdown", "escape", Markup),
        ("reports/test_markdown.py::test_nothing_becomes_markup_of_its_own",),
    ),
    Mutant(
        "a small histogram is as high as its counts",
        put("fanin.reports.histograms", "math", SimpleNamespace(sqrt=lambda x: x, ceil=math.ceil)),
        ("reports/test_histograms.py",),
    ),
    Mutant(
        "a notebook's plot has a plain axis",
        put("fanin.fragment", "math", SimpleNamespace(**{**vars(math), "log10": lambda y: y})),
        ("test_fragment.py::test_equal_ratios_are_equal_distances",),
    ),
)


def opaque_unless_known(layer: Any) -> Any:
    """Every layer that is not the model itself is described from outside."""
    layers = importlib.import_module("fanin.frameworks.keras.layers")
    known = layers.describer_of(layer)
    return known or (layers.opaque if type(layer).__name__ == "Block" else None)


def drawn_as_stored(what: Any, target: Target, seed: Any, shape: Any, order: Any, sharding: Any) -> Any:
    """JAX's drawing, with the elements of the stream in row-major order of the array as it is stored."""
    draw = importlib.import_module("fanin.frameworks.jax.draw")
    law = what.sampling(target)
    if law is None:
        return draw.full(what.law(target).mean, tuple(shape), np.dtype(target.dtype), sharding)
    return draw.draw(law, seed, target.name, tuple(shape), np.dtype(target.dtype), out_sharding=sharding)


def kept_by_nobody() -> Any:
    """Keras, whose copies of what was there are copies of nothing."""
    if not find_spec("keras"):
        return None
    keras = importlib.import_module("keras")
    ops = SimpleNamespace(**{**vars(keras.ops), "copy": keras.ops.zeros_like})
    return SimpleNamespace(**{**vars(keras), "ops": ops})


OF_FRAMEWORKS: dict[str, tuple[Mutant, ...]] = {
    "keras": (
        Mutant(
            "kernels of Keras are filled as if PyTorch stored them",
            lambda patch: patch.setattr(Layout, "stored", lambda layout, values, shape: values.reshape(shape)),
            ("test_same_bits.py::test_a_start_is_the_same_in_every_framework",),
        ),
        Mutant(
            "a subclassed layer of Keras is not looked into",
            put("fanin.frameworks.keras.trace", "describer_of", opaque_unless_known),
            ("frameworks/test_keras_models.py::test_a_subclassed_model_is_looked_into",),
        ),
        Mutant(
            "the activation that a layer of Keras has is measured as a part of it",
            put("fanin.frameworks.keras.replay", "_bare", lambda layer: contextlib.nullcontext()),
            ("frameworks/test_keras_signals.py::test_moments_are_those_of_a_hand_written_pass",),
        ),
        Mutant(
            "variables of Keras are not put back after a failure",
            put("fanin.frameworks.keras.model", "keras", kept_by_nobody()),
            ("frameworks/test_keras_models.py::test_a_failure_leaves_every_variable_as_it_was",),
        ),
        Mutant(
            "an initializer of Keras does not look for its variable, so that all weights have one name",
            put("fanin.compat.keras.initializers", "variable_in_the_making", lambda: None),
            ("compat/test_compat_keras.py",),
        ),
        Mutant(
            "the layer of a variable made after the trace of a call is not found",
            put("fanin.compat.keras.layouts", "_owner", lambda variable: None),
            ("compat/test_compat_keras.py",),
        ),
        Mutant(
            "the stddev of Keras's TruncatedNormal is taken for the one after the cut",
            put("fanin.compat.keras.initializers", "keras_truncated_normal", TruncatedNormal),
            ("compat/test_compat_keras.py::test_the_bare_truncated_normal_means_what_keras_means",),
        ),
        Mutant(
            "a truncated law of Keras whose std is the one before the cut",
            put("fanin.initializers.truncated_normal", "truncated_std", lambda cut: 1.0),
            ("compat/test_compat_keras.py::test_the_standard_deviation_is_the_one_after_the_cut",),
        ),
    ),
    "flax": (
        Mutant(
            "kernels of Flax are drawn in the order in which they are stored",
            put("fanin.frameworks.jax.drawn", "_tensor", drawn_as_stored),
            ("frameworks/test_jax_models.py::test_a_transformer_starts_as_pytorchs_does",),
        ),
        Mutant(
            "any function of one signal is an activation that is near enough",
            put("fanin.frameworks.jax.reading.pointwise", "TOLERANCE", 10.0),
            ("frameworks/test_jax_reading.py::test_no_activation_is_seen_where_fanin_knows_none",),
        ),
        Mutant(
            "a model of JAX is measured as it was when it was traced",
            put("fanin.frameworks.jax.observe", "current", lambda made, model: made.opened),
            ("frameworks/test_jax_signals.py::test_a_plan_is_measured_in_place_where_there_is_a_place",),
        ),
        Mutant(
            "axes are not followed through a transpose",
            lambda patch: patch.setattr(
                "fanin.frameworks.jax.reading.views.View.order", lambda view, source, of: tuple(of)
            ),
            ("frameworks/test_jax_reading.py::test_a_weight_is_followed_through_a_transpose",),
        ),
    ),
    "paddle": (
        Mutant(
            "the fans of Paddle's layers are read from the shape",
            put("fanin.frameworks.paddle.layouts", "LAYOUTS", {}),
            ("compat/test_compat_paddle.py",),
        ),
        Mutant(
            "Kaiming's laws without the gain",
            put("fanin.compat.paddle.initializers", "calculate_gain", lambda nonlinearity, slope: 1.0),
            ("compat/test_compat_paddle.py::test_the_standard_deviation",),
        ),
        Mutant(
            "a dense weight of Paddle is drawn as it is stored, (in, out)",
            put("fanin.frameworks.paddle.parameters", "known_layout", lambda layer, shape: None),
            (
                "frameworks/test_paddle_same_bits.py::test_the_digest_is_that_of_pytorch",
                "frameworks/test_paddle_write.py::test_dense_weights_are_stored_in_out",
            ),
        ),
        Mutant(
            "a layer of Paddle is described by the operations inside it",
            put("fanin.frameworks.paddle.trace", "owners", lambda runs: {}),
            ("frameworks/test_paddle_fans.py::test_fans_of_the_layer_with_a_batch_and_without",),
        ),
        Mutant(
            "what a Paddle model keeps of its symbolic run stays with it",
            put("fanin.frameworks.paddle.record", "undisturbed", lambda model: contextlib.nullcontext()),
            ("frameworks/test_paddle_trace.py::test_the_model_does_not_notice",),
        ),
        Mutant(
            "nobody is told that a plan took the place of a layer's own initializer",
            put("fanin.frameworks.paddle.model", "warn_of_overridden", lambda plan, given: None),
            ("frameworks/test_paddle_write.py::test_an_initializer_of_the_layer_is_named_with_the_plans",),
        ),
        Mutant(
            "how alike samples are is not looked at outside PyTorch",
            put("fanin.frameworks.measured", "_alikeness", lambda x, axes, second: (None, None)),
            ("frameworks/test_paddle_same_bits.py::test_a_diagnosis_is_that_of_pytorch",),
        ),
        Mutant(
            "parameters of Paddle that share a name are one",
            put("fanin.frameworks.paddle.record", "names_of_their_own", lambda model: contextlib.nullcontext()),
            ("frameworks/test_paddle_trace.py::test_names_that_two_parameters_share",),
        ),
    ),
}
MUTANTS += tuple(mutant for name, those in OF_FRAMEWORKS.items() if find_spec(name) for mutant in those)


def without_the_first(patch: pytest.MonkeyPatch) -> None:
    """What was so at the first step is not known later."""
    record = Seen.record

    def forgetting(seen: Seen, *given: Any) -> Any:
        seen.first = None
        return record(seen, *given)

    patch.setattr(Seen, "record", forgetting)


def state_without(name: str) -> Patch:
    """A state that has nothing in one place."""
    state_dict = Seen.state_dict
    return lambda patch: patch.setattr(Seen, "state_dict", lambda seen: {**state_dict(seen), name: None})


def hooks_alone(forward: Forward) -> None:
    """The mode of an interrupted pass stays."""
    while forward._handles:
        forward._handles.pop().remove()


ALARMS_SEEN, WATCHED, WATCH = "monitor/test_alarms.py", "monitor/test_watching.py", "frameworks/test_torch_watch.py"
KEPT, CLIP = "monitor/test_keeper.py", "frameworks/test_torch_clip.py"
LEFT_BEHIND = f"{WATCHED}::test_nothing_is_left_behind_whatever_ends_the_loop_and_wherever"
MUTANTS += (
    Mutant(
        "the last layer that is not finite is named",
        put(
            "fanin.monitor.alarms.non_finite",
            "first_layer",
            lambda record: next((x.path for x in reversed(record.signals.layers) if x.value.non_finite), ""),
        ),
        (f"{ALARMS_SEEN}::test_the_first_layer_that_is_not_finite_is_named_and_nothing_behind_it",),
    ),
    Mutant(
        "a loss diverges within its noise",
        put("fanin.monitor.alarms.diverging", "SCATTERS", 1.0),
        (f"{ALARMS_SEEN}::test_a_loss_that_goes_up_and_stays_up_is_found_and_noise_is_not",),
    ),
    Mutant(
        "the scatter of a loss is that of its last window",
        put("fanin.monitor.trend", "MEMORY", 1),
        (f"{ALARMS_SEEN}::test_a_loss_that_goes_up_and_stays_up_is_found_and_noise_is_not",),
    ),
    Mutant(
        "a loss that falls within its noise falls",
        put("fanin.monitor.alarms.flat", "SCATTERS", 1.0),
        (f"{ALARMS_SEEN}::test_a_loss_that_does_not_fall_is_found_after_200_steps",),
    ),
    Mutant(
        "a spike is five times the median",
        put("fanin.monitor.alarms.spike", "TIMES", 5.0),
        (f"{ALARMS_SEEN}::test_a_spike_is_ten_times_the_median_of_the_norms_before",),
    ),
    Mutant(
        "gradients vanish at half of a double's range",
        put("fanin.monitor.alarms.depth", "NOTICEABLE", 1e150),
        (
            f"{ALARMS_SEEN}::test_gradients_that_vanish_from_the_start_are_said_with_their_factor_a_layer",
            f"{ALARMS_SEEN}::test_gradients_that_explode_are_said",
        ),
    ),
    Mutant(
        "units are dead when all are",
        put("fanin.monitor.alarms.dead", "MOST", 1.0),
        (f"{ALARMS_SEEN}::test_units_that_die_are_said_at_the_step_where_they_do",),
    ),
    Mutant(
        "what began later was there from the start",
        without_the_first,
        (
            f"{ALARMS_SEEN}::test_what_comes_up_while_training_is_told_from_what_was_there",
            f"{ALARMS_SEEN}::test_a_rate_that_came_down_is_a_note_and_a_warmup_is_nothing",
        ),
    ),
    Mutant(
        "a weight should move by a tenth at a step",
        put("fanin.monitor.alarms.update", "USUAL", 0.1),
        (f"{ALARMS_SEEN}::test_updates_as_large_as_the_weights_name_the_rate_that_would_do",),
    ),
    Mutant(
        "any clipping is always clipping",
        put("fanin.monitor.alarms.clipping", "SHARE", 0.0),
        (f"{ALARMS_SEEN}::test_a_threshold_below_all_norms_is_a_note",),
    ),
    Mutant(
        "a step without gradients is a step",
        lambda patch: patch.setattr(StepSignals, "gradient_norm", 0.0),
        (f"{ALARMS_SEEN}::test_a_step_without_gradients_says_what_to_call",),
    ),
    Mutant(
        "units of a convolution lie along the last axis",
        put("fanin.frameworks.torch.step_forward", "_is_convolution", lambda module: False),
        (f"{WATCH}::test_units_of_a_convolution_lie_along_axis_1",),
    ),
    Mutant(
        "looking at a tensor draws a number",
        put(
            "fanin.frameworks.torch.step_statistics",
            "sampled",
            lambda x: torch.rand(1) * 0 + x.reshape(-1).float(),
        ),
        (f"{WATCH}::test_losses_and_weights_are_those_of_a_run_without_it_bit_for_bit",),
    ),
    Mutant(
        "the hooks stay when the loop is left",
        lambda patch: patch.setattr(Forward, "disarm", lambda forward: None),
        (LEFT_BEHIND,),
    ),
    Mutant(
        "the mode of a pass that Ctrl-C ended stays",
        lambda patch: patch.setattr(Forward, "disarm", hooks_alone),
        (LEFT_BEHIND,),
    ),
    Mutant(
        "a run that goes on does not know its first step",
        state_without("first"),
        (f"{WATCHED}::test_a_run_that_goes_on_counts_on_and_says_nothing_twice",),
    ),
    Mutant(
        "a step is made again with other random numbers",
        put("fanin.frameworks.torch.kept_step", "_as_it_was", contextlib.nullcontext),
        (f"{KEPT}::test_a_bad_element_that_dropout_may_hide_is_found_in_the_step_that_drew_it",),
    ),
    Mutant(
        "a mask is the first that is not finite",
        put("fanin.frameworks.torch.first_broken", "WRITES", frozenset()),
        (f"{KEPT}::test_the_first_operation_is_named_with_its_module_and_line",),
    ),
    Mutant(
        "adaptive clipping has one norm for a whole weight",
        put("fanin.frameworks.torch.clip", "_sizes", lambda x, axis: x.detach().norm()),
        (f"{CLIP}::test_adaptively_no_unit_has_more_than_its_share",),
    ),
    Mutant(
        "units of a transposed convolution lie along axis 0",
        put("fanin.frameworks.torch.clip", "_transposed", lambda model: ()),
        (f"{CLIP}::test_adaptively_no_unit_has_more_than_its_share",),
    ),
)

CLOSER = "frameworks/test_closer.py"
JAX_WATCHED, PADDLE_WATCHED = "monitor/test_jax_watch.py", "monitor/test_paddle_watch.py"


def dead_by_elements(xp: Any, x: Any, look: Any) -> Any:
    """Elements that are 0 counted in the place of units."""
    return looked_at(xp, x, look)._replace(dead=(x == 0).mean())


MUTANTS += (
    Mutant(
        "a unit that is 0 once is dead",
        put("fanin.frameworks.closer", "looked_at", dead_by_elements),
        (f"{CLOSER}::test_arrays_show_what_tensors_do",),
    ),
    Mutant(
        "the gradient at a layer is that of one element",
        put("fanin.frameworks.watched", "squared_norm", lambda seen, shape: seen.second_moment),
        (f"{JAX_WATCHED}::test_a_kept_batch_shows_what_flows_through_layers_as_a_measurement_does",),
    ),
    Mutant(
        "a step of JAX is looked at whether it is watched or not",
        put("fanin.frameworks.jax.watch", "cond", lambda when, looked, skipped, of: looked(of)),
        (f"{JAX_WATCHED}::test_between_watched_steps_nothing_is_computed_and_nothing_waits",),
    ),
    Mutant(
        "an array of JAX is there at once",
        put("fanin.frameworks.arriving", "_is_here", lambda number: True),
        (f"{JAX_WATCHED}::test_between_watched_steps_nothing_is_computed_and_nothing_waits",),
    ),
)
MUTANTS += (
    Mutant(
        "a class token for all samples makes positions of the samples",
        put("fanin.signals.rules.views", "_repeated_as", lambda part, axes, dim: part),
        ("frameworks/test_jax_signals.py::test_a_class_token_for_all_samples_is_as_many_times_there",),
    ),
)
SEQUENCES = "frameworks/test_jax_sequences.py"
MUTANTS += (
    Mutant(
        "every result of an LSTM's step is h",
        put("fanin.frameworks.jax.sequences", "_hidden", lambda cell: frozenset({0, 1, 2})),
        (f"{SEQUENCES}::test_the_state_that_a_sequence_does_not_show_keeps_its_steps",),
    ),
)
LOSSES = "frameworks/test_framework_losses.py"
if find_spec("optax"):
    MUTANTS += (
        Mutant(
            "any loss is a cross-entropy over classes",
            put("fanin.frameworks.stakes", "_cancels", lambda slope, axis: True),
            (f"{LOSSES}::test_chance_is_the_loss_of_logits_that_are_0",),
        ),
        Mutant(
            "any loss of ln 2 is of a choice between two, and no other",
            put("fanin.frameworks.stakes", "NEAR", -1.0),
            (f"{LOSSES}::test_chance_is_the_loss_of_logits_that_are_0",),
        ),
        Mutant(
            "draws of a gradient add up",
            put("fanin.frameworks.losses", "_mean", lambda of: of[0].times(len(of))),
            (f"{LOSSES}::test_a_predicted_loss_and_its_gradients_are_those_of_pytorch",),
        ),
    )
if find_spec("paddle"):
    MUTANTS += (
        Mutant(
            "a unit of Paddle that is 0 once is dead",
            put(
                "fanin.frameworks.paddle.step_forward", "dead_share", lambda x, axis: (x == 0).astype("float32").mean()
            ),
            (f"{PADDLE_WATCHED}::test_layers_are_seen_as_they_are",),
        ),
        Mutant(
            "gradients of Paddle are read when the step ends",
            put("fanin.frameworks.paddle.watch_steps", "UPDATES", ()),
            (f"{PADDLE_WATCHED}::test_gradients_are_seen_before_they_are_cleared_where_the_optimizer_is_given",),
        ),
    )


@dataclass
class Outcome:
    """What an inner run of pytest saw."""

    passed: int = 0
    failures: list[BaseException] = field(default_factory=list)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.passed += report.passed and report.when == "call"

    def pytest_exception_interact(self, call: pytest.CallInfo[None]) -> None:
        assert call.excinfo is not None
        self.failures.append(call.excinfo.value)


def run(file: str) -> Outcome:
    """The tests of one file, in this process, where the library is patched."""
    outcome = Outcome()
    options = ["--exitfirst", "-p", "no:cacheprovider", "-o", "addopts=--import-mode=importlib"]
    with contextlib.redirect_stdout(io.StringIO()) as shown:
        ended = pytest.main([str(TESTS / file), *options], plugins=[outcome])
    assert ended in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED), shown.getvalue()
    return outcome


def forget_what_is_remembered() -> None:
    """A function that remembers its results may hold the right ones, and must not keep a mutant's."""
    for name, module in list(sys.modules.items()):
        if name.startswith("fanin."):
            for value in list(vars(module).values()):
                if hasattr(value, "cache_clear"):
                    value.cache_clear()


@pytest.mark.parametrize(
    ("mutant", "file"),
    [pytest.param(m, file, id=f"{m.defect} - {file}") for m in MUTANTS for file in m.noticed_by],
)
def test_the_tests_notice(mutant: Mutant, file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    forget_what_is_remembered()
    try:
        with monkeypatch.context() as patch:
            mutant.patch(patch)
            outcome = run(file)
    finally:
        forget_what_is_remembered()
    assert outcome.failures, f"all {outcome.passed} tests of {file} pass with {mutant.defect}"
    assert isinstance(outcome.failures[0], AssertionError), "the defect should be noticed, not stumbled over"


def test_without_a_mutant_the_same_tests_pass() -> None:
    outcome = run("plans/test_recipes.py")
    assert outcome.passed
    assert not outcome.failures
