"""One real forward and backward pass over the traced graph, with the moments of everything that flows."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch.fx.node import Node as FxNode
from torch.utils import _pytree as pytree

from fanin.errors import BadInput, ShapeMismatch
from fanin.frameworks.torch.call import Call, call_of
from fanin.frameworks.torch.closer import Closer
from fanin.frameworks.torch.custom_functions import unsure_gradients
from fanin.frameworks.torch.failure import CALLS, FITS, first_line, misfit, where
from fanin.frameworks.torch.layer import given
from fanin.frameworks.torch.names import naming
from fanin.frameworks.torch.replay import Replay
from fanin.frameworks.torch.same_elements import same_elements
from fanin.frameworks.torch.state import fixed_randomness, undisturbed
from fanin.frameworks.torch.stored import told_apart
from fanin.frameworks.torch.trace import Traced, innermost_module
from fanin.frameworks.torch.whole import any_sharded, unwrapped
from fanin.signals import Moments, ParameterSignal, Signals
from fanin.signals.axes import Axes
from fanin.signals.model import RANDOM_COTANGENT
from fanin.signals.summary import bounds_of

Loss = Callable[[Any], torch.Tensor]
_PART = 1 << 18  # elements widened at a time on a CPU: they stay in its cache, and no large memory is taken


def observe(
    traced: Traced,
    model: torch.nn.Module,
    example: tuple[Any, ...],
    loss: Loss | None = None,
    closer: Mapping[str, Axes] | None = None,
    classes: Mapping[str, int] | None = None,
) -> Signals:
    """Run the traced program on the model's own parameters and measure every node.

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
    if any_sharded(model):
        raise BadInput(
            "The model is sharded, and signals are measured in one process. Measure it before it is sharded, or a "
            "smaller one of its kind."
        )
    model = unwrapped(model)
    path_of = naming(model)
    stored = {path_of(path): p.detach() for path, p in model.named_parameters(remove_duplicate=False)}
    if on_meta := [path for path, p in stored.items() if p.is_meta]:
        raise BadInput(
            f"{len(on_meta)} parameter(s) are on the meta device and have no values to measure: "
            f"{', '.join(on_meta[:5])}{', …' if len(on_meta) > 5 else ''}. "
            "Call model.to_empty(device=…) and initialize_, or fanin.materialize_, first."
        )
    # Aliases: the same memory, but gradients and hooks of their own. A tied tensor has one, whatever its names.
    leaves = {
        p.path: stored[p.path].requires_grad_(stored[p.path].is_floating_point()) for p in traced.graph.parameters
    }
    with undisturbed(model), torch.enable_grad():
        fixed_randomness()  # dropout and the like: the same masks in every observation, so that two compare
        call = call_of(model, example)
        look = Closer(traced.graph, closer, classes or {}) if closer is not None else None
        recorder = _Recorder(traced, model, call, look)
        outputs = own_outputs(traced.program, recorder.run(*flat_inputs(traced, leaves, path_of, call)))
        scalar = scalar_of(loss, traced.output(outputs)) if loss else _random_cotangent(outputs)
        wanted = {path: leaf for path, leaf in leaves.items() if leaf.requires_grad}
        found = torch.autograd.grad(scalar, list(wanted.values()), allow_unused=True)
        gradients = dict(zip(wanted, found, strict=True))
    parameters = {path: _parameter_signal(leaf.detach(), gradients.get(path)) for path, leaf in leaves.items()}
    if look:
        values = {path: leaf.detach() for path, leaf in leaves.items()}
        parameters = told_apart(traced.graph, parameters, values, gradients)
        look.parameters(values)
    return Signals(
        values=recorder.values,
        gradients=recorder.gradients,
        parameters=parameters,
        loss=float(scalar.detach()),
        loss_name=name_of(loss) if loss else RANDOM_COTANGENT,
        assumed={name: (why,) for name, why in unsure_gradients(traced.graph).items()},
        graph=traced.graph,
        axes=closer or {},
        details=look.details if look else {},
        gradient_details=look.gradient_details if look else {},
        parameter_details=look.parameter_details if look else {},
        attention=look.attention if look else {},
    )


