"""Puts a page on disk."""

from __future__ import annotations

import os
from pathlib import Path

from fanin.files import write_text
from fanin.reports.html import to_html
from fanin.reports.page import Page


def write_html(page: Page, path: str | os.PathLike[str]) -> Path:
    """Writes `to_html(page)` to `path` and returns it. The new file is there whole; until then the old one stays.

    Raises:
        BadInput: the folder does not exist or cannot be written to, or `path` is a folder.

    """
    return write_text(path, to_html(page))
