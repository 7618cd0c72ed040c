"""What a constructor computes on the meta device can be computed again."""

from __future__ import annotations

import copy
import sys
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import fanin
from fanin.errors import BadInput
from fanin.frameworks.torch import Recording, on_meta
from fanin.frameworks.torch.building.record import CannotReplay
from fanin.frameworks.torch.model.poison import poisoned


def in_place() -> Tensor:
    x = torch.zeros(4, 4)
    x[1] = 2.0
    x[:, 2] *= 3
    x.t().add_(torch.arange(4))
    return x


def out_of_order() -> Tensor:
    """The second operation reads what a later one changes."""
    base = torch.ones(3)
    doubled = base * 2
    base.zero_()
    return doubled


def replaced_memory() -> Tensor:
    """Memory that a tensor is given later does not change what was computed from the first."""
    first = torch.ones(3)
    doubled = first * 2
    first.data = torch.zeros(3)
    return first + doubled


COMPUTED: dict[str, Any] = {
    "rotary frequencies": lambda: 1 / 10000 ** (torch.arange(0, 8, 2).float() / 8),
    "causal mask": lambda: torch.tril(torch.ones(4, 4, dtype=torch.bool)),
    "in place and through views": in_place,
    "read before it was changed": out_of_order,
    "a view": lambda: torch.arange(12).view(3, 4).t()[1:],
    "expanded": lambda: torch.arange(3).expand(2, 3),
    "the user's data": lambda: torch.tensor([[1.5, 2.5], [3.5, 4.5]]) + torch.as_tensor([1.0, 0.0]),
    "numpy's data": lambda: torch.as_tensor(np.arange(3.0)) * 2,
    "several results": lambda: torch.meshgrid(torch.arange(2), torch.arange(3), indexing="ij")[1],
    "asks for a number": lambda: torch.full((2,), torch.linspace(0, 1, 5)[3].item()),
    "asks whether": lambda: torch.ones(2) if torch.ones(2).sum() > 1 else torch.zeros(2),
    "asks whether equal": lambda: torch.ones(2) if torch.equal(torch.ones(2), torch.ones(2)) else torch.zeros(2),
    "asks NumPy": lambda: torch.tensor(float(np.asarray(torch.arange(4.0)).sum() + torch.arange(2.0).numpy()[1])),
    "as many as it finds": lambda: torch.arange(6)[torch.arange(6) > 2].nonzero() + 1,
    "real memory on one side": lambda: torch.from_numpy(np.arange(3.0)) * torch.arange(3),
    "other memory than at first": replaced_memory,
    "asks for a list": lambda: torch.tensor(torch.linspace(0, 1, 5).tolist()),
    "copied deep": lambda: copy.deepcopy(nn.Parameter(torch.arange(3.0))).data,
    "another dtype": lambda: (torch.arange(5) / 3).to(torch.bfloat16),
    "complex": lambda: torch.polar(torch.ones(3), torch.arange(3.0)),
}


@pytest.mark.parametrize("what", COMPUTED)
def test_the_value_is_that_of_the_same_code_run_for_real(what: str) -> None:
    with on_meta() as recorded:
        meta = COMPUTED[what]()
    assert meta.is_meta
    value, real = recorded.value(meta, seed=0), COMPUTED[what]()
    assert torch.equal(value, real)
    assert (value.dtype, value.device.type) == (real.dtype, "cpu")


def test_a_real_tensor_is_recorded_as_it_was() -> None:
    real = torch.ones(2)
    with on_meta() as recorded:
        meta = torch.zeros(2).copy_(real)
    real.zero_()
    assert recorded.value(meta, seed=0).tolist() == [1.0, 1.0]


def features() -> tuple[Recording, Tensor, Tensor]:
    with on_meta() as recorded:
        torch.empty(100).normal_()
        drawn = torch.randn(6)
        return recorded, drawn, drawn * 2


def test_what_is_drawn_at_random_is_a_function_of_the_seed() -> None:
    recorded, drawn, doubled = features()
    again, same, _ = features()
    torch.manual_seed(1)
    state = torch.get_rng_state()
    first = recorded.value(drawn, seed=3)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(2)
    assert torch.equal(again.value(same, seed=3), first)
    assert not torch.equal(recorded.value(drawn, seed=4), first)
    assert torch.equal(recorded.value(doubled, seed=3), first * 2)  # mutant: a seed for each tensor


def test_a_constructor_that_asks_for_a_random_number_is_told_why_it_has_none() -> None:
    with on_meta(), pytest.raises(BadInput, match="the value of a random tensor, which has none before a seed"):
        torch.randn(1).item()


def test_memory_that_the_constructor_left_empty_is_poisoned() -> None:
    with on_meta() as recorded:
        half, none = torch.empty(4), torch.empty_like(torch.ones(3))
        half[:2] = 0
    assert poisoned(recorded.value(half, seed=0))
    assert poisoned(recorded.value(none, seed=0))


def test_it_says_why_it_has_no_value() -> None:
    before = torch.ones(2, device="meta")
    with on_meta() as recorded:
        weight = torch.ones(3)
        copied = weight.clone()
        net: Any = nn.BatchNorm1d(3)
    from fanin.frameworks.torch.model.allocate import storage

    with pytest.raises(CannotReplay, match=r"it was not made under fanin\.on_meta"):
        recorded.value(before, seed=0)
    with pytest.raises(CannotReplay, match="not from there"):
        recorded.value(copied, seed=0, forbidden={storage(weight): "not from there"})
    net.running_mean.add_(1)
    with pytest.raises(CannotReplay, match="changed after the block"):
        recorded.value(net.running_mean, seed=0)
    assert recorded.value(net.running_var, seed=0).tolist() == [1.0] * 3


def test_a_real_tensor_is_given_real_values() -> None:
    real = torch.from_numpy(np.zeros(3))
    with on_meta():
        real.add_(torch.arange(3))
    assert real.tolist() == [0.0, 1.0, 2.0]


def test_a_library_that_skips_initialization_on_meta_does_not_skip_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """As transformers does it; imported within the block."""
    library: Any = ModuleType("transformers.modeling_utils")

    def device() -> torch.device | None:
        return torch.tensor([]).device

    class PreTrainedModel(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(3, 3)
            self.init_weights()

        def init_weights(self) -> None:
            if library.get_torch_context_manager_or_global_device() != torch.device("meta"):
                nn.init.ones_(self.linear.weight)

    library.get_torch_context_manager_or_global_device = device
    library.PreTrainedModel = PreTrainedModel
    original = PreTrainedModel.init_weights
    monkeypatch.delitem(sys.modules, library.__name__, raising=False)  # another test may have imported the real one
    with on_meta() as recorded:
        monkeypatch.setitem(sys.modules, library.__name__, library)
        nn.Linear(1, 1)
        model = PreTrainedModel()
        assert library.get_torch_context_manager_or_global_device is device
    assert PreTrainedModel.init_weights is original
    assert str(recorded.law(model.linear.weight)) == "ones"


def test_the_block_leaves_nothing_behind() -> None:
    registered: Any = nn.modules.module
    hooks = (registered._global_parameter_registration_hooks, registered._global_buffer_registration_hooks)
    with pytest.raises(ZeroDivisionError), fanin.on_meta():
        raise ZeroDivisionError
    assert [dict(h) for h in hooks] == [{}, {}]
    assert not nn.Linear(2, 2).weight.is_meta
