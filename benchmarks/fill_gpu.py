"""How fast tensors fill on a GPU: fanin's stream beside PyTorch's generators and a plain fill, in one run.

    python benchmarks/fill_gpu.py

Times are those of the device, between events of its stream; each cell is the median of several rounds, in which every
contender fills once, so that what else the device does falls on all alike. A plain fill only writes memory: no
generator can be faster. Before anything is timed, the values are compared with those drawn on the CPU.
"""

from __future__ import annotations

import platform
import statistics
import sys
from collections.abc import Callable

import torch

from fanin.frameworks.torch.writing import gpu
from fanin.stream import key, normal, to_bfloat16_bits
from fanin.stream.laws import NORMAL, TRUNCATED, UNIFORM, Law

KEY = key(0, "weight")
NORMALS: Law = (NORMAL, 0, 0, 0, 0, 0.02 * 2.0**-27, 0.0)
BETWEEN: Law = (TRUNCATED, 97_711_073, 4_099_545_150, -(2 << 27), 2 << 27, 0.02 * 2.0**-27, 0.0)  # ±2 σ
UNIFORMS: Law = (UNIFORM, 0, 0, 0, 0, 0.05 * 2.0**-24, 0.0)
PEERS = {"normal": "normal", "trunc_normal": "truncated", "uniform": "uniform"}
ROUNDS = 9


def milliseconds(contenders: dict[str, Callable[[], object]], calls: int) -> dict[str, float]:
    """Median time of one call of each on the device, interleaved."""
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for repeat in range(ROUNDS + 1):
        for name, call in contenders.items():
            begin, end = torch.Event(enable_timing=True), torch.Event(enable_timing=True)
            begin.record()
            for _ in range(calls):
                call()
            end.record()
            end.synchronize()
            if repeat:  # the first round compiles and warms up
                times[name].append(begin.elapsed_time(end) / calls)
    return {name: statistics.median(values) for name, values in times.items()}


def row(size: int, dtype: torch.dtype, device: torch.device) -> str:
    ours, theirs = (torch.empty(size, dtype=dtype, device=device) for _ in range(2))
    t = milliseconds(
        {
            "normal": lambda: gpu.fill_(ours, KEY, NORMALS),
            "truncated": lambda: gpu.fill_(ours, KEY, BETWEEN),
            "uniform": lambda: gpu.fill_(ours, KEY, UNIFORMS),
            "torch normal_": lambda: theirs.normal_(0.0, 0.02),
            "torch uniform_": lambda: theirs.uniform_(-0.05, 0.05),
            "torch trunc_normal_": lambda: torch.nn.init.trunc_normal_(theirs, 0.0, 0.02, -0.04, 0.04),
            "memory": lambda: theirs.fill_(0.5),
        },
        calls=max(1, (1 << 24) // size),
    )
    rates = [f"{size / t[law] / 1e6:.1f}" for law in ("normal", "truncated", "uniform", "memory")]
    ratios = [f"{t[f'torch {law}_'] / t[ours]:.2f}" for law, ours in PEERS.items()]
    name = str(dtype).removeprefix("torch.")
    return f"| {name} | 2^{size.bit_length() - 1} | {' | '.join([*rates, *ratios])} |"


def check(device: torch.device) -> None:
    """The bits of the CPU."""
    for dtype in (torch.float32, torch.bfloat16):
        drawn = torch.empty(1 << 24, dtype=dtype, device=device)
        if not gpu.available(drawn):
            raise SystemExit(2)  # the reason is on stderr
        gpu.fill_(drawn, KEY, NORMALS)
        values = normal(KEY, range(1 << 24), 0.02)
        expected = torch.from_numpy(to_bfloat16_bits(values)).view(dtype) if drawn.element_size() == 2 else values
        if not torch.equal(drawn.cpu(), torch.as_tensor(expected)):
            sys.exit(f"{dtype}: the values differ from those drawn on the CPU; nothing was timed")
    print("2^24 normals of float32 and of bfloat16: bit for bit those of the CPU.\n")


def main() -> None:
    device = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    if device is None or device.type not in gpu.DEVICES:
        print(f"no GPU: PyTorch {torch.__version__} finds no device of {' or '.join(gpu.DEVICES)}", file=sys.stderr)
        raise SystemExit(2)
    import triton

    device = torch.empty(0, device=device).device
    model = torch.get_device_module(device).get_device_name(device)
    print(f"{model}, {platform.system()} {platform.machine()}")
    print(f"Python {platform.python_version()}, torch {torch.__version__}, triton {triton.__version__}")
    print(f"python {' '.join(sys.argv)}\n")
    check(device)
    print("| dtype | values | normal G/s | truncated G/s | uniform G/s | plain fill G/s ", end="")
    print("| normal_ × | trunc_normal_ × | uniform_ × |")
    print("|---|---|---|---|---|---|---|---|---|")
    for dtype in (torch.float32, torch.bfloat16):
        for power in (14, 18, 22, 26, 28):
            print(row(1 << power, dtype, device), flush=True)


if __name__ == "__main__":
    main()
