"""Each message names the layer, expected and got, or the user's own line and what to do."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import fanin
from fanin.errors import BadInput, CannotTrace, ShapeMismatch
from fanin.frameworks.torch import trace

z = torch.zeros


def line_of(text: str) -> str:
    lines = Path(__file__).read_text(encoding="utf-8").splitlines()
    return f"{Path(__file__).name}:{1 + next(i for i, line in enumerate(lines) if text in line)}"


MISFITS: list[tuple[nn.Module, Tensor, str]] = [
    (
        nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(5, 2)),
        z(3, 4),
        "The example does not fit layer '2', Linear(in_features=5, out_features=2, bias=True): "
        "expected a last axis of 5, got shape (3, 4). (",
    ),
    (
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(10, 2)),
        z(2, 3, 8, 8),
        "expected a last axis of 10, got shape (2, 144). The example has shape (2, 3, 8, 8). (",
    ),
    (nn.Linear(4, 4), z(3, 5), "The example does not fit the model Linear(in_features=4, out_features=4, bias=True): "),
    (
        nn.Sequential(nn.Conv2d(3, 4, 3)),
        z(2, 1, 8, 8),
        "layer '0', Conv2d(3, 4, kernel_size=(3, 3), stride=(1, 1)): "
        "expected shape (batch, 3, height, width), got shape (2, 1, 8, 8).",
    ),
    (nn.Conv1d(3, 4, 3), z(2, 4, 8), "expected shape (batch, 3, length), got shape (2, 4, 8)."),
    (
        nn.ConvTranspose3d(3, 4, 3),
        z(2, 4, 8, 8, 8),
        "expected shape (batch, 3, depth, height, width), got shape (2, 4,",
    ),
    (nn.Conv2d(3, 4, 9), z(2, 3, 4, 4), "The image is smaller than the kernel."),
    (
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)),
        z(3, 8, 8),
        "expected shape (batch, 4, height, width), got shape (4, 6, 6). Is the batch axis missing? "
        "The example has shape (3, 8, 8). (",
    ),
    (nn.Conv2d(3, 4, 3), z(2, 8), "expected shape (batch, 3, height, width), got shape (2, 8)."),
    (nn.BatchNorm1d(4), z(3, 5), "expected shape (batch, 4) or (batch, 4, length), got shape (3, 5)."),
    (nn.BatchNorm1d(4), z(1, 4), "needs more than one value per channel: a larger batch, or model.eval()."),
    (nn.LayerNorm(4), z(3, 5), "expected last axes of (4,), got shape (3, 5)."),
    (nn.RMSNorm((2, 4)), z(3, 5), "expected last axes of (2, 4), got shape (3, 5)."),
    (nn.GroupNorm(2, 4), z(3, 6, 2), "expected shape (batch, 4, …), got shape (3, 6, 2)."),
    (nn.Embedding(10, 4), z(3, 5), "expected integer indices from 0 to 9, got dtype float32."),
    (
        nn.TransformerEncoderLayer(8, 2, 16),
        z(3, 5, 6),
        "layer 'self_attn', MultiheadAttention: expected a last axis of 8, got shape (3, 5, 6).",
    ),
    (nn.LSTM(4, 5), z(3, 2, 6), "expected a last axis of 4, got shape (3, 2, 6)."),
]


@pytest.mark.parametrize(("model", "x", "message"), MISFITS, ids=lambda m: type(m).__name__)
def test_a_layer_that_does_not_fit_is_named_with_expected_and_got(model: nn.Module, x: Tensor, message: str) -> None:
    with pytest.raises(ShapeMismatch, match=re.escape(message)):
        trace(model, x)


class Base(nn.Module):
    """Two layers that do not fit each other."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Linear(4, 4)
        self.b = nn.Linear(4, 3)


class Adds(Base):
    def forward(self, x: Tensor) -> Tensor:
        h: Tensor = self.a(x)
        return h.add(self.b(x))


class Branches(Base):
    def forward(self, x: Tensor) -> Tensor:
        h: Tensor = self.a(x)
        if h.sum() > 0:
            return h
        return -h


class Reads(Base):
    def forward(self, x: Tensor) -> Tensor:
        n = int(x.sum().item())
        h: Tensor = self.a(x)
        return h.narrow(0, 0, n)


class Leaves(Base):
    def forward(self, x: Tensor) -> Tensor:
        h: Tensor = self.a(torch.from_numpy(x.numpy() * 2))
        return h


