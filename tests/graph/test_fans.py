"""Fans: known answers, and the variances that real layers have."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch.nn.init import _calculate_fan_in_and_fan_out

from fanin.errors import BadInput
from fanin.graph import Axis, Fans, WeightUse, fans, fans_of_axes

CONV = (Axis.OUT, Axis.IN, Axis.KERNEL, Axis.KERNEL)
SPREAD = (Axis.IN, Axis.OUT, Axis.KERNEL, Axis.KERNEL)
Rule = Callable[[tuple[int, ...], WeightUse], Fans]


@pytest.mark.parametrize(
    ("shape", "use", "expected"),
    [
        ((256, 128), WeightUse(), Fans(128, 256)),
        ((128, 256), WeightUse((Axis.IN, Axis.OUT)), Fans(128, 256)),
        ((64, 32, 3, 3), WeightUse(CONV), Fans(288, 576)),
        ((64, 32, 3, 3), WeightUse(CONV, stride=(2, 2)), Fans(288, 144)),
        ((64, 32, 3, 3), WeightUse(CONV, stride=(2, 1)), Fans(288, 288)),
        ((10, 4, 3, 3), WeightUse(CONV, stride=(2, 2)), Fans(36, 22.5)),
        ((64, 8, 3, 3), WeightUse(CONV, groups=4), Fans(72, 144)),
        ((64, 1, 3, 3), WeightUse(CONV, groups=64), Fans(9, 9)),  # depthwise: torch says (9, 576)
        ((128, 1, 3, 3), WeightUse(CONV, groups=64), Fans(9, 18)),
        ((32, 64, 4, 4), WeightUse(SPREAD, transposed=True), Fans(512, 1024)),
        ((32, 64, 4, 4), WeightUse(SPREAD, stride=(2, 2), transposed=True), Fans(128, 1024)),
        ((32, 16, 4, 4), WeightUse(SPREAD, groups=4, stride=(2, 2), transposed=True), Fans(32, 256)),
        ((32, 1, 3, 3), WeightUse(SPREAD, groups=32, stride=(2, 2), transposed=True), Fans(2.25, 9)),
        ((4 * 20, 12), WeightUse(parts=4), Fans(12, 20)),  # the gates of an LSTM
        ((3 * 64, 64), WeightUse(parts=3), Fans(64, 64)),  # Q, K and V
        ((7, 5, 3), WeightUse((Axis.OUT, Axis.IN, Axis.KERNEL)), Fans(15, 21)),
        ((7, 5, 2, 3, 4), WeightUse((*CONV, Axis.KERNEL), stride=(1, 3, 2)), Fans(120, 28)),
        ((5, 0), WeightUse(), Fans(0, 5)),
    ],
    ids=str,
)
def test_known_fans(shape: tuple[int, ...], use: WeightUse, expected: Fans) -> None:
    assert fans(shape, use) == expected


def test_whole_fans_are_ints_so_that_tables_read_well() -> None:
    assert repr(fans((64, 32, 3, 3), WeightUse(CONV, stride=(2, 2)))) == "Fans(fan_in=288, fan_out=144)"


def test_each_mode_names_its_mean() -> None:
    both = Fans(4, 9)
    modes = ["fan_in", "fan_out", "fan_avg", "fan_geo_avg"]
    assert [both.of(mode) for mode in modes] == [4, 9, 6.5, 6]


@pytest.mark.parametrize(
    ("shape", "axes", "expected"),
    [
        ((6, 4), {}, Fans(4, 6)),
        ((6, 4, 3, 3), {}, Fans(36, 54)),
        ((3, 3, 4, 6), {"in_axis": -2, "out_axis": -1}, Fans(36, 54)),
        ((5, 4, 6), {"in_axis": 1, "out_axis": 2, "batch_axis": 0}, Fans(4, 6)),
        ((4, 8, 2), {"in_axis": 0, "out_axis": (1, 2)}, Fans(4, 16)),
    ],
)
def test_fans_of_a_raw_tensor_by_its_axes(shape: tuple[int, ...], axes: dict[str, Any], expected: Fans) -> None:
    assert fans_of_axes(shape, **axes) == expected


@pytest.mark.parametrize(
    ("shape", "axes", "message"),
    [
        ((), {}, r"shape \(\) has no two axes .*Normal\(std=0\.02\)"),
        ((5,), {}, r"shape \(5,\) has no two axes .*Give the fans"),
        ((5, 4), {"in_axis": 2}, r"axes 0 … 1; got axis 2"),
        ((5, 4), {"in_axis": 0}, "expected each axis once; got 0, 0"),
        ((5, 4, 3), {"batch_axis": -1, "in_axis": 2}, "expected each axis once"),
    ],
)
def test_axes_that_cannot_be_are_refused(shape: tuple[int, ...], axes: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        fans_of_axes(shape, **axes)


@pytest.mark.parametrize("bad", [-1, math.nan, math.inf, "4", None])
def test_fans_are_finite_numbers(bad: Any) -> None:
    with pytest.raises(BadInput, match="fan_out must be a finite number, at least 0"):
        Fans(4, bad)


def test_a_weight_of_another_rank_is_refused() -> None:
    with pytest.raises(BadInput, match=r"axes \(out, in, kernel, kernel\) has 4 axes; got shape \(3, 4\)"):
        fans((3, 4), WeightUse(CONV))


# What real layers do: with unit white noise at one end and weights of variance v, the other end has variance fan · v.


@dataclass(frozen=True)
class Case:
    """A convolution without padding, along `len(kernel)` axes; kernel () is a linear layer."""

    groups: int
    n_in: int  # channels of one group
    n_out: int
    kernel: tuple[int, ...] = ()
    stride: tuple[int, ...] = ()
    dilation: int = 1
    transposed: bool = False

    def layer(self) -> torch.nn.Module:
        n_in, n_out = self.groups * self.n_in, self.groups * self.n_out
        if not self.kernel:
            return torch.nn.Linear(n_in, n_out, bias=False)
        kinds = {
            (1, False): torch.nn.Conv1d,
            (2, False): torch.nn.Conv2d,
            (1, True): torch.nn.ConvTranspose1d,
            (2, True): torch.nn.ConvTranspose2d,
        }
        kind = kinds[len(self.kernel), self.transposed]
        layer: torch.nn.Module = kind(
            n_in, n_out, self.kernel, self.stride, groups=self.groups, dilation=self.dilation, bias=False
        )
        return layer

    def use(self) -> WeightUse:
        channels = (Axis.IN, Axis.OUT) if self.transposed else (Axis.OUT, Axis.IN)
        axes = (*channels, *[Axis.KERNEL] * len(self.kernel))
        return WeightUse(axes, self.groups, self.stride, self.transposed)

    def reach(self) -> tuple[int, ...]:
        return tuple(self.dilation * (k - 1) for k in self.kernel)

    def coarse(self) -> tuple[int, ...]:
        """As many positions at the strided end as leave one whole step of the other end away from all borders."""
        return tuple(2 + math.ceil(r / s) for r, s in zip(self.reach(), self.stride, strict=True))

    def fine(self) -> tuple[int, ...]:
        return tuple(s * (n - 1) + r + 1 for n, s, r in zip(self.coarse(), self.stride, self.reach(), strict=True))

    def inner(self, fine: torch.Tensor) -> torch.Tensor:
        """One step of the positions that every kernel offset can reach."""
        where = tuple(slice(r, r + s) for r, s in zip(self.reach(), self.stride, strict=True))
        return fine[(slice(None), slice(None), *where)] if where else fine


BATCH = 4096
VARIANCE = 0.25
# y² of one output is a square of ± sums, of variance at most 2 (fan v)²; the batch's samples are independent, those of
# one sample's positions at worst alike.
TOLERANCE = 6 * math.sqrt(2 / BATCH)


def signs(*shape: int) -> torch.Tensor:
    """White noise of variance 1 whose squares do not vary: the weights' own scatter is no part of the tolerance."""
    return torch.randint(0, 2, shape).float() * 2 - 1


