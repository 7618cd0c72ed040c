"""What surrounds a pass is seen as it is: the data, what chance is worth, the optimizer, several batches."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.data import DataLoader, TensorDataset

import fanin
from fanin.api.evidence import gathering
from fanin.diagnosis import Evidence
from fanin.errors import BadInput, FaninError
from fanin.frameworks.torch.measuring.training import training
from fanin.frameworks.torch.model.devices import require_one_device
from fanin.signals.circumstances import Chance

CLASSES = 10
LN = math.log(CLASSES)


def net(*last: nn.Module) -> Any:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, CLASSES), *last)


def batch(size: int = 12) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(size, 8, generator=generator), torch.arange(size) % CLASSES


def gather(model: nn.Module, *example: Any, **given: Any) -> Evidence:
    return gathering(model, *example, **given)()


def chance_of(model: nn.Module, *example: Any, loss: Callable[..., Any] | None) -> Chance:
    found = gather(model, *example, loss=loss).chance
    assert found is not None
    return found


# Loss, what ends the model, what chance is worth, and over how many classes.
LOSSES: dict[str, tuple[Callable[..., Any], tuple[nn.Module, ...], float, int | None]] = {
    "cross-entropy": (F.cross_entropy, (), LN, CLASSES),
    "smoothed": (nn.CrossEntropyLoss(label_smoothing=0.1), (), LN, CLASSES),
    "summed": (nn.CrossEntropyLoss(reduction="sum"), (), 12 * LN, CLASSES),
    "of log-probabilities": (F.nll_loss, (nn.LogSoftmax(-1),), LN, CLASSES),
    "of probabilities": (lambda p, y: -p[range(len(y)), y].log().mean(), (nn.Softmax(-1),), LN, CLASSES),
    "yes or no": (
        lambda z, y: F.binary_cross_entropy_with_logits(z, F.one_hot(y, CLASSES).float()),
        (),
        math.log(2),
        2,
    ),
    "of chances": (
        lambda p, y: F.binary_cross_entropy(p, F.one_hot(y, CLASSES).float()),
        (nn.Sigmoid(),),
        math.log(2),
        2,
    ),
    "squared": (lambda z, y: F.mse_loss(z, F.one_hot(y, CLASSES).float()), (), 0.1, None),
}


@pytest.mark.parametrize("name", LOSSES)
def test_chance_is_the_loss_of_logits_that_are_0(name: str) -> None:
    """Mutant: outputs of 0 where they are probabilities."""
    loss, last, value, classes = LOSSES[name]
    found = chance_of(net(*last), *batch(), loss=loss)
    assert found.loss == pytest.approx(value, rel=1e-5)
    assert found.classes == classes
    assert found.name == "linear_1"
    x, y = batch()
    assert found.first == pytest.approx(float(loss(net(*last)(x), y).detach()), rel=1e-4)


def test_the_spread_of_logits_is_their_variance_over_the_classes() -> None:
    x, y = batch()
    logits = net()(x).detach()
    assert chance_of(net(), x, y, loss=F.cross_entropy).spread == pytest.approx(
        float(logits.var(1, correction=0).mean()), rel=1e-5
    )
    per_class = chance_of(net(), x, y, loss=LOSSES["yes or no"][0])
    assert per_class.spread == pytest.approx(float(logits.square().mean()) / 4, rel=1e-5)


class Model(nn.Module):
    """Computes its own loss, as Hugging Face's do."""

    def __init__(self) -> None:
        super().__init__()
        self.table, self.head = nn.Embedding(50, 16), nn.Linear(16, 50)

    def forward(self, ids: torch.Tensor, labels: torch.Tensor) -> dict[str, torch.Tensor]:
        logits = self.head(self.table(ids))
        return {"loss": F.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten()), "logits": logits}


@pytest.mark.parametrize("loss", [None, lambda out: out["loss"]])
def test_a_loss_inside_the_model_is_found_in_its_graph(loss: Callable[..., Any] | None) -> None:
    torch.manual_seed(0)
    model, ids = Model(), torch.randint(50, (4, 9))
    found = chance_of(model, {"ids": ids, "labels": ids}, loss=loss)
    assert found.loss == pytest.approx(math.log(50))
    assert found.first == pytest.approx(model(ids, ids)["loss"].item(), rel=1e-5)
    spread = model(ids, ids)["logits"][:, :-1].var(-1, correction=0).mean().item()
    assert found.spread == pytest.approx(spread, rel=1e-4)


