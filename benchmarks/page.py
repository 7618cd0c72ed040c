"""Pages of numbers, as docs/benchmarks.md: each benchmark writes its own section, with machine, versions, command."""

from __future__ import annotations

import argparse
import os
import platform
import random
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from fanin.stream.parallel import cores

PAGE = Path(__file__).parents[1] / "docs" / "benchmarks.md"
REST = 0.02  # seconds before each contender: OpenMP's threads turn for some milliseconds after their work

Seconds = dict[str, float]


class Section:
    """What a benchmark says: printed line by line, and at the end, if that is asked for, written into the page."""

    def __init__(self, name: str, *libraries: str, page: Path | None = None) -> None:
        self._name, self._said, self._page = name, list[str](), page
        self._start, self._end = f"<!-- {name}: written by benchmarks/{name}.py --write -->", f"<!-- end of {name} -->"
        self.say(f"```\n{machine(*libraries)}\n```\n")

    def say(self, line: str) -> None:
        """Print a line, and remember it for the page."""
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()
        self._said.append(line)

    def write(self) -> None:
        """Its own part of the page; the others stay as they are."""
        page = self._page or PAGE
        before, start, rest = page.read_text(encoding="utf-8").partition(self._start)
        _, end, after = rest.partition(self._end)
        if not (start and end):
            raise SystemExit(f"{page.name} has no place for {self._name}: {self._start} and {self._end}")
        text = "\n".join((before + start, *self._said, end + after))
        page.write_text(text, encoding="utf-8", newline="\n")


def arguments(description: str | None) -> argparse.ArgumentParser:
    """Of a benchmark that writes a section."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="write its section of docs/benchmarks.md")
    return parser


def medians(contenders: Mapping[str, Callable[[], object]], rounds: int, *, calls: int = 1) -> Seconds:
    """Median time of one call of each, interleaved; in each round in another order, as one disturbs the next."""
    times: dict[str, list[float]] = {name: [] for name in contenders}
    order, shuffle = list(contenders), random.Random(0).shuffle
    warm = rounds > 1  # by a round that does not count, unless one takes a minute
    for repeat in range(rounds + warm):
        shuffle(order)
        for name in order:
            call = contenders[name]
            time.sleep(REST)
            start = time.perf_counter()
            for _ in range(calls):
                call()
            if repeat >= warm:
                times[name].append((time.perf_counter() - start) / calls)
    return {name: statistics.median(values) for name, values in times.items()}


def machine(*libraries: str) -> str:
    """The processor, the versions of what is installed of these, and the command."""
    found = ", ".join(f"{name} {number}" for name in libraries if (number := _version(name)))
    return (
        f"{processor()}, {cores()} cores of {os.cpu_count()}, {platform.system()} {platform.machine()}\n"
        f"Python {platform.python_version()}, {found}; torch on {torch.get_num_threads()} threads\n"
        f"load average at the start {os.getloadavg()[0]:.1f}\n"
        f"python benchmarks/{' '.join([Path(sys.argv[0]).name, *sys.argv[1:]])}"
    )


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def processor() -> str:
    """Its name, as the system gives it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor())
