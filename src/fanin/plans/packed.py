"""One rule for query, key and value apart, where one tensor packs them."""

from __future__ import annotations

from fanin.graph import Parameter, Role
from fanin.initializers import Initializer, PerPart
from fanin.plans.model import Decision

PACKED = frozenset({Role.QUERY, Role.KEY, Role.VALUE})


def of_attention(p: Parameter, query_and_key: Decision, value: Decision) -> Decision:
    """For a weight of an attention: of which kind it is, or part by part.

    Where the layout of a packed projection is not known, the value's rule is used for all of it, and `why` says so:
    it is the value's scale that enters the stream; queries and keys only set how sharp the attention is.
    """
    roles = PACKED & set(p.roles)
    if Role.VALUE not in roles:
        return query_and_key
    if roles == {Role.VALUE}:
        return value
    if p.parts and set(p.parts.names) == {"q", "k", "v"}:
        each: dict[str, Initializer | str] = {"v": value.initializer}
        why = f"q and k: {query_and_key.why}; v: {value.why}"
        return Decision(PerPart(query_and_key.initializer, each), why, value.source)
    return value._replace(
        why=f"{value.why}; it packs {', '.join(sorted(r.removeprefix('attention ') for r in roles))} in a layout that "
        "the graph does not show, so that all of it has the value's rule"
    )
