"""Models inside other modules, and overrides that pick parameters by role and by the module they belong to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.nn.utils.parametrizations import weight_norm

import fanin
from fanin.errors import BadInput, UnknownName
from fanin.initializers import Normal, Zeros

X = torch.zeros(2, 8)


def net() -> Any:
    return nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4))


def compiled(model: nn.Module) -> nn.Module:
    made: nn.Module = torch.compile(model, backend="eager")  # type: ignore[assignment]  # of a module it makes a module
    return made


def inside(model: Any) -> nn.Module:
    model[0], model[1] = compiled(model[0]), compiled(model[1])
    made: nn.Module = model
    return made


@pytest.fixture
def process(tmp_path: Path) -> Iterator[None]:
    """A group of one."""
    dist.init_process_group("gloo", init_method=f"file://{tmp_path / 'store'}", rank=0, world_size=1)
    yield
    dist.destroy_process_group()


WRAPPED: dict[str, Callable[[nn.Module], nn.Module]] = {
    "compiled": compiled,
    "compiled within": inside,
    "ddp": DistributedDataParallel,
    "compiled ddp": lambda model: compiled(DistributedDataParallel(model)),
    "ddp of compiled": lambda model: DistributedDataParallel(compiled(model)),
}


@pytest.mark.parametrize("recipe", ["auto", "he"])
@pytest.mark.parametrize("example", [(X,), ()], ids=["example", "modules"])
@pytest.mark.parametrize("wrap", WRAPPED.values(), ids=WRAPPED)
@pytest.mark.usefixtures("process")
def test_a_wrapped_model_gets_the_values_of_the_model(
    wrap: Callable[[nn.Module], nn.Module], example: tuple[torch.Tensor, ...], recipe: str
) -> None:
    alone, model = net(), wrap(net())
    expected = fanin.initialize_(alone, *example, recipe=recipe, seed=0)
    found = fanin.initialize_(model, *example, recipe=recipe, seed=0)
    assert [(e.parameter.path, e.parameter.owner) for e in found] == [
        (e.parameter.path, e.parameter.owner) for e in expected
    ]
    assert found.digest(0) == expected.digest(0)
    assert all(map(torch.equal, model.parameters(), alone.parameters()))
    assert fanin.verify(model, expected, seed=0)


@pytest.mark.usefixtures("process")
def test_only_a_distributed_model_needs_a_seed() -> None:
    fanin.initialize_(compiled(net()), X)
    for model in (DistributedDataParallel(net()), compiled(DistributedDataParallel(net()))):
        with pytest.raises(BadInput, match="distributed"):
            fanin.initialize_(model, X)


class Adapter(nn.Module):
    """y = W x + B A x with W frozen, as LoRA does."""

    def __init__(self, base: nn.Linear) -> None:
        super().__init__()
        self.base = base.requires_grad_(False)
        self.A = nn.Parameter(torch.empty(4, base.in_features))
        self.B = nn.Parameter(torch.empty(base.out_features, 4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.base(x) + (x @ self.A.T) @ self.B.T
        return y


def test_an_adapter_starts_as_the_model_that_it_adapts() -> None:
    model = nn.Sequential(Adapter(nn.Linear(8, 16)), nn.ReLU(), Adapter(nn.Linear(16, 4)))
    before = [p.clone() for p in model.parameters() if not p.requires_grad]
    x = torch.randn(3, 8)
    plain = nn.Sequential(model[0].base, nn.ReLU(), model[2].base)(x)  # type: ignore[arg-type]
    plan = fanin.initialize_(model, X, overrides={"*.B": "zeros"}, seed=0)
    assert all(map(torch.equal, before, (p for p in model.parameters() if not p.requires_grad)))
    assert torch.equal(model(x), plain)
    assert plan["0.A"].std > 0
    assert fanin.verify(model, plan, seed=0).kept == ("0.base.weight", "0.base.bias", "2.base.weight", "2.base.bias")


class Blocks(nn.Module):
    class Head(nn.Linear):
        pass

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Linear(8, 16)
        self.conv = nn.Conv1d(1, 1, 3, padding=1)
        self.head = self.Head(16, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.head(self.conv(self.stem(x)[:, None])[:, 0].relu())
        return y


N = Normal(0.125)


@pytest.mark.parametrize(
    ("key", "meant"),
    [
        (fanin.Role.READOUT, {"head.weight"}),
        ("role:readout", {"head.weight"}),
        ("role:BIAS", {"stem.bias", "conv.bias", "head.bias"}),
        ("role:first_weight", {"stem.weight"}),
        (nn.Linear, {"stem.weight", "stem.bias", "head.weight", "head.bias"}),
        (Blocks.Head, {"head.weight", "head.bias"}),
        ("type:torch.nn.Linear", {"stem.weight", "stem.bias", "head.weight", "head.bias"}),
        ("type:torch.nn.modules.linear.Linear", {"stem.weight", "stem.bias", "head.weight", "head.bias"}),
        ("type:Head", {"head.weight", "head.bias"}),
        ("type:torch.nn.Conv1d", {"conv.weight", "conv.bias"}),
        ("type:torch.nn.Module", {f"{m}.{p}" for m in ("stem", "conv", "head") for p in ("weight", "bias")}),
        ("stem.*", {"stem.weight", "stem.bias"}),
    ],
    ids=str,
)
def test_a_key_means_these_parameters(key: Any, meant: set[str]) -> None:
    for example in (X,), ():
        if not example and any(role in str(key) for role in ("first", "readout")):
            continue  # what the modules alone do not show
        plan = fanin.plan(Blocks(), *example, recipe="zeros", overrides={key: N})
        assert {e.parameter.path for e in plan if e.initializer == N} == meant
        again = fanin.Plan.from_json(plan.to_json())  # a plan that was read back knows as well
        assert again == plan


def test_the_last_key_wins_whatever_its_kind() -> None:
    plan = fanin.plan(Blocks(), X, overrides={nn.Linear: N, "role:bias": "ones", "head.bias": "zeros"})
    assert [str(plan[p].initializer) for p in ("stem.weight", "stem.bias", "head.bias")] == [str(N), "ones", "zeros"]


def test_a_parametrized_weight_belongs_to_its_module_and_a_tied_one_to_both() -> None:
    plan = fanin.plan(nn.Sequential(weight_norm(nn.Linear(8, 4))), X, overrides={nn.Linear: "zeros"})
    assert {e.initializer for e in plan} == {Zeros()}
    tied: Any = nn.ModuleDict({"table": nn.Embedding(10, 8), "out": nn.Linear(8, 10, bias=False)})
    tied["out"].weight = tied["table"].weight
    for key in (nn.Linear, nn.Embedding):
        assert fanin.plan(tied, recipe="zeros", overrides={key: N})["table.weight"].initializer == N


@pytest.mark.parametrize(
    ("key", "error", "message"),
    [
        ("role:redout", UnknownName, "Did you mean 'readout'"),
        ("role:router", BadInput, r"'role:router' matches no parameter\. Roles here are role:"),
        ("type:torch.nn.Liner", BadInput, r"matches no parameter\. Types here are type:.*Did you mean 'type:torch"),
        (nn.LSTM, BadInput, "LSTM' matches no parameter"),
        ("stem.wieght", BadInput, "Did you mean 'stem.weight'"),
        (3, BadInput, "expected a glob over paths, a fanin.Role, or a module's class"),
    ],
)
def test_a_key_that_means_nothing_teaches(key: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        fanin.plan(Blocks(), X, overrides={key: "zeros"})


TOML = """
stem.bias = "ones"
"role:readout" = { law = "Normal", std = 0.125 }
"type:torch.nn.Conv1d" = "zeros"
"*conv.bias" = "normal(std=0.125)"
"""


def test_a_file_says_the_same(tmp_path: Path) -> None:
    file = tmp_path / "init.toml"
    file.write_text(TOML)
    same: dict[Any, Any] = {"stem.bias": "ones", fanin.Role.READOUT: N, nn.Conv1d: "zeros", "*conv.bias": N}
    for overrides in (file, str(file)):
        assert fanin.plan(Blocks(), X, overrides=overrides) == fanin.plan(Blocks(), X, overrides=same)
    file.write_text('"*" = "zeross"')
    with pytest.raises(UnknownName, match="Did you mean 'zeros'"):
        fanin.plan(Blocks(), X, overrides=file)
    file.write_text('"*" = { law = "Norml" }')
    with pytest.raises(UnknownName, match="Did you mean 'Normal'"):
        fanin.plan(Blocks(), X, overrides=file)
    file.write_text("a = \n")
    with pytest.raises(BadInput, match=r"is not TOML.*line 1"):
        fanin.plan(Blocks(), X, overrides=file)
    with pytest.raises(BadInput, match=r"cannot read 'no\.toml'"):
        fanin.plan(Blocks(), X, overrides="no.toml")
