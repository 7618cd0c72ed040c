"""Laws that are not what they should be, memory that nobody wrote, and parameters that nobody trains."""

from __future__ import annotations

import gc
import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

import fanin
from fanin.diagnosis import Diagnosis, Finding, Severity, remedy_plan
from fanin.testing.zoo import laws
from fanin.testing.zoo.case import Case

DEPTH, WIDTH = laws.DEPTH, laws.WIDTH


def of(name: str) -> Case:
    return next(case for case in laws.CASES if case.name == name)


def judged(case: Case) -> Diagnosis:
    there = case.build()
    return fanin.diagnose(there.model, *there.example, loss=there.loss, **there.options)


def only(diagnosis: Diagnosis, code: str) -> Finding:
    found = [f for f in diagnosis if f.code == code]
    assert len(found) == 1, str(diagnosis)
    return found[0]


def built(change: Callable[[nn.Module], object], code: str) -> list[Finding]:
    """What is found of that code in a net of three layers with norms that was changed."""
    torch.manual_seed(0)
    net = laws.perceptron()
    with torch.no_grad():
        change(net)
    return list(fanin.diagnose(net, torch.randn(64, 32), select=[code]))


# W01


def test_what_a_recipe_says_and_the_model_does_not_do_is_named_with_both_numbers() -> None:
    found = only(judged(of("decoder, residual scale not applied")), "W01")
    assert found.evidence["ratio"] == pytest.approx(math.sqrt(DEPTH), rel=0.05)
    assert found.evidence["differing"] == DEPTH
    assert all("down.weight" in path for path in found.affected)
    assert "gpt2" in found.what


def test_a_plan_may_be_followed_and_what_it_keeps_is_not_compared() -> None:
    """Mutant: what is kept is compared."""
    there = of("decoder, as GPT-2").build()
    there.model.get_parameter("words.weight").requires_grad_(False)
    nn.init.normal_(there.model.get_parameter("words.weight"), std=0.7)
    plan = fanin.plan(there.model, *there.example, recipe="gpt2")
    assert "W01" not in {f.code for f in fanin.diagnose(there.model, *there.example, follows=plan)}
    assert "W01" in {f.code for f in fanin.diagnose(there.model, *there.example, follows="xavier")}


@pytest.mark.parametrize("recipe", ["he", "torch_default", "auto"])
def test_a_model_follows_the_recipe_that_started_it(recipe: str) -> None:
    there = of("decoder, as GPT-2").build()
    fanin.initialize_(there.model, *there.example, recipe=recipe, seed=3)
    assert "W01" not in {f.code for f in fanin.diagnose(there.model, *there.example, follows=recipe)}


def test_the_odd_one_among_sisters_is_named_and_gets_their_law() -> None:
    there = of("decoder, one block left as built").build()
    diagnosis = fanin.diagnose(there.model, *there.example, loss=there.loss)
    found = only(diagnosis, "W01")
    assert found.place.parameter == "blocks.2.up.weight"
    assert found.place.block == ("blocks.2", 3, DEPTH)
    assert remedy_plan(diagnosis)["blocks.2.up.weight"].initializer == fanin.Normal(0.02)


def test_scales_that_follow_depth_have_no_odd_one() -> None:
    """Mutant: a majority that need not be one."""
    assert not judged(of("decoder, scales by depth")).findings


def test_an_odd_one_at_an_end_may_be_meant() -> None:
    there = of("decoder, one block left as built").build()
    weights = [there.model.get_parameter(f"blocks.{i}.up.weight") for i in (0, 2)]
    with torch.no_grad():
        weights[1].copy_(weights[0].flip(0))
        weights[0].mul_(3)
    assert only(fanin.diagnose(there.model, *there.example), "W01").severity is Severity.NOTE


