"""`fanin.signals.frozen.replace` beside that of the standard library."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from fanin.signals.axes import usual
from fanin.signals.distribution import Terms
from fanin.signals.frozen import replace
from fanin.signals.state import State, gaussian


def known() -> State:
    return gaussian(usual((8, 16)), [16], 0.5, 1.0, 0.0, 0.25).of_terms(Terms(3.0, 0.0, alone=True))


def test_every_field_is_what_the_standard_library_makes_it() -> None:
    state, second = known(), np.array([2.0])
    ours, theirs = replace(state, second=second), dataclasses.replace(state, second=second)
    assert type(ours) is State
    for field in dataclasses.fields(State):
        assert getattr(ours, field.name) is getattr(theirs, field.name), field.name


def test_what_was_computed_from_the_fields_is_computed_anew() -> None:
    state = known()
    before = state.values, state.correlations, state.own_spread
    changed = replace(state, second=4 * state.second)
    assert not np.array_equal(changed.values, before[0])
    assert changed.own_spread != before[2]
    assert state.values is before[0]


def test_the_result_is_frozen_too() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        replace(known(), scatter=0.1).scatter = 0.2  # type: ignore[misc]


def test_one_field_is_enough() -> None:
    @dataclasses.dataclass(frozen=True)
    class One:
        width: int

    assert replace(One(3), width=4) == One(4)


@pytest.mark.parametrize("name", ["secnd", "terms", "values"])  # misspelt; not of the constructor; computed
def test_a_name_that_the_constructor_does_not_take(name: str) -> None:
    with pytest.raises(TypeError, match=rf"State is made from across_positions, .*; got {name}\."):
        replace(known(), **{name: None})
