"""benchmarks/predict.py: the architectures can be built and start as they say; one of them goes all the way."""

from __future__ import annotations

import importlib
import math
from pathlib import Path
from typing import Any

import pytest
import torch

from fanin.signals import Moments, Signals

ROOT = Path(__file__).parents[2]


@pytest.fixture
def predict(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    return importlib.import_module("predict")


def test_the_list_is_long_and_of_many_families(predict: Any) -> None:
    own = [a for a in predict.zoo.ARCHITECTURES.values() if not a.name.startswith("hf-")]
    assert len(own) >= 25
    assert len({a.group for a in own}) >= 10
    assert all(name == a.name for name, a in predict.zoo.ARCHITECTURES.items())


def test_seeds_vary_weights_and_inputs_and_repeat(predict: Any) -> None:
    for name in ("mlp-relu-10", "vit"):
        architecture = predict.zoo.ARCHITECTURES[name]
        (one, x), (again, y), (other, z) = (predict.built(architecture, seed, None) for seed in (0, 0, 1))
        same = [torch.equal(a, b) for a, b in zip(one.parameters(), again.parameters(), strict=True)]
        assert all(same)
        assert torch.equal(x[0], y[0])
        assert not torch.equal(x[0], z[0])
        assert any(not torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


@pytest.mark.parametrize(
    ("name", "path", "std"),
    [
        ("gpt-pre-6", "blocks.0.reduce.weight", 0.02 / 12**0.5),
        ("bert", "layers.0.expand.weight", 0.02),
        ("t5", "encoder.blocks.0.attention.q.weight", (128 * 32) ** -0.5),
        ("resnet-18", "blocks.0.conv1.weight", (2 / (9 * 32)) ** 0.5),
        ("llama", "blocks.0.mlp.gate.weight", 0.02),
    ],
)
def test_an_architecture_starts_as_its_original_does(predict: Any, name: str, path: str, std: float) -> None:
    model, _ = predict.built(predict.zoo.ARCHITECTURES[name], 0, None)
    weight = dict(model.named_parameters())[path]
    within = 6 / (2 * weight.numel()) ** 0.5  # six standard errors of the std of normal draws
    assert weight.std().item() == pytest.approx(std, rel=within)


def test_what_the_command_prints(predict: Any, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setattr("sys.argv", ["predict.py", "--only", "mlp-relu-10", "--seeds", "2", "--nodes"])
    threads = torch.get_num_threads()
    try:
        predict.main()
    finally:
        torch.set_num_threads(threads)
    printed, progress = capsys.readouterr()
    assert printed.startswith("```\n")
    assert "python benchmarks/predict.py --only mlp-relu-10 --seeds 2 --nodes" in printed
    row = next(line for line in printed.splitlines() if line.startswith("| mlp-relu-10"))
    assert len(row.split(" | ")) == len(predict.HEAD)
    assert "0.weight  parameter gradient" in printed
    assert "without norms: ≥ 90 % of nodes have the mean in the band" in printed
    assert "mlp-relu-10: " in progress


def test_the_page_has_a_row_for_every_architecture(predict: Any) -> None:
    page = (ROOT / "docs" / "signals.md").read_text(encoding="utf-8")
    written = page.split("<!-- predict: written")[1].split("<!-- end of predict -->")[0]
    rows = {line.split(" | ")[0].removeprefix("| ") for line in written.splitlines() if line.startswith("| ")}
    assert rows >= set(predict.zoo.ARCHITECTURES), "run benchmarks/predict.py --write where transformers is installed"


def test_single_rows_are_read_again_and_the_bars_with_them(predict: Any) -> None:
    """What a row says of itself is what the bars see; a row of the page that is not measured again stays as it is."""
    cells = ["mlp-relu-10", "he", "21", "0", "1.090 / 1.160 / 1.521", "1.090", "1.011 / 1.038 / 1.045", "1.011"]
    cells += ["1.058 / 1.164", "1.045", "100%", "1.119, 1.021", "0", "0.3", "0.01", "2026-11-27"]
    cells += ["82% / 69%", "16"]
    row = predict.Row.of(predict.line(tuple(cells)))
    assert (row.name, row.forward, row.backward[1], row.inside) == ("mlp-relu-10", (1.09, 1.16, 1.521), 1.038, 100.0)
    cells = ["vit", "its own", "1", "0", "1.1 / 1.2 / 2", "1", "1.3 / 2.1 / 3", "1", "1.1 / 1.2", "2.5", "–", "–"]
    vit = predict.line((*cells, "0", "1", "1", "2026-01-01"))
    assert predict.written(f"text\n{vit}\n| no | architecture |\n") == {"vit": vit}
    said = predict.overall([row, predict.Row.of(vit)])
    assert said.count("| 0 of 1 | vit |") == 5  # all bars but those of gradients of parameters
    assert "without norms: ≥ 90 % of nodes have the mean in the band | 1 of 1 |  |" in said
    assert "of values of single draws in the band | 1 of 1 |  |" in said
    assert "of gradients of single draws in the band | 0 of 1 | mlp-relu-10 |" in said


def seen(second: float) -> Signals:
    return Signals({"relu": Moments(0.0, second)}, {}, {}, 0.0, "none")


@pytest.mark.parametrize(("spread", "seeds"), [(0.1, 8), (0.15, 16), (1.0, 64)])
def test_seeds_go_on_until_their_mean_is_known(predict: Any, spread: float, seeds: int) -> None:
    """Ln q is ± spread in turns: its standard error is spread/√(n − 1), at most 0.05 with so many seeds, or 64."""
    measured: list[Signals] = []
    while not predict.enough(measured, most=64):
        measured.append(seen(math.exp(spread if len(measured) % 2 else -spread)))
    assert len(measured) == seeds