def test_biases_of_layers_with_another_fan_in_are_no_sisters() -> None:
    """Mutant: what stands beside a bias is forgotten."""
    torch.manual_seed(0)
    widths = [64, 64, 64, 1024, 64, 64, 64, 64, 64, 64]
    layers = [nn.Linear(n, 64) for n in widths]
    net = nn.ModuleList(layers)

    class Wide(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = net

        def forward(self, x: Tensor) -> Tensor:
            for layer in self.layers:
                x = nn.functional.layer_norm(x, x.shape[-1:])
                x = torch.tanh(layer(x if layer.in_features == 64 else x.repeat(1, 16)))
            return x

    assert fanin.diagnose(Wide(), torch.randn(64, 64), select=["W01"]).findings == ()


# W02


def test_values_at_the_cut_are_counted() -> None:
    found = only(judged(of("decoder, stuck at the cut")), "W02")
    assert found.evidence["at_the_bound"] == 9
    assert found.evidence["bound"] == 2.0


def test_large_values_that_are_not_apart_are_a_tail() -> None:
    """Two equal ones may come of rounding. Mutant: no gap is asked for."""

    def heavy(net: nn.Module) -> None:
        weight = net.get_parameter("3.weight")
        weight.mul_(torch.randn(WIDTH, WIDTH).exp())
        flat = weight.view(-1)
        flat[int(flat.abs().topk(2).indices[1])] = flat[int(flat.abs().argmax())]

    assert not built(heavy, "W02")


def test_a_recipe_whose_cut_cuts_nothing_is_noted() -> None:
    there = of("decoder, as GPT-2").build()
    found = only(fanin.diagnose(there.model, *there.example, follows="vit"), "W02")
    assert found.severity is Severity.NOTE
    assert found.evidence["cut_in_sigmas"] == pytest.approx(100)


# W03


def test_a_depthwise_convolution_with_the_fan_of_all_groups_is_an_eighth() -> None:
    found = only(judged(of("depthwise, fans of all groups")), "W03")
    assert found.severity is Severity.WARNING
    assert found.evidence["ratio"] == pytest.approx(1 / math.sqrt(WIDTH))
    assert "fan_out 576, where the operation has 9" in found.why


def test_a_norm_behind_it_makes_it_a_note() -> None:
    torch.manual_seed(0)
    depthwise = nn.Conv2d(64, 64, 3, padding=1, groups=64)
    nn.init.kaiming_normal_(depthwise.weight, mode="fan_out")
    net = nn.Sequential(nn.Conv2d(3, 64, 1), depthwise, nn.BatchNorm2d(64), nn.ReLU(), nn.Conv2d(64, 8, 1))
    (found,) = fanin.diagnose(net, torch.randn(8, 3, 8, 8), select=["W03"])
    assert found.severity is Severity.NOTE


def test_a_stride_is_no_mistake() -> None:
    """He's fan_out of a strided convolution is K n_out. Mutant: the stride is divided by."""
    torch.manual_seed(0)
    stem = nn.Conv2d(3, 32, 7, stride=2, padding=3)
    nn.init.kaiming_normal_(stem.weight, mode="fan_out")
    net = nn.Sequential(stem, nn.ReLU(), nn.Conv2d(32, 8, 1))
    assert fanin.diagnose(net, torch.randn(8, 3, 16, 16), select=["W03"]).findings == ()


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU])
def test_what_recurrent_layers_draw_by_default_is_no_mistake(kind: Callable[..., nn.RNNBase]) -> None:
    """Where the input has twice the width, Xavier of an LSTM's packed shape is the same. Mutant: it is taken for it."""

    class Read(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cells, self.out = kind(128, 64, batch_first=True), nn.Linear(64, 5)

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.out(self.cells(x)[0][:, -1])
            return out

    torch.manual_seed(0)
    assert fanin.diagnose(Read(), torch.randn(8, 6, 128), select=["W03"]).findings == ()


def test_what_pytorch_does_by_default_is_a_note() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 64, 3, padding=1), nn.ReLU(), nn.ConvTranspose2d(64, 4, 4, 2, 1))
    (found,) = fanin.diagnose(net, torch.randn(4, 3, 8, 8), select=["W03"])
    assert (found.severity, found.place.parameter) == (Severity.NOTE, "2.weight")
    assert found.evidence["ratio"] == pytest.approx(math.sqrt(64 * 16 / 4) / math.sqrt(4 * 16))


# W04


