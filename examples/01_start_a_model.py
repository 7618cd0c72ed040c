"""Plan, write and check a small convolutional net; then change one decision and compare the two plans."""

import torch
from torch import nn

import fanin


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 32, 3, stride=2, padding=1)
        self.depthwise = nn.Conv2d(32, 32, 3, padding=1, groups=32)
        self.norm = nn.BatchNorm2d(32)
        self.head = nn.Linear(32, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = nn.functional.gelu(self.stem(x))
        x = nn.functional.relu(self.norm(self.depthwise(x)))
        return self.head(x.mean((2, 3)))


net = Net()
x = torch.randn(16, 3, 32, 32)

plan = fanin.plan(net, x)  # nothing is written yet
print(plan)

mine = fanin.plan(net, x, overrides={"head.weight": fanin.Zeros()})
for change in plan.diff(mine):
    print(f"{change.path}: {change.here.initializer} → {change.there.initializer}")

fanin.initialize_(net, x, recipe=mine, seed=0)
print(fanin.diagnose(net, x).summary)
