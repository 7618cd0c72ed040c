"""Results on disk: one JSON file a trial, named by the hash of all that decides it, so that a stopped run goes on."""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Store:
    """A folder of results.

    Attributes:
        folder: made when something is put.
    """

    folder: Path

    def get(self, what: dict[str, Any]) -> dict[str, Any] | None:
        """The result of a trial; None if there is none, or what is there cannot be read."""
        try:
            found: dict[str, Any] = json.loads(self._file(what).read_text(encoding="utf-8"))["result"]
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return found

    def put(self, what: dict[str, Any], result: dict[str, Any]) -> None:
        """Whole or not at all: written beside, then renamed."""
        file = self._file(what)
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=file.parent, suffix=".part", delete=False) as part:
            json.dump({"trial": what, "result": result}, part)
            part.flush()
            os.fsync(part.fileno())
        Path(part.name).replace(file)

    def _file(self, what: dict[str, Any]) -> Path:
        name = sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()
        return self.folder / name[:2] / f"{name}.json"
