"""Defects of the stream."""

from __future__ import annotations

import math
from collections import Counter
from hashlib import sha256
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from noticing import Mutant, Patch, noticed, put

from fanin.stream import distributions, keys, masks, philox, quantile, reflections

ZEROS = bytes(48 if 48 <= byte < 58 else byte for byte in range(256))  # digits as the digit 0
_block_words, _window = philox._block_words, distributions._window
LAWS = "initializers/test_initializer_laws.py"
STATISTICS = "stream/test_stream_statistics.py"
FIND_THRESHOLDS = masks._find_thresholds


def by_the_reference(*patches: Patch) -> Patch:
    """With these patches, and no kernel drawing in the reference's place, whatever was drawn before."""
    without = (
        put("fanin.stream.draw", "_kernels", {}),
        put("fanin.stream.draw", "_drawn_without", Counter()),
        put("fanin.stream.draw", "WORTH_A_START", math.inf),
    )

    def patch_all(patch: pytest.MonkeyPatch) -> None:
        for one in (*without, *patches):
            one(patch)

    return patch_all


def ignoring(ignored: str, mask: int) -> Patch:
    """A key made of a seed or a draw with some of its bits cleared."""
    checked = keys._integer
    return put(
        "fanin.stream.keys",
        "_integer",
        lambda label, value, bits: checked(label, value, bits=bits) & (mask if label == ignored else -1),
    )


def one_word_a_block(key: keys.Key, blocks: Any) -> Any:
    """The first lane of each block in all four."""
    return _block_words(key, blocks)[:, [0, 0, 0, 0]]


def window_from_the_first_word(low: float, high: float) -> tuple[int, int, int, int]:
    _, count, lowest, highest = _window(low, high)
    return 0, count, lowest, highest


def first_columns(stream: Any, m: int, columns: Any, rows: Any, out: Any) -> None:
    """As many columns as are asked for, but the first ones."""
    reflections.haar_columns(stream, m, np.arange(len(columns)), rows, out)


def without_ties(stream: Any, groups: Any, asked: Any, keep: int, word: Any, place: Any) -> None:
    FIND_THRESHOLDS(stream, groups, asked, keep, word, place)
    place[:] = -1


MUTANTS = (
    Mutant(
        "an orthogonal kernel that adds the rows of a sum in one go",
        put("fanin.stream.reflections", "PANEL", 1 << 30),
        ("stream/test_stream_orthogonal.py::test_the_kernel_has_the_bits_of_the_reference_for_whole_matrices",),
    ),
    Mutant(
        "a part of an orthogonal matrix numbered as if it were the whole",
        put("fanin.stream.orthogonal", "_engine", lambda multiply_adds: SimpleNamespace(haar_columns=first_columns)),
        ("stream/test_stream_orthogonal.py::test_a_part_has_the_bits_of_the_whole",),
    ),
    Mutant(
        "a mask whose groups are always rows",
        lambda patch: patch.setattr(masks._Groups, "of", lambda groups, e: (e // groups.length, e % groups.length)),
        ("stream/test_stream_masks.py", f"{LAWS}::test_each_column_has_as_many_zeros_as_torch_gives_it"),
    ),
    Mutant(
        "a mask that drops an element whenever words are equal",
        put("fanin.stream.masks", "_find_thresholds", without_ties),
        ("stream/test_stream_masks.py::test_of_equal_words_the_first_are_kept",),
    ),
    Mutant(
        "a key that ignores the last character of the name",
        put("fanin.stream.keys", "sha256", lambda message: sha256(message[:-1])),
        (f"{STATISTICS}::test_names_that_differ_in_a_character_are_independent",),
    ),
    Mutant(
        "a key that ignores the digits of the name",
        put("fanin.stream.keys", "sha256", lambda message: sha256(message[:41] + message[41:].translate(ZEROS))),
        (f"{STATISTICS}::test_names_that_differ_in_a_character_are_independent",),
    ),
    Mutant(
        "a key that ignores the low bit of the seed",
        ignoring("seed", ~1),
        (f"{STATISTICS}::test_neighbouring_seeds_are_independent",),
    ),
    Mutant(
        "a key that ignores the upper half of the seed",
        ignoring("seed", (1 << 64) - 1),
        (f"{STATISTICS}::test_neighbouring_seeds_are_independent",),
    ),
    Mutant(
        "a key that ignores the draw",
        ignoring("draw", 0),
        (f"{STATISTICS}::test_draws_are_independent",),
    ),
    Mutant(
        "a key that ignores the domain",
        put("fanin.stream.keys", "bytes", lambda domain: b"\0"),
        (f"{STATISTICS}::test_domains_are_independent",),
    ),
    Mutant(
        "one word for the four elements of a block",
        by_the_reference(put("fanin.stream.philox", "_block_words", one_word_a_block)),
        (f"{STATISTICS}::test_neighbouring_elements_are_independent",),
    ),
    Mutant(
        "Philox with a multiplier that does not mix",
        by_the_reference(put("fanin.stream.philox", "_MULTIPLIER_1", np.uint64(1))),
        (f"{STATISTICS}::test_neighbouring_elements_are_independent",),
    ),
    Mutant(
        "the slope and the curvature of the quantile swapped",
        by_the_reference(
            put("fanin.stream.quantile", "_C1", quantile._C2),
            put("fanin.stream.quantile", "_C2", quantile._C1),
        ),
        (f"{STATISTICS}::test_distributions",),
    ),
    Mutant(
        "a quantile whose tails end at three sigmas",
        by_the_reference(put("fanin.stream.quantile", "_C0", np.minimum(quantile._C0, 3 << 27))),
        (f"{STATISTICS}::test_skewness_and_kurtosis",),
    ),
    Mutant(
        "a truncated normal that cuts nothing",
        put("fanin.stream.distributions", "_window", lambda low, high: (0, 1 << 32, -(1 << 31), (1 << 31) - 1)),
        (f"{STATISTICS}::test_moments", f"{STATISTICS}::test_distributions"),
    ),
    Mutant(
        "a truncated normal whose window starts at the first word",
        put("fanin.stream.distributions", "_window", window_from_the_first_word),
        (f"{STATISTICS}::test_moments", f"{STATISTICS}::test_distributions"),
    ),
)

test_the_tests_notice = noticed(MUTANTS)
