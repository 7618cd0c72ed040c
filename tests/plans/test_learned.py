"""Factors found by gradient descent: known answers, what they refuse, and the model as it was."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import fanin
from fanin.errors import BadInput, UnknownName
from fanin.initializers import VarianceScaling
from fanin.plans import Plan
from fanin.plans.learned import GradInit, MetaInit, free, method


def randn(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


X = randn(128, 32)
LABELS = torch.randint(10, (128,), generator=torch.Generator().manual_seed(1))


def entropy(out: Any) -> Tensor:
    return F.cross_entropy(out, LABELS)


def chain(act: Callable[[], nn.Module] = nn.ReLU) -> nn.Sequential:
    layers = [m for _ in range(3) for m in (nn.Linear(32, 32), act())]
    return nn.Sequential(*layers, nn.Linear(32, 10))


def one_too_wide(net: nn.Module, layer: int) -> Plan:
    wide = VarianceScaling(gain=10 * math.sqrt(2))
    return fanin.plan(net, X, recipe="he", overrides={f"{layer}.weight": wide})


def factors(before: Plan, after: Plan) -> dict[str, float]:
    return {e.parameter.path: e.std / before[e.parameter.path].std for e in after if e.std}


@pytest.mark.parametrize("layer", [0, 2, 4])
def test_metainit_finds_the_layer_that_is_ten_times_too_wide(layer: int) -> None:
    """The loss sees the product of all widths, the quotient which of them is to blame. Mutant: the sign turned."""
    net = chain()
    plan = one_too_wide(net, layer)
    found = factors(plan, fanin.calibrate(net, X, plan=plan, loss=entropy, how="metainit"))
    blamed = found.pop(f"{layer}.weight")
    assert blamed < 0.1
    assert all(blamed < 0.25 * other for other in found.values())


def step_of_sgd(net: nn.Module, plan: Plan, lr: float) -> tuple[float, float]:
    """‖g‖ at the start, and the loss after one step of torch's own."""
    fanin.initialize_(net, recipe=plan, seed=0)
    entropy(net(X)).backward()  # type: ignore[no-untyped-call]
    norm = torch.stack([p.grad.square().sum() for p in net.parameters() if p.grad is not None]).sum().sqrt()
    torch.optim.SGD(net.parameters(), lr).step()
    return float(norm), float(entropy(net(X)).detach())


@pytest.mark.parametrize("layer", [0, 4])
def test_gradinit_bounds_the_gradient_and_lowers_the_loss_after_a_step(layer: int) -> None:
    plan = one_too_wide(chain(), layer)
    gentle = fanin.calibrate(chain(), X, plan=plan, loss=entropy, how="gradinit")
    assert factors(plan, gentle)[f"{layer}.weight"] < 0.5
    (norm_before, before), (norm, after) = step_of_sgd(chain(), plan, 0.1), step_of_sgd(chain(), gentle, 0.1)
    assert norm_before > 10
    assert norm < 1.1  # factors are rounded to 2 %
    assert after < min(before, math.log(10))  # better than to know nothing
    assert "loss after one step of SGD" in gentle["0.weight"].why
    assert "Zhu et al. 2021" in gentle["0.weight"].source


def test_gradinit_of_adam_bounds_the_sum_of_the_gradient() -> None:
    plan = one_too_wide(chain(), 2)
    gentle = fanin.calibrate(chain(), X, plan=plan, loss=entropy, how="gradinit(optimizer='adam', step=0.001)")
    for one, within in ((plan, False), (gentle, True)):
        net = chain()
        fanin.initialize_(net, recipe=one, seed=0)
        size = sum(float(g.abs().sum()) for g in torch.autograd.grad(entropy(net(X)), list(net.parameters())))
        assert (size < 1.1 * 100) is within


def test_the_bound_counts_before_the_loss() -> None:
    """Mutant: the bound forgotten; the least loss after a step has a steeper start."""
    net = chain(nn.Tanh)
    plan = fanin.plan(net, X, recipe="lecun")
    gentle = fanin.calibrate(net, X, plan=plan, loss=entropy, how="gradinit(step=1.0, gamma=0.1)", steps=100)
    assert step_of_sgd(net, gentle, 1.0)[0] < 0.11