class _Recorder(Replay):
    """Runs the program node by node; keeps moments, not tensors."""

    def __init__(self, traced: Traced, model: torch.nn.Module, call: Call, closer: Closer | None) -> None:
        super().__init__(traced)
        self._closer = closer
        self.values: dict[str, Moments] = {}
        self.gradients: dict[str, Moments] = {}
        self._bounds = bounds_of(traced.graph)
        self._gradient_of: dict[str, str] = {}  # node → another with the same gradient, which arrives there before
        self._recorded = traced.graph.by_name
        self._traced, self._model, self._call = traced, model, call

    def run_node(self, n: FxNode) -> Any:
        self._running = n.name
        try:
            result = super().run_node(n)
        except CALLS as error:
            if FITS.search(first_line(error)):
                raise self._explained(n, error) from error
            raise
        tensor = result[0] if isinstance(result, (tuple, list)) and result else result
        if n.name in self._recorded and isinstance(tensor, torch.Tensor) and tensor.is_floating_point():
            self._see_value(n, tensor.detach())
            if tensor.requires_grad:
                tensor.register_hook(partial(self._see_gradient, n.name))  # type: ignore[no-untyped-call]
        return result

    def _explained(self, n: FxNode, error: Exception) -> ShapeMismatch:
        """What only values show, such as an index that is too large."""
        path, _ = innermost_module(n)
        stored = self._traced.graph.by_path
        inputs = [self.env[i] for i in n.all_input_nodes if self._traced.names.get(i.name) not in stored]
        cause = first_line(error)
        if "out of range" in cause and inputs and not inputs[0].is_floating_point():
            cause += f": the values go from {int(inputs[0].min())} to {int(inputs[0].max())}"
        source = self._recorded[n.name].source if n.name in self._recorded else ""
        layer = dict(self._model.named_modules())[path]
        return misfit(path, layer, tuple(inputs), self._call, f"{cause}{f', at {source}' if source else ''}")

    def call_function(self, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """One operation; an attention's scores are looked at before they are gone."""
        if self._closer:
            self._closer.attends(self._running, args, kwargs)
        return super().call_function(target, args, kwargs)

    def _see_value(self, n: FxNode, x: torch.Tensor) -> None:
        source, gradient_of = same_elements(n, self._recorded)
        self._gradient_of |= gradient_of
        if source in self.values:
            self.values[n.name] = replace(self.values[source], saturated=None)
            if self._closer:
                self._closer.value_again(n.name, source, x)
            return
        seen = moments(x, self._bounds.get(n.name))
        self.values[n.name] = self._closer.value(n.name, x, seen) if self._closer else seen

    def _see_gradient(self, name: str, gradient: torch.Tensor) -> None:
        same = self._gradient_of.get(name, "")
        if same in self.gradients:
            self.gradients[name] = self.gradients[same]
            if self._closer:
                self._closer.gradient_again(name, same)
            return
        self.gradients[name] = moments(gradient.detach())
        if self._closer:
            self._closer.gradient(name, gradient.detach())


def moments(x: torch.Tensor, bounds: tuple[float, float] | None = None) -> Moments:
    """The moments of a tensor, accumulated in float64 so that float32 values up to 1e38 can be squared.

    Of complex values, the mean of the real part and E[|x|²].
    """
    n = x.numel()
    if n == 0:
        return Moments(math.nan, math.nan)
    dtype = torch.complex128 if x.is_complex() else torch.float64
    total = squares = zeros = 0.0
    for part in torch.split(x.reshape(-1), _PART if x.device.type == "cpu" else n):
        wide = part.to(dtype)
        norm = float(torch.linalg.vector_norm(wide))
        total += float(wide.sum().real)
        squares += norm * norm
        # Ten times as fast as count_nonzero, which branches on every element; a part's sum of ones is exact in float32.
        counted = part if x.dtype == torch.float32 and len(part) <= _PART else wide
        zeros += float(torch.eq(counted, 0, out=torch.empty_like(counted)).sum().real)
    return Moments(
        mean=total / n,
        second_moment=squares / n,
        zeros=zeros / n,
        non_finite=0.0 if math.isfinite(squares) else 1 - int(torch.isfinite(x).sum()) / n,
        saturated=_saturated(x, *bounds) if bounds else None,
    )


def _saturated(x: torch.Tensor, low: float, high: float) -> float:
    """Share of outputs within 1 % of the range from a bound: there tanh, say, has lost 98 % of its slope."""
    margin = 0.01 * (high - low)
    return int(((x < low + margin) | (x > high - margin)).sum()) / x.numel()


def flat_inputs(
    traced: Traced, leaves: Mapping[str, torch.Tensor], path_of: Callable[[str], str], call: Call
) -> list[Any]:
    """The program's flat inputs in its own order: parameters, buffers, constants, and the user's.

    Buffers are copies and the user's tensors are detached, since some operations write into their inputs and hooks are
    set on every result.
    """
    kinds = torch.export.graph_signature.InputKind
    program, owned = traced.program, traced.graph.by_path
    given = iter(_checked(program, call))
    flat: list[Any] = []
    for spec in program.graph_signature.input_specs:
        name = str(spec.target)
        if spec.kind is kinds.PARAMETER:
            flat.append(leaves[owned[path_of(name)].path])
        elif spec.kind is kinds.BUFFER:
            flat.append((program.state_dict if spec.persistent else program.constants)[name].detach().clone())
        elif spec.kind is kinds.USER_INPUT:
            value = next(given)
            flat.append(value.detach() if isinstance(value, torch.Tensor) else value)
        else:
            flat.append(program.constants[name])
    return flat


def _checked(program: torch.export.ExportedProgram, call: Call) -> list[Any]:
    """The call's leaves, if they look like those that the program was recorded with: it holds their shapes."""
    kinds = torch.export.graph_signature.InputKind
    specs = zip(program.graph_signature.input_specs, program.graph.find_nodes(op="placeholder"), strict=True)
    recorded = [node.meta["val"] for spec, node in specs if spec.kind is kinds.USER_INPUT]
    if given(call.leaves) != given(recorded):
        raise BadInput(
            f"The graph was recorded with {given(recorded)}; got {given(call.leaves)}. Trace the model again."
        )
    if pytree.tree_structure((call.args, call.keywords)) != program.call_spec.in_spec:
        raise BadInput("The graph was recorded with arguments of other names or structure. Trace the model again.")
    return call.leaves


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


def name_of(loss: Loss) -> str:
    """As it is called in reports."""
    named = loss.func if isinstance(loss, partial) else loss
    name = str(getattr(named, "__name__", type(named).__name__))
    return "a lambda" if name == "<lambda>" else name


def _random_cotangent(outputs: list[torch.Tensor]) -> torch.Tensor:
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


def _parameter_signal(value: torch.Tensor, gradient: torch.Tensor | None) -> ParameterSignal:
    return ParameterSignal(
        value=moments(value),
        gradient=None if gradient is None else moments(gradient),
        same_rows=_same_rows(value),
        same_gradient_rows=gradient is not None and _same_rows(gradient),
    )


def _same_rows(x: torch.Tensor) -> bool:
    """All slices along the first axis are equal, and there are at least two."""
    many = x.dim() >= 2 and x.shape[0] >= 2 and x.numel() > 0
    return many and torch.equal(x[0], x[1]) and bool((x == x[:1]).all())  # the first two nearly always decide
