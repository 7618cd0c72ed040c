"""What flows through a GPT of 175 billion parameters, predicted on a small machine before a weight is drawn.

    python benchmarks/predict_large.py            # the shape of GPT-3: width 12288, 96 layers
    python benchmarks/predict_large.py --layers 4 --width 256

Prints the seconds of each step, the resident memory, and the signals over depth. Nothing is allocated but what the
interpreter and PyTorch take.
"""

from __future__ import annotations

import argparse
import resource
import time

import torch
from torch import nn

from fanin.frameworks.torch import predict, trace
from fanin.plans import make_plan


class Block(nn.Module):
    """Pre-LN: x + attention(norm(x)), then x + feed_forward(norm(x))."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm_1, self.norm_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.project = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        batch, length, width = x.shape
        q, k, v = (
            part.view(batch, length, self.heads, width // self.heads).transpose(1, 2)
            for part in self.qkv(self.norm_1(x)).chunk(3, dim=-1)
        )
        attended = nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.project(attended.transpose(1, 2).reshape(batch, length, width))
        return x + self.down(nn.functional.gelu(self.up(self.norm_2(x))))


class GPT(nn.Module):
    """Token and position embeddings, blocks, a norm, and logits from the token embedding."""

    def __init__(self, width: int, layers: int, heads: int, vocabulary: int, length: int) -> None:
        super().__init__()
        self.tokens, self.positions = nn.Embedding(vocabulary, width), nn.Embedding(length, width)
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(layers))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, vocabulary, bias=False)
        self.head.weight = self.tokens.weight

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        x = self.tokens(ids) + self.positions(torch.arange(ids.shape[1], device=ids.device))
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x))


def megabytes() -> float:
    """The most that was resident."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--width", type=int, default=12288)
    options.add_argument("--layers", type=int, default=96)
    options.add_argument("--heads", type=int, default=96)
    options.add_argument("--vocabulary", type=int, default=50257)
    options.add_argument("--length", type=int, default=2048)
    options.add_argument("--std", type=float, default=0.006)  # of GPT-3: the initializer range of its width
    given = options.parse_args()
    before, started = megabytes(), time.perf_counter()
    with torch.device("meta"):
        model = GPT(given.width, given.layers, given.heads, given.vocabulary, given.length)
        ids = torch.zeros(1, given.length, dtype=torch.long)
    built = time.perf_counter()
    traced = trace(model, ids)  # as fanin.plan and fanin.predict do, each for itself
    recorded = time.perf_counter()
    plan = make_plan(traced.graph, f"normal(std={given.std})")
    planned = time.perf_counter()
    signals = predict(traced, model, (ids,), plan)
    ended = time.perf_counter()
    count = sum(p.numel() for p in model.parameters())
    print(f"{count / 1e9:.1f} billion parameters, {len(traced.graph.nodes)} operations")
    for what, seconds in (
        ("build on meta", built - started),
        ("trace", recorded - built),
        ("plan", planned - recorded),
        ("predict", ended - planned),
    ):
        print(f"{what:20} {seconds:6.1f} s")
    print(f"{'all on the CPU':20} {time.process_time():6.1f} s")
    print(f"{'resident memory':20} {megabytes():6.0f} MB, of which {before:.0f} MB before the model was built")
    print(f"sampled: {len(signals.sampled)} operation(s); assumed: {sorted({*sum(signals.assumed.values(), ())})}")
    for layer in range(0, given.layers, max(given.layers // 8, 1)):
        node = next(n for n in traced.graph.nodes if n.module == f"blocks.{layer}.norm_1")
        stream = signals.values[node.inputs[0]], signals.gradients[node.inputs[0]]
        print(f"block {layer:3}: E[x²] {stream[0].second_moment:.3e}, E[δ²] {stream[1].second_moment:.3e}")


if __name__ == "__main__":
    main()