class Mixed(nn.Module):
    """Attention, dropout, a norm with running statistics, a convolution, a frozen and a tied weight."""

    def __init__(self) -> None:
        super().__init__()
        self.convolve, self.norm = nn.Conv1d(16, 16, 3, padding=1), nn.BatchNorm1d(16)
        self.attend = nn.MultiheadAttention(16, 2, batch_first=True)
        self.drop, self.one, self.two = nn.Dropout(0.2), nn.Linear(16, 16), nn.Linear(16, 16)
        self.two.weight = self.one.weight
        self.frozen = nn.Linear(16, 10)
        self.frozen.requires_grad_(False)

    def forward(self, x: Tensor) -> Any:
        x = F.relu(self.norm(self.convolve(x.transpose(1, 2)))).transpose(1, 2)
        x = x + self.attend(x, x, x, need_weights=False)[0]
        x = x + self.two(F.gelu(self.one(self.drop(x))))
        return {"logits": self.frozen(x).mean(1)}


@pytest.mark.parametrize("how", ["gradinit", "gradinit(optimizer='adam', gamma=1e-3)", "metainit"])
def test_the_model_stays_as_it_was(how: str) -> None:
    net, x = Mixed().train(), 3 * randn(8, 5, 16)
    plan = fanin.plan(net, x)
    before = {name: t.detach().clone() for name, t in net.state_dict().items()}
    state = torch.random.get_rng_state()
    seen: list[tuple[int, float]] = []
    found = fanin.calibrate(
        net,
        x,
        plan=plan,
        loss=lambda out: F.cross_entropy(out["logits"], LABELS[:8]),
        how=how,
        steps=5,
        progress=lambda step, value: seen.append((step, value)),
    )
    assert all(torch.equal(t, before[name]) for name, t in net.state_dict().items())
    assert torch.equal(torch.random.get_rng_state(), state)
    assert net.training
    assert not any(p.grad is not None for p in net.parameters())
    assert [step for step, _ in seen] == list(range(6))
    changed = {c.path for c in plan.diff(found)}
    assert changed <= set(free(plan))
    assert not any(path.startswith(("norm", "frozen")) or path.endswith("bias") for path in changed)


def test_the_same_call_gives_the_same_plan_and_what_is_kept_stays() -> None:
    net, plan = chain(nn.Tanh), one_too_wide(chain(), 0)
    once, again = (
        fanin.calibrate(net, X, plan=plan, loss=entropy, how=GradInit(), steps=20, keep=["0.*"]) for _ in range(2)
    )
    assert once == again
    assert once["0.weight"] == plan["0.weight"]
    assert once["2.weight"] != plan["2.weight"]


def test_an_operation_without_a_second_derivative_is_named() -> None:
    """Mutant: whatever PyTorch says."""
    net, x = nn.Sequential(nn.Linear(8, 8)), randn(6, 8)

    def distances(out: Any) -> Tensor:
        return torch.cdist(out, x).square().mean()

    for how in ("gradinit(gamma=1e-6)", "metainit"):
        with pytest.raises(BadInput, match="differentiated twice, because of cdist: "):
            fanin.calibrate(net, x, plan=fanin.plan(net, x, recipe="he"), loss=distances, how=how)


def test_what_cannot_be_calibrated_so_is_refused() -> None:
    net = chain()
    plan = fanin.plan(net, X, recipe="he")
    with pytest.raises(BadInput, match="GradInit descends on a loss"):
        fanin.calibrate(net, X, plan=plan, how="gradinit")
    with pytest.raises(UnknownName, match="metainit"):
        fanin.calibrate(net, X, plan=plan, loss=entropy, how="metaint")
    with pytest.raises(BadInput, match="does not take rates"):
        fanin.calibrate(net, X, plan=plan, loss=entropy, how="gradinit(rates=1)")
    with pytest.raises(BadInput, match="steps must be"):
        fanin.calibrate(net, X, plan=plan, loss=entropy, how="gradinit", steps=0)
    with pytest.raises(BadInput, match="nothing to calibrate"):
        fanin.calibrate(net, X, plan=plan, loss=entropy, how="gradinit", keep=["*"])
    with pytest.raises(BadInput, match="not finite"):
        fanin.calibrate(net, X * math.inf, plan=plan, loss=entropy, how="metainit")
    with pytest.raises(BadInput, match="one element"):
        fanin.calibrate(net, X, plan=plan, loss=lambda out: out, how="gradinit")


def test_methods_check_their_numbers() -> None:
    assert method("metainit(rate=0.1)") == MetaInit(rate=0.1)
    for wrong in ({"step": 0}, {"gamma": -1.0}, {"rate": math.nan}):
        with pytest.raises(BadInput, match="above 0"):
            GradInit(**wrong)
    with pytest.raises(UnknownName, match="adam"):
        GradInit("adamw")
    with pytest.raises(BadInput, match="momentum"):
        MetaInit(momentum=1.0)
