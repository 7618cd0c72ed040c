"""Recipes: a function from a graph to decisions, one a file.

Its docstring is what `fanin list recipes` shows; the arguments it takes are written `normal(std=0.01)`.
To add one: a file here and a line in `RECIPES`.
"""

from collections.abc import Callable, Mapping
from typing import Final

from fanin.call import bind
from fanin.errors import BadInput
from fanin.graph import Graph
from fanin.initializers import Initializer
from fanin.plans.model import Decision
from fanin.plans.recipes.auto import auto
from fanin.plans.recipes.he import he
from fanin.plans.recipes.lecun import lecun
from fanin.plans.recipes.normal import normal
from fanin.plans.recipes.torch_default import torch_default
from fanin.plans.recipes.xavier import xavier
from fanin.plans.recipes.zeros import zeros

Recipe = Callable[[Graph], Mapping[str, Decision | Initializer | str]]

RECIPES: Final[dict[str, Callable[..., Mapping[str, Decision]]]] = {
    "auto": auto,
    "he": he,
    "lecun": lecun,
    "normal": normal,
    "torch_default": torch_default,
    "xavier": xavier,
    "zeros": zeros,
}


def recipe(how: str | Recipe) -> tuple[str, Recipe]:
    """A recipe's spelling and the recipe: by name, by `name(argument=value)`, or any function of a graph.

    Raises:
        UnknownName: no recipe of that name; the message names the nearest.
        BadInput: arguments it does not take, or something else than a recipe.
    """
    if isinstance(how, str):
        return how, bind("recipe", how, RECIPES)
    if not callable(how):
        raise BadInput(f"Expected a recipe's name or a function from a graph to decisions; got {how!r}.")
    return getattr(how, "__name__", "custom"), how
