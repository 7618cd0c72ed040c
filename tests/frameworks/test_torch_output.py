"""What models return, taken apart and put together again."""

from __future__ import annotations

from collections import OrderedDict, UserDict, namedtuple
from dataclasses import dataclass
from types import MappingProxyType, SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

import fanin
from fanin.errors import CannotTrace
from fanin.frameworks.torch.model.output import taken_apart

A, B = torch.zeros(2), torch.ones(3)
Pair = namedtuple("Pair", "first second")  # users write them so


@dataclass(frozen=True, slots=True)
class Frozen:
    out: Tensor
    note: str = "as it was"
    inner: Any = None


class Items(dict):  # type: ignore[type-arg]
    def __init__(self, items: Any, *, size: Tensor) -> None:
        super().__init__(items)
        self.size = size


class Opaque:
    def __init__(self, tensor: Tensor) -> None:
        self.tensor, self.me = tensor, self


@pytest.mark.parametrize(
    ("output", "found"),
    [
        (A, [A]),
        ((A, [B, None], {"a": A, "n": 3}), [A, B]),  # each once
        (Pair(A, B), [A, B]),
        (OrderedDict(z=A, b=B), [A, B]),
        (UserDict({"a": A}), [A]),
        (Items({"a": A}, size=B), [A]),
        (Frozen(A, inner=[B]), [A, B]),
        ((A, Opaque(B)), [A]),
        (torch.max(torch.eye(2), 0), None),
        (SimpleNamespace(out=A, more=[B]), [A, B]),
        ([Opaque(A), Opaque(B)], [A, B]),
    ],
    ids=lambda x: type(x).__name__,
)
def test_tensors_are_found_wherever_they_are(output: Any, found: list[Tensor] | None) -> None:
    tensors, build = taken_apart(output)
    if found is not None:
        assert [id(t) for t in tensors] == [id(t) for t in found]
    again = build([t.clone() for t in tensors])
    assert type(again) is type(output)
    assert [t.shape for t in taken_apart(again)[0]] == [t.shape for t in tensors]


def test_what_is_no_tensor_stays_and_unknown_objects_are_left_out() -> None:
    tensors, build = taken_apart((Frozen(A), Opaque(B), torch.float32, None, True))
    assert len(tensors) == 1
    assert build([B]) == (Frozen(B), None, torch.float32, None, True)


def test_a_mapping_that_cannot_be_changed_comes_back_as_a_dict() -> None:
    tensors, build = taken_apart(MappingProxyType({"a": A}))
    assert build(tensors) == {"a": A}


def test_the_original_is_not_changed() -> None:
    output = SimpleNamespace(out=A, mapping=UserDict({"b": B}))
    _, build = taken_apart(output)
    again = build([B, A])
    assert again.out is B
    assert again.mapping["b"] is A
    assert output.out is A
    assert output.mapping["b"] is B


leaves = st.one_of(st.integers(), st.text(max_size=3), st.none(), st.builds(lambda: torch.zeros(1)))
trees = st.recursive(leaves, lambda t: st.lists(t, max_size=3) | st.tuples(t, t) | st.dictionaries(st.text(), t))


@given(trees.map(lambda tree: (A, tree)))
def test_any_nesting_comes_back(output: Any) -> None:
    tensors, build = taken_apart(output)
    assert repr(build(tensors)) == repr(output)


class Returns(nn.Module):
    def __init__(self, of: Any) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 2)
        self.of = of

    def forward(self, x: Tensor) -> Any:
        return self.of(self.layer(x))


@pytest.mark.parametrize(
    "of", [lambda y: y, lambda y: (y, Opaque(y)), lambda y: UserDict(y=y), Frozen, Opaque], ids=["", "", "", "", ""]
)
def test_signals_are_those_of_the_tensor_alone(of: Any) -> None:
    model, x = Returns(of), torch.ones(3, 4)
    alone = Returns(lambda y: y)
    alone.load_state_dict(model.state_dict())
    found, expected = fanin.measure(model, x), fanin.measure(alone, x)
    assert (found.values, found.gradients, found.loss) == (expected.values, expected.gradients, expected.loss)


@pytest.mark.parametrize(
    "of",
    [lambda y: None, lambda y: [], lambda y: Opaque, lambda y: object()],
    ids=["none", "empty", "a class", "an object"],
)
def test_a_model_that_returns_no_tensor_is_told_so(of: Any) -> None:
    with pytest.raises(CannotTrace, match=r"holds no tensor: it is of type \w+. Return a tensor, or a tuple"):
        fanin.plan(Returns(of), torch.ones(3, 4))
