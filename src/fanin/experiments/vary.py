"""What a sweep varies: values filled into a net, data, recipes and settings, cell by cell."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import product
from typing import Any, Final

from fanin.call import parse_call
from fanin.errors import BadInput
from fanin.experiments.design import named_recipes

Values = Mapping[str, Any]
NAMED: Final = re.compile(r"\{(\w+)\}")
SETTINGS: Final = ("seeds", "learning_rates", "steps", "batch_size", "optimizer", "momentum", "weight_decay")


@dataclass(frozen=True)
class Asked:
    """What `fanin.compare` is asked: a net, data, recipes by name, and settings."""

    net: Any
    data: Any
    recipes: Mapping[str, Any]
    settings: Mapping[str, Any] = field(default_factory=dict)


def checked(vary: Mapping[str, Sequence[Any]]) -> dict[str, tuple[Any, ...]]:
    """Every name with its values.

    Raises:
        BadInput: nothing varies, or something has no values or one of them twice.
    """
    if not isinstance(vary, Mapping) or not vary:
        raise BadInput(f"vary: expected names with their values, such as {{'depth': [5, 10, 20]}}; got {vary!r}.")
    for name, values in vary.items():
        if isinstance(values, str) or not isinstance(values, Sequence) or not values:
            raise BadInput(f"vary: {name} needs a list of values, such as [5, 10, 20]; got {values!r}.")
        if any(a == b for at, a in enumerate(values) for b in values[:at]):
            raise BadInput(f"vary: {name} has a value twice; got {list(values)!r}.")
    return {name: tuple(values) for name, values in vary.items()}


def cells(vary: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    """One value of each, in all combinations; the last name changes fastest.

    Example:
        >>> cells({"depth": [5, 10], "std": [0.1]})
        [{'depth': 5, 'std': 0.1}, {'depth': 10, 'std': 0.1}]
    """
    return [dict(zip(vary, values, strict=True)) for values in product(*vary.values())]


def filled(asked: Asked, values: Values) -> Asked:
    """With one value of each: in the place of its name in braces; else as the setting, the net, or the data of that
    name; else as an argument of the net.

    Example:
        >>> asked = Asked("perceptron(width=64)", "digits", {"N": "normal(std={std})"}, {"steps": 100})
        >>> found = filled(asked, {"depth": 5, "std": 0.1, "steps": 9})
        >>> found.net, found.recipes["N"], found.settings["steps"]
        ('perceptron(width=64, depth=5)', 'normal(std=0.1)', 9)

    Raises:
        BadInput: braces with a name that does not vary.
    """
    chosen = {name: values[name] for name in ("net", "data") if name in values and name not in _named_in(asked)}
    net, data = chosen.get("net", asked.net), chosen.get("data", asked.data)
    inside = _named_in(Asked(net, data, asked.recipes))
    if unknown := sorted(inside - set(values)):
        raise BadInput(f"{{{unknown[0]}}} is not among what varies: {', '.join(values)}.")
    settings = {name: value for name, value in values.items() if name in SETTINGS and name not in inside}
    arguments = {name: value for name, value in values.items() if name not in {*inside, *settings, *chosen}}
    return Asked(
        with_arguments(fill(net, values), arguments),
        fill(data, values),
        {name: fill(recipe, values) for name, recipe in asked.recipes.items()},
        {**asked.settings, **settings},
    )


def fill(what: Any, values: Values) -> Any:
    """A text with the values in the place of their names in braces; anything else as it is."""
    return NAMED.sub(lambda found: str(values[found[1]]), what) if isinstance(what, str) else what


def with_arguments(net: Any, arguments: Values) -> Any:
    """A net's name, or a function that builds it, with further arguments."""
    if not arguments:
        return net
    if not isinstance(net, str):
        return partial(net, **arguments)
    name, given = parse_call(net)
    return f"{name}({', '.join(f'{key}={value!r}' for key, value in {**given, **arguments}.items())})"


def asked_for(net: Any, data: Any, recipes: Any, settings: Mapping[str, Any]) -> Asked:
    """With the recipes by name."""
    return Asked(net, data, named_recipes(recipes), settings)


def _named_in(asked: Asked) -> set[str]:
    """All names in braces."""
    texts = [text for text in (asked.net, asked.data, *asked.recipes.values()) if isinstance(text, str)]
    return {name for text in texts for name in NAMED.findall(text)}
