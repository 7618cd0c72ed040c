"""A model from the meta device has every value that it would have had, or is left there as it was."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import fanin
from fanin.errors import BadInput, CannotWrite, StillUninitialized
from fanin.frameworks.torch.model.names import named_parameters
from fanin.graph import Parameter
from fanin.initializers import Initializer, Law, Target
from fanin.plans import Entry, Plan

TOKENS = torch.arange(12).view(2, 6) % 11


class Rotary(nn.Module):
    """Computed in the constructor, in no state dict, and no method to make it again."""

    inv_freq: Tensor
    angles: Tensor

    def __init__(self, width: int, length: int) -> None:
        super().__init__()
        self.width, self.length = width, length
        frequencies = 1 / 10000 ** (torch.arange(0, width, 2).float() / width)
        self.register_buffer("inv_freq", frequencies, persistent=False)
        angles = torch.outer(torch.arange(length).float(), frequencies)
        self.register_buffer("angles", torch.cat((angles, angles), -1), persistent=False)
        self.original = self.inv_freq  # as Hugging Face keeps it, outside the registry

    def forward(self, x: Tensor) -> Any:
        left, right = x.chunk(2, -1)
        return x * self.angles.cos() + torch.cat((-right, left), -1) * self.angles.sin()


class Attention(nn.Module):
    mask: Tensor

    def __init__(self, width: int, length: int) -> None:
        super().__init__()
        self.qkv, self.out = nn.Linear(width, 3 * width, bias=False), nn.Linear(width, width, bias=False)
        self.rotary = Rotary(width, length)
        self.register_buffer("mask", torch.tril(torch.ones(length, length, dtype=torch.bool)), persistent=False)

    def forward(self, x: Tensor) -> Any:
        q, k, v = self.qkv(x).chunk(3, -1)
        return self.out(F.scaled_dot_product_attention(self.rotary(q), self.rotary(k), v, self.mask))


class Llama(nn.Module):
    """Tied head, rotary positions."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.head = nn.Embedding(11, 8), nn.Linear(8, 11, bias=False)
        self.layers = nn.ModuleList(
            nn.ModuleDict({"norm": nn.RMSNorm(8), "mix": Attention(8, 6), "up": nn.Linear(8, 16)}) for _ in range(2)
        )
        self.down = nn.Linear(16, 8)  # one for all layers
        self.head.weight = self.embed.weight

    def forward(self, tokens: Tensor) -> Any:
        x = self.embed(tokens)
        for layer in self.layers:
            block: Any = layer
            x = x + block["mix"](block["norm"](x))
            x = x + self.down(F.silu(block["up"](x)))
        return self.head(x)


