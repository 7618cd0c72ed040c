"""From a watched step of a PyTorch model to its signals, without changing it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, Final

import torch

from fanin.errors import BadInput
from fanin.frameworks.torch.model.names import checked_parameters
from fanin.frameworks.torch.model.shards import local_of
from fanin.frameworks.torch.model.whole import is_a
from fanin.frameworks.torch.watching.arriving import Arriving
from fanin.frameworks.torch.watching.shard_sums import Norms, ShardSums
from fanin.frameworks.torch.watching.step_forward import Forward
from fanin.frameworks.torch.watching.step_statistics import Fetch, histogram_of, sampled
from fanin.signals.step import ParameterStep, StepSignals

COMPILED: Final = "Layers inside torch.compile are not seen; gradients, weights and updates are."
_FSDP1: Final = ("torch.distributed.fsdp.fully_sharded_data_parallel", "FullyShardedDataParallel")


class Watcher:
    """Looks at one step from `arm` to `collect`; between steps it holds nothing.

    `arm` sets hooks and keeps a sample of the values, 65,536 of each parameter at most; `collect` reads gradients and
    updates and takes the hooks away. Of a model that `fully_shard` sharded, each process looks at its shards, and
    `collect` adds them up: one message for each mesh, so all processes must collect the same steps.

    Raises:
        BadInput: not a module, one on the meta device or wrapped by the older FSDP, or not an optimizer.
        NoParameters: the model has none.
    """

    def __init__(self, model: torch.nn.Module, optimizer: Any = None, *, histograms: bool = False) -> None:
        named = checked_parameters(model)
        if any(is_a(module, *_FSDP1) for module in model.modules()):
            raise BadInput(
                "The model is wrapped by FullyShardedDataParallel, which holds parameters as pieces of a flat tensor; "
                "fanin.watch sees models that torch.distributed.fsdp.fully_shard sharded."
            )
        if on_meta := [path for path, (tensor, _) in named.items() if tensor.is_meta]:
            raise BadInput(
                f"{len(on_meta)} parameter(s) are on the meta device and cannot be trained: {', '.join(on_meta[:5])}. "
                "Give them values first: fanin.materialize_(model, plan, seed=0)."
            )
        if optimizer is not None and not isinstance(optimizer, torch.optim.Optimizer):
            raise BadInput(f"optimizer takes a torch.optim.Optimizer; got {type(optimizer).__name__}.")
        self._parameters = {path: tensor for path, (tensor, _) in named.items()}
        self._sums = ShardSums(self._parameters)
        self._optimizer, self._histograms = optimizer, histograms
        self._forward = Forward(model, histograms=histograms)
        self._before: dict[str, torch.Tensor] = {}
        self._fetch = Fetch()
        self._weights: dict[str, slice] = {}
        self._gradients: dict[str, slice] = {}
        self._handles: list[Any] = []
        self.name = type(model).__name__
        self.ended = False  # for all processes: one of them could not watch a step

    def notes(self) -> list[str]:
        """What cannot be seen: activations inside torch.compile."""
        return [] if self._forward.sees else [COMPILED]

    def arriving(self) -> Arriving:
        """Where losses wait."""
        return Arriving()

    @property
    def sharded(self) -> bool:
        """Whether `collect` speaks to other processes."""
        return bool(self._sums)

    @property
    def rank(self) -> int:
        """Of this process in a distributed run; that of rank 0 writes and warns."""
        distributed = torch.distributed
        return distributed.get_rank() if distributed.is_available() and distributed.is_initialized() else 0

    @torch.no_grad()
    def arm(self) -> None:
        """From here on, the step is watched."""
        self._fetch, self._gradients = Fetch(), {}
        self._forward.arm(self._fetch)
        trained = {path: _held(t) for path, t in self._parameters.items() if t.requires_grad}
        self._weights = self._norms(trained.items())
        self._before = {path: sampled(x).clone() for path, x in trained.items()}
        if self._optimizer is not None:
            # Gradients as the optimizer gets them, even if they are set to None before the step ends.
            self._handles.append(self._optimizer.register_step_pre_hook(lambda *_: self._read_gradients()))

    def disarm(self) -> None:
        """The model and the optimizer are as they were."""
        self._forward.disarm()
        while self._handles:
            self._handles.pop().remove()
        self._before, self._weights, self._gradients, self._fetch = {}, {}, {}, Fetch()

    @torch.no_grad()
    def collect(self) -> StepSignals:
        """What was seen since `arm`; disarmed."""
        try:
            numbers, norms = self._collected()
            layers = tuple(self._forward.layers(numbers))
        except Exception:
            self.abstain()
            raise
        if self._sums:
            self.ended = True
            norms = self._sums.whole(norms, 3)
            self.ended = False
        rates = tuple(float(g["lr"]) for g in self._optimizer.param_groups) if self._optimizer is not None else ()
        seen = StepSignals(layers, tuple(self._parameter(path, *found) for path, found in norms.items()), rates)
        self.disarm()
        return seen

    def abstain(self) -> None:
        """Tell the processes that wait for this one at a watched step that it has nothing to say; they give up, too."""
        self.ended = True
        with suppress(RuntimeError):
            self._sums.whole(None, 3)

    @torch.no_grad()
    def not_finite(self) -> tuple[str, ...]:
        """Paths of parameters whose gradient, else whose value, holds infinities or NaN now; waits for the device."""
        for of in (lambda t: t.grad, lambda t: t):
            look: Callable[[Any], Any] = of
            held = {path: look(t) for path, t in self._parameters.items()}
            broken = tuple(p for p, t in held.items() if t is not None and not bool(torch.isfinite(_held(t)).all()))
            if broken:
                return broken
        return ()

    def _collected(self) -> tuple[list[float], Norms]:
        """All numbers of the step; and path → ‖w‖ before the update, ‖∂L/∂w‖, ‖Δw‖, of what this process holds."""
        if not self._gradients:
            self._read_gradients()
        updates, shares = self._updates()
        numbers = self._fetch.all()

        def of(places: dict[str, slice], path: str, scale: float = 1.0) -> float | None:
            return scale * numbers[places[path]][0] if path in places else None

        return numbers, {
            path: (of(self._weights, path), of(self._gradients, path), of(updates, path, shares[path] ** -0.5))
            for path in self._before
        }

    def _parameter(
        self, path: str, weight: float | None, gradient: float | None, update: float | None
    ) -> ParameterStep:
        tensor = self._parameters[path]
        shown = (_held(tensor), tensor.grad) if self._histograms else (None, None)
        histograms = (None if x is None or not _held(x).numel() else histogram_of(_held(x)) for x in shown)
        return ParameterStep(path, tuple(tensor.shape), weight or 0.0, gradient, update, *histograms)

    @torch.no_grad()
    def _read_gradients(self) -> None:
        self._gradients = self._norms((p, _held(t.grad)) for p, t in self._parameters.items() if t.grad is not None)

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

    def _updates(self) -> tuple[dict[str, slice], dict[str, float]]:
        """Norms of the differences in the samples, which are used up, and the shares of the elements that they hold."""
        differences, shares = {}, {}
        for path, before in self._before.items():
            after = _held(self._parameters[path])
            shares[path] = before.numel() / after.numel() if after.numel() else 1.0
            if after.device == before.device:
                differences[path] = before.sub_(sampled(after))
        return self._norms(differences.items()), shares


def _held(tensor: torch.Tensor) -> torch.Tensor:
    """What this process holds of it; of a sparse gradient the rows, summed where an index comes twice."""
    held = local_of(tensor.detach())
    return held.coalesce().values() if held.is_sparse else held
