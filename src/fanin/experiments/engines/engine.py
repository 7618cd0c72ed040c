"""What `fanin.compare` asks of an engine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol, TypeVar

Job = TypeVar("Job")
Answer = TypeVar("Answer")
Words = Sequence[Any]
Tell = Callable[[int, Words], None]
"""How much more is done, and words on the way, which whoever asked gets as they are, in their order."""
Work = Callable[[Job, Tell], Answer]  # tells how far it is, and answers
TRIES: Final = 2  # a process that was killed for memory may have had a greedy neighbour; twice, the job itself is


class Engine(Protocol):
    """Does jobs side by side."""

    @property
    def workers(self) -> int:
        """How many jobs at once."""

    @property
    def near(self) -> bool:
        """Its processes write to the disk that this one reads."""

    def __call__(
        self,
        jobs: Sequence[Job],
        work: Work[Job, Answer],
        *,
        on_done: Callable[[Job, Answer], None],
        on_lost: Callable[[Job, str], None],
        on_progress: Tell,
    ) -> None:
        """Do all jobs; whatever is raised, Ctrl-C included, no process goes on.

        Args:
            work: can be pickled; what it raises ends the whole and is raised here.
            on_done: called here with each job and its answer, in the order they end.
            on_lost: called here with each job whose process died `TRIES` times, and how.
            on_progress: called here with what `work` tells, a few times a second. What a job has done counts once,
                however often it is begun; its words may come again then.
        """
