"""A name with arguments is data: what is not a name with literal arguments is refused, and nothing is evaluated."""

from __future__ import annotations

import builtins
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanin.call import bind, parse_call
from fanin.errors import BadInput, UnknownName


def double(start: float, *, factor: float = 2.0, label: str = "") -> str:
    return f"{label}{start * factor:g}"


def plain(start: float) -> str:
    return f"{start:g}"


TABLE = {"double": double, "plain": plain}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("normal", ("normal", {})),
        ("  normal ( ) ", ("normal", {})),
        ("normal(std=0.01)", ("normal", {"std": 0.01})),
        ("normal(std=-1e-3, mean=+2)", ("normal", {"std": -1e-3, "mean": 2})),
        ("he(uniform=True, how='x', no=None)", ("he", {"uniform": True, "how": "x", "no": None})),
        ("he(shape=(1, 2))", ("he", {"shape": (1, 2)})),
        ("normal(\n  std=0.01,\n)", ("normal", {"std": 0.01})),
    ],
)
def test_a_name_with_literal_arguments_is_read(text: str, expected: tuple[str, dict[str, Any]]) -> None:
    assert parse_call(text) == expected


REFUSED = [
    "",
    " ",
    "normal(",
    "normal)",
    "normal(0.01)",
    "normal(0.01, mean=1)",
    "normal(*[1])",
    "normal(**{'std': 1})",
    "normal(std=1, **{})",
    "normal(std=1, std=2)",
    "normal(std=__import__('os'))",
    "normal(std=__import__('os').system('true'))",
    "normal(std=open('/tmp/x', 'w'))",
    "normal(std=(lambda: 1)())",
    "normal(std=[x for x in (1,)])",
    "normal(std=f'{1}')",
    "normal(std={[]: 1})",
    "normal(std=other)",
    "normal(std=1 if True else 2)",
    "normal(std:=1)",
    "normal(std=1)(mean=2)",
    "normal(std=1).draw",
    "fanin.normal(std=1)",
    "table['normal'](std=1)",
    "normal(std=1); import os",
    "normal\nimport os",
    "lambda: 0",
    "'normal'",
    "3",
    "normal(std=1\0)",
    "normal(std=" + "(" * 5000 + "1" + ")" * 5000 + ")",
    "normal(std=" + "-" * 100_000 + "1)",
]


@pytest.mark.parametrize("text", REFUSED, ids=lambda text: text[:40])
def test_anything_else_is_refused_with_an_example(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for dangerous in ("open", "exec", "eval"):
        monkeypatch.setattr(builtins, dangerous, None)
    with pytest.raises(BadInput, match=r"Expected a name, or a name with arguments such as normal\(std=0\.01\); got"):
        parse_call(text)


@given(st.text(max_size=40))
def test_no_text_raises_anything_but_bad_input(text: str) -> None:
    try:
        name, arguments = parse_call(text)
    except BadInput:
        return
    assert name.isidentifier()
    assert isinstance(arguments, dict)


def test_the_bound_function_waits_for_what_has_no_default() -> None:
    assert bind("law", "double", TABLE)(3.0) == "6"
    assert bind("law", "double(factor=3, label='x')", TABLE)(3.0) == "x9"


def test_an_unknown_name_suggests_the_nearest() -> None:
    with pytest.raises(UnknownName, match=r"There is no law 'duoble'\. Did you mean 'double'\? Known: double, plain\."):
        bind("law", "duoble(factor=3)", TABLE)


def test_all_wrong_arguments_are_listed_with_those_that_are_taken() -> None:
    with pytest.raises(BadInput, match=r"^double does not take a, b; it takes factor, label\.$"):
        bind("law", "double(b=1, factor=2, a=1)", TABLE)
    with pytest.raises(BadInput, match=r"^plain does not take factor; it takes no arguments\.$"):
        bind("law", "plain(factor=1)", TABLE)


def test_what_has_no_default_cannot_be_bound_by_text() -> None:
    with pytest.raises(BadInput, match="double does not take start"):
        bind("law", "double(start=1)", TABLE)
