"""Sums that are compiled against PyTorch's own operations, and a pass in which nothing is read."""

from __future__ import annotations

import importlib
import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from fanin.frameworks.compiled.summed import PIECE
from fanin.frameworks.torch import observe, predict, trace
from fanin.frameworks.torch.measuring import alikeness, attention_seen, looks, moments, rows, sampled, together
from fanin.frameworks.torch.measuring.later import Later, read
from fanin.signals import Signals
from fanin.signals.axes import Axes, Kind

SAMPLE, POSITION, FEATURE = Kind.SAMPLE, Kind.POSITION, Kind.FEATURE
NORMAL = np.random.default_rng(0).normal(size=5000)
EDGES = [0.0, -0.0, 1.0, -2.5, 1e-45, -1e-40, 3e38, math.inf, -math.inf, math.nan]


@contextmanager
def elsewhere(name: str, answer: bool = False) -> Iterator[None]:
    """As on a device (`here`), or where numba cannot be imported (`compiles`)."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (alikeness, looks, moments, rows, sampled, together):
            if hasattr(module, name):
                patch.setattr(module, name, lambda *_: answer)
        yield


def by_operations(x: Tensor, bounds: tuple[float, float] | None = None) -> tuple[float, ...]:
    """Sums as PyTorch makes them."""
    with elsewhere("compiles"):
        seen = moments.sums(x, bounds)
    read([seen])
    return tuple(seen.numbers)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(1,), (7, 9), (3, 1 << 13), (PIECE + 1,), (5, PIECE // 2)])
def test_the_compiled_sums_are_those_of_operations(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    """Mutant: what is counted in a piece is forgotten at the next."""
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=dtype)
    x = torch.where(x.abs() < 0.5, 0.0, x)
    found, expected = moments.sums(x, (-2.0, 2.0)).numbers, by_operations(x, (-2.0, 2.0))
    assert found[:2] == pytest.approx(expected[:2], rel=1e-12, abs=1e-9)
    assert found[2:6] == expected[2:]
    assert found[6] == float(x[x != 0].abs().min() if x.any() else math.inf)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("values", [EDGES, EDGES[:7], EDGES[:2], [math.inf, 0.0], [math.nan] * 3, [-0.0]])
def test_zeros_and_what_is_not_finite_are_counted(values: list[float], dtype: torch.dtype) -> None:
    """Mutant: −0 is no zero."""
    x = torch.tensor(values, dtype=dtype)
    _, _, zeros, broken, largest, _, smallest = moments.sums(x).numbers
    assert (zeros, broken) == (int((x == 0).sum()), int((~torch.isfinite(x)).sum()))
    assert (zeros, broken) == by_operations(x)[2:4]
    assert math.isfinite(largest) is (broken == 0)
    there = x[torch.isfinite(x) & (x != 0)].abs()
    assert smallest == (float(there.min()) if len(there) else math.inf)


def test_any_layout_is_summed() -> None:
    x = torch.randn(6, 5, 4)
    for view in (x.transpose(0, 2), x[:, 1:3], x[..., ::2], x[:1].expand(6, 5, 4)):
        found, expected = moments.moments(view), moments.moments(view.clone().contiguous())
        assert (found.mean, found.second_moment) == pytest.approx((expected.mean, expected.second_moment), rel=1e-12)
    assert (
        moments.moments(torch.view_as_complex(torch.ones(3, 2)).conj().imag).mean == -1
    )  # a view that is negated when read


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
def test_small_tensors_that_wait_have_the_sums_of_each(dtype: torch.dtype) -> None:
    """Mutant: the bounds of another tensor."""
    torch.manual_seed(0)
    tensors = [torch.randn(n, 3).to(dtype) for n in (1, 5, 400)] + [torch.randn(8, 6).to(dtype).T[1:4]]
    bounds = [None, (-1.0, 1.0), None, (0.0, 0.5)]
    both = looks.Looks()
    waiting = [both.at(x, near) for x, near in zip(tensors, bounds, strict=True)]
    assert all(len(one.sums.numbers) == 0 for one in waiting)
    both.settle()
    for one, x, near in zip(waiting, tensors, bounds, strict=True):
        alone = moments.sums(x.double(), near).moments()
        seen = one.moments()
        assert (seen.mean, seen.second_moment) == pytest.approx((alone.mean, alone.second_moment), rel=1e-9)
        assert (seen.zeros, seen.saturated) == (alone.zeros, alone.saturated)
        assert one.detail() is None


def test_what_waits_is_looked_at_before_it_is_much() -> None:
    looked: list[int] = []
    small: together.Together[int] = together.Together(lambda tensors, those: looked.extend(those))
    for i in range(100):
        small.add(torch.zeros(1 << 16), i)  # 256 KiB each
    assert 80 < len(looked) < 100
    small.settle()
    assert looked == list(range(100))
    for i in range(100):
        small.add(torch.zeros(1 << 16), i, lasts=True)
    assert len(looked) == 100  # what somebody else keeps takes no memory while it waits
    small.settle()
    assert looked == [*range(100)] * 2


def spread_of(x: Any) -> sampled.Spread:
    samples = sampled.Samples()
    sample = samples.of(torch.from_numpy(x))
    samples.settle()
    assert sample.spread
    return sample.spread


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    "x",
    [NORMAL, np.zeros(9), np.array(EDGES), np.array([np.inf]), np.ones(9) / 1e300, np.ldexp(1.0, range(-152, 128))],
)
def test_the_compiled_spread_is_that_of_numpy(x: Any, dtype: Any) -> None:
    """Mutant: octaves that are one too high."""
    x = x.astype(dtype)
    found = spread_of(x)
    with elsewhere("compiles"):
        expected = spread_of(x)
    assert found.magnitudes == expected.magnitudes
    assert (found.largest, found.smallest) == (expected.largest, expected.smallest)
    assert (found.histogram is None) is (expected.histogram is None)
    if found.histogram and expected.histogram:
        assert found.histogram[:2] == pytest.approx(expected.histogram[:2])
        assert sum(map(abs, np.subtract(found.histogram[2], expected.histogram[2]))) <= 2  # one may lie on an edge


AXES: dict[str, tuple[tuple[int, ...], Axes]] = {
    "samples, features": ((6, 10), (((SAMPLE, 6),), ((FEATURE, 10),))),
    "tokens": ((3, 5, 8), (((SAMPLE, 3),), ((POSITION, 5),), ((FEATURE, 8),))),
    "pictures": ((2, 3, 4, 5), (((SAMPLE, 2),), ((FEATURE, 3),), ((POSITION, 4),), ((POSITION, 5),))),
    "heads": ((2, 3, 4, 5), (((SAMPLE, 2),), ((FEATURE, 3),), ((POSITION, 4),), ((FEATURE, 5),))),
    "tokens and heads in one": ((12, 4), (((SAMPLE, 3), (POSITION, 4)), ((FEATURE, 4),))),
    "one sample": ((1, 9), ((), ((FEATURE, 9),))),
    "positions first": ((7, 2, 4), (((POSITION, 7),), ((SAMPLE, 2),), ((FEATURE, 4),))),
    "a number": ((), ()),
}


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("name", AXES)
def test_the_compiled_look_at_axes_is_that_of_operations(name: str, turned: bool) -> None:
    """Mutant: samples taken for positions."""
    shape, axes = AXES[name]
    x = torch.relu(torch.randn(shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64) - 1)
    if turned:
        back = list(reversed(range(x.dim())))
        x = x.permute(back).contiguous().permute(back)
    both = looks.Looks()
    found = both.at(x, axes=axes)
    both.settle()
    assert found.alikeness
    expected = alikeness.alikeness(x, axes)
    read([expected])
    assert found.alikeness.numbers == pytest.approx(expected.numbers, rel=1e-12)
    of_operations = looks.Look(moments.sums(x), None, expected).moments()
    assert found.moments().across_samples == pytest.approx(of_operations.across_samples, nan_ok=True)


ROWS = {
    "different": torch.arange(12.0).reshape(4, 3),
    "equal": torch.ones(4, 3),
    "equal but for one": torch.ones(4, 3).index_put((torch.tensor(3), torch.tensor(2)), torch.tensor(2.0)),
    "two that begin alike": torch.tensor([[1.0, 2], [1.0, 3], [2.0, 4]]),
    "one": torch.ones(1, 3),
    "a vector": torch.ones(3),
}


@pytest.mark.parametrize("name", ROWS)
@pytest.mark.parametrize("where", ["here", "on a device", "without a compiler"])
def test_equal_rows_are_seen_everywhere(name: str, where: str) -> None:
    both, x = looks.Looks(), ROWS[name]
    with elsewhere({"here": "none", "on a device": "here", "without a compiler": "compiles"}[where]):
        look = both.at_rows(x, closely=True)
    both.settle()
    read(look.waiting())
    found = look.rows
    assert found
    assert found.same is (name == "equal")
    assert found.distinct is (where == "here" and name in ("different", "one"))


def test_rows_are_told_apart_only_closely() -> None:
    both = looks.Looks()
    some = [both.at_rows(x, closely=closely) for x in ROWS.values() for closely in (False, True)]
    both.settle()
    for one, closer in zip(some[::2], some[1::2], strict=True):
        assert one.rows
        assert closer.rows
        assert one.rows.same is closer.rows.same
        assert one.moments() == closer.moments()
        assert (one.rows.distinct, one.rows.digest, one.detail()) == (False, None, None)
        assert closer.rows.digest is not None


def test_equal_values_have_equal_digests_in_any_layout() -> None:
    """Mutant: a digest that does not see where values stand."""
    torch.manual_seed(0)
    x = torch.randn(9, 7)
    both = looks.Looks()
    like = (x, x.T.contiguous().T, x.flip(0), x.clone().index_fill(0, torch.tensor(8), 0.0))
    of = [both.at_rows(one, closely=True) for one in like]
    both.settle()
    first, same, *others = (one.rows.digest for one in of if one.rows)
    assert first == same
    assert first not in others


def test_attentions_that_are_added_up_together_have_the_sums_of_each() -> None:
    """Mutant: of several that wait, the numbers of the first."""
    torch.manual_seed(0)
    causal = torch.full((5, 5), -math.inf).triu(1)
    scores = [torch.randn(2, 3, 5, 5) + causal, torch.randn(2, 3, 5, 7), 4 * torch.randn(2, 3, 5, 5)]
    together_, alone = attention_seen.attentions_together(), []
    waiting = [together_.add(z, attention_seen.AttentionSums(())) for z in scores]
    for z in scores:
        one = attention_seen.attentions_together()
        alone.append(one.add(z, attention_seen.AttentionSums(())))
        one.settle()
    together_.settle()
    read([*waiting, *alone])
    for one_of_several, by_itself in zip(waiting, alone, strict=True):
        assert one_of_several.numbers == pytest.approx(by_itself.numbers, rel=1e-12)
    p = torch.softmax(scores[2].double(), -1)
    expected = float(-(p * p.log()).sum(-1).mean()) / math.log(5)
    assert waiting[2].detail().entropy == pytest.approx(expected, rel=1e-9)
    assert waiting[0].detail().keys == 3


def test_scores_that_wait_do_not_keep_all_of_them() -> None:
    z = torch.randn(4, 3, 8, 8)
    some = attention_seen.some_rows(z)
    assert some is not None
    assert some.untyped_storage().data_ptr() != z.untyped_storage().data_ptr()


class Attends(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, dropout=0.0)
        self.head = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.head(torch.tanh(self.layer(x)))
        return y


class NothingRead(TorchDispatchMode):
    """Refuses to give a number to Python: on a GPU that waits for all that came before."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.over = False

    def __torch_dispatch__(self, f: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        assert self.over or f is not torch.ops.aten._local_scalar_dense.default, "a number is read in the pass"
        return f(*args, **(kwargs or {}))


@pytest.mark.parametrize("closer", [False, True])
def test_nothing_is_read_before_both_passes_are_done(closer: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a device: no number is here. Mutant: sums that are read as soon as they are made."""
    torch.manual_seed(0)
    model, x = Attends(), torch.randn(3, 5, 8)
    traced = trace(model, x)
    axes = predict(traced, model, (x,)).axes if closer else None

    def seen() -> Signals:
        return observe(traced, model, (x,), lambda y: y.square().mean(), axes, {})

    here, mode = seen(), NothingRead()
    module: Any = importlib.import_module(
        "fanin.frameworks.torch.measuring.observe"
    )  # the package means a function by the name

    def reading(waiting: list[Later]) -> None:
        mode.over = True
        read(waiting)

    monkeypatch.setattr(module, "read", reading)
    with elsewhere("here"), mode:
        there = seen()
    assert mode.over
    for some, all_ in ((there.values, here.values), (there.gradients, here.gradients)):
        assert some.keys() == all_.keys()
        for name, one in all_.items():
            assert some[name].second_moment == pytest.approx(one.second_moment, rel=1e-9)
            assert (some[name].zeros, some[name].saturated) == (one.zeros, one.saturated)
    assert there.attention == here.attention
    assert there.details.keys() == here.details.keys()
    assert {p: (s.same_rows, s.stored) for p, s in there.parameters.items()} == {
        p: (s.same_rows, s.stored) for p, s in here.parameters.items()
    }


def test_samples_of_a_device_come_together() -> None:
    tensors = [torch.randn(n, generator=torch.Generator().manual_seed(n)) for n in (1, 7, 5000, 9000)]
    at_once = [spread_of(x.numpy()) for x in tensors]
    samples = sampled.Samples()
    with elsewhere("here"):
        waiting = [samples.of(x) for x in tensors]
    assert [one.spread for one in waiting] == [None] * 4
    samples.settle()
    for one, expected in zip(waiting, at_once, strict=True):
        assert one.spread == expected


class InPlace(nn.Module):
    """Writes over what it made, in a branch that asks for a value."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        h: Tensor = x * 2
        if h.sum() > -1e9:
            h.mul_(3)
        y: Tensor = self.layer(h)
        return y


@pytest.mark.parametrize("closer", [False, True])
def test_what_waits_is_not_written_over(closer: bool) -> None:
    """The program has functions in the place of what is done in place."""
    torch.manual_seed(0)
    model, x = InPlace(), torch.randn(3, 4)
    traced = trace(model, x)
    axes = predict(traced, model, (x,)).axes if closer else None
    seen = observe(traced, model, (x,), lambda y: y.sum(), axes, {})
    assert [seen.values[name].second_moment for name in ("mul", "mul_1")] == pytest.approx(
        [float((times * x).square().mean()) for times in (2, 6)], rel=1e-6
    )
