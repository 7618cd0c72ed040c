"""A plan is written as it stands, all of it or nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor, nn

from fanin.errors import BadInput, CannotWrite
from fanin.frameworks.torch import draw_seed_for, trace, write_
from fanin.frameworks.torch.writing import fill
from fanin.graph import Parameter
from fanin.initializers import Initializer, Keep, Law, Normal, Orthogonal, Target, Uniform, Zeros
from fanin.plans import Entry, Plan, make_plan
from fanin.stream import sample

DTYPES = [torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.float8_e4m3fn, torch.float8_e5m2]


class Holds(nn.Module):
    """A model that is its parameters."""

    a: Any
    w: Any
    scalar: Any

    def __init__(self, **parameters: Tensor) -> None:
        super().__init__()
        for name, tensor in parameters.items():
            setattr(self, name, nn.Parameter(tensor, requires_grad=tensor.is_floating_point()))


def planned(model: nn.Module, what: Initializer | dict[str, Initializer]) -> Plan:
    def entry(path: str, p: Tensor) -> Entry:
        parameter = Parameter(path, tuple(p.shape), str(p.dtype).removeprefix("torch."))
        return Entry(parameter, what if isinstance(what, Initializer) else what[path], "for the test")

    return Plan("test", tuple(entry(path, p) for path, p in model.named_parameters()))


def bits(*tensors: Tensor) -> list[bytes]:
    return [t.detach().clone().contiguous().flatten().view(torch.uint8).numpy().tobytes() for t in tensors]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("law", [Normal(std=0.3), Uniform(-1, 2), Orthogonal()])
def test_what_is_written_is_what_is_drawn(dtype: torch.dtype, law: Initializer) -> None:
    model = Holds(w=torch.empty(6, 5, dtype=dtype))
    write_(model, planned(model, law), seed=11)
    drawn = law.draw(Target("w", (6, 5), str(dtype).removeprefix("torch.")), 11)
    assert bits(model.w) == [drawn.tobytes()]


@pytest.mark.parametrize("dtype", [torch.complex64, torch.complex128])
def test_complex_parameters_are_written(dtype: torch.dtype) -> None:
    model = Holds(w=torch.empty(6, 5, dtype=dtype).T)
    write_(model, planned(model, Normal(std=0.3)), seed=11)
    drawn = Normal(std=0.3).draw(Target("w", (5, 6), str(dtype).removeprefix("torch.")), 11)
    assert np.array_equal(model.w.detach().numpy(), drawn.reshape(5, 6))


def layouts(n: int, c: int, h: int, w: int) -> dict[str, Tensor]:
    return {
        "contiguous": torch.zeros(n, c, h, w),
        "channels last": torch.zeros(n, c, h, w).to(memory_format=torch.channels_last),
        "transposed": torch.zeros(c, n, h, w).transpose(0, 1),
        "strided": torch.zeros(n, c, h, 2 * w)[..., ::2],
        "offset": torch.zeros(n + 1, c, h, w)[1:],
    }


@pytest.mark.parametrize("layout", layouts(1, 1, 1, 1))
def test_values_follow_the_logical_index_and_the_memory_stays_where_it_is(layout: str) -> None:
    model = Holds(w=layouts(4, 3, 2, 5)[layout])
    before = (model.w, model.w.data_ptr(), model.w.stride(), model.w.storage_offset())
    write_(model, planned(model, Normal()), seed=0)
    drawn = Normal().draw(Target("w", (4, 3, 2, 5)), 0).reshape(4, 3, 2, 5)
    assert np.array_equal(model.w.detach().numpy(), drawn)  # mutant: fill the storage in its own order
    assert before == (model.w, model.w.data_ptr(), model.w.stride(), model.w.storage_offset())


def test_scalars_and_empty_tensors_are_written() -> None:
    model = Holds(scalar=torch.zeros(()), empty=torch.zeros(0, 3))
    write_(model, planned(model, Normal()), seed=5)
    assert model.scalar.item() == Normal().draw(Target("scalar", ()), 5)[0]


def test_a_tied_parameter_is_drawn_once_under_its_first_name() -> None:
    net: Any = nn.Sequential(nn.Linear(3, 3, bias=False), nn.Linear(3, 3, bias=False))
    net[1].weight = net[0].weight
    write_(net, planned(net, Normal()), seed=0)
    assert net[1].weight is net[0].weight
    assert bits(net[0].weight) == [Normal().draw(Target("0.weight", (3, 3)), 0).tobytes()]


def test_gradients_flags_and_kept_parameters_are_left_alone() -> None:
    net = nn.Linear(4, 3)
    net.weight.grad = torch.ones(3, 4)
    net.bias.requires_grad_(False)
    kept, version, written = bits(net.bias), net.bias._version, net.weight._version
    write_(net, planned(net, {"weight": Normal(), "bias": Keep()}), seed=0)
    assert bits(net.bias) == kept
    assert net.bias._version == version
    assert net.weight._version > written
    assert net.weight.requires_grad
    assert net.weight.is_leaf
    assert torch.equal(net.weight.grad, torch.ones(3, 4))
    net(torch.zeros(1, 4)).sum().backward()  # autograd has nothing against it


def test_a_backward_pass_through_overwritten_weights_raises_as_after_an_in_place_operation_of_torch() -> None:
    model = Holds(w=torch.ones(3))
    x = torch.ones(3, requires_grad=True)
    y = (x * model.w).sum()
    write_(model, planned(model, Normal()), seed=0)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):  # mutant: no new version
        y.backward()


@pytest.mark.parametrize("mode", [torch.inference_mode, torch.no_grad])
def test_the_mode_of_the_caller_changes_nothing(mode: Callable[[], Any]) -> None:
    model = Holds(w=torch.ones(3))
    with mode(), torch.device("meta"):
        write_(model, planned(model, Normal()), seed=0)
    assert bits(model.w) == [Normal().draw(Target("w", (3,)), 0).tobytes()]
    assert (model.w * model.w).sum().requires_grad


class Tagged(nn.Parameter):
    """As libraries make to hang a loader on a parameter."""


def test_a_subclass_that_only_adds_attributes_is_written() -> None:
    model = nn.Module()
    model.w = Tagged(torch.zeros(2, 3))
    write_(model, planned(model, Normal()), seed=0)
    assert bits(model.w) == [Normal().draw(Target("w", (2, 3)), 0).tobytes()]
    assert type(model.w) is Tagged


class Quantized(torch.Tensor):
    """As torchao's: what it is worth is computed from other tensors."""

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # type: ignore[override]
        return Quantized.of(3) if func is torch.ops.aten.detach.default else NotImplemented

    @staticmethod
    def of(n: int) -> Any:
        return torch.Tensor._make_wrapper_subclass(Quantized, (n,), dtype=torch.float32)


