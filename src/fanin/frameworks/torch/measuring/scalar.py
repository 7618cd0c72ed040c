"""The scalar that is differentiated: what a loss makes of a model's output, or a random projection of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from fanin.errors import BadInput
from fanin.frameworks.measured import name_of
from fanin.frameworks.torch.model.failure import first_line, where
from fanin.frameworks.torch.model.layer import given

Loss = Callable[[Any], torch.Tensor]


def own_outputs(program: torch.export.ExportedProgram, outputs: Any) -> list[Any]:
    """The outputs that are the model's, not the new values of its buffers."""
    kinds = torch.export.graph_signature.OutputKind
    specs = program.graph_signature.output_specs
    return [value for spec, value in zip(specs, outputs, strict=True) if spec.kind is kinds.USER_OUTPUT]


def scalar_of(loss: Loss, result: Any) -> torch.Tensor:
    """What the user's loss makes of the model's output.

    Raises:
        BadInput: it raises, or gives no differentiable scalar.
    """
    try:
        value = loss(result)
    except Exception as error:  # whatever the user's loss raises is explained and re-raised
        raise BadInput(
            f"The loss, {name_of(loss)}, failed on the model's output of {given([result])}: "
            f"{type(error).__name__}: {first_line(error)}{where(error)}."
        ) from error
    if not isinstance(value, torch.Tensor) or value.numel() != 1:
        got = f"shape {tuple(value.shape)}" if isinstance(value, torch.Tensor) else type(value).__name__
        raise BadInput(f"The loss must return a tensor with one element; got {got}. Reduce it with .mean() or .sum().")
    if not value.requires_grad:
        raise BadInput("The loss does not depend on the model's parameters: nothing can be differentiated.")
    return value.reshape(())


def random_cotangent(outputs: list[torch.Tensor]) -> torch.Tensor:
    """⟨output, v⟩/batch with a fixed random v: its gradients grow or shrink with depth, whatever the task.

    Raises:
        BadInput: nothing in the output can be differentiated.
    """
    floating = [t for t in outputs if t.requires_grad]
    if not floating:
        raise BadInput(
            "Nothing in the model's output depends on its parameters in a differentiable way. "
            "Give a loss: measure(model, x, loss=…)."
        )
    generator = torch.Generator().manual_seed(0)
    total = torch.zeros(())
    for t in floating:
        v = torch.randn(t.shape, generator=generator).to(t.device)
        wide = t.to(torch.promote_types(t.dtype, torch.float32))  # a sum of float16 overflows
        total = total.to(t.device) + (wide * v).sum() / max(t.shape[0] if t.dim() else 1, 1)
    return total