class Mamba(nn.Module):
    """Parameters that their constructor computes and that no recipe should draw."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(11, 8)
        self.conv = nn.Conv1d(8, 8, 3, padding=2, groups=8)
        self.A_log = nn.Parameter(torch.log(torch.arange(1, 5).float()).repeat(8, 1))
        self.D = nn.Parameter(torch.ones(8))
        step = torch.exp(torch.linspace(-5, -2, 8))
        self.dt_bias = nn.Parameter(step + torch.log(-torch.expm1(-step)))
        self.head = nn.Linear(8, 11)

    def forward(self, tokens: Tensor) -> Any:
        x = F.silu(self.conv(self.embed(tokens).mT)[..., :6]).mT
        decay = torch.exp(-F.softplus(x + self.dt_bias) * self.A_log.exp().sum(-1))
        return self.head(decay * x + self.D * x)


class ViT(nn.Module):
    relative: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.patch = nn.Conv2d(3, 8, 4, stride=4)
        self.cls = nn.Parameter(torch.zeros(1, 1, 8))
        self.pos = nn.Parameter(torch.zeros(1, 5, 8))
        place = torch.arange(4)
        self.register_buffer("relative", place[:, None] - place[None, :] + 3, persistent=False)
        self.register_buffer("steps", torch.tensor(0))
        self.bias = nn.Parameter(torch.zeros(7))
        self.head = nn.Linear(8, 10)

    def forward(self, image: Tensor) -> Any:
        x = self.patch(image).flatten(2).mT
        x = (self.bias[self.relative].softmax(-1) @ x) + self.steps
        x = torch.cat((self.cls.expand(len(x), -1, -1), x), 1) + self.pos
        return self.head(x[:, 0])


def cnn() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.LazyLinear(4))


def convolutional() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 36, 4))


def recurrent() -> nn.Module:
    class Last(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm, self.head = nn.LSTM(4, 8, num_layers=2), nn.Linear(8, 3)

        def forward(self, x: Tensor) -> Any:
            return self.head(self.lstm(x)[0])

    return Last()


IMAGES = torch.linspace(0, 1, 2 * 3 * 8 * 8).view(2, 3, 8, 8)
MODELS: dict[str, tuple[Callable[[], nn.Module], Tensor, dict[str, str]]] = {
    "llama": (Llama, TOKENS, {}),
    "mamba": (Mamba, TOKENS, {"A_log": "keep", "D": "keep", "dt_bias": "keep"}),
    "vit": (ViT, IMAGES, {"cls": "normal(std=0.02)", "pos": "truncated_normal(std=0.02)", "bias": "keep"}),
    "convolutional": (convolutional, IMAGES, {}),
    "recurrent": (recurrent, torch.ones(5, 2, 4), {}),
    "compiled": (lambda: torch.compile(Llama(), backend="eager"), TOKENS, {}),  # type: ignore[return-value,dict-item]
}


def planned(model: nn.Module, **rules: Any) -> Plan:
    """Normals for all but what the rules say by name, without tracing."""

    def entry(path: str, tensor: Tensor, also: tuple[str, ...]) -> Entry:
        parameter = Parameter(path, tuple(tensor.shape), str(tensor.dtype).removeprefix("torch."), also=also)
        return Entry(parameter, rules.get(path.rpartition(".")[2], rules.get(path, fanin.Normal(std=0.5))), "")

    return Plan("test", tuple(entry(path, *found) for path, found in named_parameters(model).items()))


def on_meta(build: Callable[[], Any]) -> Any:
    with torch.device("meta"):
        return build()


def tensors(model: nn.Module) -> dict[str, Tensor]:
    return dict(model.named_parameters(remove_duplicate=False)) | dict(model.named_buffers(remove_duplicate=False))


def random_states() -> list[Any]:
    return [torch.get_rng_state().tolist(), random.getstate(), np.random.get_state()[1].tolist()]  # type: ignore[index]


@pytest.mark.parametrize("name", MODELS)
def test_with_a_recording_every_tensor_is_that_of_a_model_built_for_real(name: str) -> None:
    build, x, overrides = MODELS[name]
    real = build()
    with fanin.on_meta() as recorded:
        model = build()
    plan = fanin.plan(model, x, overrides=overrides) if name != "compiled" else planned(model)
    before = random_states()
    fanin.materialize_(model, plan, seed=7, recorded=recorded)
    assert random_states() == before
    fanin.initialize_(real, recipe=plan, seed=7)
    ours, theirs = tensors(model), tensors(real)
    assert ours.keys() == theirs.keys()
    for path, tensor in ours.items():
        assert torch.equal(tensor, theirs[path]), path
        assert (tensor.dtype, tensor.requires_grad) == (theirs[path].dtype, theirs[path].requires_grad), path
        assert type(tensor) is type(theirs[path]), path
    if name != "compiled":
        assert torch.equal(model.eval()(x), real.eval()(x))
        model(x).sum().backward()


def test_ties_and_names_outside_the_registries_are_kept() -> None:
    with fanin.on_meta() as recorded:
        model = Llama()
    fanin.materialize_(model, planned(model), seed=0, recorded=recorded)
    assert model.head.weight is model.embed.weight
    for layer in model.layers:
        rotary = layer.get_submodule("mix.rotary")
        assert rotary.original is rotary.inv_freq
    assert "layers.0.mix.rotary.inv_freq" not in model.state_dict()


def tied() -> Any:
    """Across modules, through a module used twice, a buffer that is a parameter, and one that looks into it."""
    net: Any = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4), nn.ReLU())
    net[1].weight = net[0].weight
    net.append(net[0])
    net.register_buffer("same", net[1].bias)
    net[0].register_buffer("corner", net[0].weight.detach()[1:, :2], persistent=False)
    return net


@pytest.mark.parametrize("how", ["recorded", "plain"])
def test_every_kind_of_tie(how: str) -> None:
    recorded = None
    if how == "recorded":
        with fanin.on_meta() as recorded:
            net: Any = tied()
    else:
        net = on_meta(tied)
    fanin.materialize_(net, planned(net), seed=0, recorded=recorded)
    assert net[1].weight is net[0].weight
    assert net[3] is net[0]
    assert net.same is net[1].bias
    assert net[0].corner.data_ptr() == net[0].weight[1:].data_ptr()
    assert torch.equal(net[0].corner, net[0].weight[1:, :2])


def in_place(self: Any) -> None:
    built = Rotary(self.width, self.length)
    self.inv_freq.copy_(built.inv_freq)
    self.angles.copy_(built.angles)


def behind_autograd(self: Any) -> None:
    built = Rotary(self.width, self.length)
    self.inv_freq.data[:] = built.inv_freq
    self.angles.data[:] = built.angles


def new_tensors(self: Any) -> None:
    built = Rotary(self.width, self.length)
    self.inv_freq, self.angles = built.inv_freq, built.angles.double()


@pytest.mark.parametrize("how", [in_place, behind_autograd, new_tensors])
@pytest.mark.parametrize(
    "name", ["reset_buffers", "init_buffers", "init_non_persistent_buffers", "_init_buffers", "reset_parameters"]
)
def test_the_modules_own_method_is_called(name: str, how: Callable[[Any], None]) -> None:
    net = on_meta(lambda: nn.Sequential(type("Own", (Rotary,), {name: how})(8, 6), nn.Linear(8, 3)))
    plan = planned(net)
    fanin.materialize_(net, plan, seed=0)
    assert torch.equal(net[0].angles, Rotary(8, 6).angles)
    assert net[0].original is net[0].inv_freq
    assert net[0].angles.dtype is torch.float32


def test_the_model_around_is_asked_as_hugging_face_does() -> None:
    class Pretrained(Llama):
        def _init_weights(self, module: Any) -> None:
            torch.randn(3), random.random(), np.random.random()
            if isinstance(module, Attention):
                module.mask = torch.tril(torch.ones_like(module.mask))
                module.qkv.weight.fill_(3.0)  # the plan has the last word
            if isinstance(module, Rotary):
                in_place(module)

    model = on_meta(Pretrained)
    plan = planned(model)
    before = random_states()
    fanin.materialize_(model, plan, seed=0)
    assert random_states() == before
    fanin.initialize_(real := Llama(), recipe=plan, seed=0)
    assert all(torch.equal(t, tensors(real)[path]) for path, t in tensors(model).items())


def test_what_a_method_draws_is_a_function_of_the_seed() -> None:
    class Features(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("directions", torch.empty(5))

        def reset_parameters(self) -> None:
            nn.init.normal_(self.get_buffer("directions"))

    drawn: list[Tensor] = []
    for seed in (0, 0, 1):
        net = on_meta(Features)
        torch.manual_seed(len(drawn))
        fanin.materialize_(net, planned(net), seed=seed)
        drawn.append(net.directions)
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


def test_a_kept_parameter_is_the_constructors_and_not_its_modules() -> None:
    def residual() -> Any:
        norm = nn.BatchNorm1d(3)
        nn.init.zeros_(norm.weight)  # the last norm of a branch; its own method would make it one
        return norm

    net = on_meta(residual)
    with pytest.raises(StillUninitialized, match=r"1 tensor.*weight \(parameter that the plan keeps\)"):
        fanin.materialize_(net, planned(net, weight=fanin.Keep()), seed=0)
    with fanin.on_meta() as recorded:
        net = residual()
    fanin.materialize_(net, planned(net, weight=fanin.Keep()), seed=0, recorded=recorded)
    assert net.weight.tolist() == [0.0] * 3


def test_all_that_has_no_value_is_listed_and_the_model_is_as_it_was() -> None:
    model = on_meta(Llama)
    before = tensors(model)
    plan = planned(model, **{"down.bias": fanin.Keep()})
    with pytest.raises(StillUninitialized) as raised:
        fanin.materialize_(model, plan, seed=0)
    assert raised.value.missing == (
        "down.bias (parameter that the plan keeps)",
        *(f"layers.{i}.mix.{b} (buffer)" for i in (0, 1) for b in ("mask", "rotary.inv_freq", "rotary.angles")),
    )
    assert "7 tensor(s) have no value: down.bias" in str(raised.value)
    assert "recorded=recorded" in str(raised.value)
    after = tensors(model)
    assert all(after[path] is before[path] and after[path].is_meta for path in before)


def test_a_plain_attribute_counts_unless_parameters_make_it_again() -> None:
    class Caches(nn.Module):
        linear: Any

        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.utils.weight_norm(nn.Linear(3, 3))  # keeps weight as an attribute
            self.table = torch.arange(3.0)

        def forward(self, x: Tensor) -> Any:
            return self.linear(x) * self.table

    with pytest.warns(FutureWarning, match="weight_norm"):
        net = on_meta(Caches)
    with pytest.warns(FutureWarning, match="weight_norm"), fanin.on_meta() as recorded:
        other = Caches()
    plan = planned(net)
    with pytest.raises(StillUninitialized, match=r"1 tensor\(s\) have no value: table \(attribute\)"):
        fanin.materialize_(net, plan, seed=0)
    fanin.materialize_(other, plan, seed=0, recorded=recorded)
    assert other.table.tolist() == [0.0, 1.0, 2.0]
    assert other(torch.ones(1, 3)).isfinite().all()


def test_values_of_the_callers() -> None:
    class Average(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(3, 2)
            self.register_buffer("ema", torch.zeros(2, 3))
            self.register_buffer("count", torch.zeros((), dtype=torch.int64))
            self.register_buffer("scale", torch.zeros(2, dtype=torch.bfloat16))

        def forward(self, x: Tensor) -> Any:
            return self.linear(x)

    net = on_meta(Average)
    plan = planned(net)
    values: dict[str, Any] = {"*": 5, "ema": lambda m: m.linear.weight.detach(), "scale": torch.tensor([0.1, 0.2])}
    for glob, wrong, message in [
        (
            "emma",
            0,
            "'emma' matches nothing on the meta device that the plan leaves to others. There: ema, count, scale",
        ),
        ("ema", torch.zeros(3), r"ema has shape \(2, 3\); got shape \(3,\)"),
        ("ema", torch.zeros(2, 3, device="meta"), r"ema has shape \(2, 3\); got a tensor on the meta device"),
    ]:
        with pytest.raises(BadInput, match=message):
            fanin.materialize_(net, plan, seed=0, buffers={**values, glob: wrong})
        assert all(t.is_meta for t in tensors(net).values())
    fanin.materialize_(net, plan, seed=0, buffers=values)
    assert torch.equal(net.ema, net.linear.weight)  # after the plan
    assert net.count.item() == 5
    assert (net.linear.weight != 5).all()  # "*" is for what the plan leaves
    assert torch.equal(net.scale, torch.tensor([0.1, 0.2], dtype=torch.bfloat16))


class Half(nn.Module):
    """Its method is wrong in one of several ways."""

    flags: Tensor

    def __init__(self, method: Callable[[Any], None]) -> None:
        super().__init__()
        self.linear = nn.Linear(2, 2)
        self.register_buffer("flags", torch.ones(4, dtype=torch.bool))
        self._method = method

    def reset_buffers(self) -> None:
        self._method(self)

    def forward(self, x: Tensor) -> Any:
        return self.linear(x) * self.flags.sum()


def fails(module: Any) -> None:
    raise ZeroDivisionError("no mask today")


WRONG: dict[str, tuple[Callable[[Any], Any], str]] = {
    "nothing": (lambda m: None, r"flags \(buffer\)\. Build"),
    "a part": (lambda m: m.flags[:2].fill_(False), r"flags \(buffer\)\. Build"),
    "raises": (fails, r"flags \(buffer\): its reset_buffers\(\) raised ZeroDivisionError: no mask today"),
    "another shape": (lambda m: setattr(m, "flags", torch.ones(3)), r"made shape \(3,\), where the model has \(4,\)"),
    "meta": (lambda m: setattr(m, "flags", torch.ones(4, device="meta")), "left a tensor on the meta device there"),
    "none": (lambda m: setattr(m, "flags", None), "left nothing there"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_method_that_does_not_do_its_work_is_named(name: str) -> None:
    method, message = WRONG[name]
    net = on_meta(lambda: Half(method))
    flags = net.flags
    with pytest.raises(StillUninitialized, match=message):
        fanin.materialize_(net, planned(net), seed=0)
    assert net.flags is flags
    fanin.materialize_(net, planned(net), seed=0, buffers={"flags": True})
    assert net.flags.all()


def test_a_buffer_computed_from_a_parameter_is_not_given_the_constructors_random_one() -> None:
    class Teacher(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(3, 2)
            self.register_buffer("ema", self.linear.weight.detach().clone())

        def forward(self, x: Tensor) -> Any:
            return self.linear(x)

    with fanin.on_meta() as recorded:
        net = Teacher()
    plan = planned(net)
    message = r"ema \(buffer\): it is computed from linear\.weight, to which the plan gives another value"
    with pytest.raises(StillUninitialized, match=message):
        fanin.materialize_(net, plan, seed=0, recorded=recorded)
    ema = {"ema": lambda m: m.linear.weight.detach()}
    fanin.materialize_(net, plan, seed=0, recorded=recorded, buffers=ema)
    assert torch.equal(net.get_buffer("ema"), net.linear.weight)


def partly() -> Any:
    """The first layer and the norm's weight hold values; the rest is on the meta device."""
    net: Any = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4, device="meta"), nn.Linear(4, 2, device="meta"))
    net[1].weight = nn.Parameter(torch.full((4,), 9.0))
    net[1].running_var = torch.full((4,), 8.0)
    return net


