"""`assert_healthy` fails where something is wrong, with the diagnosis for a message."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch import nn

from fanin.errors import BadInput, UnknownName
from fanin.testing import assert_healthy
from fanin.testing.zoo import ZOO


def saturated(std: float = 10.0) -> tuple[nn.Module, torch.Tensor]:
    torch.manual_seed(0)
    first = nn.Linear(8, 16)
    nn.init.normal_(first.weight, std=std)
    return nn.Sequential(first, nn.Tanh(), nn.Linear(16, 4)), torch.randn(16, 8)


def test_a_healthy_model_passes_and_a_faulty_one_is_described() -> None:
    case = ZOO["relu, He"].build()
    assert_healthy(case.model, *case.example, loss=case.loss)
    with pytest.raises(AssertionError, match=r"^Sequential: saturated units\nU02 .* \(error\) from layer 1"):
        assert_healthy(*saturated())


def test_what_is_ignored_or_not_selected_passes() -> None:
    assert_healthy(*saturated(), ignore="U02:0")
    assert_healthy(*saturated(), select="B")
    with pytest.raises(AssertionError):
        assert_healthy(*saturated(), ignore="U02:1.*")


def test_warnings_may_pass_and_errors_never_do() -> None:
    """Mutant: `fail_on` that is not looked at."""
    with pytest.raises(AssertionError, match=r"\(warning\)"):
        assert_healthy(*saturated(1.6))
    assert_healthy(*saturated(1.6), fail_on="error")
    with pytest.raises(AssertionError):
        assert_healthy(*saturated(), fail_on="error")


def test_a_call_that_is_at_fault_is_not_the_model_s_failure() -> None:
    net, x = saturated()
    with pytest.raises(BadInput, match=r"\(16, 7\)"):
        assert_healthy(net, x[:, :7])
    with pytest.raises(UnknownName):
        assert_healthy(net, x, ignore="U2")


def test_importing_the_suite_imports_no_framework() -> None:
    code = "import sys, fanin.testing; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
