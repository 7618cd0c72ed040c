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
from fanin.plans.recipes.bert import bert
from fanin.plans.recipes.constant import constant
from fanin.plans.recipes.deepnorm import deepnorm
from fanin.plans.recipes.deepscale import deepscale
from fanin.plans.recipes.delta_orthogonal import delta_orthogonal
from fanin.plans.recipes.edge_of_chaos import edge_of_chaos
from fanin.plans.recipes.fixup import fixup
from fanin.plans.recipes.flax_default import flax_default
from fanin.plans.recipes.gpt2 import gpt2
from fanin.plans.recipes.he import he
from fanin.plans.recipes.keras_default import keras_default
from fanin.plans.recipes.lecun import lecun
from fanin.plans.recipes.llama import llama
from fanin.plans.recipes.mean_field import mean_field
from fanin.plans.recipes.mup import mup
from fanin.plans.recipes.normal import normal
from fanin.plans.recipes.orthogonal import orthogonal
from fanin.plans.recipes.skipinit import skipinit
from fanin.plans.recipes.snn import snn
from fanin.plans.recipes.t_fixup import t_fixup
from fanin.plans.recipes.timm_jax import timm_jax
from fanin.plans.recipes.torch_default import torch_default
from fanin.plans.recipes.u_mup import u_mup
from fanin.plans.recipes.uniform import uniform
from fanin.plans.recipes.vit import vit
from fanin.plans.recipes.xavier import xavier
from fanin.plans.recipes.zero import zero
from fanin.plans.recipes.zeros import zeros

Recipe = Callable[[Graph], Mapping[str, Decision | Initializer | str]]

RECIPES: Final[dict[str, Callable[..., Mapping[str, Decision]]]] = {
    "auto": auto,
    "bert": bert,
    "constant": constant,
    "deepnorm": deepnorm,
    "deepscale": deepscale,
    "delta_orthogonal": delta_orthogonal,
    "edge_of_chaos": edge_of_chaos,
    "fixup": fixup,
    "flax_default": flax_default,
    "gpt2": gpt2,
    "he": he,
    "keras_default": keras_default,
    "lecun": lecun,
    "llama": llama,
    "mean_field": mean_field,
    "mup": mup,
    "normal": normal,
    "orthogonal": orthogonal,
    "rezero": skipinit,
    "skipinit": skipinit,
    "selu": snn,
    "snn": snn,
    "t_fixup": t_fixup,
    "timm_jax": timm_jax,
    "torch_default": torch_default,
    "u_mup": u_mup,
    "uniform": uniform,
    "vit": vit,
    "xavier": xavier,
    "zero": zero,
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


def is_tuned(how: str | Recipe) -> bool:
    """Whether the recipe's widths are tuned on predicted signals: what it decides from the graph is a first guess."""
    return how == "auto"
