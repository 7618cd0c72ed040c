"""The rules of losses, against the operations themselves: `losses` and `cross_entropy`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from fanin.signals import latent
from fanin.signals.axes import Kind
from fanin.signals.plane import Plane
from fanin.signals.rules import RULES
from fanin.signals.rules.losses import Loss, loss
from fanin.testing.signals import BrokenRule, Drawn, RuleCase, assert_rules_hold

S, P, C = Kind.SAMPLE, Kind.POSITION, Kind.FEATURE


def case(name: str, function: Callable[..., Any], *inputs: Drawn, **options: Any) -> RuleCase:
    return RuleCase(name, function, inputs, **{"draws": 100, **options})


SEQUENCE = Drawn((4, 6, 16), (S, P, C))
LOGITS = Drawn((6, 5, 40), (S, P, C))
CLASSES = torch.arange(30).reshape(6, 5).remainder(7)
SOME = torch.where(CLASSES == 3, -100, CLASSES)
WEIGHTS = torch.linspace(0.5, 2, 40)


def rows(of: Callable[..., Any], **options: Any) -> Callable[[Any], Any]:
    return lambda x: of(x.flatten(0, 1), CLASSES.flatten(), **options)


def binary(x: Any, y: Any, **options: Any) -> Any:
    return F.binary_cross_entropy_with_logits(x, y.sigmoid(), **options)


def with_log_softmax(x: Any, target: Any, **options: Any) -> Any:
    return F.nll_loss(F.log_softmax(x, -1), target, **options)


CASES = [
    case("squared", F.mse_loss, SEQUENCE, SEQUENCE),
    case("squared, each", partial(F.mse_loss, reduction="none"), SEQUENCE, SEQUENCE),
    case("absolute", F.l1_loss, SEQUENCE, SEQUENCE),
    case("smooth", partial(F.smooth_l1_loss, beta=0.7), SEQUENCE, SEQUENCE),
    case("huber", partial(F.huber_loss, delta=0.6, reduction="sum"), SEQUENCE, SEQUENCE),
    case("binary", lambda x, y: F.binary_cross_entropy(x.sigmoid(), y.sigmoid()), SEQUENCE, SEQUENCE),
    case("binary of logits", binary, SEQUENCE, SEQUENCE),
    case("binary, one side weighted", partial(binary, pos_weight=torch.full((16,), 3.0)), SEQUENCE, SEQUENCE),
    case("soft margin", lambda x: F.soft_margin_loss(x, torch.ones(4, 6, 16)), SEQUENCE),
    case("classes", rows(F.cross_entropy), LOGITS, error=0.03),
    case("classes, each", rows(F.cross_entropy, reduction="none"), LOGITS, error=0.03),
    case(
        "classes along the second axis", lambda x: F.cross_entropy(x.mT, CLASSES, reduction="sum"), LOGITS, error=0.03
    ),
    case("classes, smoothed", rows(F.cross_entropy, label_smoothing=0.3), LOGITS, error=0.03),
    case("classes, weighted", rows(F.cross_entropy, weight=WEIGHTS), LOGITS, error=0.1),
    case("classes, some left out", lambda x: F.cross_entropy(x.flatten(0, 1), SOME.flatten()), LOGITS, error=0.05),
    case("classes, likely", lambda x, y: F.cross_entropy(x.mT, y.detach().softmax(-1).mT), LOGITS, LOGITS, error=0.05),
    case("classes of a log-softmax", rows(with_log_softmax), LOGITS, error=0.03),
    case(
        "divergence",
        lambda x, y: F.kl_div(x.log_softmax(-1), y.detach().softmax(-1), reduction="sum"),
        LOGITS,
        LOGITS,
        error=0.1,
    ),
]


def test_moments_are_those_of_the_operations() -> None:
    assert_rules_hold(CASES, RULES)


def test_a_slope_of_the_wrong_size_is_found() -> None:
    """Mutant: the derivative of the squared error without its 2."""
    from fanin.signals.rules import losses

    halved = Loss(lambda x, y: (x - y) ** 2, lambda x, y: x - y, lambda x, y: y - x)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(losses, "LOSSES", {"mse_loss": lambda _: halved})
        with pytest.raises(BrokenRule, match=r"squared: g0\.second"):
            assert_rules_hold(CASES[:1], {**RULES, "mse_loss": loss})


def test_the_gradients_of_all_classes_add_up_to_nothing() -> None:
    """Known answer: logits that are all 0 have δ = (1/C − y)/N, E δ² = (1 − 1/C)/(C N²)."""
    import fanin

    class Model(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = torch.nn.Linear(5, 8)
            torch.nn.init.zeros_(self.head.weight)
            torch.nn.init.zeros_(self.head.bias)

        def forward(self, x: Any, y: Any) -> Any:
            return F.cross_entropy(self.head(x), y)

    model, x, y = Model(), torch.randn(16, 5), torch.arange(16).remainder(8)
    predicted, measured = fanin.predict(model, x, y), fanin.measure(model, x, y)
    assert not predicted.sampled
    (head,) = (node.name for node in predicted.graph.nodes if node.op == "linear")  # type: ignore[union-attr]
    assert predicted.gradients[head].second_moment == pytest.approx(measured.gradients[head].second_moment, rel=1e-5)
    assert predicted.parameters["head.bias"].gradient is not None
    assert predicted.parameters["head.bias"].gradient.second_moment < 1e-9 * predicted.gradients[head].second_moment


def test_a_function_of_two_latents_has_the_moments_of_the_plane() -> None:
    """E (x y)(x' y') = ρ ρ' of two independent standard normal numbers."""
    product = Plane.of(lambda x, y: x * y, latent.NODES[None], latent.NODES[None])
    assert product.moment(np.array([0.6]), np.array([0.5])) == pytest.approx([0.3], abs=1e-9)
    assert product.second == pytest.approx([1.0], abs=1e-9)