def measured_fans(case: Case) -> Fans:
    """Var(y)/v for white x, and Var(∂L/∂x)/v for white ∂L/∂y, averaged over positions away from the borders."""
    torch.manual_seed(0)
    layer = case.layer()
    weight = next(layer.parameters())
    with torch.no_grad():
        weight.copy_(math.sqrt(VARIANCE) * signs(*weight.shape))
    positions = case.coarse() if case.transposed else case.fine()
    x = signs(BATCH, case.groups * case.n_in, *positions).requires_grad_()
    y = layer(x)
    y.backward(signs(*y.shape))
    assert x.grad is not None
    out = y.detach()
    seen_y, seen_x = (case.inner(out), x.grad) if case.transposed else (out, case.inner(x.grad))
    return Fans(float(seen_y.square().mean()) / VARIANCE, float(seen_x.square().mean()) / VARIANCE)


def agrees(case: Case, rule: Rule = fans) -> bool:
    measured, said = measured_fans(case), rule(tuple(next(case.layer().parameters()).shape), case.use())
    return all(
        abs(seen / claimed - 1) <= TOLERANCE
        for seen, claimed in ((measured.fan_in, said.fan_in), (measured.fan_out, said.fan_out))
    )


@st.composite
def cases(draw: st.DrawFn) -> Case:
    rank = draw(st.integers(0, 2))
    small = st.integers(1, 3)
    kernel = tuple(draw(st.integers(1, 4)) for _ in range(rank))
    stride = tuple(draw(small) for _ in range(rank))
    grouped = draw(small) if rank else 1
    dilation = draw(st.integers(1, 2))
    case = Case(grouped, draw(small), draw(small), kernel, stride, dilation, bool(rank) and draw(st.booleans()))
    assume(math.prod(case.fine()) <= 64)
    return case


