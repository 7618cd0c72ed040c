"""The table of torch's gains is torch's own, and what it does to a signal is what we say."""

from __future__ import annotations

import pytest
import torch

from fanin.activations import TABLE, moments, torch_gain
from fanin.activations.torch_gain import CONSTANTS, LINEAR, torch_gain_of
from fanin.errors import BadInput, UnknownName

SUPPORTED = [*LINEAR, *CONSTANTS, "leaky_relu"]


@pytest.mark.parametrize("name", SUPPORTED)
@pytest.mark.parametrize("param", [None, 0.2, 3, -0.5])
def test_every_gain_is_that_of_torch(name: str, param: float | None) -> None:
    assert torch_gain(name, param) == torch.nn.init.calculate_gain(name, param)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", [*(n for n in TABLE if n not in SUPPORTED)])
def test_what_torch_refuses_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=name):
        torch.nn.init.calculate_gain(name)  # type: ignore[arg-type]
    with pytest.raises(UnknownName, match=name):
        torch_gain(name)


@pytest.mark.parametrize("param", [True, "steep"])
def test_a_slope_that_is_no_number(param: object) -> None:
    with pytest.raises(BadInput, match="negative slope"):
        torch_gain("leaky_relu", param)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", TABLE)
def test_where_it_claims_to_be_exact_it_is(name: str) -> None:
    value, why = torch_gain_of(TABLE[name])
    if value is None:
        assert why == "unsupported"
    else:
        exact = abs(value - moments(name).forward) < 1e-9
        assert exact is why.startswith("exact")
