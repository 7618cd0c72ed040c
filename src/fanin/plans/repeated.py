"""Layers that repeat: what is alike in all but the numbers of its path shares a line, whose label names all of it."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

T = TypeVar("T")


def grouped(things: Iterable[T], path: Callable[[T], str], alike: Callable[[T], object]) -> list[list[T]]:
    """Things of one kind whose paths differ in numbers alone, in the order of the first of each group.

    The numbers of a group are every combination of those at each place, so that its label names all and no other.
    """
    groups: dict[object, list[T]] = {}
    order: dict[str, int] = {}
    for i, thing in enumerate(things):
        order[path(thing)] = i
        groups.setdefault((pattern(path(thing)), alike(thing)), []).append(thing)
    combined = [part for group in groups.values() for part in _combinations(group, path)]
    return sorted(combined, key=lambda group: order[path(group[0])])


def pattern(path: str) -> str:
    """The path without its numbers: "layers.#.weight"."""
    return re.sub(r"\d+", "#", path)


def label(paths: Sequence[str]) -> str:
    """`layers.0.weight`, or `layers.{0…39}.weight (40)` for a group.

    Example:
        >>> label(["layers.0.weight", "layers.1.weight", "layers.2.weight"])
        'layers.{0…2}.weight (3)'
    """
    places = zip(*(re.split(r"(\d+)", path) for path in paths), strict=True)
    text = "".join(place[0] if len(set(place)) == 1 else f"{{{_span(place)}}}" for place in places)
    return text if len(paths) == 1 else f"{text} ({len(paths)})"


def _combinations(group: list[T], path: Callable[[T], str]) -> list[list[T]]:
    """The group, or parts of it that share their first differing number, until each holds every combination."""
    numbers = [re.findall(r"\d+", path(thing)) for thing in group]
    places = [dict.fromkeys(place) for place in zip(*numbers, strict=True)]
    if math.prod(map(len, places)) == len(group):
        return [group]
    split = next(i for i, place in enumerate(places) if len(place) > 1)
    parts = ([e for e, own in zip(group, numbers, strict=True) if own[split] == value] for value in places[split])
    return [whole for part in parts for whole in _combinations(part, path)]


def _span(values: Iterable[str]) -> str:
    """Numbers in ascending order, equal steps shortened: "0…39", "0,2…78", "0,1,3"."""
    numbers = sorted(set(map(int, values)))
    pieces: list[str] = []
    while numbers:
        step = numbers[1] - numbers[0] if len(numbers) > 1 else 1
        run = 1
        while run < len(numbers) and numbers[run] == numbers[0] + run * step:
            run += 1
        if run >= (3 if step == 1 else 4):
            head = f"{numbers[0]}" if step == 1 else f"{numbers[0]},{numbers[1]}"
            pieces.append(f"{head}…{numbers[run - 1]}")
        else:
            run = 1
            pieces.append(f"{numbers[0]}")
        numbers = numbers[run:]
    return ",".join(pieces)
