"""The page: one line a contest, then each with all its recipes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from .contest import Contest
from .summary import Summary, short, summary, verdict
from .trials import Outcome

HEAD = ("recipe", "runs that train", "at the best rate", "best rate", "loss at the end", "steps to the bar")
OVERVIEW = ("net", "chance", "bar", "best of the others", "auto", "auto beside it")


def page(contests: Sequence[Contest], outcomes: Sequence[Outcome]) -> Iterator[str]:
    """Lines of markdown."""
    rows = {c.name: _rows(c, [o for o in outcomes if o.contest == c.name and o.runs]) for c in contests}
    chance = {o.contest: o.chance for o in outcomes if o.runs}
    yield _head(OVERVIEW)
    for contest in contests:
        if rows[contest.name]:
            yield _line(_overview(contest, chance[contest.name], rows[contest.name]))
    for contest in contests:
        yield f"\n### {contest.name}\n"
        yield _how(contest)
        yield f"\n{_head(HEAD)}"
        yield from (_line(_cells(row)) for row in rows[contest.name])
        yield from (
            f"\n{o.recipe} is left out: {o.left_out}" for o in outcomes if o.contest == contest.name and o.left_out
        )


def _rows(contest: Contest, ran: Sequence[Outcome]) -> list[Summary]:
    """Best first."""
    return sorted((summary(contest, outcome) for outcome in ran), key=lambda row: row.mean)


def _overview(contest: Contest, chance: float, rows: Sequence[Summary]) -> tuple[str, ...]:
    auto = next((row for row in rows if row.recipe == "auto"), None)
    best = next((row for row in rows if row.recipe != "auto"), None)
    return (
        contest.name,
        short(chance),
        short(contest.bar * chance),
        f"{best.recipe}: {_loss(best)}" if best else "–",
        f"{_loss(auto)}, {auto.share:.0%} train" if auto else "–",
        verdict(chance, rows),
    )


def _how(contest: Contest) -> str:
    how = contest.training
    return (
        f"`{contest.net}` on `{contest.data}`; {how.steps} steps of {how.batch_size}, {how.optimizer}, "
        f"rates {', '.join(f'{rate:g}' for rate in contest.rates)}; the bar is {contest.bar:g} × chance."
    )


def _cells(row: Summary) -> tuple[str, ...]:
    steps = f"{row.steps:.0f}" if math.isfinite(row.steps) else "–"
    return (row.recipe, f"{row.share:.0%}", f"{row.at_best} of {row.seeds}", f"{row.rate:g}", _loss(row), steps)


def _loss(row: Summary) -> str:
    return f"{short(row.mean)} ± {short(row.std)}" if math.isfinite(row.mean) else "diverged"


def _head(names: Sequence[str]) -> str:
    return f"{_line(names)}\n|{'---|' * len(names)}"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