def churned() -> None:
    """Leave the allocator with memory that held other things."""
    freed = [torch.randn(17 + 3 * i, 40) for i in range(60)] + [torch.randint(50_000, (100, 64)) for _ in range(10)]
    del freed
    gc.collect()


@pytest.mark.parametrize("seed", range(3))
def test_a_model_on_empty_memory_is_seen(seed: int) -> None:
    churned()
    with torch.device("meta"):
        net = laws.perceptron()
    net.to_empty(device="cpu")
    torch.manual_seed(seed)
    if all(torch.count_nonzero(p) == 0 for p in net.parameters()):
        pytest.skip("the allocator gave fresh pages, which are zeros")
    found = {f.code for f in fanin.diagnose(net, torch.randn(8, 32))}
    assert found & {"W04", "U01"}


def test_a_parameter_that_is_not_a_number_is_named() -> None:
    (found,) = built(lambda net: net.get_parameter("3.weight").view(-1)[5].fill_(math.nan), "W04")
    assert (found.severity, found.place.parameter) == (Severity.ERROR, "3.weight")


def test_addresses_that_are_tiny_numbers_are_seen() -> None:
    def tiny(net: nn.Module) -> None:
        addresses = 0x7F3A_1C00_0000 + 48 * torch.arange(WIDTH * WIDTH // 2)
        net.get_parameter("3.weight").view(-1).copy_(addresses.view(torch.float32))

    (found,) = built(tiny, "W04")
    assert "as small as 5e-41" in found.what


def test_units_that_training_decayed_to_nothing_are_no_old_memory() -> None:
    """Mutant: any small number is an address."""

    def decayed(net: nn.Module) -> None:
        weight = net.get_parameter("3.weight")
        weight.add_(torch.randn(WIDTH, 2) @ torch.randn(2, WIDTH).pow(3) / 8)  # as trained weights, of no random law
        weight[40:48] = torch.randn(8, WIDTH) * 1e-40

    assert not built(decayed, "W04")


@pytest.mark.parametrize(
    "zeros",
    [
        lambda w: w[10:40].zero_(),
        lambda w: w[:, 7:60].zero_(),
        lambda w: (w[:, 50:].zero_(), w[20:].zero_()),
        lambda w: w.tril_(),
        lambda w: w.mul_(torch.rand(WIDTH, WIDTH) < 0.02),
    ],
    ids=["rows", "columns", "padded both ways", "triangle", "sparse"],
)
def test_zeros_by_design_are_not_torn(zeros: Callable[[Tensor], object]) -> None:
    def change(net: nn.Module) -> None:
        zeros(net.get_parameter("3.weight"))

    assert not built(change, "W04")


def test_a_page_of_zeros_that_ends_in_a_row_is_torn() -> None:
    found = only(judged(of("memory half written")), "W04")
    assert "1,600 zeros" in found.what


# P01, P02


def test_a_gradient_of_zero_is_a_gradient() -> None:
    def closed(net: nn.Module) -> None:
        nn.init.zeros_(net.get_parameter("6.weight"))

    assert not built(closed, "P01")


def test_what_is_stopped_without_a_loss_may_have_one_of_its_own() -> None:
    """Mutant: a loss is taken for given."""
    there = of("an encoder cut off").build()
    assert only(judged(of("an encoder cut off")), "P01").severity is Severity.WARNING
    (found,) = fanin.diagnose(there.model, *there.example, select=["P01"])
    assert found.severity is Severity.NOTE


def test_all_unused_parameters_are_named() -> None:
    assert only(judged(of("a layer never called")), "P01").affected == ("extra.weight", "extra.bias")


def test_trained_weights_may_be_frozen() -> None:
    torch.manual_seed(0)
    net = laws.perceptron()
    x = torch.randn(128, 32)
    labels = (x @ torch.randn(32, 10)).argmax(1)
    optimizer = torch.optim.AdamW(net.parameters(), 1e-2)
    for _ in range(100):
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(x), labels).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    for layer in list(net)[:-1]:
        layer.requires_grad_(False)
    assert fanin.diagnose(net, x, select=["P02"]).findings == ()