INTERLEAVED = "interleaved"  # elements 0, 2, 4, … of a row between elements 3, 5, 7, … of the next


@pytest.mark.parametrize("layout", [*layouts(1, 1, 1, 1), INTERLEAVED])
@pytest.mark.parametrize("law", [Normal(), Orthogonal(), Zeros()])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_temporary_is_small_and_changes_nothing(
    layout: str, law: Initializer, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fill, "TEMPORARY", 7)  # rows of 10, planes of 10 · 3: smaller than either
    drawn: list[int] = []

    def seen(*arguments: Any, **named: Any) -> Any:
        drawn.append(0 if "out" in named else len(arguments[1]))
        return sample(*arguments, **named)

    monkeypatch.setattr(fill, "sample", seen)
    if layout == INTERLEAVED:
        model = Holds(w=torch.zeros(144, dtype=dtype).as_strided((4, 3, 2, 5), (36, 12, 3, 2)))
    else:
        model = Holds(w=layouts(4, 3, 2, 5)[layout].to(dtype))
    write_(model, planned(model, law), seed=0)
    assert bits(model.w) == [law.draw(Target("w", (4, 3, 2, 5), str(dtype)[6:]), 0).tobytes()]
    assert max(drawn, default=0) <= 7
    assert (drawn == [0]) == (isinstance(law, Normal) and layout != INTERLEAVED)  # in one go, into the memory


