"""Defects of the drop-ins for the frameworks' own initializers."""

from __future__ import annotations

from noticing import Mutant, noticed, put

from fanin.frameworks.torch import draw_seed
from fanin.graph import Fans
from fanin.initializers import CutNormal
from fanin.stream import key

MUTANTS = (
    Mutant(
        "complex weights with the whole variance in each part",
        put("fanin.compat.torch.scaled", "share", lambda tensor: 1.0),
        ("compat/test_compat_torch_laws.py",),
    ),
    Mutant(
        "one draw for both parts of a complex number",
        put("fanin.compat.torch.call", "key", lambda seed, name, draw: key(seed, name)),
        ("compat/test_compat_torch_laws.py",),
    ),
    Mutant(
        "fan_in and fan_out swapped in the drop-in for torch",
        put("fanin.compat.torch.scaled", "Fans", lambda fan_in, fan_out: Fans(fan_out, fan_in)),
        ("compat/test_compat_torch_laws.py",),
    ),
    Mutant(
        "bounds of a window taken for sigmas",
        put(
            "fanin.compat.torch.plain",
            "CutNormal",
            lambda std, mean, a, b: CutNormal(std, mean, mean + a * std, mean + b * std),
        ),
        ("compat/test_compat_torch_laws.py",),
    ),
    Mutant(
        "a lower bound that rounding may cross",
        put("fanin.initializers.cut_normal", "bisect_left", lambda span, bound, key: 0),
        ("compat/test_compat_torch_laws.py",),
    ),
    Mutant(
        "an upper bound that rounding may cross",
        put("fanin.initializers.cut_normal", "bisect_right", lambda span, bound, key: len(span)),
        ("compat/test_compat_torch_laws.py",),
    ),
    Mutant(
        "a generator that is ignored",
        put("fanin.compat.torch.call", "draw_seed", lambda generator: draw_seed()),
        ("compat/test_compat_torch.py",),
    ),
    Mutant(
        "a seed that is always the same",
        put("fanin.compat.torch.call", "draw_seed", lambda generator: 0),
        ("compat/test_compat_torch.py",),
    ),
)

test_the_tests_notice = noticed(MUTANTS)
