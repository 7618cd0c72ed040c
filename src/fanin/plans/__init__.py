"""DECISION: for every parameter its initializer, why, and the source of that rule.

`Plan` is the type: immutable, printable, diffable, JSON. `make_plan` applies a recipe and overrides to a graph
and insists that every parameter is covered. To add a recipe: a file in `recipes/` and a line in `RECIPES`.
"""

from fanin.plans.make import as_built, make_plan
from fanin.plans.model import Change, Decision, Entry, Plan
from fanin.plans.recipes import RECIPES, recipe
from fanin.plans.tuned import Sweep, tuned
from fanin.plans.verification import Difference, Verification

__all__ = [
    "RECIPES",
    "Change",
    "Decision",
    "Difference",
    "Entry",
    "Plan",
    "Sweep",
    "Verification",
    "as_built",
    "make_plan",
    "recipe",
    "tuned",
]
