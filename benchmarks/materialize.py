"""A Llama from the meta device, sharded over simulated ranks: what one rank needs in memory and time for its shard.

    python benchmarks/materialize.py            Llama with 70 billion parameters, rank 3 of 64: some 3 GB of memory
    python benchmarks/materialize.py --layers 2 --width 1024 --hidden 2816 --heads 16 --vocabulary 8192 --ranks 8

The ranks are simulated by PyTorch's fake process group, so nothing is sent. The peak is that of the whole process,
above what it held before `fanin.materialize_` was called; a small model is materialized first, so that code and
kernels are not counted.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import json
import time
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.testing._internal.distributed.fake_pg import FakeStore

import fanin
from fanin.stream import key, normal


class Rotary(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("inv_freq", 1 / 500000 ** (torch.arange(0, width, 2).float() / width), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        angles = torch.outer(torch.arange(x.shape[-2], device=x.device).float(), self.inv_freq).to(x.dtype)
        cos, sin = angles.cos().repeat(1, 2), angles.sin().repeat(1, 2)
        left, right = x.chunk(2, -1)
        return x * cos + torch.cat((-right, left), -1) * sin


class Layer(nn.Module):
    def __init__(self, a: argparse.Namespace) -> None:
        super().__init__()
        self.head = a.width // a.heads
        self.norm1, self.norm2 = nn.RMSNorm(a.width), nn.RMSNorm(a.width)
        self.wq = nn.Linear(a.width, a.width, bias=False)
        self.wk = nn.Linear(a.width, a.kv_heads * self.head, bias=False)
        self.wv = nn.Linear(a.width, a.kv_heads * self.head, bias=False)
        self.wo = nn.Linear(a.width, a.width, bias=False)
        self.gate, self.up = (nn.Linear(a.width, a.hidden, bias=False) for _ in range(2))
        self.down = nn.Linear(a.hidden, a.width, bias=False)
        self.rotary = Rotary(self.head)

    def forward(self, x: Tensor) -> Tensor:
        h = self.norm1(x)
        q, k, v = (w(h).unflatten(-1, (-1, self.head)).transpose(1, 2) for w in (self.wq, self.wk, self.wv))
        mixed = F.scaled_dot_product_attention(self.rotary(q), self.rotary(k), v, is_causal=True, enable_gqa=True)
        x = x + self.wo(mixed.transpose(1, 2).flatten(2))
        h = self.norm2(x)
        return x + self.down(F.silu(self.gate(h)) * self.up(h))


class Llama(nn.Module):
    def __init__(self, a: argparse.Namespace) -> None:
        super().__init__()
        self.embed = nn.Embedding(a.vocabulary, a.width)
        self.layers = nn.ModuleList(Layer(a) for _ in range(a.layers))
        self.norm = nn.RMSNorm(a.width)
        self.head = nn.Linear(a.width, a.vocabulary, bias=False)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.embed(tokens)
        for layer in self.layers:
            x = layer(x)
        return self.head(self.norm(x))


def resident(line: str) -> int:
    """Bytes, from the kernel's own books: VmRSS is now, VmHWM the highest since it was reset."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(next(row for row in status.splitlines() if row.startswith(line)).split()[1]) * 1024


def bytes_here(model: nn.Module) -> int:
    tensors = [*model.parameters(), *model.buffers()]
    local = [t.to_local() if hasattr(t, "to_local") else t for t in tensors]
    return sum(t.numel() * t.element_size() for t in local)


def built(a: argparse.Namespace) -> tuple[Llama, Any]:
    with fanin.on_meta() as recorded:
        model = Llama(a).to(torch.bfloat16)
    return model, recorded


def sharded(model: Llama, mesh: Any) -> Llama:
    for layer in model.layers:
        fully_shard(layer, mesh=mesh)
    return fully_shard(model, mesh=mesh)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name, size in [("layers", 80), ("width", 8192), ("hidden", 28672), ("heads", 64), ("kv-heads", 8)]:
        parser.add_argument(f"--{name}", type=int, default=size)
    parser.add_argument("--vocabulary", type=int, default=128256)
    parser.add_argument("--ranks", type=int, default=64)
    parser.add_argument("--rank", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    a = parser.parse_args()
    dist.init_process_group("fake", store=FakeStore(), rank=a.rank, world_size=a.ranks)
    mesh = init_device_mesh("cpu", (a.ranks,))
    tokens = torch.zeros(1, 16, dtype=torch.int64)

    normal(key(0, "warm"), range(1 << 24), 0.02, dtype="bfloat16")  # enough to start the kernels
    small = argparse.Namespace(**{**vars(a), "layers": 1, "width": 64, "hidden": 128, "heads": 8, "vocabulary": 1024})
    warm, recorded = built(small)
    plan = fanin.plan(warm, tokens, recipe="normal(std=0.02)")
    fanin.materialize_(sharded(warm, mesh), plan, seed=0, recorded=recorded)
    del warm, recorded, plan

    seconds: dict[str, float] = {}

    def timed(name: str, since: float) -> float:
        seconds[name] = round(time.perf_counter() - since, 2)
        return time.perf_counter()

    start = time.perf_counter()
    model, recorded = built(a)
    start = timed("build", start)
    plan = fanin.plan(model, tokens, recipe="normal(std=0.02)")
    start = timed("plan", start)
    sharded(model, mesh)
    timed("shard", start)
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)  # else the shard would move into memory that this process has freed
    before = resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the highest starts again from here
    start = time.perf_counter()
    fanin.materialize_(model, plan, seed=0, recorded=recorded)
    timed("materialize", start)
    found = {
        "parameters": sum(p.numel() for p in model.parameters()),
        "shard_bytes": bytes_here(model),
        "peak_bytes": resident("VmHWM") - before,
        "seconds": seconds,
    }
    if a.json:
        print(json.dumps(found))
        return
    shard, peak = found["shard_bytes"] / 2**20, found["peak_bytes"] / 2**20
    print(f"{found['parameters']:,} parameters, bfloat16, rank {a.rank} of {a.ranks}")
    print(f"shard {shard:,.1f} MiB, peak {peak:,.1f} MiB: {peak - shard:+,.1f} MiB")
    print(", ".join(f"{name} {s} s" for name, s in seconds.items()))


if __name__ == "__main__":
    main()
