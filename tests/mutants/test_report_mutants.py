"""Defects of reports and of the command line."""

from __future__ import annotations

import math
from dataclasses import replace
from types import SimpleNamespace

from markupsafe import Markup
from noticing import Mutant, noticed, put

from fanin.cli.settings import Settings
from fanin.signals.over_depth import GRADIENTS

MUTANTS = (
    Mutant(
        "a severity to fail on that nobody looks at",
        lambda patch: patch.setattr(Settings, "fails", lambda settings, finding: True),
        ("cli/test_check.py::TestExitCodes::test_a_warning_fails_only_from_warnings_on",),
    ),
    Mutant(
        "a fingerprint of the line",
        put("fanin.reports.sarif", "_fingerprint", lambda located: str(located.line)),
        ("reports/test_sarif.py",),
    ),
    Mutant(
        "annotations whose percent signs are escaped last",
        put("fanin.reports.github", "_escaped", lambda text: text.replace("\n", "%0A").replace("%", "%25")),
        ("reports/test_github.py",),
    ),
    Mutant(
        "the band of one element of a gradient is drawn around its squared norm",
        put(
            "fanin.reports.over_depth",
            "GRADIENTS",
            replace(GRADIENTS, band=lambda seen: seen.gradient.band if seen.gradient else None),
        ),
        ("reports/test_check_page.py::test_a_prediction_is_a_line_with_its_band_and_a_measurement_is_points",),
    ),
    Mutant(
        "what is marked in the page of a check is not escaped",
        put("fanin.reports.markdown", "escape", Markup),
        ("reports/test_markdown.py::test_nothing_becomes_markup_of_its_own",),
    ),
    Mutant(
        "a small histogram is as high as its counts",
        put("fanin.reports.histograms", "math", SimpleNamespace(sqrt=lambda x: x, ceil=math.ceil)),
        ("reports/test_histograms.py",),
    ),
    Mutant(
        "a notebook's plot has a plain axis",
        put("fanin.fragment", "math", SimpleNamespace(**{**vars(math), "log10": lambda y: y})),
        ("test_fragment.py::test_equal_ratios_are_equal_distances",),
    ),
)

test_the_tests_notice = noticed(MUTANTS)
