"""Reports: pure data in, text, JSON or one HTML file out.

The type to know is `Page`: sections of blocks (`Text`, `Table`, `LinePlot`, `HeatMap`, `Findings`, `SideBySide`).
To add a block: a dataclass in `page.py`, a macro in `assets/blocks.html.j2`, a function in `text.py`; JSON follows.
"""

from fanin.files import check_target
from fanin.reports.data import to_json
from fanin.reports.html import to_html
from fanin.reports.page import (
    Block,
    Column,
    FindingRow,
    Findings,
    HeatMap,
    LinePlot,
    Mark,
    Page,
    Section,
    Series,
    SideBySide,
    Table,
    Text,
    Value,
)
from fanin.reports.text import render, render_section, to_text
from fanin.reports.write import write_html
from fanin.strict_json import strict_json

__all__ = [
    "Block",
    "Column",
    "FindingRow",
    "Findings",
    "HeatMap",
    "LinePlot",
    "Mark",
    "Page",
    "Section",
    "Series",
    "SideBySide",
    "Table",
    "Text",
    "Value",
    "check_target",
    "render",
    "render_section",
    "strict_json",
    "to_html",
    "to_json",
    "to_text",
    "write_html",
]
