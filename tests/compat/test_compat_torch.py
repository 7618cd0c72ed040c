"""`fanin.compat.torch` stands where torch.nn.init stood: names, signatures, seeds, and every kind of tensor."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

import fanin
from fanin.compat import torch as init
from fanin.errors import BadInput, CannotWrite, UnknownName
from fanin.graph import Fans
from fanin.initializers import Initializer, Normal, Orthogonal, Sparse, Target, Uniform, VarianceScaling

FUNCTIONS = [
    name
    for name, function in vars(nn.init).items()
    if inspect.isfunction(function) and function.__module__ == "torch.nn.init"
]
CONV = Fans(2 * 3, 4 * 3)
DRAWS: dict[str, tuple[tuple[Any, ...], Initializer]] = {
    "uniform_": ((-0.5, 0.25), Uniform(-0.5, 0.25)),
    "normal_": ((0.5, 0.02), Normal(0.02, mean=0.5)),
    "trunc_normal_": ((0.5, 0.02), Normal(0.02, mean=0.5)),  # bounds at ±2 are no bounds here
    "xavier_uniform_": ((2.0,), VarianceScaling(2.0, "fan_avg", "uniform")),
    "xavier_normal_": ((2.0,), VarianceScaling(2.0, "fan_avg", "normal")),
    "kaiming_uniform_": ((5**0.5,), fanin.initializers.torch_uniform()),
    "kaiming_normal_": ((0, "fan_out", "relu"), VarianceScaling(2**0.5, "fan_out", "normal")),
    "orthogonal_": ((2.0,), Orthogonal(2.0)),
    "sparse_": ((0.4, 0.5), Sparse(0.4, 0.5)),
}
DTYPES = {torch.float32: "float32", torch.float64: "float64", torch.float16: "float16", torch.bfloat16: "bfloat16"}


def call(name: str, tensor: torch.Tensor, /, *args: Any, **kwargs: Any) -> torch.Tensor:
    result: torch.Tensor = getattr(init, name)(tensor, *(args or arguments(name)), **kwargs)
    assert result is tensor
    return tensor


def arguments(name: str) -> tuple[Any, ...]:
    return DRAWS[name][0] if name in DRAWS else ()


def shape_for(name: str) -> tuple[int, ...]:
    return (6, 5) if name == "sparse_" else (4, 2, 3)


def drawn(name: str, **kwargs: Any) -> torch.Tensor:
    return call(name, torch.empty(shape_for(name)), **kwargs)


def expected(name: str, what: Initializer, dtype: torch.dtype = torch.float32, seed: int = 0) -> torch.Tensor:
    values = what.draw(Target("layer.weight", shape_for(name), DTYPES[dtype], CONV), seed)
    return torch.from_numpy(values).view(dtype).view(shape_for(name))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_signatures_are_those_of_torch_with_seed_and_name_beside_them(name: str) -> None:
    theirs = list(inspect.signature(getattr(nn.init, name)).parameters.values())
    ours = list(inspect.signature(getattr(init, name)).parameters.values())
    if name in DRAWS:
        *ours, seed, last = ours
        assert (seed.name, seed.default, last.name, last.default) == ("seed", None, "name", "")
        assert seed.kind is last.kind is inspect.Parameter.KEYWORD_ONLY
    assert [(p.name, p.default, p.kind) for p in ours] == [(p.name, p.default, p.kind) for p in theirs]


def test_every_public_name_of_torch_is_there() -> None:
    assert set(init.__all__) == set(nn.init.__all__) | {"installed"}
    assert DRAWS.keys() == {
        n for n in FUNCTIONS if n[0] != "_" and "generator" in inspect.signature(nn.init.__dict__[n]).parameters
    }


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", DRAWS)
def test_bits_are_those_of_the_initializer(name: str, dtype: torch.dtype) -> None:
    got = call(name, torch.empty(shape_for(name), dtype=dtype), seed=0, name="layer.weight")
    assert torch.equal(got, expected(name, DRAWS[name][1], dtype))


def test_bits_are_those_of_a_whole_model() -> None:
    layer = nn.Linear(7, 5)
    fanin.initialize_(nn.Sequential(layer), torch.zeros(1, 7), recipe="normal(std=0.02)", seed=3)
    assert torch.equal(layer.weight, init.normal_(torch.empty(5, 7), 0, 0.02, seed=3, name="0.weight"))


@pytest.mark.parametrize("name", DRAWS)
def test_manual_seed_keeps_its_meaning_and_each_call_draws_anew(name: str) -> None:
    torch.manual_seed(5)
    first, second = drawn(name), drawn(name)
    torch.manual_seed(5)
    assert torch.equal(drawn(name), first)
    assert torch.equal(drawn(name), second)
    assert not torch.equal(first, second)


@pytest.mark.parametrize("name", DRAWS)
def test_a_generator_decides_every_value_and_the_global_one_rests(name: str) -> None:
    torch.manual_seed(5)
    by_default = drawn(name)
    state = torch.get_rng_state()
    assert torch.equal(drawn(name, generator=torch.Generator().manual_seed(5)), by_default)
    assert not torch.equal(drawn(name, generator=torch.Generator().manual_seed(6)), by_default)
    assert torch.equal(torch.get_rng_state(), state)


def test_the_zeros_of_sparse_follow_the_generator() -> None:
    places = [drawn("sparse_", generator=torch.Generator().manual_seed(seed)) == 0 for seed in (1, 1, 2)]
    assert torch.equal(places[0], places[1])
    assert not torch.equal(places[0], places[2])
    assert all((found.sum(0) == 3).all() for found in places)  # ⌈0.4 · 6⌉


def test_a_seed_and_a_generator_contradict_each_other() -> None:
    with pytest.raises(BadInput, match="both"):
        init.normal_(torch.empty(3), generator=torch.Generator(), seed=0)


@given(
    order=st.permutations(range(3)),
    steps=st.tuples(*[st.integers(1, 3)] * 3),
    name=st.sampled_from([n for n in DRAWS if n != "sparse_"]),
    dtype=st.sampled_from(list(DTYPES)),
)
def test_any_strides_hold_the_same_values_and_nothing_beside_them_changes(
    order: list[int], steps: tuple[int, ...], name: str, dtype: torch.dtype
) -> None:
    sizes = [shape_for(name)[axis] * steps[axis] for axis in order]
    memory = torch.full(sizes, 7.0, dtype=dtype)
    place = memory.permute(*[order.index(axis) for axis in range(3)])[tuple(slice(None, None, s) for s in steps)]
    call(name, place, seed=0, name="layer.weight")
    assert torch.equal(place, expected(name, DRAWS[name][1], dtype))
    assert (memory == 7).sum() == memory.numel() - place.numel()


def test_channels_last_weights_keep_their_format() -> None:
    w = torch.empty(4, 3, 5, 5).to(memory_format=torch.channels_last)
    init.kaiming_normal_(w, seed=0, name="w")
    assert w.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(w, init.kaiming_normal_(torch.empty(4, 3, 5, 5), seed=0, name="w"))


@pytest.mark.parametrize("name", [*DRAWS, "zeros_", "ones_", "eye_"])
def test_autograd_sees_a_change_and_no_operation(name: str) -> None:
    leaf = nn.Parameter(torch.empty(6, 5))
    version = leaf._version
    call(name, leaf)
    assert leaf.is_leaf
    assert leaf.requires_grad
    assert leaf._version > version
    saved = leaf * leaf
    call(name, leaf)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        torch.autograd.grad(saved.sum(), leaf)


@pytest.mark.parametrize("name", DRAWS)
def test_what_has_no_memory_is_left_alone_and_draws_no_seed(name: str) -> None:
    state = torch.get_rng_state()
    assert call(name, torch.empty(shape_for(name), device="meta")).is_meta
    with FakeTensorMode():
        call(name, torch.empty(shape_for(name)))
    assert torch.equal(torch.get_rng_state(), state)


def test_a_constructor_runs_on_the_meta_device() -> None:
    with torch.device("meta"):
        assert init.normal_(nn.Linear(3, 2).weight).is_meta
        assert torch.isfinite(init.normal_(torch.empty(3, device="cpu"))).all()  # the seed is drawn on the CPU


@pytest.mark.parametrize("name", ["kaiming_uniform_", "kaiming_normal_"])
def test_tensors_without_elements(name: str) -> None:
    with pytest.warns(UserWarning, match="Initializing zero-element tensors is a no-op") as seen:
        call(name, torch.empty(0, 3))
    assert seen[0].filename == __file__  # the caller's line is shown
    for other in DRAWS.keys() - {"kaiming_uniform_", "kaiming_normal_"}:
        assert call(other, torch.empty(0, 3)).shape == (0, 3)


@pytest.mark.parametrize("name", DRAWS)
@pytest.mark.parametrize("dtype", [torch.int64, torch.bool, torch.float8_e8m0fnu])
def test_dtypes_that_the_stream_does_not_have(name: str, dtype: torch.dtype) -> None:
    tensor = torch.zeros(shape_for(name), dtype=dtype)
    before = tensor.tolist()
    with pytest.raises(CannotWrite, match=str(dtype)):
        call(name, tensor)
    assert tensor.tolist() == before


def test_constants_of_any_dtype() -> None:
    assert init.constant_(torch.empty(2, dtype=torch.int64), 3).tolist() == [3, 3]
    assert init.ones_(torch.empty(2, dtype=torch.bool)).tolist() == [True, True]
    assert call("constant_", torch.empty(1, dtype=torch.complex64), 1j).item() == 1j


@given(shape=st.lists(st.integers(0, 5), min_size=3, max_size=5), groups=st.integers(1, 3), flip=st.booleans())
def test_dirac_and_eye_are_those_of_torch(shape: list[int], groups: int, flip: bool) -> None:
    def empty(*sizes: int) -> torch.Tensor:
        return torch.full(sizes[::-1], 9.0).permute(*range(len(sizes))[::-1]) if flip else torch.full(sizes, 9.0)

    sizes = (shape[0] * groups, *shape[1:])
    if 0 not in sizes:  # torch's own fails without a kernel
        assert torch.equal(init.dirac_(empty(*sizes), groups), nn.init.dirac_(torch.empty(sizes), groups))
    assert torch.equal(init.eye_(empty(*sizes[:2])), nn.init.eye_(torch.empty(sizes[:2])))


@pytest.mark.parametrize("name", [n for n in FUNCTIONS if f"{n}_" in FUNCTIONS])
def test_old_names_warn_and_call_the_new_ones(name: str) -> None:
    chosen = (0.5,) if name == "constant" else arguments(f"{name}_")
    shape = (4, 2, 3) if name == "dirac" else (6, 5)
    torch.manual_seed(0)
    with pytest.warns(FutureWarning, match=rf"`nn.init.{name}` is now deprecated in favor of `nn.init.{name}_`"):
        old = getattr(init, name)(torch.empty(shape), *chosen)
    torch.manual_seed(0)
    assert torch.equal(old, call(f"{name}_", torch.empty(shape), *chosen))


def test_private_names_draw_as_well() -> None:
    private: dict[str, tuple[float, ...]] = {
        "_no_grad_uniform_": (0.0, 1.0),
        "_no_grad_normal_": (0.0, 1.0),
        "_no_grad_trunc_normal_": (0.0, 1.0, -2.0, 2.0),
        "_no_grad_fill_": (3.0,),
        "_no_grad_zero_": (),
    }
    assert private.keys() <= set(FUNCTIONS)
    for name, chosen in private.items():
        torch.manual_seed(0)
        got = getattr(init, name)(torch.empty(3), *chosen)
        public = {"_no_grad_fill_": "constant_", "_no_grad_zero_": "zeros_"}.get(name, name.removeprefix("_no_grad_"))
        torch.manual_seed(0)
        assert torch.equal(got, call(public, torch.empty(3), *chosen))


def test_a_subclass_sees_the_call_and_stays_what_it_is() -> None:
    seen: list[str] = []

    class Noted(torch.Tensor):
        @classmethod
        def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            seen.append(func.__name__)
            with torch._C.DisableTorchFunctionSubclass():
                return func(*args, **(kwargs or {}))

    tensor = torch.empty(4, 2, 3).as_subclass(Noted)
    seen.clear()
    call("normal_", tensor, seed=0, name="layer.weight")
    assert seen == ["normal_"]
    assert torch.equal(torch.Tensor(tensor), expected("normal_", DRAWS["normal_"][1]))


def test_a_compiled_function_draws_the_same_bits() -> None:
    def forward(x: torch.Tensor) -> torch.Tensor:
        return init.normal_(x * 2, seed=0, name="noise") + 1

    x = torch.ones(3, 4)
    compiled: Callable[[torch.Tensor], torch.Tensor] = torch.compile(forward, backend="eager")
    assert torch.equal(compiled(x), forward(x))


def test_an_export_would_lose_the_draw_and_says_so() -> None:
    class Noise(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return init.normal_(torch.empty(3)) + x

    with pytest.raises(CannotWrite, match=r"torch\.export"):
        torch.export.export(Noise(), (torch.zeros(3),), strict=False)


@pytest.fixture
def mesh() -> Iterator[Any]:
    """Four processes, of which this is the second; the others are not needed, as nothing is sent."""
    from torch import distributed
    from torch.distributed.device_mesh import init_device_mesh
    from torch.testing._internal.distributed.fake_pg import FakeStore

    distributed.init_process_group("fake", store=FakeStore(), rank=1, world_size=4)
    yield init_device_mesh("cpu", (4,))
    distributed.destroy_process_group()


def test_a_shard_holds_the_values_of_the_whole(mesh: Any) -> None:
    from torch.distributed.tensor import Shard, distribute_tensor

    for name in [*DRAWS, "eye_", "dirac_"]:
        seeded: dict[str, Any] = {"seed": 0, "name": "w"} if name in DRAWS else {}
        shape = (7, 6, 3) if name == "dirac_" else (7, 6)
        whole = call(name, torch.empty(shape), **seeded)
        for axis in (0, 1):
            sharded = distribute_tensor(torch.empty(shape), mesh, [Shard(axis)], src_data_rank=None)
            assert torch.equal(
                call(name, sharded, **seeded).to_local(),  # type: ignore[attr-defined]
                whole.chunk(4, axis)[1],
            ), name


def test_gains_are_those_of_torch_where_torch_has_one() -> None:
    for name in ("linear", "conv1d", "conv_transpose3d", "sigmoid", "tanh", "relu", "leaky_relu", "selu"):
        assert init.calculate_gain(name) == nn.init.calculate_gain(name)
    assert init.calculate_gain("leaky_relu", 0.2) == nn.init.calculate_gain("leaky_relu", 0.2)
    assert init.calculate_gain("Tanh") == 5 / 3  # another spelling is no other convention
    assert init.calculate_gain("LeakyReLU", 0.2) == nn.init.calculate_gain("leaky_relu", 0.2)
    assert init.calculate_gain("identity") == 1


def test_gains_that_torch_does_not_have_are_exact() -> None:
    for name in ("gelu", "silu", "elu", "mish", "softplus", "hardswish"):
        assert init.calculate_gain(name) == fanin.gain(name).forward
        assert init.calculate_gain(name, 0) == init.calculate_gain(name)  # as kaiming_*_ calls it, with its a
    with pytest.raises(UnknownName, match="gelu"):
        init.calculate_gain("gelo")


@pytest.mark.parametrize(
    ("function", "chosen", "says"),
    [
        ("uniform_", (1.0, 0.0), "low must be below high"),
        ("normal_", (0.0, -1.0), "std must be a finite number, at least 0"),
        ("trunc_normal_", (0.0, 0.0), "std must be above 0"),
        ("trunc_normal_", (0.0, 1.0, 2.0, 1.0), "a must be below b"),
        ("trunc_normal_", (0.0, 1.0, -1.0, 1e-12 - 1.0), "no random word falls between"),
        ("kaiming_normal_", (0, "fan_sum"), "fan_sum"),
        ("sparse_", (1.5,), "sparsity must be in"),
        ("xavier_normal_", (-1.0,), "gain must be"),
    ],
)
def test_errors_say_what_is_wrong(function: str, chosen: tuple[Any, ...], says: str) -> None:
    tensor = torch.zeros(3, 3)
    with pytest.raises(BadInput, match=says):
        call(function, tensor, *chosen)
    assert not tensor.any()


def test_bounds_that_are_one_number() -> None:
    assert init.uniform_(torch.empty(2), 0.5, 0.5).tolist() == [0.5, 0.5]
    assert init.trunc_normal_(torch.empty(2), a=1.0, b=1.0).tolist() == [1.0, 1.0]
    assert init.sparse_(torch.ones(2, 2), 1.0).tolist() == [[0.0, 0.0], [0.0, 0.0]]


def test_numbers_may_come_as_scalars_of_numpy_or_torch() -> None:
    plain = init.normal_(torch.empty(3), 0.0, 0.5, seed=0)
    assert torch.equal(init.normal_(torch.empty(3), np.float32(0), torch.tensor(0.5), seed=0), plain)  # type: ignore[arg-type]
