"""Build a model without memory, plan it, and give it memory and values; nothing is left to chance."""

import torch
from torch import nn

import fanin


class Rotary(nn.Module):
    def __init__(self, width: int, length: int) -> None:
        super().__init__()
        angles = torch.outer(torch.arange(length), 1 / 10000 ** (torch.arange(0, width, 2) / width))
        self.register_buffer("angles", angles, persistent=False)  # in no checkpoint, and no method makes it again

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        left, right = x.chunk(2, -1)
        cos, sin = self.angles.cos(), self.angles.sin()
        return torch.cat((left * cos - right * sin, right * cos + left * sin), -1)


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(1000, 64)
        self.rotary = Rotary(64, 16)
        self.mix = nn.Linear(64, 64)
        self.head = nn.Linear(64, 1000, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.head(self.mix(self.rotary(self.embed(tokens))))


tokens = torch.arange(16)[None]

with torch.device("meta"):
    model = Model()
try:
    fanin.materialize_(model, fanin.plan(model, tokens), seed=0, device="cpu")
except fanin.FaninError as error:
    print(f"{type(error).__name__}: {error}\n")

with fanin.on_meta() as recorded:  # as above, and remembers what the constructor computes
    model = Model()
plan = fanin.plan(model, tokens)
fanin.materialize_(model, plan, seed=0, device="cpu", recorded=recorded)
print("tied:", model.head.weight is model.embed.weight)
print("angles of position 1:", [round(angle, 4) for angle in model.rotary.angles[1, :4].tolist()])

real = Model()
fanin.initialize_(real, recipe=plan, seed=0)
print("same as a model built in memory:", torch.equal(model(tokens), real(tokens)))