@settings(deadline=None, derandomize=True, max_examples=60, database=None)
@given(cases())
def test_fans_are_the_variances_that_real_layers_have(case: Case) -> None:
    assert agrees(case)


NAMED = {
    "linear": Case(1, 5, 3),
    "conv": Case(1, 3, 2, (3, 3), (1, 1)),
    "strided": Case(1, 2, 3, (3, 3), (2, 2)),
    "grouped": Case(3, 2, 2, (3,), (1,)),
    "depthwise": Case(6, 1, 1, (3, 3), (1, 1)),
    "transposed": Case(1, 2, 5, (4, 4), (2, 2), transposed=True),
    "transposed, grouped": Case(3, 2, 1, (4, 4), (2, 2), transposed=True),
    "stride beyond the kernel": Case(1, 2, 2, (1,), (3,)),
    "dilated": Case(1, 2, 2, (3,), (2,), dilation=3),
}


@pytest.mark.parametrize("name", NAMED)
def test_fans_of_named_layers_are_measured(name: str) -> None:
    assert agrees(NAMED[name])


def test_a_circular_border_loses_no_connection() -> None:
    layer = torch.nn.Conv2d(3, 4, 3, padding=1, padding_mode="circular", bias=False)
    torch.nn.init.ones_(layer.weight)
    x = torch.ones(1, 3, 5, 5, requires_grad=True)
    y = layer(x)
    y.backward(torch.ones_like(y))
    assert x.grad is not None
    expected = fans((4, 3, 3, 3), WeightUse(CONV, stride=(1, 1)))
    assert set(y.flatten().tolist()) == {expected.fan_in}
    assert set(x.grad.flatten().tolist()) == {expected.fan_out}


def torch_rule(shape: tuple[int, ...], use: WeightUse) -> Fans:
    """As torch computes fans: from the shape, blind to groups, stride and direction."""
    return Fans(*_calculate_fan_in_and_fan_out(torch.empty(shape)))


def swapped(shape: tuple[int, ...], use: WeightUse) -> Fans:
    right = fans(shape, use)
    return Fans(right.fan_out, right.fan_in)


@pytest.mark.parametrize(
    "name", ["grouped", "depthwise", "strided", "transposed", "transposed, grouped", "stride beyond the kernel"]
)
def test_the_fans_that_torch_computes_are_seen_to_be_wrong(name: str) -> None:
    assert not agrees(NAMED[name], torch_rule)


@pytest.mark.parametrize("name", ["linear", "conv", "strided", "transposed", "stride beyond the kernel"])
def test_swapped_fans_are_seen_to_be_wrong(name: str) -> None:
    assert not agrees(NAMED[name], swapped)


def test_torch_agrees_where_a_convolution_is_plain() -> None:
    assert agrees(NAMED["conv"], torch_rule)
