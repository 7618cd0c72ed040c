"""The demonstration: two deep nets on real digits, started badly, checked, started well, checked again, and trained."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import torch
from torch import nn

from fanin.diagnosis import Diagnosis, Evidence, diagnose
from fanin.experiments.data import digits
from fanin.experiments.nets import Perceptron
from fanin.experiments.runner import run_trials
from fanin.experiments.study import Training, Trial, Trials, TrialSpec
from fanin.frameworks.torch import observe, sweep, trace, write_
from fanin.plans import Plan, make_plan

DEPTH: Final = 40
WIDTH: Final = 100
ACTIVATIONS: Final = ("tanh", "relu")
BAD_STARTS: Final = ("zeros", "normal(std=0.01)", "normal(std=1.0)", "torch_default")
CURE: Final = "auto"


@dataclass(frozen=True)
class Checked:
    """One net in each of its starts.

    Attributes:
        diagnoses: by recipe, the cure last.
        plan: the cure's.
    """

    net: str
    diagnoses: dict[str, Diagnosis]
    plan: Plan


@dataclass(frozen=True)
class FirstLight:
    """All that the demonstration found."""

    checked: tuple[Checked, ...]
    study: Trials

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
            "study": self.study.to_dict(),
        }


def check(activation: str, depth: int = DEPTH, width: int = WIDTH, seed: int = 0) -> Checked:
    """Measure every start of one net on 256 digits with their real loss."""
    data = digits()
    inputs, labels = torch.from_numpy(data.inputs[:256]), torch.from_numpy(data.targets[:256])
    net = Perceptron(depth, width, inputs.shape[1], data.outputs, activation)
    traced = trace(net, inputs)
    loss = partial(nn.functional.cross_entropy, target=labels)

    def planned(start: str) -> Plan:
        return make_plan(traced.graph, start, sweep=sweep(traced, net, (inputs,)))

    def checked(start: str) -> Diagnosis:
        write_(net, planned(start), seed)
        return diagnose(Evidence(traced.graph, observe(traced, net, (inputs,), loss)))

    diagnoses = {start: checked(start) for start in (*BAD_STARTS, CURE)}
    return Checked(f"{depth}-layer {activation}", diagnoses, planned(CURE))


def trial_specs(seeds: int, training: Training, depth: int = DEPTH, width: int = WIDTH) -> list[TrialSpec]:
    """Every net in every start with every seed."""
    return [
        TrialSpec(depth, width, activation, start, seed, training)
        for seed in range(seeds)
        for activation in ACTIVATIONS
        for start in (*BAD_STARTS, CURE)
    ]


def train_all(specs: list[TrialSpec], on_done: Callable[[Trial], None] | None = None) -> Trials:
    """Run the trials on all cores."""
    return run_trials(specs, on_done=on_done)