def test_what_is_real_stays_where_it_is() -> None:
    net = partly()
    first, scale, variance = net[0].weight, net[1].weight, net[1].running_var
    before = first.detach().clone()
    kept = dict.fromkeys(["0.weight", "0.bias", "1.weight"], fanin.Keep())
    fanin.materialize_(net, planned(net, **kept), seed=0)
    assert net[0].weight is first
    assert net[1].weight is scale
    assert net[1].running_var is variance
    assert torch.equal(first, before)
    assert scale.tolist() == [9.0] * 4  # although reset_parameters was called for the other buffers
    assert variance.tolist() == [8.0] * 4
    assert net[1].running_mean.tolist() == [0.0] * 4


@dataclass(frozen=True)
class Fails(Initializer):
    error: type[BaseException] = MemoryError

    def law(self, target: Target) -> Law:
        return Law(0, 1)

    def draw(self, target: Target, seed: int, elements: Any = None) -> Any:
        raise self.error("no more")


@pytest.mark.parametrize("error", [MemoryError, KeyboardInterrupt])
@pytest.mark.parametrize("buffers", [None, {"2.bias": torch.zeros(5)}])
def test_a_failure_leaves_everything_as_it_was(error: type[BaseException], buffers: Any) -> None:
    net = partly()
    before, values = tensors(net), {k: t.clone() for k, t in tensors(net).items() if not t.is_meta}
    plan = planned(net, **({} if buffers else {"2.bias": Fails(error)}))
    with pytest.raises(BadInput if buffers else error):
        fanin.materialize_(net, plan, seed=0, buffers=buffers)
    after = tensors(net)
    assert all(after[path] is before[path] for path in before)
    assert all(torch.equal(after[path], values[path]) for path in values)