def test_parameters_side_by_side_in_one_buffer_are_written() -> None:
    flat = torch.zeros(10)
    model = Holds(a=flat[:6].view(2, 3), b=flat[6:], even=torch.zeros(8)[::2])
    write_(model, planned(model, Normal()), seed=0)
    assert bits(model.a) == [Normal().draw(Target("a", (2, 3)), 0).tobytes()]


def interleaved() -> Holds:
    """Extents that cross without a shared element, and a diagonal that crosses its own rows."""
    square = torch.zeros(4, 4)
    return Holds(a=square[:2, :2], b=square[:2, 2:], c=square[2:, 1::2], w=square[2:, ::2])


def test_crossing_extents_are_not_overlaps() -> None:
    model = interleaved()
    write_(model, planned(model, Normal()), seed=0)
    for name, p in model.named_parameters():
        assert bits(p) == [Normal().draw(Target(name, (2, 2)), 0).tobytes()]


def overlapping() -> Holds:
    flat = torch.zeros(10)
    return Holds(a=flat[:6], fine=torch.zeros(2), b=flat[4:8], c=flat)


def made_for_inference() -> Holds:
    with torch.inference_mode():
        return Holds(w=torch.zeros(3))


REFUSED: list[tuple[Callable[[], nn.Module], str]] = [
    (lambda: Holds(fine=torch.zeros(2), w=torch.zeros(3, dtype=torch.int64)), "w: dtype int64 is not one of .*float32"),
    (lambda: Holds(fine=torch.zeros(2), w=torch.zeros(3, dtype=torch.int8)), "w: dtype int8 is not one of"),
    (lambda: Holds(fine=torch.zeros(2), w=torch.zeros(3).to(torch.float8_e8m0fnu)), "w: dtype float8_e8m0fnu is not"),
    (lambda: Holds(fine=torch.zeros(2), w=torch.zeros(3, device="meta")), r"w: it is on the meta device.*to_empty"),
    (
        lambda: Holds(fine=torch.zeros(2), w=torch.zeros(9).as_strided((3, 3), (2, 1))),
        "w: several of its elements are one place",
    ),
    (lambda: Holds(fine=torch.zeros(2), w=torch.zeros(1).expand(3)), "w: several of its elements are one place"),
    (lambda: Holds(fine=torch.zeros(2), w=Quantized.of(3)), "w: it is a Quantized, whose values are computed from"),
    (lambda: Holds(fine=torch.zeros(2), w=torch.zeros(3, 3).to_sparse()), "w: its layout is sparse_coo"),
    (made_for_inference, r"w: it was made under torch\.inference_mode"),
    (overlapping, "3 parameter.*b: it shares memory with a; tie them.*c: it shares memory with a.*c: .* with b"),
]


@pytest.mark.parametrize(("build", "message"), REFUSED)
def test_what_cannot_be_written_is_refused_before_anything_is(build: Callable[[], nn.Module], message: str) -> None:
    model = build()
    with pytest.raises(CannotWrite, match=f"Nothing was written.*{message}"):
        write_(model, planned(model, Normal(std=1.0)), seed=0)
    for name in ("fine", "a"):
        tensor = getattr(model, name, None)
        assert tensor is None or (not tensor.any() and tensor._version == 0)


def test_all_disagreements_are_listed() -> None:
    model = Holds(a=torch.zeros(2), b=torch.zeros(3), c=torch.zeros(4))
    other = Holds(a=torch.zeros(5), b=torch.zeros(3, dtype=torch.float64), d=torch.zeros(4))
    with pytest.raises(CannotWrite) as raised:
        write_(model, planned(other, Normal()), seed=0)
    for line in (
        "4 parameter(s) stand in the way",
        "d: in the plan, not in the model",
        "c: in the model, not in the plan",
        "a: the plan has shape (5,), the model (2,)",
        "b: the plan has dtype float64, the model float32",
    ):
        assert line in str(raised.value)
    assert not any(p.any() for p in model.parameters())


@dataclass(frozen=True)
class Fails(Initializer):
    """Draws for the first parameters and raises for the last."""

    error: type[BaseException] = MemoryError

    def law(self, target: Target) -> Law:
        return Law(0, 1)

    def draw(self, target: Target, seed: int, elements: Any = None) -> npt.NDArray[Any]:
        raise self.error("no more")


