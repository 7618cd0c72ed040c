"""How nets are trained, as data."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Training:
    """What all trials of a study have in common: plain SGD with momentum, or Adam (`optimizer`: "sgd", "adam").

    Attributes:
        weight_decay: λ. With SGD the gradient of λ‖w‖²/2 is added to the loss's, as `torch.optim.SGD` does; with Adam
            each step takes η λ w off the weights themselves, as `torch.optim.AdamW` does.
    """

    steps: int = 400
    batch_size: int = 64
    learning_rate: float = 1e-3
    momentum: float = 0.9
    optimizer: str = "sgd"
    weight_decay: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        """As plain data; what came later is there only where it is used, so that results from before keep their names.

        Example:
            >>> "weight_decay" in Training().to_dict(), Training(weight_decay=0.1).to_dict()["weight_decay"]
            (False, 0.1)
        """
        found = asdict(self)
        return found if self.weight_decay else {k: v for k, v in found.items() if k != "weight_decay"}
