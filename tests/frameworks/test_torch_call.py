"""Examples by keyword, and models that return more than tensors: both as Hugging Face's have them."""

from __future__ import annotations

from collections import OrderedDict, UserDict
from dataclasses import dataclass, fields
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import fanin
from fanin.errors import BadInput, ShapeMismatch
from fanin.frameworks.torch import observe, trace
from fanin.frameworks.torch.model.call import call_of

IDS = torch.tensor([[1, 2, 3], [4, 5, 6]])


class Takes(nn.Module):
    """A linear layer on what one of several signatures gives."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 2)


class Named(Takes):
    def forward(self, x: Tensor, *, scale: Tensor | None = None, flag: bool = False) -> Any:
        return self.layer(x if scale is None or flag else x * scale)


class OneDict(Takes):
    def forward(self, batch: dict[str, Tensor], **options: Any) -> Any:
        return self.layer(batch["x"] - batch["y"])


class PassesOn(Takes):
    def __init__(self) -> None:
        super().__init__()
        self.inner = Named()

    def forward(self, *args: Any, **keywords: Any) -> Any:
        return self.inner(*args, **keywords)


X, Y = torch.ones(3, 4), torch.zeros(3, 4)


@pytest.mark.parametrize(
    ("model", "example", "args", "keywords"),
    [
        (Named(), (X,), 1, []),
        (Named(), ({"x": X},), 0, ["x"]),
        (Named(), (UserDict({"scale": Y, "x": X}),), 0, ["scale", "x"]),  # as a tokenizer returns
        (Named(), (X, {"scale": Y}), 1, ["scale"]),
        (Named(), ({"x": X, "typo": Y},), 0, ["typo", "x"]),  # it is said when it is called
        (Named(), (X, {"x": X}), 2, []),  # x is given already
        (OneDict(), ({"x": X, "y": Y},), 1, []),
        (OneDict(), ({"batch": {"x": X, "y": Y}},), 0, ["batch"]),
        (PassesOn(), ({"x": X},), 0, ["x"]),
        (PassesOn(), (X, {1: X}), 2, []),
        (Named(), (), 0, []),
    ],
)
def test_a_mapping_at_the_end_is_keywords_if_a_key_is_an_argument(
    model: nn.Module, example: tuple[Any, ...], args: int, keywords: list[str]
) -> None:
    call = call_of(model, example)
    assert (len(call.args), list(call.keywords)) == (args, keywords)


def test_compiled_code_without_a_signature_takes_the_mapping_itself() -> None:
    model = Named()
    model.forward = zip  # type: ignore[method-assign,assignment]  # it has none
    assert call_of(model, ({"x": X},)).keywords == {}


@pytest.mark.parametrize(
    ("model", "example"),
    [
        (Named(), ({"x": X, "scale": Y, "flag": True},)),
        (OneDict(), ({"x": X, "y": Y},)),
        (OneDict(), ({"batch": {"x": X, "y": Y}},)),
        (PassesOn(), ({"scale": Y, "x": X},)),
    ],
)
def test_every_verb_takes_keywords(model: nn.Module, example: tuple[Any, ...]) -> None:
    decided = fanin.plan(model, *example, overrides={"layer.*": "zeros"})
    assert fanin.initialize_(model, *example, recipe=decided, seed=0) == decided
    assert fanin.measure(model, *example).loss is not None
    assert fanin.diagnose(model, *example) is not None


def test_keywords_reach_their_arguments_in_whatever_order() -> None:
    model = Named()
    traced = trace(model, {"x": X, "scale": 3 * X})
    expected = float((model.layer(X * 3)).detach().square().mean())
    for example in ({"x": X, "scale": 3 * X}, {"scale": 3 * X, "x": X}):
        assert observe(traced, model, (example,)).values["linear"].second_moment == pytest.approx(expected, rel=1e-6)
    with pytest.raises(BadInput, match="arguments of other names or structure"):
        observe(trace(model, {"x": X}), model, (X,))


def test_a_keyword_that_the_model_does_not_take_is_said() -> None:
    with pytest.raises(BadInput, match=r"Named cannot be called with the 2 value\(s\).*unexpected keyword.*'typo'"):
        fanin.plan(Named(), {"x": X, "typo": Y})


def test_a_keyword_that_does_not_fit_is_a_mismatch() -> None:
    with pytest.raises(ShapeMismatch, match=r"layer 'layer'.*a last axis of 4, got shape \(3, 5\)"):
        fanin.plan(Named(), {"x": torch.zeros(3, 5)})


class Cache:
    """Keys and values of each layer; of a class that nobody registered with PyTorch."""

    def __init__(self) -> None:
        self.layers: list[tuple[Tensor, Tensor]] = []

    def update(self, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        self.layers.append((key, value))
        return key, value


@dataclass
class Output(OrderedDict):  # type: ignore[type-arg]
    """Its fields are its items, too."""

    logits: Tensor
    hidden: tuple[Tensor, ...] = ()
    loss: Tensor | None = None
    cache: Cache | None = None

    def __post_init__(self) -> None:
        for field in fields(self):
            self[field.name] = getattr(self, field.name)


class LanguageModel(nn.Module):
    """As Hugging Face builds them: keywords, an output dataclass that is a dict, and a cache in it."""

    def __init__(self, vocabulary: int = 11, width: int = 8) -> None:
        super().__init__()
        self.embed = nn.Embedding(vocabulary, width)
        self.qkv = nn.Linear(width, 3 * width)
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, vocabulary, bias=False)

    def forward(self, ids: Tensor | None = None, mask: Tensor | None = None, **options: Any) -> Output:
        assert ids is not None
        cache = Cache()
        x = self.embed(ids)
        query, key, value = self.qkv(self.norm(x)).chunk(3, -1)
        allowed = None if mask is None else mask[:, None, :].to(torch.bool)
        y = x + F.scaled_dot_product_attention(query, *cache.update(key, value), attn_mask=allowed)
        return Output(self.head(y), (x, y), cache=cache)


@pytest.mark.parametrize("device", ["cpu", "meta"])
@pytest.mark.parametrize("example", [(IDS,), ({"ids": IDS, "mask": torch.ones_like(IDS)},)], ids=["ids", "keywords"])
def test_a_language_model_with_a_cache_is_planned_on_any_device(device: str, example: tuple[Any, ...]) -> None:
    model = LanguageModel().to(device)
    assert fanin.plan(model, *example) == fanin.plan(LanguageModel(), *example)
    assert fanin.plan(LanguageModel(), IDS.to("meta").to(torch.int32)).entries == fanin.plan(model, *example).entries


def test_a_loss_gets_what_the_model_returns() -> None:
    model = LanguageModel()
    seen: list[Any] = []

    def loss(output: Output) -> Tensor:
        seen.append(output)
        return F.cross_entropy(output.logits.flatten(0, 1), IDS.flatten())

    signals = fanin.measure(model, {"ids": IDS}, loss=loss)
    assert signals.loss == pytest.approx(float(loss(model(IDS)).detach()), rel=1e-6)
    assert isinstance(seen[0], Output)
    assert torch.equal(seen[0]["logits"], seen[0].logits)
    assert seen[0].cache is None  # no result, and not in the graph
    assert set(signals.parameters) == {name for name, _ in model.named_parameters()}


def test_the_users_hooks_run_and_the_model_keeps_no_other() -> None:
    model = Named()
    handle = model.register_forward_hook(lambda *_: {"out": torch.zeros(1)})
    assert [n.op for n in trace(model, X).graph.nodes if n.op == "linear"] == []  # the hook's output is all
    assert list(model._forward_hooks) == [handle.id]
    with pytest.raises(ShapeMismatch):
        trace(model, torch.zeros(3, 5))
    assert list(model._forward_hooks) == [handle.id]
