"""Write the table of docs/activations.md anew: gains and edge of chaos of every activation that has a name.

.venv/bin/python scripts/table_of_activations.py docs/activations.md
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from fanin.activations import TABLE, Activation, edge_of_chaos, moments
from fanin.activations.torch_gain import torch_gain_of

GAINS = ("forward 1/√E φ²", "variance 1/√Var φ", "backward 1/√E φ'²")
COLUMNS = ("φ", *GAINS, "χ", "η", "β", "torch", "σ_w² (q*) at σ_b² = 0", "at 0.05")
TABLE_AT = re.compile(r"(<!-- table -->\n).*?(<!-- end -->)", re.DOTALL)


def main(page: str) -> None:
    path = Path(page)
    lines = [f"| {' | '.join(COLUMNS)} |", "|---" * len(COLUMNS) + "|", *(row(phi) for phi in TABLE.values())]
    text = path.read_text(encoding="utf-8")
    path.write_text(TABLE_AT.sub(lambda m: m[1] + "\n".join(lines) + "\n" + m[2], text), encoding="utf-8")


def row(phi: Activation) -> str:
    seen = moments(phi)
    torch, _ = torch_gain_of(phi)
    numbers = [seen.forward, seen.forward_variance, seen.backward, seen.chi, seen.eta, seen.beta]
    shown = [f"{n:.6g}" for n in numbers] + [f"{torch:.6g}" if torch else "–"]
    return f"| {phi} | " + " | ".join([*shown, edge(phi, 0.0), edge(phi, 0.05)]) + " |"


def edge(phi: Activation, bias_var: float) -> str:
    found = edge_of_chaos(phi, bias_var=bias_var)
    if found.every_variance:
        return f"{found.weight_var:.6g} (every q)"
    points = (f"{p.weight_var:.6g} ({p.variance:.5g}{'' if p.stable else ', unstable'})" for p in found.points)
    return "; ".join(points) or "none"


if __name__ == "__main__":
    main(*sys.argv[1:])
