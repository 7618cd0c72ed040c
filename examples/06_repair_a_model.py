"""Try the remedies of what is wrong with a model, keep what helps, and say of each what it did."""

import torch
from torch import nn

import fanin

torch.manual_seed(0)
layers = [module for _ in range(20) for module in (nn.Linear(64, 64), nn.Tanh())]
net = nn.Sequential(*layers, nn.Linear(64, 10))
for layer in layers[::2]:
    nn.init.normal_(layer.weight)  # of std 1, whatever the width
x, labels = torch.randn(64, 64), torch.arange(64) % 10


def loss(output: torch.Tensor) -> torch.Tensor:
    return nn.functional.cross_entropy(output, labels)


repair = fanin.repair_(net, x, loss=loss, seed=0)
print(repair)

# What nothing was found in has its bits, the rest can be written again from plan and seed, in any other process.
assert repair.plan is not None
assert fanin.verify(net, repair.plan, seed=repair.seed)
for attempt in repair.attempts:
    print(attempt.finding.code, attempt.outcome, dict(attempt.finding.evidence))
