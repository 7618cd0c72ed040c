from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from typing import Any

import pytest

from fanin.errors import BadInput, UnknownName
from fanin.initializers import (
    ALIASES,
    ALL,
    Constant,
    Initializer,
    Keep,
    Normal,
    Ones,
    Orthogonal,
    Sparse,
    TruncatedNormal,
    Uniform,
    VarianceScaling,
    Zeros,
    from_dict,
    he_normal,
    initializer,
    to_dict,
)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("zeros", Zeros()),
        ("constant(value=0.5)", Constant(0.5)),
        ("normal(std=0.02)", Normal(0.02)),
        ("uniform(low=-1, high=1)", Uniform(-1, 1)),
        ("truncated_normal(std=0.02, cut_in_sigmas=3)", TruncatedNormal(0.02, cut_in_sigmas=3)),
        ("he_normal(negative_slope=0.1)", he_normal(0.1)),
        ("variance_scaling(gain=2, mode='fan_out', distribution='uniform')", VarianceScaling(2, "fan_out", "uniform")),
        ("orthogonal(gain=1.4)", Orthogonal(1.4)),
        ("orthogonal(method='qr')", Orthogonal(method="qr")),
        ("sparse(sparsity=0.5, axis=None)", Sparse(0.5, axis=None)),
        ("keep", Keep()),
    ],
)
def test_a_spelling_means_the_initializer(text: str, meant: Initializer) -> None:
    assert initializer(text) == meant


@pytest.mark.parametrize(("alias", "name"), ALIASES.items())
def test_an_alias_is_the_same_initializer(alias: str, name: str) -> None:
    assert alias not in ALL
    assert initializer(alias) == initializer(name)


def test_an_alias_takes_arguments_and_is_suggested() -> None:
    assert initializer("kaiming_normal(negative_slope=0.1, mode='fan_out')") == he_normal(0.1, "fan_out")
    with pytest.raises(UnknownName, match=r"There is no initializer 'kaiming_norm'\. Did you mean 'kaiming_normal'"):
        initializer("kaiming_norm")
    with pytest.raises(UnknownName, match=r"Did you mean 'truncated_normal'"):
        initializer("trunc_normal")  # no alias: its peers do not mean the same law by it


def test_an_initializer_is_returned_as_given() -> None:
    given = Normal(0.3)
    assert initializer(given) is given


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("he_norml", "There is no initializer 'he_norml'. Did you mean 'he_normal'? Known: ZerO, assign, bilinear,"),
        ("Normal", "There is no initializer 'Normal'. Did you mean 'normal'?"),
        ("normal(sdt=1, maen=2)", "normal does not take maen, sdt; it takes std, mean."),
        ("zeros(value=1)", "zeros does not take value; it takes no arguments."),
        ("normal(std=-1)", "Normal: std must be a finite number, at least 0; got -1."),
        ("normal(std='big')", "Normal: std must be a finite number, at least 0; got 'big'."),
        ("normal(std=1e999)", "Normal: std must be a finite number, at least 0; got inf."),
        ("he_normal(negative_slope='x')", "negative_slope must be a finite number; got 'x'."),
        ("normal(std=__import__('os'))", "Expected a name, or a name with arguments such as normal(std=0.01); got"),
        ("normal(0.02)", "Expected a name, or a name with arguments"),
        ("normal(**{'std': 1})", "Expected a name, or a name with arguments"),
    ],
)
def test_a_wrong_spelling_says_what_is_wrong(text: str, message: str) -> None:
    with pytest.raises(BadInput, match=re.escape(message)):
        initializer(text)


@pytest.mark.parametrize("what", [0.1, None, Zeros, Normal, ["normal"]])
def test_something_else_than_an_initializer_is_refused(what: Any) -> None:
    with pytest.raises(BadInput, match=r"Expected an initializer such as Normal\(std=0\.02\), or 'normal"):
        initializer(what)


def test_plain_data_names_the_law_and_its_fields() -> None:
    assert to_dict(he_normal()) == {
        "law": "VarianceScaling",
        "gain": 1.4142135623730951,
        "mode": "fan_in",
        "distribution": "normal",
    }
    assert to_dict(Ones()) == {"law": "Ones"}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"law": "Norml"}, "There is no law 'Norml'. Did you mean 'Normal'?"),
        ({}, "There is no law ''"),
        ({"law": ["Normal"]}, "There is no law"),
        ({"law": "Normal", "sdt": 1}, "Normal has no field sdt; it has ['std', 'mean']."),
        ({"law": "Ones", "value": 2}, "Ones has no field value; it has []."),
        ({"law": "Normal", "std": [1]}, "Normal: std must be"),
        ({"law": "VarianceScaling", "mode": ["fan_in"]}, "There is no mode ['fan_in']"),
        ({"law": "VarianceScaling", "distribution": {}}, "There is no distribution {}"),
    ],
)
def test_data_that_is_no_initializer_is_refused(data: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInput, match=re.escape(message)):
        from_dict(data)


def test_a_law_of_the_callers_own_is_read_when_it_is_given() -> None:
    @dataclass(frozen=True)
    class Mine(Normal):
        extra: float = 1.0

    data = to_dict(Mine(0.1, extra=2.0))
    assert from_dict(data, [Mine]) == Mine(0.1, extra=2.0)
    with pytest.raises(UnknownName, match="There is no law 'Mine'"):
        from_dict(data)


@pytest.mark.parametrize("name", ALL)
def test_every_line_of_the_literal_is_built_from_its_bare_name(name: str) -> None:
    made = initializer(name)
    assert isinstance(made, Initializer)
    assert dataclasses.is_dataclass(made)


@pytest.mark.parametrize(
    ("what", "text"),
    [
        (Zeros(), "zeros"),
        (Constant(0.5), "Constant(value=0.5)"),
        (Normal(0.02), "Normal(std=0.02)"),
        (Uniform(-0.123456, 1), "Uniform(low=-0.1235, high=1)"),
        (he_normal(), "normal 1.414/√fan_in"),
        (VarianceScaling(1, "fan_avg", "truncated_normal"), "truncated normal 1/√fan_avg"),
        (Orthogonal(method="qr"), "Orthogonal(method=qr)"),
        (Sparse(axis=None), "Sparse(axis=None)"),
        (Keep(), "keep"),
    ],
)
def test_a_table_shows_the_name_and_what_differs_from_the_default(what: Initializer, text: str) -> None:
    assert str(what) == text
