"""WHERE trials run: in processes of this machine, or on a Ray cluster.

An engine does jobs side by side and knows nothing of training. It keeps nothing, so that it may die at any moment:
what is found is stored by `work` itself where the engine is `near`, else by whoever asked, answer by answer.
To add an engine: a file with a context manager from workers and address to an `Engine`, and a line in `ENGINES`.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Final

from fanin.experiments.engines.engine import Answer, Engine, Job, Tell, Words, Work
from fanin.experiments.engines.local import local
from fanin.experiments.engines.on_ray import on_ray

# workers, or None for as many as there are cores; the address of a cluster, or None.
ENGINES: Final[dict[str, Callable[[int | None, str | None], AbstractContextManager[Engine]]]] = {
    "local": local,
    "ray": on_ray,
}

__all__ = ["ENGINES", "Answer", "Engine", "Job", "Tell", "Words", "Work"]
