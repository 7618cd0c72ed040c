"""Give lessons, and write their pages: docs/lessons/NAME.md with the real output and a picture of the report.

python scripts/lessons.py symmetry scale --write     # these; all without names
python scripts/lessons.py --list --write             # only the list of them, docs/lessons/README.md

Results are kept in .lessons/, so that a change of words trains nothing again. The picture is taken by Chromium.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import sys
import time
from pathlib import Path

from playwright.sync_api import FloatRect, Page, sync_playwright

from fanin.experiments.conduct import Engagement
from fanin.experiments.lessons import LESSONS, Given
from fanin.grid import plain
from fanin.reports import write_html
from fanin.reports.lesson_page import lesson_page

ROOT = Path(__file__).parents[1]
PAGES, STORE = ROOT / "docs" / "lessons", ROOT / ".lessons"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
MARGIN, WIDTH = 16, 900
HEAD = "<!-- written by scripts/lessons.py --write; the words are in src/fanin/experiments/lessons/{name}.py -->"


def give(name: str) -> tuple[Given, float]:
    """The lesson, and the processor seconds that it took when it was trained."""
    seconds_file = STORE / name / "seconds.json"
    before = _seconds()
    given = LESSONS[name].give(Engagement(), str(STORE / name))
    if given.sweep.trained:
        earlier = json.loads(seconds_file.read_text()) if seconds_file.exists() else 0.0
        seconds_file.write_text(json.dumps(earlier + _seconds() - before))
    return given, json.loads(seconds_file.read_text())


def _seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def page(given: Given, seconds: float) -> str:
    """In Markdown: question, picture, output, claims, reason."""
    lesson, swept = given.lesson, given.sweep
    runs = sum(len(study.runs) for study in swept.studies)
    claims = [
        f"| {says} | {'seen' if seen.holds else '**not seen**'} | {seen.numbers} |" for says, seen in given.claims
    ]
    parts = [
        HEAD.format(name=lesson.name),
        f"# {lesson.title}",
        lesson.question,
        f"```\n$ fanin compare --builtin {lesson.name} --html {lesson.name}.html\n```",
        f"![{lesson.title}](images/{lesson.name}.png)",
        f"**See.** {lesson.see}",
        f"```\n{plain(given.table).strip()}\n```",
        "\n".join(("| The textbook says | Here | Numbers |", "|---|---|---|", *claims)),
        f"**Why.** {lesson.why}",
        *([f"**What we saw.** {lesson.found}"] if lesson.found else []),
        f"Source: {lesson.source}.",
        f"{runs} runs in {seconds:.0f} seconds of one core. `fanin compare --builtin {lesson.name} --toml` prints the "
        f"experiment as a file to change:\n\n```toml\n{lesson.to_toml().strip()}\n```",
    ]
    return "\n\n".join(parts) + "\n"


def picture(report: Path, target: Path) -> None:
    """From the first map to the last."""
    path = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        tab = browser.new_page(viewport={"width": WIDTH, "height": 900})
        tab.goto(report.resolve().as_uri())
        tab.wait_for_function("document.querySelectorAll('.map .chart svg').length > 0")
        top, bottom = _maps(tab)
        clip = FloatRect(x=0, y=top - MARGIN, width=WIDTH, height=bottom - top + 2 * MARGIN)
        tab.screenshot(path=target, clip=clip, full_page=True)
        browser.close()


def _maps(tab: Page) -> tuple[float, float]:
    boxes = [box for figure in tab.locator("figure.map").all() if (box := figure.bounding_box())]
    return min(box["y"] for box in boxes), max(box["y"] + box["height"] for box in boxes)


def index() -> str:
    """The list of lessons, in Markdown."""
    rows = [f"| [{lesson.title}]({name}.md) | {lesson.question} | `{name}` |" for name, lesson in LESSONS.items()]
    seconds = {name: _stored_seconds(name) for name in LESSONS}
    known = [s for s in seconds.values() if s is not None]
    took = (
        f"The shortest took {min(known):.0f} seconds of one core, the longest {max(known):.0f}, and two cores share "
        "them: none takes five minutes. "
        if known
        else ""
    )
    return (
        "\n\n".join(
            (
                "<!-- written by scripts/lessons.py --write -->",
                "# Lessons",
                "What textbooks say of starts, each as an experiment on real data. The claims are the textbooks'; "
                "where one is not seen, the page says so, and what we think the reason is. Of `residual`, `recurrent` "
                "and `fixup`, steps or rates were raised after a first look, since too little had been trained.",
                "```\n$ fanin list lessons\n$ fanin compare --builtin trainable_depth --html page.html\n```",
                "\n".join(("| Lesson | Question | Name |", "|---|---|---|", *rows)),
                f"{took}Results are kept in `runs/NAME`: what is stopped goes on. Whatever a lesson does can be done "
                "with a net and data of one's own: `--toml` prints it as a file ([compare](../compare.md)).",
            )
        )
        + "\n"
    )


def _stored_seconds(name: str) -> float | None:
    file = STORE / name / "seconds.json"
    return float(json.loads(file.read_text())) if file.exists() else None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--list", action="store_true", help="only the list of lessons")
    parser.add_argument("--write", action="store_true", help="write pages and pictures")
    asked = parser.parse_args()
    (PAGES / "images").mkdir(parents=True, exist_ok=True)
    for name in () if asked.list else asked.names or LESSONS:
        started = time.monotonic()
        given, seconds = give(name)
        sys.stdout.write(f"{given}\n")
        if asked.write:
            (PAGES / f"{name}.md").write_text(page(given, seconds), encoding="utf-8")
            report = STORE / f"{name}.html"
            write_html(lesson_page(given, {}, "fanin"), report)
            picture(report, PAGES / "images" / f"{name}.png")
        sys.stderr.write(f"{name}: {time.monotonic() - started:.0f} s, {seconds:.0f} of one core\n")
    if asked.write:
        (PAGES / "README.md").write_text(index(), encoding="utf-8")


if __name__ == "__main__":
    main()
