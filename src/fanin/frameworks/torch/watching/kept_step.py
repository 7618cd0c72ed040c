"""One step of training as it was made: weights before it, what the model was called with, the random state."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch.func import functional_call
from torch.utils._pytree import tree_leaves, tree_map_only

from fanin.errors import BadInput
from fanin.frameworks.torch.measuring.first_broken import FirstBroken, broken
from fanin.frameworks.torch.model.names import naming
from fanin.frameworks.torch.model.state import undisturbed
from fanin.frameworks.torch.model.whole import unwrapped
from fanin.signals.origin import Origin

Tensors = dict[str, torch.Tensor]


@dataclass
class KeptCall:
    """One call of the model.

    Attributes:
        random: states of the generators before it, by the name of their device: "cpu", "cuda:0".
        autocast: (device, dtype), where it was on.
        gradients: of the loss at each tensor of the output, in the order of its leaves; filled by the backward pass.
    """

    args: tuple[Any, ...]
    keywords: dict[str, Any]
    random: Tensors
    autocast: tuple[str, torch.dtype] | None = None
    gradients: dict[int, torch.Tensor] = field(default_factory=dict)

    def on(self, device: torch.device) -> KeptCall:
        """The same call, with its tensors there."""
        moved = tree_map_only(torch.Tensor, lambda x: x.to(device), (self.args, self.keywords, self.gradients))
        autocast = (device.type, self.autocast[1]) if self.autocast else None
        return KeptCall(moved[0], moved[1], self.random, autocast, moved[2])


@dataclass(frozen=True)
class KeptStep:
    """Attributes:
    values: parameters and buffers by the names of the model within its wrappers, before the step.
    calls: of the model, in order; several where gradients are accumulated.
    modes: of modules that are not in training mode, by path: False.
    """

    values: Tensors
    calls: tuple[KeptCall, ...]
    modes: Mapping[str, bool]

    def check(self, model: torch.nn.Module) -> None:
        """Whether it is a step of such a model.

        Raises:
            BadInput: names or shapes differ.
        """
        own = {name: tuple(x.shape) for name, x in _values(unwrapped(model)).items()}
        kept = {name: tuple(x.shape) for name, x in self.values.items()}
        if differ := [name for name in own | kept if own.get(name) != kept.get(name)]:
            name = differ[0]
            raise BadInput(
                f"The step is one of another model: {len(differ)} tensor(s) differ, {name} the first: kept "
                f"{kept.get(name, 'none')}, the model has {own.get(name, 'none')}. Build it as it was when it broke."
            )

    def origin(self, model: torch.nn.Module, loss_is_finite: bool) -> Origin | None:
        """The first operation whose result is not finite; the step is made again, and the model is as it was.

        None where nothing is found: then it was not in this process, or it does not come twice.
        """
        model = unwrapped(model)
        path_of, place = naming(model), next(model.parameters()).device
        looking = {id(module): path_of(path) for path, module in model.named_modules()}
        values = {name: x.to(place) for name, x in self.values.items()}
        with undisturbed(model), torch.compiler.set_stance("force_eager"):  # a compiled part shows no operation
            for path, module in model.named_modules():
                module.training = self.modes.get(path, True)
            for call in self.calls:
                if found := _origin_in(model, looking, values, call.on(place)):
                    return found
        return None if loss_is_finite else Origin("the loss, of an output that is finite,")


def _origin_in(model: torch.nn.Module, paths: Mapping[int, str], values: Tensors, call: KeptCall) -> Origin | None:
    """Of one call; buffers that it writes stay written in `values`."""
    if result := broken((call.args, call.keywords)):
        return Origin("the input of the model", result=result)
    looked = FirstBroken(paths)
    trained = {n for n, p in model.named_parameters() if p.requires_grad}
    held = {n: x.detach().requires_grad_(n in trained) for n, x in values.items()}
    with torch.enable_grad(), _as_it_was(call), looked:
        output = functional_call(model, held, call.args, call.keywords)
    if looked.found or broken(output):
        return looked.found or looked.of_infinite(output)
    return _origin_behind(looked, output, call)


def _origin_behind(looked: FirstBroken, output: Any, call: KeptCall) -> Origin | None:
    """In the backward pass, with the gradients that the loss gave."""
    leaves = tree_leaves(output)
    pairs = [(leaves[i], gradient) for i, gradient in call.gradients.items() if i < len(leaves)]
    pairs = [(x, gradient) for x, gradient in pairs if isinstance(x, torch.Tensor) and x.requires_grad]
    if result := broken([gradient for _, gradient in pairs]):
        return Origin("the loss", backward=True, result=result)
    if pairs:
        outputs, gradients = zip(*pairs, strict=True)
        with looked.looking_back(outputs):
            torch.autograd.backward(outputs, gradients)
    return looked.found


@contextmanager
def _as_it_was(call: KeptCall) -> Iterator[None]:
    with ExitStack() as stack:
        for device, state in call.random.items():
            if device == "cpu":
                torch.set_rng_state(state)
            elif torch.cuda.is_available():
                torch.cuda.set_rng_state(state, device)
        if call.autocast is not None:
            device, dtype = call.autocast
            stack.enter_context(torch.autocast(device, dtype))
        yield


class Keeping:
    """Keeps the step that is being made, from `keep` to the next `keep`; hooks are there from `open` to `close`."""

    def __init__(self, model: torch.nn.Module) -> None:
        self._model, self._within = model, unwrapped(model)
        self._values: Tensors = {}
        self._calls: list[KeptCall] = []
        self._handles: list[Any] = []

    def open(self) -> None:
        """From here on, calls are kept, in the step that begins."""
        self._handles = [
            self._model.register_forward_pre_hook(self._called, with_kwargs=True),
            self._model.register_forward_hook(self._returned),
        ]
        self.keep()

    def close(self) -> None:
        """The model is as it was."""
        while self._handles:
            self._handles.pop().remove()
        self._values, self._calls = {}, []

    @torch.no_grad()
    def keep(self) -> None:
        """A step begins: what was kept of the last one is written over."""
        self._calls = []
        now = _values(self._within)
        if self._values.keys() != now.keys():
            self._values = {name: x.detach().clone() for name, x in now.items()}
        else:
            torch._foreach_copy_(list(self._values.values()), [x.detach() for x in now.values()])

    @torch.no_grad()
    def finite(self) -> bool:
        """Whether all parameters are; waits for the device."""
        norms = torch._foreach_norm([p.detach() for p in self._within.parameters() if p.numel()], float("inf"))
        return bool(torch.stack([norm.float().to(norms[0].device) for norm in norms]).isfinite().all())

    def number(self, loss: Any) -> float | None:
        """Of a tensor, which is waited for, or of a number."""
        return None if loss is None else float(loss.detach() if isinstance(loss, torch.Tensor) else loss)

    def taken(self) -> KeptStep:
        """What is kept; closed."""
        modes = {path: False for path, module in self._within.named_modules() if not module.training}
        kept = KeptStep(self._values, tuple(self._calls), modes)
        self.close()
        return kept

    def _called(self, module: Any, args: Any, keywords: Any) -> None:
        if torch.compiler.is_compiling() or not torch.is_grad_enabled():
            return
        args, keywords = tree_map_only(torch.Tensor, lambda x: x.detach().clone(), (args, keywords))
        self._calls.append(KeptCall(args, keywords, _random(), _autocast(self._within)))

    def _returned(self, module: Any, args: Any, output: Any) -> None:
        if torch.compiler.is_compiling() or not torch.is_grad_enabled() or not self._calls:
            return
        gradients = self._calls[-1].gradients
        for i, leaf in enumerate(tree_leaves(output)):
            if isinstance(leaf, torch.Tensor) and leaf.requires_grad:
                leaf.register_hook(partial(_keep_gradient, gradients, i))  # type: ignore[no-untyped-call]


def _keep_gradient(gradients: dict[int, torch.Tensor], place: int, gradient: torch.Tensor) -> None:
    gradients[place] = gradient.detach().clone()


def _values(model: torch.nn.Module) -> Tensors:
    return {**dict(model.named_parameters()), **dict(model.named_buffers())}


def _random() -> Tensors:
    states = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        device = f"cuda:{torch.cuda.current_device()}"
        states[device] = torch.cuda.get_rng_state(device)
    return states


def _autocast(model: torch.nn.Module) -> tuple[str, torch.dtype] | None:
    kind = next(model.parameters()).device.type
    return (kind, torch.get_autocast_dtype(kind)) if torch.is_autocast_enabled(kind) else None
