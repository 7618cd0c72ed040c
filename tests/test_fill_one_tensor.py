"""`fanin.fill_`: one tensor of PyTorch or NumPy, the same bits in both."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import fanin
from fanin.errors import BadInput, CannotWrite, UnknownName
from fanin.graph import Fans, WeightUse, axes_of, fans
from fanin.initializers import Target

LAWS = ["he_normal", "glorot_uniform", "orthogonal", "sparse", "truncated_normal(std=0.02)", "constant(value=0.5)"]


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
def test_the_bits_are_the_same_in_torch_numpy_and_the_initializer(law: str, dtype: str) -> None:
    in_torch = torch.empty(6, 4, 3, dtype=getattr(torch, dtype))
    in_numpy = np.empty((6, 4, 3), dtype)
    assert fanin.fill_(in_torch, law, name="w", seed=2) is in_torch
    assert fanin.fill_(in_numpy, law, name="w", seed=2) is in_numpy
    drawn = fanin.initializers.initializer(law).draw(Target("w", (6, 4, 3), dtype, Fans(12, 18)), 2)
    assert np.array_equal(in_torch.numpy(), drawn.reshape(6, 4, 3))
    assert np.array_equal(in_numpy, drawn.reshape(6, 4, 3))


def test_a_weight_of_a_model_is_filled_as_the_model_is() -> None:
    conv = torch.nn.Conv2d(3, 8, 3)
    fanin.initialize_(torch.nn.Sequential(conv), torch.zeros(1, 3, 5, 5), recipe="he", seed=1)
    alone = fanin.fill_(torch.empty(8, 3, 3, 3), fanin.he_normal(), name="0.weight", seed=1)
    assert torch.equal(conv.weight, alone)


@given(axes=st.permutations(["out", "in", "kernel", "kernel"]), law=st.sampled_from(LAWS), numpy=st.booleans())
def test_axes_in_another_order_hold_the_same_logical_weight(axes: list[str], law: str, numpy: bool) -> None:
    plain = fanin.fill_(np.empty((4, 3, 2, 5), np.float32), law, name="w", seed=0)
    kernels = iter((2, 3))
    order = [{"out": 0, "in": 1}[axis] if axis != "kernel" else next(kernels) for axis in axes]
    expected = plain.transpose(order)
    other: Any = np.empty(expected.shape, np.float32) if numpy else torch.empty(expected.shape)
    fanin.fill_(other, law, name="w", seed=0, axes=axes)
    assert np.array_equal(np.asarray(other), expected)


def test_fans_that_the_shape_does_not_say() -> None:
    shape = (640, 1, 3, 3)
    true = fans(shape, WeightUse(axes_of(4), groups=640))
    w = fanin.fill_(torch.empty(shape), fanin.VarianceScaling(mode="fan_out"), seed=0, fan=true)
    assert torch.equal(w, fanin.fill_(torch.empty(shape), fanin.VarianceScaling(mode="fan_out"), seed=0, fan=(9, 9)))
    assert torch.equal(w, fanin.fill_(torch.empty(shape), fanin.Normal(1 / 3), seed=0))


def test_the_seed_is_that_of_the_frameworks_generator() -> None:
    for seed, make in ((torch.manual_seed, torch.empty), (np.random.seed, np.empty)):
        seed(3)
        first, second = (np.asarray(fanin.fill_(make(5), "normal")) for _ in range(2))
        seed(3)
        assert np.array_equal(np.asarray(fanin.fill_(make(5), "normal")), first)
        assert not np.array_equal(first, second)


def test_strided_arrays_and_scalars() -> None:
    memory = np.full((8, 10), 7.0)
    fanin.fill_(memory[::2, ::-2], "normal", seed=0)
    assert np.array_equal(memory[::2, ::-2], fanin.fill_(np.empty((4, 5)), "normal", seed=0))
    assert (memory == 7).sum() == 60
    assert fanin.fill_(torch.empty(()), "ones").item() == fanin.fill_(np.empty(()), "ones").item() == 1


def test_autograd_and_the_memory_format_stay() -> None:
    w = torch.nn.Parameter(torch.empty(4, 3, 2, 2).to(memory_format=torch.channels_last))
    fanin.fill_(w, "he_normal", seed=0, axes=("in", "out", "kernel", "kernel"))
    assert w.is_leaf
    assert w.requires_grad
    assert w.is_contiguous(memory_format=torch.channels_last)


def read_only() -> np.ndarray[Any, Any]:
    array = np.zeros(3)
    array.flags.writeable = False
    return array


@pytest.mark.parametrize(
    ("tensor", "options", "error", "says"),
    [
        ([1.0], {}, BadInput, "got list"),
        (torch.zeros(3), {"axes": ("out",)}, BadInput, "needs the fans"),
        (torch.zeros(3, 2), {"axes": ("out",)}, BadInput, "a name for each of 2 axes"),
        (torch.zeros(3, 2), {"axes": ("out", "inn")}, UnknownName, "'in'"),
        (torch.zeros(3, 2), {"seed": -1}, BadInput, "seed"),
        (torch.zeros(3, 2, device="meta"), {}, CannotWrite, "meta"),
        (torch.zeros(3, 2, dtype=torch.int32), {}, CannotWrite, "int32"),
        (np.zeros((3, 2), int), {}, CannotWrite, "int64"),
        (read_only(), {"fan": (1, 1)}, CannotWrite, "read-only"),
    ],
)
def test_errors_say_what_is_wrong(tensor: Any, options: dict[str, Any], error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        fanin.fill_(tensor, "he_normal", **options)