def test_a_plan_of_another_model_is_refused() -> None:
    net, other = on_meta(lambda: nn.Linear(3, 2)), nn.Linear(4, 2)
    with pytest.raises(CannotWrite, match=r"weight: the plan has shape \(2, 4\), the model \(2, 3\)"):
        fanin.materialize_(net, planned(other), seed=0)
    assert net.weight.is_meta


def test_bad_input_is_refused_before_anything_is_allocated() -> None:
    net = on_meta(lambda: nn.Linear(3, 2))
    plan = planned(net)
    bad: list[tuple[Any, dict[str, Any], str]] = [
        ("auto", {}, "Expected a plan, such as fanin.plan.*got str"),
        (plan, {"device": "meta"}, "The meta device holds no values"),
        (plan, {"device": "gpu:0"}, "device: expected one such as 'cpu' or 'cuda:0'; got 'gpu:0'"),
        (plan, {"seed": -1}, "seed: expected an integer"),
    ]
    for what, given, message in bad:
        with pytest.raises(BadInput, match=message):
            fanin.materialize_(net, what, **{"seed": 0, **given})
    with pytest.raises(BadInput, match=r"2 parameter\(s\) have no shape yet: 4\.weight, 4\.bias"):
        fanin.materialize_(on_meta(cnn), plan, seed=0)
    with torch.device("meta"), pytest.raises(BadInput, match="Give the device"):
        fanin.materialize_(net, plan, seed=0)
    assert net.weight.is_meta


