"""Results on disk: one JSON file a trial, named by the hash of all that decides it, so that a stopped run goes on.

A file is there whole or not at all: it is written beside, put on the disk, and renamed. So any number of processes may
write to one store, and be killed at any moment: the same trial has the same name and the same result, and who writes it
last changes nothing. What is lost by a kill is the trial at work; what has no file is run again.

Two runs that share a store would train some trials twice, which wastes time and no more. A claim prevents it: a lock on
a file beside the result, held while a trial is trained. The system lets go of it when its process ends, by `kill -9`,
too, so that no claim outlives its holder and none needs to be judged stale by its age. Where the system has no such
locks, every claim is granted.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from fanin.errors import BadInput
from fanin.files import replacing

FORMAT: Final = 1  # of the files; one that a later fanin writes in another way has another number
MARK: Final = "store.json"


@dataclass(frozen=True)
class Store:
    """A folder of results.

    Attributes:
        folder: made when something is put.
        on_damage: called with what is wrong with a file that cannot be used, and is treated as not there.

    Example:
        >>> import tempfile
        >>> store = Store(Path(tempfile.mkdtemp()))
        >>> store.put({"seed": 0}, {"losses": [2.3, 0.1]})
        >>> store.get({"seed": 0}), store.get({"seed": 1})
        ({'losses': [2.3, 0.1]}, None)
    """

    folder: Path
    on_damage: Callable[[str], None] = warnings.warn

    def check(self) -> None:
        """That results can be kept here.

        Raises:
            BadInput: the folder is a file, cannot be made, or a newer fanin wrote to it.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            mark = self.folder / MARK
            found = json.loads(mark.read_text(encoding="utf-8")) if mark.exists() else {"format": FORMAT}
            written = found["format"]
        except OSError as error:
            raise BadInput(
                f"Results cannot be kept in {self.folder}: {error.strerror}. Give another folder."
            ) from error
        except (ValueError, KeyError, TypeError):
            written = FORMAT  # a damaged mark says nothing against the results, each of which is checked
        if written != FORMAT:
            raise BadInput(
                f"The results in {self.folder} are of format {written!r}; this fanin reads format {FORMAT}. "
                "Install the fanin that wrote them, or give another folder."
            )

    def get(self, what: Mapping[str, Any]) -> dict[str, Any] | None:
        """The result of a trial; None if there is none, or what is there is damaged."""
        file = self._file(what)
        try:
            text = file.read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError) as error:
            self._damaged(file, str(error))
            return None
        try:
            found = json.loads(text)
            result: dict[str, Any] = found["result"]
            trial, digest = found["trial"], found.get("digest")
        except (ValueError, KeyError, TypeError, AttributeError):
            self._damaged(file, "it is not whole")
            return None
        if name_of(trial) != file.stem or digest not in (None, name_of(result)):
            self._damaged(file, "it is not what was written")
            return None
        return result

    def put(self, what: Mapping[str, Any], result: Mapping[str, Any]) -> None:
        """Whole or not at all.

        Raises:
            BadInput: the disk is full or the folder cannot be written to; what was there before is as it was.
        """
        file = self._file(what)
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise BadInput(
                f"Results cannot be kept in {self.folder}: {error.strerror}. Give another folder."
            ) from error
        if not (mark := self.folder / MARK).exists():
            self._write(mark, {"format": FORMAT})
        self._write(file, {"trial": what, "result": result, "digest": name_of(result)})

    @contextmanager
    def claim(self, what: Mapping[str, Any]) -> Iterator[bool]:
        """Whether the trial is ours for the time of the block; another run works on it otherwise.

        Look for the result again once it is: the run that had the claim may just have ended.
        """
        try:
            import fcntl
        except ImportError:  # Windows
            yield True
            return
        file = self._file(what).with_suffix(".claim")
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("w") as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
                return
            except OSError:  # a file system without locks
                pass
            try:
                yield True
            finally:
                file.unlink(missing_ok=True)

    def _file(self, what: Mapping[str, Any]) -> Path:
        name = name_of(what)
        return self.folder / name[:2] / f"{name}.json"

    def _write(self, file: Path, content: Mapping[str, Any]) -> None:
        with replacing(file) as part:
            part.write_text(json.dumps(content), encoding="utf-8")

    def _damaged(self, file: Path, why: str) -> None:
        self.on_damage(f"The result {file} cannot be used: {why}. Its trial counts as not run.")


def name_of(what: Any) -> str:
    """SHA-256, in hexadecimal, of plain data as JSON with sorted keys.

    Example:
        >>> name_of({"a": 1, "b": 2}) == name_of({"b": 2, "a": 1})
        True
    """
    return sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()
