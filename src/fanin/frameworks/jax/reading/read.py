"""One walk through a program of JAX, from its steps to nodes as PyTorch has them.

`READERS` (`operations.py`) says what each primitive is; here is what they all need: what a value is, when a chain of
elementwise steps is an activation, how a view becomes a node.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, TypeAlias

import numpy as np

from fanin.frameworks.jax.reading.drafts import (
    NOWHERE,
    Draft,
    Known,
    Pointwise,
    Signal,
    Stored,
    Tensor,
    Use,
    Value,
    tensors_in,
)
from fanin.frameworks.jax.reading.pointwise import OPERATIONS, SIGNAL, Expression, recognised
from fanin.frameworks.jax.reading.program import ELEMENTWISE, Fixed, Operand, Program, Step, Type, concrete
from fanin.frameworks.jax.reading.spelling import spelled
from fanin.frameworks.jax.reading.views import Shape, View, steps, whole
from fanin.graph import Layout, Ref
from fanin.graph.operations import Slot

LARGEST: Final = 1 << 22  # elements of a constant that is computed while reading


Reader: TypeAlias = "Callable[[Reading, Step], None]"


@dataclass
class Reading:
    """The state of one walk through a program."""

    program: Program
    tensors: Mapping[str, Tensor]
    env: dict[int, Value] = field(default_factory=dict)
    drafts: dict[str, Draft] = field(default_factory=dict)
    layouts: dict[str, tuple[Layout, Slot | None]] = field(default_factory=dict)
    inputs: dict[str, Type] = field(default_factory=dict)
    opaque: dict[str, str] = field(default_factory=dict)  # nodes that were not understood → their primitive
    uses: Counter[int] = field(default_factory=Counter)
    joined: dict[int, list[Value]] = field(default_factory=dict)  # what was concatenated
    constants: dict[str, Any] = field(default_factory=dict)
    layers: Any = None  # what `marks.Marking` saw while tracing
    entered: dict[int, list[Value]] = field(default_factory=dict)
    within: int | None = None  # the marked layer whose steps are passed over
    before: dict[int, set[str]] = field(default_factory=dict)  # the nodes that were there when a cell was entered
    _named: Counter[str] = field(default_factory=Counter)
    _views: dict[View, str] = field(default_factory=dict)

    # ---- values

    def value(self, operand: Operand) -> Value:
        """What an operand is."""
        if isinstance(operand, Fixed):
            return Known(operand.value, np.shape(operand.value))
        return self.env.get(operand, Known(None, self.program.types[operand].shape))  # made inside a marked layer

    def signal(self, value: Value, number: int) -> Value:
        """The value, with an elementwise chain turned into its nodes."""
        return self._forced(value, number) if isinstance(value, Pointwise) else value

    def shape_of(self, source: str) -> Shape:
        """Of a node or an input, as the graph has it."""
        return self.drafts[source].shape if source in self.drafts else self.inputs[source].shape

    def dtype_of(self, source: str) -> str:
        """Likewise."""
        return self.drafts[source].dtype if source in self.drafts else str(self.inputs[source].dtype)

    def ref(self, value: Value, number: int) -> Any:
        """An argument of a call: a `Ref`, a parameter's `Use`, or a number."""
        if isinstance(value, Pointwise):
            value = self._forced(value, number)
        if isinstance(value, Known):
            scalar = value.value is not None and np.size(value.value) == 1
            return np.asarray(value.value).item() if scalar else Ref(self._constant(value), 0, value.shape)
        if isinstance(value, Stored):
            if not self.tensors[value.path].trained:
                return Ref(value.path, 0, self.tensors[value.path].shape)
            self.layouts.setdefault(value.path, (as_it_is(self.tensors[value.path].shape), None))
            return Use(value.path, value.row)
        name = self.seen(value.view)
        return Ref(name, 0, self.shape_of(name))

    def signals(self, step: Step) -> list[Value]:
        """The operands of a step."""
        return [self.signal(self.value(o), step.outs[0]) for o in step.ins]

    def seen_ref(self, view: View) -> Ref:
        """A view as an argument."""
        name = self.seen(view)
        return Ref(name, 0, self.shape_of(name))

    def _constant(self, value: Known) -> str:
        self._named["constant"] += 1
        name = f"constant_{self._named['constant']}"
        self.constants[name] = np.zeros(value.shape, np.float32) if value.value is None else np.asarray(value.value)
        return name

    def seen(self, view: View) -> str:
        """The node that makes a view; its source where nothing is changed."""
        source = self.shape_of(view.source)
        todo = steps(view, source)
        if view not in self._views:
            name, shape = view.source, source
            for op, argument, value in (
                ("view", "size", todo.split),
                ("permute", "dims", todo.order),
                ("view", "size", todo.joined),
                ("expand", "size", todo.expanded),
            ):
                if value is not None:
                    shape = tuple(shape[i] for i in value) if op == "permute" else value
                    ref, dtype = Ref(name, 0, self.shape_of(name)), self.dtype_of(name)
                    name = self.node(op, {"self": ref, argument: value}, shape, NOWHERE, dtype=dtype)
            self._views[view] = name
        return self._views[view]

    def forget(self, kept: set[str]) -> None:
        """Views of nodes that are no more."""
        self._views = {view: name for view, name in self._views.items() if name in kept or name in self.inputs}

    # ---- nodes

    def node(self, op: str, arguments: Mapping[str, Any], shape: Shape, number: int, **more: Any) -> str:
        """A new node, measured at that value; its name."""
        self._named[op] += 1
        name = op if self._named[op] == 1 else f"{op}_{self._named[op] - 1}"
        own = next((a.path for a in tensors_in(arguments) if isinstance(a, Use)), None)
        module = "" if own is None else own.rpartition(".")[0]
        kind = next(iter(self.tensors[own].owner), "") if own else ""
        dtype = "" if number == NOWHERE else str(self.program.types[number].dtype)
        made = Draft(name, op, dict(arguments), shape, dtype, number)
        made.module, made.module_type = module, kind
        for key, value in more.items():
            setattr(made, key, value)
        self.drafts[name] = made
        return name

    def made(self, op: str, arguments: Mapping[str, Any], step: Step, **more: Any) -> None:
        """A node whose result is that of the step, axis by axis."""
        out = step.outs[0]
        name = self.node(op, arguments, self.program.types[out].shape, out, source=step.source, **more)
        self.env[out] = Signal(whole(name, self.program.types[out].shape))

    def _forced(self, value: Pointwise, number: int) -> Signal:
        """The nodes of an elementwise chain: one activation if fanin knows it, else operation by operation."""
        if value.what.step is None:
            return Signal(value.base)
        call = recognised(value.what, self.program.types[value.what.step.outs[0]].dtype)
        source = Ref(value.base.source, 0, self.shape_of(value.base.source))
        at = value.what.step.outs[0]
        if call is not None and call.name == "identity":
            return Signal(value.base)
        if call is not None:
            op = OPERATIONS.get(call.name, call.name)
            arguments = {"self": source, **call.parameters}
            if call.name in {"gelu", "gelu_tanh"}:
                arguments["approximate"] = "tanh" if call.name == "gelu_tanh" else "none"
            name = self._once(value, op, arguments, at, activation=call)
        else:
            args = [
                self._argument_of(a, value.base, number) if isinstance(a, Expression) else _number(a)
                for a in value.what.args
            ]
            op, named = self._averaged(value) or spelled(value.what.step, args)
            name = self._once(value, op, named, at)
        return Signal(value.base.of(name))

    def _averaged(self, value: Pointwise) -> tuple[str, dict[str, Any]] | None:
        """A sum over its number of terms is a mean, which is how JAX writes means and average pooling."""
        step, draft = value.what.step, self.drafts.get(value.base.source)
        if draft is None or step is None or step.primitive not in {"div", "mul"} or SIGNAL not in value.what.args[:1]:
            return None
        by = float(np.asarray(value.what.args[1])) if not isinstance(value.what.args[1], Expression) else 0.0
        number = 1 / by if step.primitive == "mul" and by else by
        if draft.op == "sum":
            source = self.shape_of(draft.arguments["self"].name)
            terms = int(np.prod([source[i] for i in draft.arguments["dim"]]))
            return ("mean", draft.arguments) if abs(number - terms) < 1e-6 * terms else None
        if draft.arguments.get("divisor_override") == 1 and number == np.prod(draft.arguments["kernel_size"]):
            return draft.op, {k: v for k, v in draft.arguments.items() if k != "divisor_override"}
        return None

    def _argument_of(self, what: Expression, base: View, number: int) -> Ref:
        inner = self._forced(Pointwise(base, what), number)
        return Ref(inner.view.source, 0, self.shape_of(inner.view.source))

    def _once(self, value: Pointwise, op: str, arguments: Mapping[str, Any], at: int, **more: Any) -> str:
        """The node of an expression, which is made when it is first asked for."""
        key = View(f"{value.base.source} → {at}", (), ())
        if key not in self._views:
            assert value.what.step is not None
            source = value.what.step.source
            self._views[key] = self.node(op, arguments, self.shape_of(value.base.source), at, source=source, **more)
        return self._views[key]

    # ---- the walk

    def run(self, readers: Mapping[str, Reader], unknown: Reader) -> None:
        """Read every step."""
        for step in self.program.steps:
            self.uses.update(o for o in step.ins if isinstance(o, int))
        self.uses.update(o for o in self.program.outputs if isinstance(o, int))
        for step in self.program.steps:
            leaves = step.primitive == "mark" and step.params["layer"] == self.within
            if self.within is not None and not leaves:
                continue
            values = [self.value(o) for o in step.ins]
            if step.primitive != "mark" and all(isinstance(v, Known) for v in values):
                self._computed(step, values)
            elif step.primitive in ELEMENTWISE or step.within is not None:
                self.elementwise(step, values, readers.get(step.primitive, unknown))
            else:
                readers.get(step.primitive, unknown)(self, step)

    def _computed(self, step: Step, values: Sequence[Value]) -> None:
        """From constants alone: known too, if it is small."""
        types = [self.program.types[out] for out in step.outs]
        small = all(int(np.prod(t.shape)) <= LARGEST for t in types)
        known = [v.value for v in values if isinstance(v, Known)]
        drawn = step.primitive.startswith(("random", "threefry", "rng"))
        results: Sequence[Any] = [None] * len(types)
        if small and not drawn and all(v is not None for v in known):
            results = [np.asarray(r) for r in concrete(step, known)]
        for out, of, result in zip(step.outs, types, results, strict=True):
            self.env[out] = Known(result, of.shape)

    def elementwise(self, step: Step, values: Sequence[Value], reader: Reader) -> None:
        """Part of a function of one signal; else what the reader says."""
        bases = {v.base if isinstance(v, Pointwise) else v.view for v in values if isinstance(v, (Pointwise, Signal))}
        numbers = [_uniform(v) for v in values if isinstance(v, Known)]
        if len(bases) != 1 or any(isinstance(v, Stored) for v in values) or None in numbers:
            reader(self, step)
            return
        (base,) = bases
        if base.repeats:
            reader(self, step)
            return
        args = tuple(
            v.what if isinstance(v, Pointwise) else SIGNAL if isinstance(v, Signal) else _uniform(v) for v in values
        )
        for out, what in zip(step.outs, _expressions(step, args), strict=True):
            self.env[out] = Pointwise(base, what)


