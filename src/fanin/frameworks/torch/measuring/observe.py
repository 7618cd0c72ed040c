"""One real forward and backward pass over the traced graph, with the moments of everything that flows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from fanin.errors import BadInput
from fanin.frameworks.measured import name_of
from fanin.frameworks.torch.measuring.closer import Closer, details
from fanin.frameworks.torch.measuring.later import Later, read
from fanin.frameworks.torch.measuring.looks import Looks
from fanin.frameworks.torch.measuring.recorder import Recorder
from fanin.frameworks.torch.measuring.scalar import Loss, own_outputs, random_cotangent, scalar_of
from fanin.frameworks.torch.measuring.stored import Apart, told_apart
from fanin.frameworks.torch.model.call import call_of
from fanin.frameworks.torch.model.names import naming
from fanin.frameworks.torch.model.shards import is_sharded
from fanin.frameworks.torch.model.state import fixed_randomness, undisturbed
from fanin.frameworks.torch.model.whole import unwrapped
from fanin.frameworks.torch.tracing.custom_functions import unsure_gradients
from fanin.frameworks.torch.tracing.program_inputs import flat_inputs
from fanin.frameworks.torch.tracing.trace import Traced
from fanin.signals import ParameterSignal, Signals
from fanin.signals.axes import Axes
from fanin.signals.model import RANDOM_COTANGENT


def can_have_gradients(x: torch.Tensor) -> bool:
    """Real or complex numbers."""
    return x.is_floating_point() or x.is_complex()


def observe(
    traced: Traced,
    model: torch.nn.Module,
    example: tuple[Any, ...],
    loss: Loss | None = None,
    closer: Mapping[str, Axes] | None = None,
    classes: Mapping[str, int] | None = None,
) -> Signals:
    """Run the traced program on the model's own parameters and measure every node.

    Nothing is read from the device until both passes are done: reading one number waits for all that came before it.
    The program is functional: buffers are not updated, no hook of the model runs, and gradients are taken with
    `torch.autograd.grad` against aliases of the parameters, so that `.grad` is not touched.

    Args:
        loss: from the model's output to a scalar. Without one the gradient is that of ⟨output, v⟩/batch with a fixed
            random v: it shows how gradients grow or shrink with depth, whatever the task.
        closer: look closer (`Signals.details` and `attention`), given what the axes of each node count, as `predict`
            knows it.
        classes: of logits, which axis counts the classes, by node name; only for a closer look.

    Raises:
        BadInput: the loss raises or is not a differentiable scalar, nothing in the output can be differentiated, the
            model has no memory yet, or the example does not fit the traced program.
    """
    model = unwrapped(model)
    path_of = naming(model)
    own = {path_of(path): p for path, p in model.named_parameters(remove_duplicate=False)}
    if any(map(is_sharded, own.values())):
        raise BadInput(
            "The model is sharded, and signals are measured in one process. Measure it before it is sharded, or a "
            "smaller one of its kind."
        )
    stored = {path: p.detach() for path, p in own.items()}
    if on_meta := [path for path, p in stored.items() if p.is_meta]:
        raise BadInput(
            f"{len(on_meta)} parameter(s) are on the meta device and have no values to measure: "
            f"{', '.join(on_meta[:5])}{', …' if len(on_meta) > 5 else ''}. "
            "Call model.to_empty(device=…) and initialize_, or fanin.materialize_, first."
        )
    # Aliases: the same memory, but gradients and hooks of their own. A tied tensor has one, whatever its names.
    leaves = {
        p.path: stored[p.path].requires_grad_(can_have_gradients(stored[p.path])) for p in traced.graph.parameters
    }
    with undisturbed(model), torch.enable_grad():
        fixed_randomness()  # dropout and the like: the same masks in every observation, so that two compare
        call = call_of(model, example)
        looks = Looks()
        look = Closer(traced.graph, closer, classes or {}) if closer is not None else None
        recorder = Recorder(traced, model, call, looks, look)
        outputs = own_outputs(traced.program, recorder.run(*flat_inputs(traced, leaves, path_of, call)))
        scalar = scalar_of(loss, traced.output(outputs)) if loss else random_cotangent(outputs)
        wanted = {path: leaf for path, leaf in leaves.items() if leaf.requires_grad}
        asked: list[Any] = [*wanted.values(), *recorder.edges.values()]
        found = torch.autograd.grad(scalar, asked, allow_unused=True)
        gradients = dict(zip(wanted, found, strict=False))
        recorder.see_edges(found[len(wanted) :])
    values = {path: leaf.detach() for path, leaf in leaves.items()}
    seen = {path: _Parameter(looks, x, gradients.get(path), closer is not None) for path, x in values.items()}
    looks.settle()
    if look:
        look.settle()
    loss_seen = Later(scalar.detach().reshape(1))
    of_parameters = [later for one in seen.values() for later in one.waiting()]
    read([loss_seen, *recorder.waiting(), *of_parameters, *(look.waiting() if look else ())])
    kept = {path: one.value for path, one in seen.items()}
    apart: dict[str, Apart] = told_apart(traced.graph, kept, values, gradients) if look else {}
    of_values, of_gradients = recorder.moments()
    return Signals(
        values=of_values,
        gradients=of_gradients,
        parameters={path: one.signal(apart.get(path, ())) for path, one in seen.items()},
        loss=float(loss_seen.numbers[0]),
        loss_name=name_of(loss) if loss else RANDOM_COTANGENT,
        assumed={name: (why,) for name, why in unsure_gradients(traced.graph).items()},
        graph=traced.graph,
        axes=closer or {},
        details=look.details(recorder.values) if look else {},
        gradient_details=details(recorder.gradients),
        parameter_details=details(kept),
        attention=look.attention if look else {},
    )


class _Parameter:
    """What is kept of one parameter and its gradient, None where it has no influence."""

    def __init__(self, looks: Looks, value: torch.Tensor, gradient: torch.Tensor | None, closely: bool) -> None:
        self.value = looks.at_rows(value, closely=closely)
        self._gradient = None if gradient is None else looks.at_rows(gradient)

    def waiting(self) -> list[Later]:
        """What is to be read before it is a signal."""
        return self.value.waiting() + (self._gradient.waiting() if self._gradient else [])

    def signal(self, apart: Apart | tuple[()]) -> ParameterSignal:
        """Once it is read; with what tells it apart, where that was looked for."""
        own, gradient = self.value, self._gradient
        return ParameterSignal(
            own.moments(),
            gradient.moments() if gradient else None,
            bool(own.rows and own.rows.same),
            bool(gradient and gradient.rows and gradient.rows.same),
            *apart,
        )
