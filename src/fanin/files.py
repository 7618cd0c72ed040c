"""Files that are there whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fanin.errors import BadInput


def check_target(path: str | os.PathLike[str], example: str = "report.html") -> Path:
    """The path as one that can be written to, as far as that can be known before the work is done.

    Raises:
        BadInput: the folder does not exist or cannot be written to, or `path` is a folder.
    """
    target = Path(path)
    if target.is_dir():
        raise BadInput(f"{target} is a folder. Give the name of a file, such as {target / example}.")
    folder = target.parent
    if not folder.is_dir():
        what = "is no folder" if folder.exists() else "does not exist"
        raise BadInput(f"Cannot write {target}: the folder {folder} {what}. Create it, or give another.")
    if not os.access(folder, os.W_OK):
        raise BadInput(f"Cannot write {target}: the folder {folder} cannot be written to. Give another.")
    return target


def write_text(path: str | os.PathLike[str], text: str, example: str = "report.html") -> Path:
    """Puts a text on the disk and returns where. The new file is there whole; until then the old one stays.

    Raises:
        BadInput: the folder does not exist or cannot be written to, or `path` is a folder.
    """
    target = check_target(path, example)
    # A lone surrogate, which a file name may bring along, has no UTF-8 form: it is written as an escape.
    content = text.encode("utf-8", "backslashreplace")
    with replacing(target) as temporary:
        temporary.write_bytes(content)
    return target


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """A temporary file in the same folder to write in the block; on the disk, it then takes the name of the target.

    Readers see the old file or the new one, nothing between; whatever happens in the block, Ctrl-C included, or to the
    machine. The temporary file is removed.

    Raises:
        BadInput: the disk is full, or the folder cannot be written to.

    Example:
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with replacing(Path(folder) / "a.txt") as temporary:
        ...         _ = temporary.write_text("whole")
        ...     os.listdir(folder)
        ['a.txt']
    """
    try:
        handle, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".tmp", dir=target.parent)
        os.close(handle)
        temporary = Path(name)
        try:
            yield temporary
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
            temporary.chmod(0o666 & ~_umask())  # mkstemp makes it private; it is to be as readable as any new file
            temporary.replace(target)
            _keep_name(target.parent)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise BadInput(f"Cannot write {target}: {error.strerror}. Give a path in a folder you may write to.") from error


def _keep_name(folder: Path) -> None:
    """The new name on the disk, too, where a folder can be asked for that."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current
