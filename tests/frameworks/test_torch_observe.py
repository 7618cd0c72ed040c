"""Measured moments against a plain run with hooks and `backward`."""

from __future__ import annotations

import copy
import math
import weakref
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from fanin.errors import BadInput, ShapeMismatch
from fanin.frameworks.torch import observe, trace
from fanin.frameworks.torch.measuring.moments import moments
from fanin.signals import Moments, Signals
from fanin.signals.model import RANDOM_COTANGENT

RELATIVE = 1e-6


def mean_square(output: Any) -> Tensor:
    result: Tensor = output.square().mean()
    return result


def measured(model: nn.Module, *example: Any, loss: Callable[[Any], Tensor] | None = mean_square) -> Signals:
    return observe(trace(model, *example), model, example, loss)


class Residual(nn.Module):
    """Tied, shared, branching: where a gradient is a sum over several uses."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(11, 8)
        self.norm = nn.LayerNorm(8)
        self.up = nn.Linear(8, 16)
        self.down = nn.Linear(16, 8)
        self.head = nn.Linear(8, 11, bias=False)
        self.head.weight = self.table.weight

    def forward(self, tokens: Tensor) -> Tensor:
        h = self.table(tokens)
        for _ in range(2):  # the same block twice
            h = h + self.down(F.gelu(self.up(self.norm(h))))
        logits: Tensor = self.head(h)
        return logits


class Attends(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, dropout=0.0)
        self.cell = nn.LSTM(8, 6, batch_first=True, bidirectional=True)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.cell(self.layer(x))[0]
        return y


def cnn() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2),
        nn.BatchNorm2d(8),
        nn.Tanh(),
        nn.Conv2d(8, 8, 3, groups=8),
        nn.ReLU(),
        nn.ConvTranspose2d(8, 4, 2),
        nn.GroupNorm(2, 4),
        nn.Flatten(),
    )


def mlp() -> Any:  # torch types a module's attributes as "tensor or module"
    return nn.Sequential(nn.Linear(9, 16), nn.SiLU(), nn.Linear(16, 5))


CASES: list[tuple[Callable[[], nn.Module], Tensor]] = [
    (mlp, torch.randn(7, 9)),
    (cnn, torch.randn(4, 3, 12, 12)),
    (lambda: cnn().eval(), torch.randn(4, 3, 12, 12)),
    (Residual, torch.randint(11, (3, 5))),
    (Attends, torch.randn(3, 5, 8)),
]


def backward(loss: Tensor) -> None:
    loss.backward()  # type: ignore[no-untyped-call]


def close(found: Moments | None, tensor: Tensor | None) -> bool:
    """The moments of a tensor as its definition says, in Python's own float64."""
    if found is None or tensor is None:
        return found is None and tensor is None
    x = tensor.detach().double().flatten()
    scale = float(x.square().mean().sqrt())
    return (
        found.second_moment == pytest.approx(float(x.square().mean()), rel=RELATIVE)
        and found.mean == pytest.approx(float(x.mean()), rel=RELATIVE, abs=RELATIVE * scale)
        and found.zeros == pytest.approx(float((x == 0).double().mean()))
        and found.non_finite == 0
    )


@pytest.mark.parametrize(("build", "x"), CASES)
def test_parameters_and_their_gradients_equal_those_of_backward(build: Callable[[], nn.Module], x: Tensor) -> None:
    torch.manual_seed(0)
    model = build()
    plain = copy.deepcopy(model)
    backward(mean_square(plain(x)))
    signals = measured(model, x)
    assert set(signals.parameters) == {path for path, _ in plain.named_parameters()}
    for path, parameter in plain.named_parameters():  # mutant: one alias for each name of a tied weight
        assert close(signals.parameters[path].value, parameter), path
        assert close(signals.parameters[path].gradient, parameter.grad), path
    assert signals.loss == pytest.approx(float(mean_square(plain(x)).detach()), rel=RELATIVE)


