"""Defects of the checks and of the repair."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from itertools import islice
from types import SimpleNamespace
from typing import Any

from noticing import Mutant, noticed, put

from fanin.diagnosis import Evidence, Selection
from fanin.diagnosis.checks import alike
from fanin.diagnosis.checks.input_scale import MOVES
from fanin.diagnosis.checks.value_range import Range
from fanin.diagnosis.progress import Progress
from fanin.diagnosis.repair import _Search
from fanin.frameworks.torch import write_
from fanin.graph.layers import NORMS
from fanin.plans import Plan
from fanin.signals import LayerSignal

REPAIR = "diagnosis/test_repair.py"
TOKENS, RESIDUAL = "diagnosis/test_tokens.py", "diagnosis/test_residual.py"
LOST_OF = alike.lost_of


def same(evidence: Evidence, seen: LayerSignal) -> bool:
    """All units have the same weights, whatever their gradients."""
    return evidence.weight(seen.layer).same_rows


@contextlib.contextmanager
def for_good(model: Any, plan: Plan, seed: int) -> Iterator[None]:
    """Writes, and does not put back."""
    write_(model, plan, seed)
    yield


MUTANTS = (
    Mutant(
        "PyTorch's own law for recurrent layers is taken for that of another shape",
        put("fanin.diagnosis.checks.fan_mistaken", "_is_recurrent_default", lambda entry, fans: False),
        ("diagnosis/test_laws.py::test_what_recurrent_layers_draw_by_default_is_no_mistake",),
    ),
    Mutant(
        "the last weight makes the logits, whatever is added to them",
        put("fanin.diagnosis.logits", "_large_bias", lambda evidence, at: None),
        ("diagnosis/test_surrounding_checks.py::test_what_makes_most_of_the_logits_is_named_and_mended",),
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
        "a note that is repaired though nobody named it",
        lambda patch: patch.setattr(Selection, "names", Selection.wants),
        (f"{REPAIR}::test_a_note_is_no_harm_and_is_left",),
    ),
    Mutant(
        "a finding that becomes a note with another's remedy, and nobody says so",
        lambda patch: patch.setattr(_Search, "_went_along", lambda search, start, found, code: None),
        (f"{REPAIR}::test_what_becomes_a_note_with_anothers_remedy_says_so",),
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
        "a schema that takes anything",
        put("fanin.diagnosis.schema", "schema_text", lambda: "{}"),
        ("diagnosis/test_schema.py::test_the_schema_refuses_what_is_not_so",),
    ),
    Mutant(
        "keys that a mask hides counted among those that attention may choose from",
        put("fanin.frameworks.torch.measuring.attention_seen", "_MASKED", -math.inf),
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
        put("fanin.frameworks.torch.measuring.training", "_ALIKE", 10.0),
        ("diagnosis/test_surroundings.py::test_the_first_step_is_that_of_the_optimizer",),
    ),
    Mutant(
        "of a loader the first batch alone",
        put("fanin.frameworks.torch.measuring.batches", "islice", lambda loader, count: islice(loader, 1)),
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
        ("diagnosis/test_zoo.py::test_what_is_planted_is_found_and_remedied[a readout of N(0, 1)]",),
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
)

test_the_tests_notice = noticed(MUTANTS)
