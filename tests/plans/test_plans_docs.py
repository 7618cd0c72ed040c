"""docs/plans.md is true: its overrides can be read, and its file of them serves a model."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
import torch
from torch import nn

import fanin
from fanin.initializers import Initializer, initializer
from fanin.plans import recipe
from fanin.plans.overrides import selector

PAGE = (Path(__file__).parents[2] / "docs" / "plans.md").read_text(encoding="utf-8")
MAPPINGS = re.findall(r"\| `(\{.*?\})` \|", PAGE)
RECIPES = re.findall(r'`recipe="(.*?)"`', PAGE)


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Linear(8, 16)
        self.head = nn.Linear(16, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.head(self.body(x).relu())
        return y


def test_there_is_something_to_test() -> None:
    assert len(MAPPINGS) == 11
    assert len(RECIPES) == 4


@pytest.mark.parametrize("text", MAPPINGS)
def test_the_overrides_in_the_table_can_be_read(text: str) -> None:
    for key, what in ast.literal_eval(text).items():
        assert selector(key).key == key
        assert isinstance(initializer(what), Initializer)


@pytest.mark.parametrize("how", RECIPES)
def test_the_recipes_in_the_table_are_there(how: str) -> None:
    assert recipe(how)[0] == how


def test_the_file_serves_a_model(tmp_path: Path) -> None:
    (text,) = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    file = tmp_path / "init.toml"
    file.write_text(text)
    plan = fanin.plan(Net(), torch.zeros(2, 8), overrides=file)
    shown = {e.parameter.path: str(e.initializer) for e in plan}
    assert shown == {
        "body.weight": "normal 1.414/√fan_in",
        "body.bias": "zeros",
        "head.weight": "Normal(std=0.01)",
        "head.bias": "Constant(value=-4.595)",
    }
