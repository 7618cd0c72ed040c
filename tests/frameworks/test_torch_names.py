"""Logical names do not depend on wrappers, and the user's own names stay."""

from __future__ import annotations

import warnings

import pytest
import torch
from torch import nn

from fanin.frameworks.torch.model.names import logical, named_parameters


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("layers.0.weight", "layers.0.weight"),
        ("_orig_mod.layers.0.weight", "layers.0.weight"),
        ("layers.0._checkpoint_wrapped_module.weight", "layers.0.weight"),
        ("_fsdp_wrapped_module.layers._fsdp_wrapped_module.0.weight", "layers.0.weight"),
        ("my_orig_mod.weight", "my_orig_mod.weight"),  # mutant: replace("_orig_mod.", "")
        ("block.module.weight", "block.module.weight"),
        ("module.weight", "module.weight"),
    ],
)
def test_only_whole_segments_of_wrappers_are_taken_out(path: str, name: str) -> None:
    assert logical(path) == name


class Distributed(nn.Module):
    """As DataParallel and DDP hold a model, without their processes and devices."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.module(x)
        return y


class OwnModule(nn.Module):
    """A user's model with a submodule that happens to be called "module", and a name that could be confused with it."""

    def __init__(self) -> None:
        super().__init__()
        self.module = nn.Linear(3, 3, bias=False)
        self.weight = nn.Parameter(torch.ones(3))


def compiled(net: nn.Module) -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it uses what PyTorch has deprecated
        wrapped: nn.Module = torch.compile(net)  # type: ignore[assignment]  # of a module it makes a module
    return wrapped


def test_a_wrapper_changes_no_name() -> None:
    net = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 1))
    plain = list(named_parameters(net))
    assert list(named_parameters(Distributed(net))) == plain
    assert list(named_parameters(nn.DataParallel(net))) == plain
    assert list(named_parameters(compiled(net))) == plain
    assert list(named_parameters(compiled(Distributed(net)))) == plain


def test_a_users_own_module_keeps_its_name_and_hides_no_other() -> None:
    assert list(named_parameters(OwnModule())) == ["weight", "module.weight"]  # mutant: always strip "module."


def test_a_tied_parameter_comes_once_under_its_first_name() -> None:
    net = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    net[1].weight = net[0].weight
    found = named_parameters(net)
    assert list(found) == ["0.weight", "0.bias", "1.bias"]
    assert found["0.weight"][1] == ("1.weight",)