def test_the_softmax_of_an_attention_is_no_answer() -> None:
    class Attends(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.qkv = nn.Linear(8, 24)

        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            q, k, v = self.qkv(x).chunk(3, -1)
            weights = (q @ k.transpose(1, 2)).softmax(-1)
            return weights @ v, weights

    torch.manual_seed(0)
    assert gather(Attends(), torch.randn(2, 5, 8)).chance is None


# Class, settings, whether the step goes by the sign, and how many learning rates it is.
OPTIMIZERS: list[tuple[Any, dict[str, Any], bool, float]] = [
    (torch.optim.SGD, {"momentum": 0.9}, False, 1.0),
    (torch.optim.SGD, {"momentum": 0.9, "nesterov": True}, False, 1.9),
    (torch.optim.AdamW, {}, True, 1.0),
    (torch.optim.Adamax, {}, True, 1.0),
    (torch.optim.RMSprop, {}, True, 10.0),
    (torch.optim.RAdam, {}, False, 1.0),
]


@pytest.mark.parametrize(("kind", "settings", "signed", "first"), OPTIMIZERS)
def test_the_first_step_is_that_of_the_optimizer(kind: Any, settings: Any, signed: bool, first: float) -> None:
    """Against one real step. Mutant: every optimizer goes by the sign."""
    model = net()
    optimizer = kind(model.parameters(), lr=1e-3, **{"weight_decay": 0.0, **settings})
    seen = training(model, optimizer)
    assert seen.signed is signed
    assert seen.first == pytest.approx(first, rel=1e-3)
    assert not optimizer.state
    x, y = batch()
    before = model[0].weight.detach().clone()
    F.cross_entropy(model(x), y).backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    gradient = model[0].weight.grad
    direction = gradient.sign() if signed else gradient
    step = seen.rates["0.weight"] * seen.first * direction.square().mean().sqrt().item()
    assert (model[0].weight - before).square().mean().sqrt().item() == pytest.approx(step, rel=0.02)


def test_groups_have_learning_rates_of_their_own_and_a_schedule_is_seen() -> None:
    model = net()
    groups: list[dict[str, Any]] = [{"params": model[0].parameters(), "lr": 0.5}, {"params": [model[2].weight]}]
    optimizer = torch.optim.SGD(groups, lr=0.1)
    assert training(model, optimizer).rates == {"0.weight": 0.5, "0.bias": 0.5, "2.weight": 0.1}
    torch.optim.lr_scheduler.LinearLR(optimizer, 0.1)
    steps = training(model, optimizer)
    assert steps.rates["0.weight"] == pytest.approx(0.05)
    assert steps.rising


def test_steps_that_fit_the_weights_size_or_shape_are_seen() -> None:
    model = net()
    assert training(model, torch.optim.Adafactor(model.parameters())).fitted
    assert training(model, torch.optim.Muon([model[0].weight])).fitted


@pytest.mark.parametrize(
    ("optimizer", "words"),
    [
        (lambda m: 0.1, "takes a torch.optim.Optimizer"),
        (lambda m: torch.optim.SGD(nn.Linear(2, 2).parameters(), lr=0.1), "belongs to this model"),
        (lambda m: torch.optim.LBFGS(m.parameters()), "could not be tried"),
    ],
)
def test_an_optimizer_that_cannot_be_used_is_explained(optimizer: Callable[..., Any], words: str) -> None:
    model = net()
    with pytest.raises(BadInput, match=words):
        fanin.diagnose(model, batch()[0], optimizer=optimizer(model))


def loader(size: int = 30, by: int = 12, **options: Any) -> DataLoader[Any]:
    return DataLoader(TensorDataset(*batch(size)), batch_size=by, **options)


def test_signals_of_a_loader_are_averages_over_its_first_batches() -> None:
    """The last batch is smaller and passed over. Mutant: the first batch alone."""
    x, y = batch(30)
    both = gather(net(), loader(), loss=F.cross_entropy)
    each = [gather(net(), x[at : at + 12], y[at : at + 12], loss=F.cross_entropy) for at in (0, 12)]
    assert both.signals.loss == pytest.approx(sum(e.signals.loss for e in each) / 2, rel=1e-6)
    q = [e.signals.values["linear_1"].second_moment for e in each]
    assert both.signals.values["linear_1"].second_moment == pytest.approx(sum(q) / 2, rel=1e-6)
    assert both.chance is not None
    assert both.chance.first == pytest.approx(both.signals.loss)
    details = [e.signals.details["relu"] for e in each]
    assert both.signals.details["relu"].largest == max(d.largest for d in details)
    assert both.signals.parameters["0.weight"].distinct_rows == 16
    assert gather(net(), loader(), loss=F.cross_entropy, batches=1).signals.loss == pytest.approx(each[0].signals.loss)


def test_symmetric_units_are_seen_in_several_batches() -> None:
    """Mutant: an average forgets what is known of rows."""
    model = net()
    nn.init.constant_(model[0].weight, 0.1)
    nn.init.zeros_(model[0].bias)
    nn.init.constant_(model[2].weight, 0.1)
    assert "U01" in {f.code for f in fanin.diagnose(model, loader(), loss=F.cross_entropy)}


class Mappings:
    """A loader of mappings, such as those of tokenised text."""

    def __init__(self, *keys: str) -> None:
        self.keys = keys

    def __iter__(self) -> Iterator[dict[str, torch.Tensor]]:
        generator = torch.Generator().manual_seed(0)
        for _ in range(5):
            yield {key: torch.randint(50, (4, 9), generator=generator) for key in self.keys}


def test_a_batch_may_be_a_mapping_with_or_without_a_target() -> None:
    class Words(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table, self.head = nn.Embedding(50, 16), nn.Linear(16, 50)

        def forward(self, ids: torch.Tensor) -> torch.Tensor:
            return self.head(self.table(ids))  # type: ignore[no-any-return]

    def loss(out: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return F.cross_entropy(out.flatten(0, 1), target.flatten())

    assert chance_of(Words(), Mappings("ids", "labels"), loss=loss).loss == pytest.approx(math.log(50))
    assert gather(Words(), Mappings("ids", "labels")).graph.inputs[0].name == "ids"
    assert chance_of(Model(), Mappings("ids", "labels"), loss=lambda out: out["loss"]).classes == 50
    with pytest.raises(BadInput, match="none of the keys 'labels'"):
        fanin.diagnose(Words(), Mappings("ids", "next"), loss=loss)


def test_without_a_loss_the_target_of_a_batch_is_left_out() -> None:
    assert len(gather(net(), loader()).graph.inputs) == 1
    assert len(gather(net(), [tuple(batch()), tuple(batch())]).graph.inputs) == 1


@pytest.mark.parametrize(
    ("example", "options", "words"),
    [
        ((iter([batch()]),), {}, "can be read only once"),
        ((loader(),), {"batches": 0}, "1 or more; got 0"),
        ((DataLoader(TensorDataset(*batch(5)), batch_size=12, drop_last=True),), {}, "gave no batch"),
        ((batch()[0],), {"loss": F.cross_entropy}, r"takes an output and a target.*\(12, 8\) alone"),
    ],
)
def test_what_is_no_batch_is_explained(example: Any, options: Any, words: str) -> None:
    with pytest.raises(BadInput, match=words):
        fanin.diagnose(net(), *example, **options)


@pytest.mark.parametrize(("bad", "kind"), [(math.nan, "2 NaN"), (math.inf, "2 infinite"), (-math.inf, "2 infinite")])
def test_values_in_the_data_that_are_no_numbers_are_the_datas_fault(bad: float, kind: str) -> None:
    """Mutant: only NaN is looked for."""
    x, y = batch()
    x[3, 1] = x[5, 2] = bad
    with pytest.raises(BadInput, match=rf"The input input.*holds {kind} of 96.*first at index \(3, 1\).*in the data"):
        fanin.diagnose(net(), x, y, loss=F.cross_entropy)
    with pytest.raises(BadInput, match="in the data"):  # of a loader, in any batch that is looked at
        fanin.diagnose(net(), [(batch()[0], y), (x, y)], loss=F.cross_entropy)


def test_a_target_that_is_no_number_is_the_datas_fault() -> None:
    x, _ = batch()
    target = torch.zeros(12, CLASSES)
    target[2, 4] = math.nan
    with pytest.raises(BadInput, match=r"The target.*1 NaN of 120.*\(2, 4\)"):
        fanin.diagnose(net(), x, target, loss=F.mse_loss)


def test_a_mask_of_minus_infinity_is_no_bad_data() -> None:
    class Masked(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.key = nn.Linear(8, 8)

        def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
            return (self.key(x) @ x.transpose(1, 2) + mask).softmax(-1) @ x  # type: ignore[no-any-return]

    torch.manual_seed(0)
    mask = torch.zeros(5, 5).masked_fill(torch.ones(5, 5).triu(1) > 0, -math.inf)
    assert fanin.diagnose(Masked(), torch.randn(2, 5, 8), mask).healthy


def test_both_devices_are_named_where_a_batch_is_elsewhere() -> None:
    with FakeTensorMode():
        x = torch.empty(4, 8, device="cuda")
        with pytest.raises(BadInput, match=r"model is on cpu and the batch.*\(4, 8\), on cuda:0.*x\.to\('cpu'\)"):
            require_one_device(net(), [x])
        require_one_device(net(), [torch.empty(4, 8), torch.empty((), device="cuda"), 3, None])


def test_a_module_that_raises_is_named_with_its_line() -> None:
    class Raises(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(8, 8)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            raise KeyError("no such head")

    with pytest.raises(FaninError, match=r"1.*Raises.*test_surroundings\.py:\d+.*KeyError"):
        fanin.diagnose(nn.Sequential(nn.Linear(8, 8), Raises()), batch()[0])


@pytest.mark.parametrize("fails", [False, True])
def test_a_diagnosis_leaves_all_as_it_was(fails: bool) -> None:
    """Mutant: the real optimizer takes the step that is tried."""
    model: Any = nn.Sequential(nn.Linear(8, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.5), nn.Linear(16, CLASSES))
    model[3].eval()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    torch.optim.lr_scheduler.LinearLR(optimizer)  # puts a method into the instance
    model[0].weight.grad = torch.ones(16, 8)
    calls: list[int] = []
    optimizer.register_step_post_hook(lambda *_: calls.append(1))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    modes, state = [m.training for m in model.modules()], torch.get_rng_state()
    if fails:
        with pytest.raises(BadInput):
            fanin.diagnose(model, loader(shuffle=True), loss=lambda out, y: out[:, 0], optimizer=optimizer)
    else:
        fanin.diagnose(model, loader(shuffle=True), loss=F.cross_entropy, optimizer=optimizer)
    assert torch.get_rng_state().equal(state)
    assert [m.training for m in model.modules()] == modes
    assert all(value.equal(before[name]) for name, value in model.state_dict().items())
    assert model[0].weight.grad.equal(torch.ones(16, 8))
    assert model[4].weight.grad is None
    assert not optimizer.state
    assert not calls
    assert optimizer.param_groups[0]["params"][0] is model[0].weight


def test_features_have_means_and_stds_of_their_own() -> None:
    torch.manual_seed(0)
    x = torch.randn(6, 3, 5, 5) * torch.tensor([1.0, 2.0, 3.0])[:, None, None] + 1
    (seen,) = gather(nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(36, 2)), x).inputs
    assert seen.means == pytest.approx(x.mean((0, 2, 3)).tolist(), rel=1e-4)
    assert seen.stds == pytest.approx(x.std((0, 2, 3), correction=0).tolist(), rel=1e-4)
    assert (seen.low, seen.high) == (float(x.min()), float(x.max()))
    assert not seen.integral


def test_partial_losses_are_called_by_the_name_of_their_function() -> None:
    x, y = batch()
    assert gather(net(), x, loss=partial(F.cross_entropy, target=y)).signals.loss_name == "cross_entropy"
