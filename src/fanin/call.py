"""A name with arguments, as people write it on a command line or in a file: `normal(std=0.01)`.

Parsed as data, never evaluated: the arguments must be literals.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TypeVar

from fanin.errors import BadInput, UnknownName

T = TypeVar("T")


def parse_call(text: str) -> tuple[str, dict[str, Any]]:
    """Split `name(key=literal, …)` into the name and its arguments; a bare name has none.

    Example:
        >>> parse_call("normal(std=0.01)")
        ('normal', {'std': 0.01})

    Raises:
        BadInput: not of that form.
    """
    try:
        tree = ast.parse(text.strip(), mode="eval").body
        if isinstance(tree, ast.Name):
            return tree.id, {}
        if isinstance(tree, ast.Call) and isinstance(tree.func, ast.Name) and not tree.args:
            arguments = {k.arg: ast.literal_eval(k.value) for k in tree.keywords if k.arg}
            if len(arguments) == len(tree.keywords):  # none is given twice, none is **unpacked
                return tree.func.id, arguments
    except (SyntaxError, ValueError, TypeError, MemoryError, RecursionError):  # all that `ast` documents
        pass
    raise BadInput(f"Expected a name, or a name with arguments such as normal(std=0.01); got {text!r}.")


def bind(kind: str, text: str, table: Mapping[str, Callable[..., T]]) -> Callable[..., T]:
    """Look `name(key=value, …)` up in a table of functions and bind the arguments to it.

    Only parameters with a default can be bound; the caller gives the others.

    Raises:
        UnknownName: the name is not in the table.
        BadInput: it does not take those arguments.
    """
    name, arguments = parse_call(text)
    if name not in table:
        raise UnknownName(kind, name, table)
    accepted = [n for n, p in inspect.signature(table[name]).parameters.items() if p.default is not p.empty]
    if unknown := sorted(arguments.keys() - set(accepted)):
        takes = f"it takes {', '.join(accepted)}" if accepted else "it takes no arguments"
        raise BadInput(f"{name} does not take {', '.join(unknown)}; {takes}.")
    return partial(table[name], **arguments)
