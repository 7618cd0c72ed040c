"""Watch a training loop: what goes wrong, at which step and why; the step that gives NaN, made again on its own."""

import tempfile

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import fanin
from fanin.monitor import read_lines, replay


class Mixture(nn.Module):
    """The log of a probability, as one should not write it: once softmax rounds to 0, its log is −∞."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(32, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU())
        self.head = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        return torch.log(torch.softmax(self.head(self.body(x)), dim=-1))


torch.manual_seed(0)
net, teacher, folder = Mixture(), torch.randn(32, 10), tempfile.mkdtemp()
fanin.initialize_(net, torch.randn(64, 32), seed=0)
optimizer = torch.optim.SGD(net.parameters(), lr=0.1)

with fanin.watch(net, every=20, to=folder, optimizer=optimizer, keep_step=True, say=print) as w:
    for step in range(1, 101):
        x = torch.randn(64, 32)
        if step == 60:
            optimizer.param_groups[0]["lr"] = 100.0  # a slip in the schedule
        loss = F.nll_loss(net(x), (x @ teacher).argmax(dim=1))
        optimizer.zero_grad()
        loss.backward()
        clipped = fanin.clip_(net, norm=1.0)
        optimizer.step()
        w.step(loss, clipped)
        if not torch.isfinite(loss):
            break

print("\nThe account:")
print(w)
assert not w.result.healthy

print("\nThe step again, in a new model:")
broken = next(onset for onset in w.result if onset.finding.code == "N01")
print(replay(f"{folder}/nan-step-{broken.step}", Mixture()))
print({line["kind"] for line in read_lines(folder)})
