"""Weights that are computed from parameters: what a layer multiplies with after `initialize_` is what the plan says."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

import fanin
from fanin.frameworks.torch.model import parametrized
from fanin.testing.tolerance import std_tolerance

X = torch.zeros(2, 128)


def old(norm: str) -> Callable[[nn.Module], nn.Module]:
    """PyTorch's first norms of weights, by hooks."""

    def made(module: nn.Module) -> nn.Module:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            found: nn.Module = getattr(nn.utils, norm)(module)
        return found

    return made


NORMED: dict[str, Callable[..., Any]] = {
    "weight_norm": parametrizations.weight_norm,
    "old weight_norm": old("weight_norm"),
}
SPECTRAL: dict[str, Callable[..., Any]] = {
    "spectral_norm": parametrizations.spectral_norm,
    "old spectral_norm": old("spectral_norm"),
}


def net(norm: Callable[..., Any], layer: nn.Module | None = None) -> Any:
    torch.manual_seed(0)
    return nn.Sequential(norm(nn.Linear(128, 256) if layer is None else layer), nn.ReLU(), nn.Linear(256, 8))


def weight(model: Any, x: torch.Tensor = X) -> torch.Tensor:
    """What the first layer multiplies with in evaluation, after a forward pass: the old norms compute it there."""
    model.eval()(x)
    found: torch.Tensor = model[0].weight.detach()
    return found


@pytest.mark.parametrize("norm", NORMED.values(), ids=NORMED)
@pytest.mark.parametrize("recipe", ["he", "lecun", "normal(std=0.05)"])
def test_a_normed_weight_has_the_law_of_its_direction(norm: Callable[..., Any], recipe: str) -> None:
    """mutant: a magnitude of 1."""
    model = net(norm)
    plan = fanin.initialize_(model, X, recipe=recipe, seed=0)
    direction = next(e for e in plan if len(e.parameter.shape) == 2 and e.parameter.shape == (256, 128))
    w = weight(model)
    assert w.std().item() == pytest.approx(direction.std, rel=std_tolerance(w.numel()))
    assert w.norm(dim=1).max() == pytest.approx(direction.std * math.sqrt(128))  # the same for all units
    assert fanin.verify(model, plan, seed=0)


@pytest.mark.parametrize("norm", SPECTRAL.values(), ids=SPECTRAL)
def test_a_spectral_norm_is_one_at_once(norm: Callable[..., Any]) -> None:
    """mutant: the vectors of the weight that was there before."""
    model = net(norm)
    plan = fanin.initialize_(model, X, recipe="normal(std=0.5)", seed=0)
    w = weight(model)
    assert torch.linalg.matrix_norm(w, 2).item() == pytest.approx(1, rel=0.01)
    original = next(p for name, p in model[0].named_parameters() if "orig" in name).detach()
    assert torch.allclose(w / w.norm(), original / original.norm(), atol=1e-6)  # the plan's law, on another scale
    assert fanin.verify(model, plan, seed=0)


def test_a_spectral_norm_of_a_convolution() -> None:
    x = torch.zeros(1, 8, 6, 6)
    torch.manual_seed(0)
    model = nn.Sequential(parametrizations.spectral_norm(nn.ConvTranspose2d(8, 16, 3)))
    fanin.initialize_(model, x, recipe="he", seed=0)
    w = weight(model, x).transpose(0, 1).flatten(1)
    assert torch.linalg.matrix_norm(w, 2).item() == pytest.approx(1, rel=0.01)


def test_what_was_there_before_has_no_part_in_a_spectral_norm() -> None:
    found = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        model = nn.Sequential(parametrizations.spectral_norm(nn.Linear(64, 64)))
        fanin.initialize_(model, X[:, :64], recipe="normal(std=0.1)", seed=0)
        found.append({name: x.clone() for name, x in model.state_dict().items()})
    assert all(torch.equal(found[0][name], found[1][name]) for name in found[0])


@pytest.mark.parametrize("shape", [(128, 128), (128, 256), (128, 64)])
@pytest.mark.parametrize("recipe", ["he", "normal(std=0.05)", "orthogonal", "zeros"])
@pytest.mark.parametrize("example", [(X,), ()], ids=["example", "modules"])
def test_an_orthogonal_weight_stays_orthogonal(shape: tuple[int, int], recipe: str, example: tuple[Any, ...]) -> None:
    """mutant: what a recipe says is written where only coordinates of a map may stand: the weight is 0 then."""
    torch.manual_seed(0)
    model: Any = nn.Sequential(parametrizations.orthogonal(nn.Linear(*shape)), nn.ReLU(), nn.Linear(shape[1], 8))
    before = model[0].weight.detach().clone()
    plan = fanin.initialize_(model, *example, recipe=recipe, seed=0)
    entry = plan["0.parametrizations.weight.original"]
    assert isinstance(entry.initializer, fanin.Keep)
    assert "orthogonal parametrization" in entry.why
    assert torch.equal(model[0].weight, before)
    singular = torch.linalg.svdvals(model[0].weight.detach())
    assert torch.allclose(singular, torch.ones_like(singular), atol=1e-5)


def test_an_override_may_still_say_what_is_written() -> None:
    model = net(parametrizations.orthogonal)
    path = "0.parametrizations.weight.original"
    plan = fanin.plan(model, X, recipe="he", overrides={path: "zeros"})
    assert str(plan[path].initializer) == "zeros"


def test_a_failure_leaves_the_vectors_as_they_were(monkeypatch: pytest.MonkeyPatch) -> None:
    model = net(parametrizations.spectral_norm)
    before = {name: x.clone() for name, x in model.state_dict().items()}
    follow = parametrized._Vectors.follow

    def fails(vectors: parametrized._Vectors, seed: int) -> None:
        follow(vectors, seed)
        raise KeyboardInterrupt

    monkeypatch.setattr(parametrized._Vectors, "follow", fails)
    with pytest.raises(KeyboardInterrupt):
        fanin.initialize_(model, X, recipe="he", seed=0)
    assert all(torch.equal(x, before[name]) for name, x in model.state_dict().items())


def test_a_kept_weight_keeps_its_vectors() -> None:
    model = net(parametrizations.spectral_norm)
    before = {name: x.clone() for name, x in model[0].named_buffers()}
    fanin.initialize_(model, X, recipe="he", overrides={"0.parametrizations*": fanin.Keep()}, seed=0)
    assert all(torch.equal(x, before[name]) for name, x in model[0].named_buffers())


def test_from_the_meta_device() -> None:
    with fanin.on_meta() as recorded:
        model = nn.Sequential(parametrizations.spectral_norm(nn.Linear(128, 64)))
    fanin.materialize_(model, fanin.plan(model, X, recipe="normal(std=0.5)"), seed=0, recorded=recorded)
    assert torch.linalg.matrix_norm(weight(model), 2).item() == pytest.approx(1, rel=0.01)
