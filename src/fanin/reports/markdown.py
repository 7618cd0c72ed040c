"""The small part of Markdown that the pages of checks are written in, as HTML: everything in them is escaped.

Headings, paragraphs, lists, code that is indented or fenced, and in a line `code`, **strong** and *emphasis*. What
else Markdown has stays as it is written.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from markupsafe import Markup, escape

_HEADING: Final = re.compile(r"#{1,6} +(.*)")
_ITEM: Final = re.compile(r"(?:[-*]|\d+\.) +(.*)")
_FENCE: Final = re.compile(r"```|~~~")
_CODE: Final = re.compile(r"(`+)(.+?)\1")
_MARKED: Final = re.compile(r"(?<![\w*])(\*{1,2})(?=[^\s*])(.+?)(?<=[^\s*])\1(?![\w*])")


def html(text: str, level: int = 4) -> Markup:
    r"""The text as HTML, with headings of one level.

    >>> print(html("## Why\nIt is `a < b`, always.\n\n    x = 1"))
    <h4>Why</h4>
    <p>It is <code>a &lt; b</code>, always.</p>
    <pre><code>x = 1</code></pre>
    """
    return Markup("\n").join(_blocks(text.expandtabs(4).strip("\n").split("\n"), level))


def _blocks(lines: Sequence[str], level: int) -> Iterator[Markup]:
    at = 0
    while at < len(lines):
        kind = _kind(lines[at])
        if kind == "fence":
            end = next((i for i in range(at + 1, len(lines)) if _kind(lines[i]) == "fence"), len(lines))
            yield _code(lines[at + 1 : end])
            at = end + 1
            continue
        end = at + 1
        while end < len(lines) and _goes_on(kind, lines[end]):
            end += 1
        yield from _block(kind, lines[at:end], level)
        at = end


def _kind(line: str) -> str:
    if not line.strip():
        return "nothing"
    if _FENCE.match(line.strip()):
        return "fence"
    if line.startswith("    "):
        return "code"
    if _HEADING.match(line):
        return "heading"
    return "list" if _ITEM.match(line.lstrip()) else "text"


def _goes_on(kind: str, line: str) -> bool:
    """Whether a block of that kind takes this line in as well."""
    other = _kind(line)
    if kind == "code":
        return other in ("code", "nothing")
    if kind == "list":
        return other in ("list", "code") or (other == "text" and line.startswith(" "))
    return kind == "text" and other in ("text", "code")  # an indented line does not interrupt a paragraph


def _block(kind: str, lines: Sequence[str], level: int) -> Iterator[Markup]:
    if kind == "heading":
        yield Markup("<h{0}>{1}</h{0}>").format(level, _inline(lines[0].lstrip("# ")))
    elif kind == "code":
        yield _code([line[4:] for line in lines])
    elif kind == "list":
        items = (Markup("<li>{}</li>").format(_inline(item)) for item in _items(lines))
        yield Markup("<ul>{}</ul>").format(Markup().join(items))
    elif kind == "text":
        yield Markup("<p>{}</p>").format(_inline(" ".join(line.strip() for line in lines)))


def _items(lines: Sequence[str]) -> Iterator[str]:
    """Each item with the lines that go on with it."""
    starts = [i for i, line in enumerate(lines) if _ITEM.match(line.lstrip())]
    for start, end in zip(starts, [*starts[1:], len(lines)], strict=True):
        words = " ".join(line.strip() for line in lines[start:end])
        yield _ITEM.sub(r"\1", words, count=1)


def _code(lines: Sequence[str]) -> Markup:
    return Markup("<pre><code>{}</code></pre>").format("\n".join(lines).strip("\n"))


def _inline(text: str) -> Markup:
    """Code first: what stands in it is taken literally."""
    parts = _CODE.split(text)  # text, ticks, code, text, ticks, code, …, text
    found = [_marked(parts[0])]
    for code, rest in zip(parts[2::3], parts[3::3], strict=True):
        found += [Markup("<code>{}</code>").format(code), _marked(rest)]
    return Markup().join(found)


def _marked(text: str) -> Markup:
    parts = _MARKED.split(text)
    found = [escape(parts[0])]
    for stars, words, rest in zip(parts[1::3], parts[2::3], parts[3::3], strict=True):
        found += [Markup("<{0}>{1}</{0}>").format("strong" if stars == "**" else "em", words), escape(rest)]
    return Markup().join(found)