@pytest.mark.parametrize("error", [RuntimeError, MemoryError, KeyboardInterrupt])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_a_failure_in_the_middle_leaves_every_bit(error: type[BaseException], dtype: torch.dtype) -> None:
    nan = torch.full((2,), float("nan"), dtype=dtype)
    model = Holds(a=torch.randn(4, 3).to(dtype), b=nan, c=torch.randn(5).to(dtype), d=torch.zeros(2, dtype=dtype))
    before = bits(*model.parameters())
    plan = planned(model, {"a": Normal(), "b": Normal(), "c": Normal(), "d": Fails(error)})
    with pytest.raises(error, match="no more"):
        write_(model, plan, seed=0)
    assert bits(*model.parameters()) == before  # mutant: no copies


def test_without_copies_a_failure_leaves_what_was_written_and_autograd_knows() -> None:
    model = Holds(a=torch.zeros(3), w=torch.zeros(3))
    with pytest.raises(MemoryError):
        write_(model, planned(model, {"a": Normal(), "w": Fails()}), seed=0, keep_copies=False)
    assert bits(model.a) == [Normal().draw(Target("a", (3,)), 0).tobytes()]
    assert model.a._version > 0


def test_a_tie_that_the_model_has_lost_is_named() -> None:
    net: Any = nn.Sequential(nn.Linear(3, 3, bias=False), nn.Linear(3, 3, bias=False))
    weight, net[1].weight = net[1].weight, net[0].weight
    plan = make_plan(trace(net, torch.zeros(1, 3)).graph)
    net[1].weight = weight
    with pytest.raises(CannotWrite, match=r"1\.weight: tied to 0\.weight in the plan, a tensor of its own"):
        write_(net, plan, seed=0)


@pytest.mark.parametrize("stop_at", ["a", "b"])
def test_an_interruption_from_the_progress_bar_leaves_every_bit(stop_at: str) -> None:
    model = Holds(a=torch.randn(4), b=torch.randn(4))
    before = bits(*model.parameters())
    seen: list[str] = []

    def progress(path: str) -> None:
        seen.append(path)
        if path == stop_at:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_(model, planned(model, Normal()), seed=0, progress=progress)
    assert seen == ["a", "b"][: seen.index(stop_at) + 1]
    assert bits(*model.parameters()) == before


@pytest.mark.parametrize("seed", [-1, 2**128, True, 1.0, "0", None])
@pytest.mark.parametrize("law", [Normal(), Zeros(), Keep()])
def test_a_bad_seed_is_refused_even_by_a_plan_that_draws_nothing(seed: Any, law: Initializer) -> None:
    model = Holds(w=torch.full((3,), 2.0))
    with pytest.raises(BadInput, match=r"seed: expected an integer in \[0, 2\*\*128\)"):
        write_(model, planned(model, law), seed=seed)
    assert (model.w.tolist(), model.w._version) == ([2.0] * 3, 0)


def test_the_largest_seed_is_a_seed() -> None:
    model = Holds(w=torch.zeros(3))
    write_(model, planned(model, Normal()), seed=2**128 - 1)
    assert model.w.abs().min() > 0


def test_a_drawn_seed_is_that_of_manual_seed_and_advances_it() -> None:
    net = nn.Linear(2, 2)
    torch.manual_seed(7)
    first, second = draw_seed_for(net), draw_seed_for(net)
    torch.manual_seed(7)
    assert (draw_seed_for(net), draw_seed_for(net)) == (first, second)
    assert first != second
    assert 0 <= first < 2**63


def test_a_parametrized_module_is_written_through_its_originals() -> None:
    net: Any = nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(4, 3)))
    path = "0.parametrizations.weight.original1"
    rules = {"0.bias": "zeros", "*original0": "ones", "*original1": "normal(std=0.5)"}
    write_(net, make_plan(trace(net, torch.zeros(2, 4)).graph, overrides=rules), seed=0)
    assert bits(net.get_parameter(path)) == [Normal(std=0.5).draw(Target(path, (3, 4)), 0).tobytes()]
    assert torch.allclose(net[0].weight.norm(dim=1), torch.ones(3))
