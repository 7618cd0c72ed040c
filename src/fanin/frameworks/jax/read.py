"""From a program of JAX to calls of layers as PyTorch has them.

`READERS` (`operations.py`) says what each primitive is; here is what they all need: what a value is, when an elementwise
chain is an activation, how a view becomes a step of the graph, and which steps the model's output does not need.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np

from fanin.frameworks.jax.pointwise import OPERATIONS, SIGNAL, Expression, recognised
from fanin.frameworks.jax.program import ELEMENTWISE, Fixed, Operand, Program, Step, Type, concrete
from fanin.frameworks.jax.views import Shape, View, steps, whole
from fanin.graph import ActivationCall, Held, Input, LayerCall, Layout, Ref
from fanin.graph.operations import Slot

NOWHERE: Final = -1  # the value of a node that stands for no step of the program
LARGEST: Final = 1 << 22  # elements of a constant that is computed while reading


class Known(NamedTuple):
    """A value that no parameter and no input takes part in; None where it is not worth computing."""

    value: Any
    shape: Shape


class Signal(NamedTuple):
    """What a node makes, or an input, as it is seen."""

    view: View


class Stored(NamedTuple):
    """A parameter, or an array of the model's state, as it is seen; `view` is None where its axes are cut.

    Attributes:
        turned: the axes of the parameter that run backwards.
        row: which of its layers, of one that stacks those of a loop along its first axis.
    """

    path: str
    view: View | None
    turned: tuple[int, ...] = ()
    row: int | None = None


class Pointwise(NamedTuple):
    """A function of one signal that may become an activation."""

    base: View
    what: Expression


Value: TypeAlias = "Known | Signal | Stored | Pointwise"
Reader: TypeAlias = "Callable[[Reading, Step], None]"


class Use(NamedTuple):
    """A parameter among the arguments of a draft; becomes `Held` when all uses are known."""

    path: str
    row: int | None = None


@dataclass
class Draft:
    """A node that is being read: what follows may add a bias to it, or show that it is part of a softmax."""

    name: str
    op: str
    arguments: dict[str, Any]
    shape: Shape
    dtype: str
    value: int  # of the program: where it is measured
    activation: ActivationCall | None = None
    module: str = ""
    module_type: str = ""
    source: str = ""
    notes: tuple[str, ...] = ()
    bias_axis: int | None = None  # the axis of outputs, where a bias may still be added


@dataclass(frozen=True)
class Tensor:
    """An array that the model holds."""

    path: str
    shape: Shape
    dtype: str
    trained: bool = True
    owner: tuple[str, ...] = ()


@dataclass
class Reading:
    """The state of one walk through a program."""

    program: Program
    tensors: Mapping[str, Tensor]
    env: dict[int, Value] = field(default_factory=dict)
    drafts: dict[str, Draft] = field(default_factory=dict)
    layouts: dict[str, tuple[Layout, Slot | None]] = field(default_factory=dict)
    inputs: dict[str, Type] = field(default_factory=dict)
    opaque: dict[str, str] = field(default_factory=dict)  # nodes that are read without being understood → their primitive
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
        value = self.signal(value, number)
        if isinstance(value, Known):
            scalar = value.value is not None and np.size(value.value) == 1
            return np.asarray(value.value).item() if scalar else Ref(self._constant(value), 0, value.shape)
        if isinstance(value, Stored):
            if not self.tensors[value.path].trained:
                return Ref(value.path, 0, self.tensors[value.path].shape)
            self.layouts.setdefault(value.path, (_as_it_is(self.tensors[value.path].shape), None))
            return Use(value.path, value.row)
        name = self.seen(value.view)
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
        own = next((a.path for a in _flat(arguments) if isinstance(a, Use)), None)
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

    def finished(self, outputs: Sequence[Operand]) -> tuple[list[Held], list[LayerCall], list[Input], list[Ref]]:
        """What `graph_of` takes, without what the outputs do not need."""
        numbers = [o for o in outputs if isinstance(o, int)]
        refs = [self.ref(self.env[o], o) for o in numbers]
        outs = [r for r in refs if isinstance(r, Ref)]
        kept: set[str] = set()
        pending = [r.name for r in outs]
        while pending:
            name = pending.pop()
            if name in self.drafts and name not in kept:
                kept.add(name)
                pending.extend(a.name for a in _flat(self.drafts[name].arguments) if isinstance(a, Ref))
        held = {t.path: self._held(t) for t in self.tensors.values() if t.trained}
        drafts = [d for d in self._in_order() if d.name in kept]
        outs = self._renumbered(drafts, outs)
        read = {a.name for d in drafts for a in _flat(d.arguments) if isinstance(a, Ref)} | {r.name for r in outs}
        inputs = [Input(name, of.shape, str(of.dtype)) for name, of in self.inputs.items() if name in read]
        return list(held.values()), [_call(d, held) for d in drafts], inputs, outs

    def _renumbered(self, drafts: Sequence[Draft], outs: Sequence[Ref]) -> list[Ref]:
        """Nodes are counted again, without those that nothing needs."""
        counted: Counter[str] = Counter()
        names: dict[str, str] = {}
        for draft in drafts:
            number = counted[draft.op]
            counted[draft.op] += 1
            names[draft.name] = f"{draft.op}_{number}" if number else draft.op

        def renamed(argument: Any) -> Any:
            if isinstance(argument, Ref):
                return argument._replace(name=names.get(argument.name, argument.name))
            if isinstance(argument, tuple) and not isinstance(argument, Use):
                return tuple(map(renamed, argument))
            return argument

        for draft in drafts:
            draft.name = names[draft.name]
            draft.arguments = {name: renamed(argument) for name, argument in draft.arguments.items()}
        self.opaque = {names[name]: primitive for name, primitive in self.opaque.items() if name in names}
        self.drafts = {draft.name: draft for draft in drafts}
        return [renamed(ref) for ref in outs]

    def _in_order(self) -> Iterator[Draft]:
        """By what needs what: a chain is named when it is asked for, which may be late."""
        seen: set[str] = set()

        def visit(name: str) -> Iterator[Draft]:
            if name in self.drafts and name not in seen:
                seen.add(name)
                for a in _flat(self.drafts[name].arguments):
                    if isinstance(a, Ref):
                        yield from visit(a.name)
                yield self.drafts[name]

        for name in list(self.drafts):
            yield from visit(name)

    def _held(self, tensor: Tensor) -> Held:
        layout, slot = self.layouts.get(tensor.path, (_as_it_is(tensor.shape), None))
        return Held(tensor.path, tensor.shape, layout, tensor.dtype, owner=tensor.owner, slot=slot)


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


def _as_it_is(shape: Shape) -> Layout:
    return Layout(tuple(range(len(shape))), shape)


def _flat(arguments: Mapping[str, Any]) -> Iterator[Any]:
    for argument in arguments.values():
        if isinstance(argument, (Ref, Use)):
            yield argument
        elif isinstance(argument, (list, tuple)):
            yield from (a for a in argument if isinstance(a, (Ref, Use)))


def _call(draft: Draft, held: Mapping[str, Held]) -> LayerCall:
    def final(argument: Any) -> Any:
        if isinstance(argument, Use):
            return replace(held[argument.path], row=argument.row)
        if isinstance(argument, (list, tuple)) and not isinstance(argument, Ref):
            return tuple(map(final, argument))
        return argument

    return LayerCall(
        draft.name,
        draft.op,
        {name: final(argument) for name, argument in draft.arguments.items()},
        draft.shape,
        draft.dtype,
        draft.activation,
        draft.module,
        draft.module_type,
        source=draft.source,
        notes=draft.notes,
    )


# PyTorch's names for elementwise operations, with those of their arguments.
_ONE: Final = {
    **{name: name for name in ("abs", "ceil", "cos", "cosh", "erf", "erfc", "exp", "exp2", "expm1", "floor", "log")},
    **{name: name for name in ("log1p", "neg", "round", "rsqrt", "sign", "sin", "sinh", "sqrt", "square", "tan")},
    **{name: name for name in ("tanh", "atan", "asin", "acos", "asinh", "acosh", "atanh")},
    "logistic": "sigmoid",
    "not": "logical_not",
    "is_finite": "isfinite",
    "convert_element_type": "to",
    "reduce_precision": "to",
    "stop_gradient": "detach",
    "copy": "clone",
}
_TWO: Final = {
    **{name: name for name in ("add", "sub", "mul", "div", "pow", "eq", "ne", "lt", "le", "gt", "ge")},
    "rem": "remainder",
    "max": "maximum",
    "min": "minimum",
    "and": "logical_and",
    "or": "logical_or",
    "xor": "logical_xor",
}


def spelled(step: Step, args: Sequence[Any]) -> tuple[str, dict[str, Any]]:
    """An elementwise step as PyTorch's operation, with the arguments of its schema."""
    name = step.primitive
    if name == "integer_pow":
        return "pow", {"self": args[0], "exponent": step.params["y"]}
    if name == "clamp":
        return "clamp", {"self": args[1], "min": args[0], "max": args[2]}
    if name == "select_n" and len(args) == 3:
        return "where", {"condition": args[0], "self": args[2], "other": args[1]}
    if name in _TWO:
        return _binary(_TWO[name], *args)
    return _ONE.get(name, name), {"self" if i == 0 else f"arg{i}": a for i, a in enumerate(args)}


def _binary(op: str, a: Any, b: Any) -> tuple[str, dict[str, Any]]:
    """PyTorch has the tensor first: a number is `other`, and what does not commute has another name."""
    tensors = [isinstance(x, (Ref, Use)) for x in (a, b)]
    if tensors == [False, True]:
        if op in {"add", "mul", "maximum", "minimum", "eq", "ne"}:
            a, b = b, a
        elif op == "sub":
            return "rsub", {"self": b, "other": a, "alpha": 1}
        elif op == "div" and a == 1:
            return "reciprocal", {"self": b}
    if op in {"maximum", "minimum"} and not isinstance(b, (Ref, Use)):
        return ("clamp_min", {"self": a, "min": b}) if op == "maximum" else ("clamp_max", {"self": a, "max": b})
    if op == "pow":
        return op, {"self": a, "exponent": b}
    return op, {"self": a, "other": b, **({"alpha": 1} if op in {"add", "sub"} else {})}
