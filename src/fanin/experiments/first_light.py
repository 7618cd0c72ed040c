"""The demonstration: two deep nets on real digits, started badly, checked, started well, checked again, and trained."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import torch
from torch import nn

from fanin.diagnosis import Diagnosis, Evidence, diagnose
from fanin.experiments.conduct import Engagement
from fanin.experiments.data import digits
from fanin.experiments.nets import Perceptron
from fanin.experiments.sweep import Sweep, sweep
from fanin.frameworks.torch import observe, trace, write_
from fanin.frameworks.torch import sweep as swept
from fanin.plans import Plan, make_plan

DEPTH: Final = 40
WIDTH: Final = 100
ACTIVATIONS: Final = ("tanh", "relu")
BAD_STARTS: Final = ("zeros", "normal(std=0.01)", "normal(std=1.0)", "torch_default")
CURE: Final = "auto"
RATE: Final = 1e-3


@dataclass(frozen=True)
class Checked:
    """One net in each of its starts.

    Attributes:
        diagnoses: by recipe, the cure last.
        plan: the cure's.
    """

    activation: str
    diagnoses: dict[str, Diagnosis]
    plan: Plan

    @property
    def net(self) -> str:
        """Its name in titles."""
        return f"{DEPTH}-layer {self.activation}"


@dataclass(frozen=True)
class FirstLight:
    """All that the demonstration found."""

    checked: tuple[Checked, ...]
    training: Sweep

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            "nets": [
                {
                    "net": c.net,
                    "starts": {start: d.to_dict() for start, d in c.diagnoses.items()},
                    "plan": c.plan.to_dict(),
                }
                for c in self.checked
            ],
            "training": self.training.to_dict(),
        }


def check(activation: str, seed: int = 0) -> Checked:
    """Measure every start of one net on 256 digits with their real loss."""
    data = digits()
    inputs, labels = torch.from_numpy(data.inputs[:256]), torch.from_numpy(data.targets[:256])
    net = Perceptron(DEPTH, WIDTH, inputs.shape[1], data.outputs, activation)
    traced = trace(net, inputs)
    loss = partial(nn.functional.cross_entropy, target=labels)

    def planned(start: str) -> Plan:
        return make_plan(traced.graph, start, sweep=swept(traced, net, (inputs,)))

    def checked(start: str) -> Diagnosis:
        write_(net, planned(start), seed)
        return diagnose(Evidence(traced.graph, observe(traced, net, (inputs,), loss)))

    diagnoses = {start: checked(start) for start in (*BAD_STARTS, CURE)}
    return Checked(activation, diagnoses, planned(CURE))


def train(seeds: int, steps: int, *, progress: bool = True) -> Sweep:
    """Every net from every start with every seed, at one learning rate."""
    return sweep(
        f"perceptron(depth={DEPTH}, width={WIDTH})",
        "digits",
        vary={"activation": list(ACTIVATIONS)},
        recipes=[*BAD_STARTS, CURE],
        by=Engagement(progress=progress),
        seeds=seeds,
        steps=steps,
        learning_rates=[RATE],
    )