class Refuses(Base):
    def forward(self, x: Tensor) -> Tensor:
        raise ValueError("the size of the moon is wrong")


class Two(Base):
    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        h: Tensor = self.a(x) + y
        return h


def test_a_mismatch_in_the_users_own_forward_names_his_line() -> None:
    for model, where in [(Adds(), "the model Adds"), (nn.Sequential(Adds()), "layer '0', Adds")]:
        with pytest.raises(ShapeMismatch) as raised:
            trace(model, z(2, 4))
        assert str(raised.value).startswith(f"The example does not fit {where}: ")
        assert f", at {line_of('return h.add(self.b(x))')}. The example has shape (2, 4)." in str(raised.value)
        assert "[2, 3]" in str(raised.value)  # the operands, in PyTorch's words
        assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("model", "text"), [(Branches(), "if h.sum() > 0:"), (Reads(), "x.sum().item()"), (Leaves(), "x.numpy() * 2")]
)
def test_what_depends_on_values_that_are_not_there_names_the_line_and_what_to_do(model: nn.Module, text: str) -> None:
    with pytest.raises(CannotTrace) as raised:
        trace(model.to("meta"), z(2, 4))
    name = type(model).__name__
    expected = f"What {name} computes depends on the values of tensors, at {line_of(text)}, and on the meta device"
    assert str(raised.value).startswith(expected)
    assert "torch.where" in str(raised.value)
    assert raised.value.__cause__ is not None


def test_what_neither_the_exporter_nor_a_run_can_record_is_told() -> None:
    with pytest.raises(CannotTrace, match=r"test_torch_failure.py:\d+, and not all of it can be followed\. Replace"):
        trace(Leaves(), z(2, 4))  # mutant: a constant in the place of what NumPy computed
    with pytest.raises(CannotTrace, match=r"depends on the values .* \(A run on the example fails, too: .*\.\)$"):
        trace(Reads(), z(2, 4) + 1)  # longer than the batch


def test_an_exception_of_the_users_own_is_not_taken_for_a_mismatch() -> None:
    with pytest.raises(CannotTrace) as raised:  # mutant: any message with "size" in it is a mismatch
        trace(Refuses(), z(2, 4))
    assert str(raised.value) == (
        f"The forward pass of Refuses failed in the model Refuses, at {line_of('raise ValueError(')}: "
        "ValueError: the size of the moon is wrong."
    )
    assert isinstance(raised.value.__cause__, ValueError)


@pytest.mark.parametrize(
    ("model", "example", "message"),
    [
        (
            Two(),
            (z(2, 4),),
            "Two cannot be called with the 1 value(s) of the example: missing a required argument: 'y",
        ),
        (nn.Linear(4, 4), (z(2, 4), z(2)), "Linear cannot be called with the 2 value(s) of the example: too many"),
        (nn.Linear(4, 4), (np.zeros((2, 4)),), "The example must be of tensors; got ndarray. Convert it: torch.from"),
        (nn.Linear(4, 4), (z(2, 4, device="meta"),), "The example and the model are not on one device"),
    ],
)
def test_an_example_that_cannot_be_passed_is_bad_input(
    model: nn.Module, example: tuple[Any, ...], message: str
) -> None:
    with pytest.raises(BadInput, match=re.escape(message)):
        trace(model, *example)


def test_an_empty_example_is_bad_input() -> None:
    with pytest.raises(BadInput, match=r"The example is empty: shape \(0, 4\)\. Give one sample at least\."):
        trace(nn.Linear(4, 5), z(0, 4))


@pytest.mark.filterwarnings("ignore:`torch.jit")
def test_what_torchscript_has_compiled_is_bad_input() -> None:
    with pytest.raises(BadInput, match="RecursiveScriptModule: it is compiled by TorchScript"):
        trace(torch.jit.script(nn.Linear(4, 5)), z(3, 4))
    with pytest.raises(BadInput, match="its part '0' is compiled by TorchScript"):
        trace(nn.Sequential(torch.jit.script(nn.Linear(4, 5))), z(3, 4))


@pytest.mark.parametrize("dtype", [torch.float64, torch.int64])
def test_a_wrong_dtype_is_what_is_expected_and_got(dtype: torch.dtype) -> None:
    with pytest.raises(ShapeMismatch, match=f"expected dtype float32, got dtype {str(dtype)[6:]}"):
        fanin.measure(nn.Linear(4, 5), torch.zeros(3, 4, dtype=dtype))
