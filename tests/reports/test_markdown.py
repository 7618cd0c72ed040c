from __future__ import annotations

import re

import pytest

from fanin.diagnosis import CHECKS
from fanin.reports.markdown import html

HOSTILE = """<script>alert(1)</script>"""


def test_what_the_pages_of_checks_use_becomes_html() -> None:
    code = "    for w in ws:\n        draw(w)"
    text = f"First line\nof two.\n\n## Why\nHead, then code:\n\n{code}\n\n- one\n  goes on\n- two\n"
    assert html(text) == (
        "<p>First line of two.</p>\n<h4>Why</h4>\n<p>Head, then code:</p>\n"
        "<pre><code>for w in ws:\n    draw(w)</code></pre>\n<ul><li>one goes on</li><li>two</li></ul>"
    )


def test_fences_hold_whatever_is_in_them() -> None:
    assert html("```python\n## no heading\n\n- no list\n```\nafter") == (
        "<pre><code>## no heading\n\n- no list</code></pre>\n<p>after</p>"
    )
    assert html("```\nnever closed") == "<pre><code>never closed</code></pre>"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("`a*b*c` and **loud**", "<code>a*b*c</code> and <strong>loud</strong>"),
        ("an *idea*", "an <em>idea</em>"),
        ("2*3*4 and a * b * c", "2*3*4 and a * b * c"),
        ("*.weight, then *.bias", "*.weight, then *.bias"),
        ("``a `tick` in`` it", "<code>a `tick` in</code> it"),
        ("[a link](javascript:alert(1))", "[a link](javascript:alert(1))"),
    ],
)
def test_marks_within_a_line(text: str, shown: str) -> None:
    assert html(text) == f"<p>{shown}</p>"


@pytest.mark.parametrize(
    "frame", ["{}", "## {}", "- {}", "    {}", "```\n{}\n```", "`{}`", "**{}**", "*{}*", "1. {}", "~~~{}"]
)
def test_nothing_becomes_markup_of_its_own(frame: str) -> None:
    """Mutant: what is marked is not escaped."""
    assert "<script" not in html(frame.format(HOSTILE))


@pytest.mark.parametrize("code", CHECKS)
def test_the_page_of_every_check_comes_through_whole(code: str) -> None:
    page = CHECKS[code].page
    shown = html(page)
    assert shown.count("<h4>") == page.count("\n## ")
    words = re.sub(r"<[^>]+>", "", str(shown)).replace("&#39;", "'").replace("&#34;", '"')
    words = words.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
    assert set(re.findall(r"\w+", words)) == set(re.findall(r"\w+", page))
