"""Puts a page on disk."""

from __future__ import annotations

import os
from pathlib import Path

from fanin.files import check_target, replacing
from fanin.reports.html import to_html
from fanin.reports.page import Page


def write_html(page: Page, path: str | os.PathLike[str]) -> Path:
    """Writes `to_html(page)` to `path` and returns it. The new file is there whole; until then the old one stays.

    Raises:
        BadInput: the folder does not exist or cannot be written to, or `path` is a folder.

    """
    target = check_target(path)
    # A lone surrogate, which a file name may bring along, has no UTF-8 form: it is written as an escape.
    content = to_html(page).encode("utf-8", "backslashreplace")
    with replacing(target) as temporary:
        temporary.write_bytes(content)
    return target
