"""What callbacks share whose framework keeps no state of them: a watch that closes, and goes on where another was."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fanin.monitor.account import Watch
from fanin.monitor.watching import Watching


class Resumed:
    """A watch that is made when training begins, and goes on where another's state was taken.

    Attributes:
        watch: what was seen, once training has begun.
    """

    _watching: Watching | None = None
    _state: Mapping[str, Any] | None = None

    @property
    def watch(self) -> Watch | None:
        """The account of the run."""
        return self._watching.result if self._watching else None

    def begin(self, watching: Watching) -> None:
        """Open it, with the state that was given."""
        self._watching = watching
        if self._state is not None:
            watching.load_state_dict(self._state)
        watching.__enter__()

    def close(self) -> None:
        """Hooks go, files are closed; what was seen stays. The framework tells its callbacks of no Ctrl-C."""
        if self._watching is not None:
            self._watching.close()

    def state_dict(self) -> dict[str, Any]:
        """Plain data for a checkpoint of yours; the framework keeps none of its callbacks."""
        return self._watching.state_dict() if self._watching else {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Before `fit`: go on where `state_dict` was taken."""
        self._state = state or None