def _expressions(step: Step, args: tuple[Any, ...]) -> list[Expression]:
    """The results of a step as functions of the signal, through a function with a derivative of its own."""
    if step.within is None:
        return [Expression(step, args)]
    inner: dict[int, Any] = dict(zip(step.within.inputs, args, strict=True))

    def read(operand: Operand) -> Any:
        return operand.value if isinstance(operand, Fixed) else inner[operand]

    for one in step.within.steps:
        inner[one.outs[0]] = Expression(one, tuple(read(o) for o in one.ins))
    # The node is measured where the whole function's result is.
    results = [read(o) for o in step.within.outputs]
    return [
        Expression(replace(r.step, outs=(out,)), r.args) if isinstance(r, Expression) and r.step else r
        for r, out in zip(results, step.outs, strict=True)
    ]


def _uniform(value: Value) -> Any:
    """The number that a constant is everywhere; None for any other."""
    if not isinstance(value, Known) or value.value is None:
        return None
    array = np.asarray(value.value)
    if not array.size or not (array.reshape(-1)[0] == array).all():
        return None
    return array.reshape(-1)[0]


def _number(value: Any) -> Any:
    return np.asarray(value).item()


def as_it_is(shape: Shape) -> Layout:
    """The logical weight is the stored one."""
    return Layout(tuple(range(len(shape))), shape)
