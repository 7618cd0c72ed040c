"""How fast whole models start: fanin beside torch.nn.init, and beside transformers' own code, in one run.

    python benchmarks/models.py             two minutes, most of them for the model of 8 billion parameters
    python benchmarks/models.py --quick     without it
    python benchmarks/models.py --write     also docs/benchmarks.md

transformers takes part where it is installed (`pip install transformers`); nothing is downloaded.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from typing import Any

import shapes
import torch
from page import Seconds, Section, arguments, medians

import fanin
from fanin.graph import Parameter
from fanin.plans import Entry, Plan
from fanin.stream import key, normal, uniform
from fanin.stream.parallel import cores

try:
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    import transformers
except ImportError:
    transformers = None

Contenders = dict[str, Callable[[], object]]

SMALL_TENSORS, SMALL_SIZE = 10_000, 64
IN_PLACE = """
A small tensor's time is that of its key, of the checks and of the call, in Python. The models are filled one
parameter after the other in the same memory, with the laws of transformers and torchvision."""
WITH_A_COPY = """
Both rows stand in memory when the time starts. `init_weights` and `normal_` write in place. `initialize_` checks every
parameter and copies it before it writes, so that a failure leaves the model as it was: in new memory, which the
system has to clear, a copy takes as long as the values, and a small tensor costs four calls more."""


def as_array(tensor: torch.Tensor) -> Any:
    return tensor.view(torch.uint16).numpy() if tensor.dtype == torch.bfloat16 else tensor.numpy()


def small_tensors() -> Seconds:
    """A model of 10,000 tensors of 64 values; fanin's time includes a key for each name."""
    tensors = [torch.zeros(SMALL_SIZE) for _ in range(SMALL_TENSORS)]
    outs = [torch.zeros(SMALL_SIZE).numpy() for _ in range(SMALL_TENSORS)]
    names = [f"layers.{i}.norm.weight" for i in range(SMALL_TENSORS)]
    indices = range(SMALL_SIZE)

    def ours() -> None:
        for name, out in zip(names, outs, strict=True):
            normal(key(0, name), indices, 0.02, out=out)

    def theirs() -> None:
        for tensor in tensors:
            torch.nn.init.normal_(tensor, 0.0, 0.02)

    return medians({"ours": ours, "theirs": theirs}, 9)


def whole_model(weights: list[shapes.Weight], dtype: str, rounds: int) -> Seconds:
    """Every parameter of a model, one after the other in the same memory, by both."""
    memory = torch.zeros(max(math.prod(w.shape) for w in weights), dtype=getattr(torch, dtype))
    tensors = [memory[: math.prod(w.shape)].view(w.shape) for w in weights]
    outs = [as_array(memory)[: math.prod(w.shape)] for w in weights]

    def ours() -> None:
        for (name, _, law, scale), tensor, out in zip(weights, tensors, outs, strict=True):
            if law == "constant":
                tensor.fill_(scale)
            else:
                draw = normal if law == "normal" else uniform
                draw(key(0, name), range(out.size), scale, dtype=dtype, out=out)

    def theirs() -> None:
        for (_, _, law, scale), tensor in zip(weights, tensors, strict=True):
            if law == "constant":
                torch.nn.init.constant_(tensor, scale)
            elif law == "normal":
                torch.nn.init.normal_(tensor, 0.0, scale)
            else:
                torch.nn.init.uniform_(tensor, -scale, scale)

    return medians({"ours": ours, "theirs": theirs}, rounds)


def many_parameters() -> Contenders:
    """The 10,000 small tensors as the parameters of a model with a plan."""
    model = torch.nn.ParameterDict({f"p{i}": torch.zeros(SMALL_SIZE) for i in range(SMALL_TENSORS)})
    law = fanin.Normal(std=0.02)
    entries = (Entry(Parameter(path, (SMALL_SIZE,), "float32"), law, "timed") for path, _ in model.named_parameters())
    plan = Plan("normal", tuple(entries))

    def theirs() -> None:
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, 0.0, 0.02)

    return {"ours": lambda: fanin.initialize_(model, recipe=plan, seed=0), "theirs": theirs}


def in_transformers(model: Any) -> Contenders:
    """A model that stands in memory, and who starts it anew: its own `init_weights`, and fanin."""
    plan = fanin.plan(model, torch.zeros(1, 8, dtype=torch.int64), recipe="normal(std=0.02)")

    def theirs() -> None:
        for holder in (*model.modules(), *model.parameters()):
            holder._is_hf_initialized = False  # else it would leave them as they are
        model.init_weights()

    return {"ours": lambda: fanin.initialize_(model, recipe=plan, seed=0), "theirs": theirs}


def row(name: str, parameters: int, dtype: str, t: Seconds, digits: int = 2) -> str:
    times = f"{t['ours']:.{digits}f} s | {t['theirs']:.{digits}f} s | {t['theirs'] / t['ours']:.2f}"
    return f"| {name} | {parameters:,} | {dtype} | {times} |"


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--quick", action="store_true", help="without the largest model")
    asked = parser.parse_args()
    torch.set_num_threads(cores())
    section = Section("models", "numba", "numpy", "torch", "transformers")
    for dtype in ("float32", "bfloat16"):  # the kernels start before anything is timed
        normal(key(0, "warm"), range(1 << 23), 0.02, dtype=dtype)
    section.say("| filled in place | parameters | dtype | fanin | torch.nn.init | ratio |\n|---|---|---|---|---|---|")
    small = f"{SMALL_TENSORS:,} tensors of {SMALL_SIZE} values"
    section.say(row(small, SMALL_TENSORS * SMALL_SIZE, "float32", small_tensors(), 3))
    models = [("GPT-2 small", shapes.gpt2_small(), "float32", 3), ("ResNet-50", shapes.resnet50(), "float32", 5)]
    if not asked.quick:
        models.append(("Llama 3 8B", shapes.llama_8b(), "bfloat16", 1))
    for name, weights, dtype, rounds in models:
        parameters = sum(math.prod(w.shape) for w in weights)
        section.say(row(name, parameters, dtype, whole_model(weights, dtype, rounds)))
    section.say(IN_PLACE)
    section.say(
        "\n| a model with a plan | parameters | dtype | fanin.initialize_ | peer | ratio |\n|---|---|---|---|---|---|"
    )
    theirs = "torch.nn.init.normal_"
    section.say(row(f"{small}; {theirs}", SMALL_TENSORS * SMALL_SIZE, "float32", medians(many_parameters(), 9), 3))
    if transformers is not None:
        model = transformers.AutoModel.from_config(transformers.GPT2Config())
        parameters = sum(p.numel() for p in model.parameters())
        peer = "GPT-2 small of transformers; its init_weights"
        section.say(row(peer, parameters, "float32", medians(in_transformers(model), 5)))
    section.say(WITH_A_COPY)
    if asked.write:
        section.write()


if __name__ == "__main__":
    main()
