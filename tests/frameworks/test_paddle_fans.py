"""Fans of Paddle's layers, by the graph and by layers alone: those that PyTorch's have."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import fanin
from fanin.graph import Fans, Role

pytest.importorskip("paddle", reason="Paddle is not installed: pip install 'fanin[paddle]'", exc_type=ImportError)

import paddle

nn = paddle.nn
LAYERS: list[tuple[Callable[[], Any], tuple[int, ...], Fans]] = [
    (lambda: nn.Linear(48, 32), (2, 48), Fans(48, 32)),
    (lambda: nn.Conv1D(12, 32, 5, stride=2), (2, 12, 9), Fans(60, 80)),
    (lambda: nn.Conv2D(16, 32, 3, groups=4), (2, 16, 9, 9), Fans(36, 72)),
    (lambda: nn.Conv2D(64, 64, 3, groups=64), (2, 64, 9, 9), Fans(9, 9)),  # Paddle's own std is short by √64
    (lambda: nn.Conv2D(16, 32, 3, data_format="NHWC"), (2, 9, 9, 16), Fans(144, 288)),
    (lambda: nn.Conv3D(4, 8, 3), (2, 4, 5, 5, 5), Fans(108, 216)),
    (lambda: nn.Conv1DTranspose(12, 8, 4, stride=2), (2, 12, 9), Fans(24, 32)),
    (lambda: nn.Conv2DTranspose(16, 8, 4, stride=2), (2, 16, 5, 5), Fans(64, 128)),
    (lambda: nn.Conv3DTranspose(4, 2, 2), (2, 4, 3, 3, 3), Fans(32, 16)),
]


@pytest.mark.parametrize(("make", "shape", "expected"), LAYERS)
def test_fans_of_the_layer_with_a_batch_and_without(
    make: Callable[[], Any], shape: tuple[int, ...], expected: Fans
) -> None:
    layer = make()
    traced, alone = fanin.plan(layer, paddle.zeros(shape), recipe="he"), fanin.plan(layer, recipe="he")
    assert traced["weight"].parameter.fans == alone["weight"].parameter.fans == expected


def test_an_embedding_has_the_fans_of_a_lookup() -> None:
    plan = fanin.plan(nn.Embedding(1000, 64), paddle.zeros([2, 3], "int64"), recipe="he")
    assert plan["weight"].parameter.fans == Fans(1, 64)
    assert plan["weight"].parameter.role is Role.EMBEDDING


def test_gates_are_parts() -> None:
    plan = fanin.plan(nn.LSTM(16, 8), paddle.zeros([2, 3, 16]), recipe="he")
    entry = plan["weight_ih_l0"].parameter
    assert entry.parts is not None
    assert entry.parts.names == ("i", "f", "g", "o")
    assert entry.fans == Fans(16, 8)


@pytest.mark.parametrize("cell", [nn.LSTMCell, nn.GRUCell, nn.SimpleRNNCell])
def test_cells_alone_and_in_a_wrapper(cell: Any) -> None:
    alone = fanin.plan(cell(16, 8), paddle.zeros([2, 16]), recipe="he")
    wrapped = fanin.plan(nn.RNN(cell(16, 8)), paddle.zeros([2, 3, 16]), recipe="he")
    assert alone["weight_ih"].parameter.fans == wrapped["cell.weight_ih"].parameter.fans == Fans(16, 8)
    assert wrapped["cell.weight_hh"].parameter.role is Role.RECURRENT


def test_attention_has_queries_keys_and_values() -> None:
    plan = fanin.plan(nn.MultiHeadAttention(16, 2), paddle.zeros([2, 3, 16]))
    found = {path.partition("_")[0]: plan[path].parameter.further[0] for path in ("q_proj.weight", "k_proj.weight")}
    assert found == {"q": Role.QUERY, "k": Role.KEY}
    assert Role.VALUE in plan["v_proj.weight"].parameter.roles
    assert Role.ATTENTION_OUT in plan["out_proj.weight"].parameter.roles
