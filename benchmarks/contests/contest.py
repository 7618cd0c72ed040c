"""A contest: a net that is hard to start, its data, and the recipes that are compared on it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from fanin.experiments import Training

ALWAYS = ("auto", "torch_default")
SGD_RATES = (3e-4, 1e-3, 3e-3, 1e-2, 3e-2)
ADAM_RATES = (3e-4, 1e-3, 3e-3)


@dataclass(frozen=True)
class Contest:
    """Every recipe with the same data, batches, steps and learning rates.

    Attributes:
        name: in tables and on the command line.
        net, data: of `NETS` and `DATA`, with their arguments.
        named: the recipes which the literature names for such nets.
        rates: a recipe is judged at its own best.
        bar: a run trains if its loss over the last tenth of the steps is at most this share of chance.
        milliseconds: a step of one model, about, on one core; for the time left.
    """

    name: str
    net: str
    data: str
    named: tuple[str, ...]
    training: Training
    rates: tuple[float, ...] = SGD_RATES
    bar: float = 0.5
    milliseconds: float = 10.0

    @property
    def recipes(self) -> tuple[str, ...]:
        """All of them, each once."""
        return tuple(dict.fromkeys((*ALWAYS, *self.named)))

    def quick(self) -> Contest:
        """A fifth of the steps and the middle rate: to see that it runs, not what comes out."""
        steps = max(10, self.training.steps // 5)
        middle = self.rates[len(self.rates) // 2]
        return replace(self, training=replace(self.training, steps=steps), rates=(middle,))
