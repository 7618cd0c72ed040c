"""Who keeps which promise: fanin's conformance suite on the initializers of fanin, torch, jax, keras and paddle.

    python benchmarks/peers.py                      a minute or two, with every library that is installed
    python benchmarks/peers.py --only fanin torch   these columns
    python benchmarks/peers.py --write              also docs/peers.md

A law is declared for each function, the one that its own documentation states; `fanin.testing` measures it.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import logging
import platform
import sys
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from libraries.base import Library

from fanin.graph import Fans
from fanin.initializers import Initializer, Target
from fanin.testing import (
    MEASURED,
    SHAPES,
    Broken,
    Sample,
    assert_draws_follow_the_seed,
    assert_haar_distributed,
    assert_law_is_measured,
    assert_structure_holds,
)

PAGE = Path(__file__).parents[1] / "docs" / "peers.md"
START, END = "<!-- written by benchmarks/peers.py --write -->", "<!-- end of what is written -->"
LIBRARIES = ("fanin", "torch", "jax", "keras", "paddle")
KEPT, NOT_OFFERED = "✓", "–"
PLACE = " on "  # how the note begins that says the shape

MATRIX = Target("weight", (256, 192), "float32", Fans(192, 256))
KERNEL = Target("kernel", (32, 24, 3, 3), "float32", Fans(216, 288))
FAMILIES: dict[str, Target] = {
    "normal": MATRIX,
    "uniform": MATRIX,
    "truncated normal": MATRIX,
    "He normal": MATRIX,
    "Glorot uniform": MATRIX,
    "orthogonal": MATRIX,
    "delta-orthogonal": KERNEL,
    "sparse": MATRIX,
}
NEED_AXES = {"He normal": 2, "Glorot uniform": 2, "orthogonal": 2, "delta-orthogonal": 9, "sparse": 9}
"""How many axes a target must have, as each library documents; 9: the targets of SHAPES are not for it."""

FANS: dict[str, Fans] = {
    "Linear 64 → 32": Fans(64, 32),
    "Conv 3×3, 64 → 32": Fans(576, 288),
    "Conv 3×3, stride 2": Fans(576, 72),
    "Conv 3×3, 4 groups": Fans(144, 72),
    "Conv 3×3, depthwise": Fans(9, 9),
    "ConvTranspose 4×4, stride 2": Fans(256, 512),
    "attention: q, k, v": Fans(64, 64),
    "8 experts 64 → 32": Fans(64, 32),
}
"""Terms that meet in one output, and outputs that one input reaches, away from borders: counted by hand."""

Check = Callable[[Initializer, Target], None]


def checks(family: str) -> dict[str, Check]:
    """The rows of a family."""

    def one(name: str) -> Check:
        def check(what: Initializer, target: Target) -> None:
            sample = Sample.of(what, target)
            assert sample is not None
            MEASURED[name](sample)

        return check

    def dtype(name: str) -> Check:
        return lambda what, target: assert_law_is_measured(what, replace(target, dtype=name))

    def shapes(what: Initializer, target: Target) -> None:
        for one in SHAPES:
            if len(one.shape) >= NEED_AXES.get(family, 0):
                try:
                    assert_law_is_measured(what, replace(one, dtype=target.dtype))
                except Exception as error:
                    error.add_note(f"{PLACE}{one.shape}")
                    raise

    rows: dict[str, Check] = {name: one(name) for name in MEASURED if name != "number of values"}
    rows |= {name: dtype(name) for name in ("float64", "float16", "bfloat16")}
    rows["follows the seed"] = assert_draws_follow_the_seed
    if NEED_AXES.get(family, 0) < 9:
        rows[f"{NEED_AXES.get(family, 0)} to 6 axes, some empty"] = shapes
    if "orthogonal" in family:
        rows["orthonormal"] = assert_structure_holds
    if family == "orthogonal":
        rows["Haar"] = lambda what, _: assert_haar_distributed(what)
    return rows


def spread(what: Initializer, target: Target) -> float:
    """The standard deviation of a draw."""
    return float(np.std(what.draw(target, 0)))


def verdict(check: Check, what: Initializer, target: Target) -> str:
    """✓, or what was measured instead."""
    try:
        check(what, target)
    except Broken as broken:
        if broken.how:
            return f"✗ other values when {broken.how}"
        got, _, _ = broken.got.partition(", tolerance")
        return f"✗ {f'{broken.of} {got}'.strip()}, expected {broken.expected}"
    except Exception as error:  # noqa: BLE001  # whatever a library raises is what the table shows
        places = [note for note in getattr(error, "__notes__", []) if note.startswith(PLACE)]
        return f"✗ raises {type(error).__name__}{''.join(places)}"
    return KEPT


def fan(draw: Callable[[str, int], np.ndarray], mode: str, true: float) -> str:
    """✓, or the fan that a weight was drawn with: 6/max² of U(±√(6/fan)), whose n values reach to about 1/n of it."""
    largest, size, seed = 0.0, 0, 0
    while size < 4_000:
        weight = draw(mode, seed)
        largest, size, seed = max(largest, float(abs(weight).max())), size + weight.size, seed + 1
    used = 6 / largest**2
    return KEPT if abs(used / true - 1) < 0.005 else f"{round(used, 1 - (used > 20)):g}, true {true:g}"


def installed(names: tuple[str, ...]) -> list[Library]:
    """The columns that this environment can fill."""
    found = [name for name in names if importlib.util.find_spec(name)]
    return [importlib.import_module(f"libraries.of_{name}").library() for name in found]


def table(rows: dict[str, list[str]], corner: str, libraries: list[Library]) -> str:
    """Rows in which everybody passes come together in one."""
    names = [library.name for library in libraries]
    lines = [f"| {corner} | {' | '.join(names)} |", "|---" * (len(names) + 1) + "|"]
    joined: dict[str, list[str]] = {}
    for name, cells in rows.items():
        plain = all(cell in (KEPT, NOT_OFFERED) for cell in cells)
        joined.setdefault(" ".join(cells) if plain else name, []).append(name)
    lines += [f"| {' · '.join(same)} | {' | '.join(rows[same[0]])} |" for same in joined.values()]
    return "\n".join(lines)


def report(libraries: list[Library], only: tuple[str, ...]) -> str:
    """The written part of the page."""
    missing = [name for name in LIBRARIES if name not in [library.name for library in libraries]]
    blocks = [
        f"```\n{platform.system()} {platform.machine()}, Python {platform.python_version()}, NumPy {np.__version__}\n"
        f"{', '.join(f'{library.name} {library.version}' for library in libraries)}\n"
        f"{f'not installed or not asked for: {chr(44).join(missing)}' + chr(10) if missing else ''}"
        f"python benchmarks/peers.py{''.join(f' {name}' for name in ('--only', *only)) if only else ''} --write\n```"
    ]
    for family, target in FAMILIES.items():
        offers = [library.offers.get(family) for library in libraries]
        rows = {"called": [f"`{offer.written}`" if offer else NOT_OFFERED for offer in offers]}
        if family == "truncated normal":
            rows["std that one gets"] = [
                f"{spread(offer.law, target):.4f}" if offer else NOT_OFFERED for offer in offers
            ]
        for row, check in checks(family).items():
            rows[row] = [verdict(check, offer.law, target) if offer else NOT_OFFERED for offer in offers]
        blocks.append(f"## {family[0].upper()}{family[1:]}\n\n{table(rows, 'promise', libraries)}")
    fans = {
        f"{layer}: {mode}": [
            fan(library.layers[layer], mode, true.of(mode)) if layer in library.layers else NOT_OFFERED
            for library in libraries
        ]
        for layer, true in FANS.items()
        for mode in ("fan_in", "fan_out")
    }
    blocks.append(f"## Fans\n\n{table(fans, 'layer', libraries)}")
    return "\n\n".join(blocks)


def main() -> None:
    """Print the tables; with --write, put them into the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=LIBRARIES, default=(), help="these columns")
    parser.add_argument("--write", action="store_true", help=f"also {PAGE.name}")
    asked = parser.parse_args()
    warnings.simplefilter("ignore")  # a library's advice on zero-element tensors, compilers and the like
    logging.disable(logging.WARNING)
    text = report(installed(tuple(asked.only) or LIBRARIES), tuple(asked.only))
    if asked.write:
        before, rest = PAGE.read_text(encoding="utf-8").split(START)
        after = rest.partition(END)[2]
        PAGE.write_text(f"{before}{START}\n{text}\n\n{END}{after}", encoding="utf-8", newline="\n")
    sys.stdout.write(f"{text}\n")


if __name__ == "__main__":
    main()
