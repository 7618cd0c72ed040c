"""Small models of each family, for tests of what recipes make of real roles; no tests are here."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import Any, Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fanin.frameworks.torch import trace
from fanin.graph import Graph

D, TOKENS = 8, torch.zeros(2, 5, dtype=torch.long)


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.q, self.k, self.v, self.o = (nn.Linear(D, D, bias=False) for _ in range(4))

    def forward(self, x: Tensor, memory: Tensor, bias: Tensor | None = None) -> Tensor:
        scores = self.q(x) @ self.k(memory).transpose(-1, -2) / math.sqrt(D)
        mixed: Tensor = self.o((scores if bias is None else scores + bias).softmax(-1) @ self.v(memory))
        return mixed


class Gated(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.gate, self.up, self.down = (nn.Linear(*s, bias=False) for s in ((D, 12), (D, 12), (12, D)))

    def forward(self, x: Tensor) -> Tensor:
        made: Tensor = self.down(F.silu(self.gate(x)) * self.up(x))
        return made


class Experts(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.router = nn.Linear(D, 4, bias=False)
        self.experts = nn.ModuleList(Gated() for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        weight, chosen = self.router(x).softmax(-1).topk(2)
        gates = torch.zeros(*x.shape[:-1], 4).scatter(-1, chosen, weight)
        return sum(gates[..., i : i + 1] * expert(x) for i, expert in enumerate(self.experts))  # type: ignore[no-any-return]


class Llama(nn.Module):
    def __init__(self, feed_forward: type[nn.Module] = Gated) -> None:
        super().__init__()
        self.tokens, self.head, self.norm = nn.Embedding(11, D), nn.Linear(D, 11, bias=False), nn.RMSNorm(D)
        self.layers: Any = nn.ModuleList(
            nn.ModuleDict({"a": Attention(), "f": feed_forward(), "n1": nn.RMSNorm(D), "n2": nn.RMSNorm(D)})
            for _ in range(3)
        )

    def forward(self, ids: Tensor) -> Tensor:
        x = self.tokens(ids)
        for layer in self.layers:
            n = layer["n1"](x)
            x = x + layer["a"](n, n)
            x = x + layer["f"](layer["n2"](x))
        return self.head(self.norm(x))  # type: ignore[no-any-return]


class GPT(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.wte, self.wpe, self.head = nn.Embedding(11, D), nn.Embedding(5, D), nn.Linear(D, 11, bias=False)
        self.head.weight = self.wte.weight
        kinds = {"qkv": (D, 3 * D), "proj": (D, D), "fc": (D, 4 * D), "out": (4 * D, D)}
        self.layers: Any = nn.ModuleList(
            nn.ModuleDict(
                {name: nn.Linear(*s) for name, s in kinds.items()} | {"ln1": nn.LayerNorm(D), "ln2": nn.LayerNorm(D)}
            )
            for _ in range(3)
        )
        self.ln = nn.LayerNorm(D)

    def forward(self, ids: Tensor) -> Tensor:
        x = self.wte(ids) + self.wpe(torch.arange(ids.shape[1]))
        for layer in self.layers:
            q, k, v = layer["qkv"](layer["ln1"](x)).view(2, 5, 3, 2, 4).permute(2, 0, 3, 1, 4)
            y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
            x = x + layer["proj"](y.transpose(1, 2).reshape(2, 5, D))
            x = x + layer["out"](F.gelu(layer["fc"](layer["ln2"](x))))
        return self.head(self.ln(x))  # type: ignore[no-any-return]


class T5(nn.Module):
    """Three layers of an encoder, two of a decoder."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens, self.head, self.relative = nn.Embedding(11, D), nn.Linear(D, 11, bias=False), nn.Embedding(9, 1)

        def layer(*attentions: str) -> nn.ModuleDict:
            parts: dict[str, nn.Module] = {name: Attention() for name in attentions}
            return nn.ModuleDict(parts | {"wi": nn.Linear(D, 12, bias=False), "wo": nn.Linear(12, D, bias=False)})

        self.encoder: Any = nn.ModuleList(layer("self") for _ in range(3))
        self.decoder: Any = nn.ModuleList(layer("self", "cross") for _ in range(2))

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        place = torch.arange(5)
        bias = self.relative(place[:, None] - place[None] + 4).squeeze(-1)
        memory, x = self.tokens(source), self.tokens(target)
        for layer in self.encoder:
            n = F.rms_norm(memory, (D,))
            memory = memory + layer["self"](n, n, bias)
            memory = memory + layer["wo"](F.relu(layer["wi"](F.rms_norm(memory, (D,)))))
        for layer in self.decoder:
            n = F.rms_norm(x, (D,))
            x = x + layer["self"](n, n, bias)
            x = x + layer["cross"](F.rms_norm(x, (D,)), memory)
            x = x + layer["wo"](F.relu(layer["wi"](F.rms_norm(x, (D,)))))
        return self.head(x)  # type: ignore[no-any-return]


class ResNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem, self.fc = nn.Conv2d(3, D, 3, padding=1), nn.Linear(2 * D, 5)
        self.shortcut = nn.Conv2d(D, 2 * D, 1, stride=2)
        self.blocks = nn.ModuleList(self._block(*s) for s in ((D, D, 1), (D, 2 * D, 2), (2 * D, 2 * D, 1)))

    @staticmethod
    def _block(a: int, b: int, stride: int) -> nn.Sequential:
        first, second = nn.Conv2d(a, b, 3, stride, 1), nn.Conv2d(b, b, 3, padding=1)
        return nn.Sequential(first, nn.BatchNorm2d(b), nn.ReLU(), second, nn.BatchNorm2d(b))

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.stem(x))
        for i, block in enumerate(self.blocks):
            x = F.relu((self.shortcut(x) if i == 1 else x) + block(x))
        return self.fc(x.mean((2, 3)))  # type: ignore[no-any-return]


class Mamba(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.tokens, self.head = nn.Embedding(11, D), nn.Linear(D, 11, bias=False)
        self.in_proj, self.out_proj = nn.Linear(D, 2 * D, bias=False), nn.Linear(D, D, bias=False)
        self.conv, self.x_proj = nn.Conv1d(D, D, 3, groups=D, padding=1), nn.Linear(D, 2 + 8, bias=False)
        self.dt_proj, self.norm = nn.Linear(2, D), nn.RMSNorm(D)
        self.A_log, self.D = nn.Parameter(torch.zeros(D, 4)), nn.Parameter(torch.zeros(D))

    def forward(self, ids: Tensor) -> Tensor:
        x = self.tokens(ids)
        h, z = self.in_proj(self.norm(x)).chunk(2, -1)
        h = F.silu(self.conv(h.transpose(1, 2)).transpose(1, 2))
        step, b, c = self.x_proj(h).split([2, 4, 4], -1)
        dt = F.softplus(self.dt_proj(step))
        decay = torch.exp(dt.unsqueeze(-1) * -torch.exp(self.A_log))
        state, out = torch.zeros(2, D, 4), []
        for t in range(3):
            state = state * decay[:, t] + (dt[:, t] * h[:, t]).unsqueeze(-1) * b[:, t].unsqueeze(1)
            out.append((state * c[:, t].unsqueeze(1)).sum(-1))
        y = torch.stack(out, 1) + h[:, :3] * self.D
        return self.head(x[:, :3] + self.out_proj(y * F.silu(z[:, :3])))  # type: ignore[no-any-return]


class ViT(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.patches, self.head = nn.Conv2d(3, D, 4, stride=4), nn.Linear(D, 5)
        self.cls_token, self.pos_embed = nn.Parameter(torch.zeros(1, 1, D)), nn.Parameter(torch.zeros(1, 5, D))
        kinds = {"fc1": (D, 16), "fc2": (16, D)}
        self.layers: Any = nn.ModuleList(
            nn.ModuleDict({n: nn.Linear(*s) for n, s in kinds.items()} | {n: nn.LayerNorm(D) for n in ("n1", "n2")})
            for _ in range(2)
        )
        self.attention = nn.ModuleList(nn.MultiheadAttention(D, 2, batch_first=True) for _ in range(2))
        self.scales = nn.ParameterList(nn.Parameter(torch.zeros(D)) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.cls_token.expand(2, -1, -1), x], 1) + self.pos_embed
        for i, layer in enumerate(self.layers):
            n = layer["n1"](x)
            x = x + self.scales[2 * i] * self.attention[i](n, n, n, need_weights=False)[0]
            x = x + self.scales[2 * i + 1] * layer["fc2"](F.gelu(layer["fc1"](layer["n2"](x))))
        return self.head(x[:, 0])  # type: ignore[no-any-return]


IMAGE = torch.zeros(2, 3, 8, 8)
FAMILIES: Final[dict[str, Callable[[], Graph]]] = {
    "resnet": lambda: trace(ResNet(), IMAGE).graph,
    "gpt": lambda: trace(GPT(), TOKENS).graph,
    "t5": lambda: trace(T5(), TOKENS, TOKENS).graph,
    "llama": lambda: trace(Llama(), TOKENS).graph,
    "moe": lambda: trace(Llama(Experts), TOKENS).graph,
    "mamba": lambda: trace(Mamba(), TOKENS).graph,
    "vit": lambda: trace(ViT(), IMAGE).graph,
    "lstm": lambda: trace(nn.LSTM(4, 8, 2), torch.zeros(5, 2, 4)).graph,
    "cnn": lambda: (
        trace(nn.Sequential(nn.Conv1d(4, 6, 3, groups=2), nn.Tanh(), nn.PReLU()), torch.zeros(2, 4, 9)).graph
    ),
}


@cache
def graph_of(family: str) -> Graph:
    """Traced once."""
    return FAMILIES[family]()