def test_without_a_seed_manual_seed_decides() -> None:
    first, second, real = on_meta(lambda: nn.Linear(3, 2)), on_meta(lambda: nn.Linear(3, 2)), nn.Linear(3, 2)
    plan = planned(first)
    for net in (first, second):
        torch.manual_seed(5)
        fanin.materialize_(net, plan)
        after = torch.rand(1).item()
    torch.manual_seed(5)
    fanin.initialize_(real, recipe=plan)
    assert first.weight.tolist() == second.weight.tolist() == real.weight.tolist()
    assert torch.rand(1).item() == after


def test_the_meta_models_dtypes_layouts_and_marks_are_kept() -> None:
    net = on_meta(lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)))
    net = net.to(torch.bfloat16).to(memory_format=torch.channels_last)
    net[0].bias.requires_grad_(False)
    net[0].weight.no_decay = True
    fanin.materialize_(net, planned(net), seed=0)
    assert net[0].weight.is_contiguous(memory_format=torch.channels_last)
    assert {t.dtype for t in net.state_dict().values()} == {torch.bfloat16, torch.int64}
    assert not net[0].bias.requires_grad
    assert net[0].weight.no_decay
    assert net(torch.ones(2, 3, 8, 8, dtype=torch.bfloat16)).isfinite().all()


def test_a_copy_of_the_materialized_model_is_an_ordinary_model() -> None:
    with fanin.on_meta() as recorded:
        model = Llama()
    fanin.materialize_(model, planned(model), seed=0, recorded=recorded)
    twin = copy.deepcopy(model)
    assert twin.head.weight is twin.embed.weight
    assert torch.equal(twin(TOKENS), model(TOKENS))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    model(TOKENS).sum().backward()
    optimizer.step()
    assert not torch.equal(twin(TOKENS), model(TOKENS))
