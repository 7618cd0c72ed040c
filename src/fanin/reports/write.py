"""Puts a page on disk."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from fanin.errors import BadInput
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
    try:
        _replace(target, content)
    except OSError as error:
        raise BadInput(f"Cannot write {target}: {error.strerror}. Give a path in a folder you may write to.") from error
    return target


def check_target(path: str | os.PathLike[str]) -> Path:
    """The path as one that can be written to, as far as that can be known before the work is done.

    Raises:
        BadInput: the folder does not exist, or `path` is a folder.
    """
    target = Path(path)
    if target.is_dir():
        raise BadInput(f"{target} is a folder. Give the name of a file, such as {target / 'report.html'}.")
    if not target.parent.is_dir():
        raise BadInput(f"Cannot write {target}: the folder {target.parent} does not exist. Create it, or give another.")
    return target


def _replace(target: Path, content: bytes) -> None:
    """Temporary file in the same folder, then rename: readers see the old file or the new one, nothing between."""
    handle, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".tmp", dir=target.parent)
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(0o666 & ~_umask())  # mkstemp makes it private; a report is as readable as any new file
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current
