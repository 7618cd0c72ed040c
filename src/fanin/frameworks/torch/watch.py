"""From a watched step of a PyTorch model to its signals, without changing it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import torch

from fanin.errors import BadInput
from fanin.frameworks.torch.names import checked_parameters
from fanin.frameworks.torch.step_forward import Forward
from fanin.frameworks.torch.step_statistics import Fetch, histogram_of
from fanin.frameworks.torch.whole import any_sharded
from fanin.signals.step import ParameterStep, StepSignals


class Watcher:
    """Looks at one step from `arm` to `collect`; between steps it holds nothing.

    `arm` sets hooks and keeps a copy of the values; `collect` reads gradients and updates and takes the hooks away.

    Raises:
        BadInput: not a module, a sharded one or one on the meta device, or not an optimizer.
        NoParameters: the model has none.
    """

    def __init__(self, model: torch.nn.Module, optimizer: Any = None, *, histograms: bool = False) -> None:
        named = checked_parameters(model)
        if any_sharded(model):
            raise BadInput(
                "The model is sharded (DTensor), and fanin.watch sees whole parameters only. Watch a model that is "
                "not, of the same kind; DistributedDataParallel is supported."
            )
        if on_meta := [path for path, (tensor, _) in named.items() if tensor.is_meta]:
            raise BadInput(
                f"{len(on_meta)} parameter(s) are on the meta device and cannot be trained: {', '.join(on_meta[:5])}. "
                "Give them values first: fanin.materialize_(model, plan, seed=0)."
            )
        if optimizer is not None and not isinstance(optimizer, torch.optim.Optimizer):
            raise BadInput(f"optimizer takes a torch.optim.Optimizer; got {type(optimizer).__name__}.")
        self._parameters = {path: tensor for path, (tensor, _) in named.items()}
        self._optimizer, self._histograms = optimizer, histograms
        self._forward = Forward(model, histograms=histograms)
        self._before: dict[str, torch.Tensor] = {}
        self._fetch = Fetch()
        self._gradients: dict[str, slice] = {}
        self._handles: list[Any] = []
        self.name = type(model).__name__

    @property
    def sees_forward(self) -> bool:
        """Whether activations can be seen; inside torch.compile they cannot."""
        return self._forward.sees

    @property
    def speaks(self) -> bool:
        """Whether this is the one process of a distributed run that writes and warns."""
        distributed = torch.distributed
        return not (distributed.is_available() and distributed.is_initialized()) or distributed.get_rank() == 0

    def arm(self) -> None:
        """From here on, the step is watched."""
        self._fetch, self._gradients = Fetch(), {}
        self._forward.arm(self._fetch)
        self._before = {p: t.detach().clone() for p, t in self._parameters.items() if t.requires_grad}
        if self._optimizer is not None:
            # Gradients as the optimizer gets them, even if they are set to None before the step ends.
            self._handles.append(self._optimizer.register_step_pre_hook(lambda *_: self._read_gradients()))

    def disarm(self) -> None:
        """The model and the optimizer are as they were."""
        self._forward.disarm()
        while self._handles:
            self._handles.pop().remove()
        self._before, self._fetch, self._gradients = {}, Fetch(), {}

    @torch.no_grad()
    def collect(self) -> StepSignals:
        """What was seen since `arm`; disarmed."""
        if not self._gradients:
            self._read_gradients()
        before = self._before
        weights = self._norms((path, tensor) for path, tensor in before.items())
        after = ((path, self._parameters[path].detach()) for path in before)
        updates = self._differences(after, before)
        numbers = self._fetch.all()

        def of(places: dict[str, slice], path: str) -> float | None:
            return numbers[places[path]][0] if path in places else None

        found = tuple(
            ParameterStep(
                path,
                tuple(tensor.shape),
                of(weights, path) or 0.0,
                of(self._gradients, path),
                of(updates, path),
                histogram_of(tensor) if self._histograms else None,
                histogram_of(tensor.grad) if self._histograms and tensor.grad is not None else None,
            )
            for path, tensor in self._parameters.items()
            if path in before
        )
        rates = tuple(float(g["lr"]) for g in self._optimizer.param_groups) if self._optimizer is not None else ()
        seen = StepSignals(tuple(self._forward.layers(numbers)), found, rates)
        self.disarm()
        return seen

    @torch.no_grad()
    def not_finite(self) -> tuple[str, ...]:
        """Paths of parameters whose gradient, else whose value, holds infinities or NaN now; waits for the device."""
        for of in (lambda t: t.grad, lambda t: t):
            look: Callable[[Any], Any] = of
            held = {path: look(t) for path, t in self._parameters.items()}
            broken = tuple(p for p, t in held.items() if t is not None and not bool(torch.isfinite(_dense(t)).all()))
            if broken:
                return broken
        return ()

    @torch.no_grad()
    def _read_gradients(self) -> None:
        held = ((path, _dense(t.grad)) for path, t in self._parameters.items() if t.grad is not None)
        self._gradients = self._norms(held)

    def _norms(self, named: Iterable[tuple[str, torch.Tensor]]) -> dict[str, slice]:
        """L2 norms in float32 at least, all tensors of a device and dtype in few kernels."""
        groups: defaultdict[tuple[Any, Any], dict[str, torch.Tensor]] = defaultdict(dict)
        for path, tensor in named:
            groups[tensor.device, tensor.dtype][path] = tensor
        places: dict[str, slice] = {}
        for (_, dtype), tensors in groups.items():
            wide = None if dtype in (torch.float32, torch.float64) or dtype.is_complex else torch.float32
            norms = torch._foreach_norm(list(tensors.values()), 2, dtype=wide)
            places |= {path: self._fetch.add(norm) for path, norm in zip(tensors, norms, strict=True)}
        return places

    def _differences(
        self, after: Iterable[tuple[str, torch.Tensor]], before: dict[str, torch.Tensor]
    ) -> dict[str, slice]:
        """Norms of the updates; the copies are used up for them."""
        moved = {path: tensor for path, tensor in after if tensor.device == before[path].device}
        for path, tensor in moved.items():
            before[path].sub_(tensor)
        return self._norms((path, before[path]) for path in moved)


def _dense(tensor: torch.Tensor) -> torch.Tensor:
    """What an embedding with sparse gradients has, summed where an index comes twice."""
    return tensor.coalesce().values() if tensor.is_sparse else tensor
