from __future__ import annotations

import pickle

import pytest

from fanin.errors import (
    BadInput,
    CannotTrace,
    CannotWrite,
    FaninError,
    MissingExtra,
    NoParameters,
    ShapeMismatch,
    StillUninitialized,
    UncoveredParameters,
    UnknownName,
)


@pytest.mark.parametrize(
    ("error", "also"),
    [
        (BadInput, ValueError),
        (UnknownName, BadInput),
        (ShapeMismatch, BadInput),
        (NoParameters, BadInput),
        (CannotTrace, FaninError),
        (UncoveredParameters, FaninError),
        (CannotWrite, FaninError),
        (StillUninitialized, FaninError),
        (MissingExtra, ImportError),
    ],
)
def test_every_error_is_a_fanin_error_and_what_python_calls_it(error: type, also: type) -> None:
    assert issubclass(error, FaninError)
    assert issubclass(error, also)


def test_an_unknown_name_suggests_the_nearest_in_its_own_spelling() -> None:
    message = str(UnknownName("recipe", "xavierr", ["he", "Xavier"]))
    assert message == "There is no recipe 'xavierr'. Did you mean 'Xavier'? Known: Xavier, he."


def test_an_unknown_name_unlike_all_others_suggests_none() -> None:
    assert str(UnknownName("recipe", "qqqq", ["he"])) == "There is no recipe 'qqqq'. Known: he."


@pytest.mark.parametrize("name", [3, None, ["he"], b"he"])
def test_a_name_that_is_no_text_is_unknown_too(name: object) -> None:
    assert f"There is no recipe {name!r}." in str(UnknownName("recipe", name, ["other"]))


def test_of_many_known_names_fifty_are_shown() -> None:
    message = str(UnknownName("parameter", "layers.070.wieght", [f"layers.{i:03}.weight" for i in range(200)]))
    assert "Did you mean 'layers.070.weight'?" in message
    assert "layers.049.weight, …." in message
    assert "layers.050.weight" not in message


def test_uncovered_parameters_lists_them_and_carries_all() -> None:
    error = UncoveredParameters(f"p{i}" for i in range(60))
    assert error.missing == tuple(f"p{i}" for i in range(60))
    assert str(error).startswith("60 parameter(s) have no initializer: p0, p1,")
    assert "p49, …. Give each one in overrides=" in str(error)
    assert "--override 'path.or.glob=keep'" in str(error)
    assert "…" not in str(UncoveredParameters(["only"]))


def test_a_missing_extra_names_the_command() -> None:
    assert str(MissingExtra("torch", "torch", "Tracing")) == (
        "Tracing needs torch, which is not installed. Install it: pip install 'fanin[torch]'"
    )


@pytest.mark.parametrize(
    "error", [UnknownName("recipe", "hee", ["he"]), UncoveredParameters(["a", "b"]), MissingExtra("a", "b", "c")]
)
def test_an_error_survives_the_way_back_from_a_worker_process(error: FaninError) -> None:
    back = pickle.loads(pickle.dumps(error))
    assert (type(back), str(back), vars(back)) == (type(error), str(error), vars(error))
