"""Defects of the watch over a training."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
import torch
from noticing import Mutant, Patch, noticed, put

from fanin.frameworks.torch.watching.step_forward import Forward
from fanin.monitor.seen import Seen
from fanin.signals.step import StepSignals

ALARMS_SEEN, WATCHED, WATCH = "monitor/test_alarms.py", "monitor/test_watching.py", "frameworks/test_torch_watch.py"
KEPT, CLIP = "monitor/test_keeper.py", "frameworks/test_torch_clip.py"
LEFT_BEHIND = f"{WATCHED}::test_nothing_is_left_behind_whatever_ends_the_loop_and_wherever"


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


MUTANTS = (
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
        put("fanin.frameworks.torch.watching.step_forward", "_is_convolution", lambda module: False),
        (f"{WATCH}::test_units_of_a_convolution_lie_along_axis_1",),
    ),
    Mutant(
        "looking at a tensor draws a number",
        put(
            "fanin.frameworks.torch.watching.step_statistics",
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
        put("fanin.frameworks.torch.watching.kept_step", "_as_it_was", contextlib.nullcontext),
        (f"{KEPT}::test_a_bad_element_that_dropout_may_hide_is_found_in_the_step_that_drew_it",),
    ),
    Mutant(
        "a mask is the first that is not finite",
        put("fanin.frameworks.torch.measuring.first_broken", "WRITES", frozenset()),
        (f"{KEPT}::test_the_first_operation_is_named_with_its_module_and_line",),
    ),
    Mutant(
        "adaptive clipping has one norm for a whole weight",
        put("fanin.frameworks.torch.watching.clip", "_sizes", lambda x, axis: x.detach().norm()),
        (f"{CLIP}::test_adaptively_no_unit_has_more_than_its_share",),
    ),
    Mutant(
        "units of a transposed convolution lie along axis 0",
        put("fanin.frameworks.torch.watching.clip", "_transposed", lambda model: ()),
        (f"{CLIP}::test_adaptively_no_unit_has_more_than_its_share",),
    ),
)

test_the_tests_notice = noticed(MUTANTS)
