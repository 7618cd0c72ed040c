"""Recipes compared by real training: design, train what is missing, read it back."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from fanin.errors import BadInput
from fanin.experiments.conduct import Engagement, studies
from fanin.experiments.design import design
from fanin.experiments.store import Store
from fanin.experiments.study import Study
from fanin.experiments.subject import subject


def compare(
    net: Any,
    data: Any,
    *,
    recipes: Sequence[Any] | Mapping[str, Any],
    to: str | os.PathLike[str] | None = None,
    by: Engagement,
    **settings: Any,
) -> Study:
    """See `fanin.compare`; the settings are those of `design`."""
    with kept_in(to, by) as (store, notes):
        return studies([design(subject(net, data), recipes, **settings)], store, by, notes)[0]


@contextmanager
def kept_in(to: str | os.PathLike[str] | None, by: Engagement) -> Iterator[tuple[Store, list[str]]]:
    """A store and the notes on it; None is a folder for the time of the block. PyTorch's random state is as it was.

    Raises:
        BadInput: curves are to be written beside results that nobody keeps.
    """
    if by.tensorboard and to is None:
        raise BadInput("tensorboard=True writes curves beside the results. Name their folder: to='runs/mine'.")
    notes: list[str] = []
    with torch.random.fork_rng(devices=[]):  # a net may draw when it is traced
        if to is not None:
            yield Store(Path(to), _Collected(notes)), notes
            return
        with tempfile.TemporaryDirectory(prefix="fanin-compare-") as folder:
            yield Store(Path(folder), _Collected(notes)), notes


@dataclass(frozen=True)
class _Collected:
    """Remembers what it is told."""

    said: list[str]

    def __call__(self, what: str) -> None:
        self.said.append(what)