@pytest.mark.parametrize("kept", [None, 300, 0])
@pytest.mark.parametrize("build", [mlp, cnn])
def test_values_and_gradients_of_nodes_equal_those_of_hooks(
    build: Callable[[], nn.Module], kept: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All gradients asked for, some, none. Mutant: each is taken for that of another node."""
    if kept is not None:
        monkeypatch.setattr("fanin.frameworks.torch.measuring.recorder.KEPT", kept)
    torch.manual_seed(0)
    model, x = build(), torch.randn(4, 9) if build is mlp else torch.randn(4, 3, 12, 12)
    plain, outputs = copy.deepcopy(model), {}

    def keep(path: str) -> Callable[..., None]:
        def hook(_: nn.Module, __: Any, output: Tensor) -> None:
            output.retain_grad()
            outputs[path] = output

        return hook

    for path, module in plain.named_children():
        module.register_forward_hook(keep(path))
    backward(mean_square(plain(x)))
    traced = trace(model, x)
    signals = observe(traced, model, (x,), mean_square)
    last = {node.module: node.name for node in traced.graph.nodes if node.shape}  # the last operation of each module
    assert set(last) == set(outputs)
    for path, name in last.items():
        assert close(signals.values[name], outputs[path]), path
        assert close(signals.gradients[name], outputs[path].grad), path  # mutant: the gradient of one use only


class Viewed(nn.Module):
    """A view beside which another operation reads the same tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(9, 16), nn.Linear(16, 5)

    def forward(self, x: Tensor) -> Tensor:
        h = torch.tanh(self.first(x))
        y: Tensor = self.second(h.view(-1, 16)) + h.t().sum(0)[:, None] * 3
        return y


@pytest.mark.parametrize(("build", "x"), [*CASES, (Viewed, torch.randn(7, 9))])
def test_views_and_copies_have_what_measuring_them_again_would_show(
    build: Callable[[], nn.Module], x: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mutant: the gradient of a view taken for its source's where another operation reads that too."""
    torch.manual_seed(0)
    model = build()
    once = measured(model, x)
    monkeypatch.setattr("fanin.frameworks.torch.measuring.recorder.same_elements", lambda n, recorded: ("", {}))
    again = measured(model, x)
    for some, all_ in ((once.values, again.values), (once.gradients, again.gradients)):
        assert some.keys() == all_.keys()
        for name, seen in all_.items():
            assert some[name].second_moment == pytest.approx(seen.second_moment, rel=1e-12)
            assert (some[name].zeros, some[name].saturated) == (seen.zeros, seen.saturated)


class Chunked(nn.Module):
    """Several results, of which the first stands for all, a view of a view, and an output that nothing changes."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.unused = nn.Linear(9, 8), nn.Linear(9, 3)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        a, b = self.layer(x).chunk(2, -1)
        return a.t().reshape(2, -1) * b.reshape(2, -1), self.unused(x)


def test_it_does_not_matter_how_gradients_are_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    model, x = Chunked(), torch.randn(4, 9)

    def seen() -> Signals:
        return observe(trace(model, x), model, (x,), lambda y: y[0].square().mean())

    asked = seen()
    monkeypatch.setattr("fanin.frameworks.torch.measuring.recorder.KEPT", 0)
    hooked = seen()
    assert asked.gradients == hooked.gradients
    assert asked.parameters == hooked.parameters
    assert len(asked.gradients) >= 5
    assert asked.parameters["unused.weight"].gradient is None


def test_a_residual_stream_collects_the_gradient_of_all_its_branches() -> None:
    torch.manual_seed(0)
    model, tokens = Residual(), torch.randint(11, (3, 5))
    signals = measured(model, tokens)
    table = model.table.weight
    stream = F.embedding(tokens, table).detach().requires_grad_()

    def block(h: Tensor) -> Tensor:
        y: Tensor = h + model.down(F.gelu(model.up(model.norm(h))))
        return y

    backward(mean_square(F.linear(block(block(stream)), table)))
    assert close(signals.values["embedding"], stream)
    assert close(signals.gradients["embedding"], stream.grad)
    model.zero_grad()


def test_without_a_loss_the_gradient_is_that_of_a_fixed_random_cotangent() -> None:
    torch.manual_seed(0)
    model, x = mlp(), torch.randn(7, 9)
    signals = measured(model, x, loss=None)
    output = model(x)
    v = torch.randn(output.shape, generator=torch.Generator().manual_seed(0))
    loss = (output * v).sum() / 7
    (expected,) = torch.autograd.grad(loss, model[0].weight)
    assert close(signals.parameters["0.weight"].gradient, expected)
    assert signals.loss_name == RANDOM_COTANGENT
    assert signals.loss == pytest.approx(loss.item(), rel=1e-5)


def test_frozen_parameters_are_measured_and_stay_frozen() -> None:
    model, x = mlp(), torch.randn(7, 9)
    free = measured(model, x)
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    assert measured(model, x) == free
    assert not any(p.requires_grad for p in model.parameters())


def test_unused_and_integer_parameters_have_values_but_no_gradient() -> None:
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.w = nn.Linear(4, 4)
            self.unused = nn.Parameter(torch.full((4,), 2.0))
            self.levels = nn.Parameter(torch.tensor([0, 3]), requires_grad=False)
            self.waves = nn.Parameter(torch.tensor([3 + 4j]))

        def forward(self, x: Tensor) -> Tensor:
            y: Tensor = self.w(x) * self.levels.max()
            return y

    found = measured(Odd(), torch.randn(2, 4)).parameters
    assert found["unused"].gradient is None
    assert found["unused"].value == Moments(2.0, 4.0)
    assert found["levels"].gradient is None
    assert found["levels"].value == Moments(1.5, 4.5, zeros=0.5)
    assert found["waves"].value == Moments(3.0, 25.0)  # E[|x|²]


def test_dropout_drops_the_same_units_each_time() -> None:
    model = nn.Sequential(nn.Linear(9, 32), nn.Dropout(0.5), nn.Linear(32, 4))
    x = torch.randn(7, 9)
    torch.manual_seed(1)
    first = measured(model, x)
    torch.manual_seed(2)
    assert measured(model, x) == first
    assert 0.3 < first.values["dropout"].zeros < 0.7  # 224 fair coins: 6 σ


def test_what_hands_back_its_input_has_a_gradient_of_its_own() -> None:
    """Mutant: the tensor itself, whose gradient is that of all that reads it."""

    class Forked(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Linear(8, 8)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = self.inner(x)
            return nn.functional.dropout(x, training=False) + 3 * x

    found = measured(Forked(), torch.randn(4, 8)).gradients
    one, both = found["dropout"].second_moment, found["linear"].second_moment
    assert both == pytest.approx(16 * one)


class Skipped(nn.Module):
    """A stochastic depth that writes its mask into memory it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        skipped = torch.empty(len(x), 1, dtype=x.dtype).bernoulli_(0.5)
        return torch.as_tensor(self.linear(x) * skipped)


def test_memory_that_nothing_has_been_written_to_is_not_measured() -> None:
    x = torch.randn(8, 4)
    traced = trace(Skipped(), x)
    empty = {node.name for node in traced.graph.nodes if node.op.startswith("empty")}
    seen = observe(traced, Skipped(), (x,))
    assert empty
    assert not empty & seen.values.keys()
    assert seen.values.keys() | empty == {node.name for node in traced.graph.nodes}


def test_huge_values_do_not_overflow() -> None:
    assert moments(torch.full((5,), 1e30)).second_moment == pytest.approx(1e60)  # mutant: squares in float32
    model: Any = nn.Sequential(nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False))
    with torch.no_grad():
        model[0].weight.fill_(1e30)
        model[1].weight.fill_(1e-30)
    found = measured(model, torch.ones(3, 2))
    assert found.values["linear"].second_moment == pytest.approx(4e60)
    assert found.values["linear"].non_finite == 0


def test_infinities_and_nans_are_counted() -> None:
    found = moments(torch.tensor([1.0, math.inf, math.nan, 0.0]))
    assert (found.non_finite, found.zeros) == (0.5, 0.25)
    assert math.isnan(found.second_moment)
    assert moments(torch.tensor([1.0, -math.inf])).second_moment == math.inf
    assert math.isnan(moments(torch.zeros(0)).mean)


def test_the_saturated_share_counts_outputs_within_one_percent_of_the_range_from_a_bound() -> None:
    z = torch.tensor([[0.0, 1.0, 2.2, 2.4, -9.0, 9.0]])  # tanh: −1 + 0.02 and 1 − 0.02 are reached at ±2.2976
    model: Any = nn.Sequential(nn.Linear(6, 6, bias=False), nn.Tanh(), nn.ReLU6())
    nn.init.eye_(model[0].weight)
    values = measured(model, z).values
    assert values["tanh"].saturated == 0.5
    assert values["linear"].saturated is None
    assert values["hardtanh"].saturated is None  # it rests on a bound: that is sparse, not saturated


def test_equal_rows_and_equal_gradient_rows_are_seen() -> None:
    model: Any = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))
    for parameter in model.parameters():
        nn.init.constant_(parameter, 0.3)
    x = torch.randn(5, 3)
    found = measured(model, x).parameters
    assert found["0.weight"].same_rows
    assert found["0.weight"].same_gradient_rows
    assert not found["2.weight"].same_rows  # one unit has no twin
    assert not found["0.bias"].same_rows  # a vector's elements are no units
    with torch.no_grad():
        model[2].weight[0, 3] = 0.7  # the readout tells one unit from the others
    found = measured(model, x).parameters
    assert found["0.weight"].same_rows
    assert not found["0.weight"].same_gradient_rows


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_are_measured_in_their_own(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    model, x = mlp().to(dtype), torch.randn(7, 9).to(dtype)
    found = measured(model, x, loss=lambda y: y.float().square().mean())
    assert close(found.values["linear"], model[0](x))
    assert found.parameters["0.weight"].gradient is not None


def test_the_given_model_is_measured_not_the_one_that_was_traced() -> None:
    model, x = mlp(), torch.randn(7, 9)
    traced = trace(model, x)
    with torch.no_grad():
        model[0].weight.mul_(3)
    model[0].weight.data = model[0].weight.data.clone() * 2
    assert observe(traced, model, (x,), mean_square) == measured(model, x)
    with torch.device("meta"):
        ghost = mlp()
    traced = trace(ghost, x)
    assert observe(traced, model, (x,), mean_square).values == measured(model, x).values


@pytest.mark.parametrize("compiled", [True, False])
def test_activations_are_not_kept_beyond_what_autograd_keeps(compiled: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not compiled:
        for module in ("moments", "together"):
            monkeypatch.setattr(f"fanin.frameworks.torch.measuring.{module}.compiles", lambda: False)
    n, width, depth = 256, 256, 16
    model = nn.Sequential(*[nn.Identity() if i % 2 else nn.Linear(width, width) for i in range(2 * depth)])
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    x = torch.randn(n, width)
    alive: list[int] = []

    class Counted(TorchDispatchMode):
        """Counts the results that are still reachable after each operation."""

        def __init__(self) -> None:
            super().__init__()  # type: ignore[no-untyped-call]
            self.results: list[Any] = []

        def __torch_dispatch__(self, f: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            result = f(*args, **(kwargs or {}))
            if isinstance(result, Tensor) and result.numel() == n * width and result.dtype is torch.float64:
                self.results.append(weakref.ref(result))
                alive.append(sum(r() is not None for r in self.results))
            return result

    traced = trace(model, x)
    with Counted():
        observe(traced, model, (x,), mean_square)
    assert bool(alive) is not compiled  # which widens nothing
    assert max(alive, default=0) <= 3  # of one tensor, not of 16: its copy, the sizes of that, and what is counted


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (lambda y: y, r"a tensor with one element; got shape \(7, 5\)"),
        (lambda y: 3.0, "a tensor with one element; got float"),
        (lambda y: y.detach().sum(), "does not depend on the model's parameters"),
        (
            lambda y: F.cross_entropy(y, torch.zeros(3, dtype=torch.long)),
            r"The loss, a lambda, failed on the model's output of shape \(7, 5\): ValueError: "
            r"Expected input batch_size \(7\) to match target batch_size \(3\), at test_torch_observe\.py:\d+",
        ),
    ],
)
def test_a_bad_loss_is_named(loss: Callable[[Any], Any], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        measured(mlp(), torch.randn(7, 9), loss=loss)


def test_the_loss_own_exception_is_the_cause() -> None:
    own = KeyError("labels")

    def my_loss(_: Tensor) -> Tensor:
        raise own

    with pytest.raises(BadInput, match=r"The loss, my_loss, failed .* KeyError: 'labels'") as raised:
        measured(mlp(), torch.randn(7, 9), loss=my_loss)
    assert raised.value.__cause__ is own


def test_what_cannot_be_measured_is_said() -> None:
    tokens = torch.tensor([[1, 10]])
    with pytest.raises(ShapeMismatch, match=r"layer '0', Embedding\(10, 4\): expected integer indices from 0 to 9.*10"):
        measured(nn.Sequential(nn.Embedding(10, 4)), tokens)
    with pytest.raises(
        ShapeMismatch, match=r"expected dtype float32, got dtype int64\. The example has shape \(7, 9\) of"
    ):
        measured(mlp(), torch.ones(7, 9, dtype=torch.long))
    with torch.device("meta"):
        ghost = mlp()
    with pytest.raises(BadInput, match=r"4 parameter\(s\) are on the meta device .* Call model\.to_empty"):
        measured(ghost, torch.zeros(7, 9))
    traced = trace(mlp(), torch.zeros(7, 9))
    for example in [(torch.zeros(3, 9),), (), (torch.zeros(7, 9), torch.zeros(7, 9)), (torch.zeros(7, 9).double(),)]:
        with pytest.raises(BadInput, match=r"recorded with shape \(7, 9\); got .*Trace the model again"):
            observe(traced, mlp(), example)

    class Counts(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.w = nn.Linear(4, 4)

        def forward(self, x: Tensor) -> Tensor:
            y: Tensor = self.w(x).argmax(-1)
            return y

    with pytest.raises(BadInput, match=r"Give a loss: measure\(model, x, loss=…\)"):
        measured(Counts(), torch.zeros(2, 4), loss=None)


@torch.library.custom_op("fanin_tests::laid_out", mutates_args=())
def laid_out(x: torch.Tensor) -> torch.Tensor:
    """A kernel that lays its result out otherwise than its shape function says, as fused attention does."""
    return (2 * x).transpose(0, 1).contiguous().transpose(0, 1)


@laid_out.register_fake
def _(x: torch.Tensor) -> torch.Tensor:
    return torch.empty_like(x)


def test_a_layout_that_was_not_foreseen_changes_nothing() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(6, 2)

        def forward(self, x: torch.Tensor) -> Any:
            return self.layer(laid_out(x).view(6))

    net, x = Net(), torch.arange(6.0).reshape(2, 3)
    expected = net.layer(2 * torch.arange(6.0)).detach().square().mean()
    assert measured(net, x).values["linear"].second_moment == pytest.approx(float(expected), rel=1e-6)


def test_a_closer_look_sees_how_values_gradients_and_weights_are_spread() -> None:
    first = nn.Linear(64, 64)
    nn.init.uniform_(first.weight, -0.5, 0.5)
    net, x = nn.Sequential(first, nn.ReLU(), nn.Linear(64, 2, bias=False)), torch.randn(32, 64)
    signals = observe(trace(net, x), net, (x,), None, {})
    assert set(signals.parameter_details) == {"0.weight", "0.bias", "2.weight"}
    weight = signals.parameter_details["0.weight"].histogram
    assert weight is not None
    assert sum(weight.counts) == 64 * 64
    inside = [n for i, n in enumerate(weight.counts) if abs(i - 19.5) < 20 * 0.5 / weight.high - 1]
    assert max(inside) < 1.7 * min(inside)  # a uniform law is flat: 6 standard deviations of a bin's 236 are 0.4 of it
    assert sum(inside) > 0.9 * 64 * 64
    assert set(signals.gradient_details) <= set(signals.details)
    assert not observe(trace(net, x), net, (x,)).parameter_details


def test_a_spectrum_that_is_written_in_part_has_gradients() -> None:
    """`slice_scatter`, as which the assignment is recorded, cannot be differentiated for complex numbers."""

    class Spectral(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.randn(4, 4, 3, dtype=torch.complex64))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            seen = torch.fft.rfft(x)
            made = torch.zeros_like(seen)
            made[:, :, :3] = torch.einsum("bim,iom->bom", seen[:, :, :3], self.weight)
            out: torch.Tensor = torch.fft.irfft(made, n=x.shape[-1])
            return out

    model, x = Spectral(), torch.randn(2, 4, 16)
    found = measured(model, x)
    gradient = found.parameters["weight"].gradient
    assert gradient is not None
    assert gradient.second_moment > 0
