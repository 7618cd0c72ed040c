"""Run a model once on symbolic values and keep the program that it makes: every operation, and which layer ran it.

It is Paddle's own road from dynamic code to a program (`paddle.jit.to_static`), without its rewriting of source code:
the model's `forward` runs as it stands, and nothing is computed.
"""

from __future__ import annotations

import inspect
import re
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import paddle

from fanin.errors import BadInput, CannotTrace, FaninError, ShapeMismatch

FRAME: Final = re.compile(r'^\s*File "(.+)", line (\d+)')
LIBRARIES: Final = (str(Path(paddle.__file__).parent), str(Path(__file__).parents[2]))  # Paddle's files, and fanin's
ERROR_LINE: Final = re.compile(r"^\s*(?:\((\w+)\)\s*)(.+)$|^(\w*Error): (.+)$")


@dataclass(frozen=True)
class LayerRun:
    """One call of a layer.

    Attributes:
        inputs, outputs: the values that it was called with and gave.
    """

    path: str
    layer: Any
    inputs: tuple[Any, ...]
    outputs: tuple[Any, ...]


@dataclass(frozen=True)
class Recorded:
    """A program.

    Attributes:
        program: of Paddle's intermediate representation (PIR).
        inputs: names of the tensors that it is fed.
        outputs: the values that the model returns, one after the other.
        scalar: what the loss makes of them, if there is one.
        runs: of layers, inner ones before those around them.
        tensors: parameters, buffers and constants of the model: by the id of the value, each tensor.
    """

    program: Any
    inputs: tuple[str, ...]
    outputs: tuple[Any, ...]
    scalar: Any
    runs: tuple[LayerRun, ...]
    tensors: Mapping[int, Any]


def recorded(
    model: Any, example: Sequence[Any], is_leaf: Callable[[Any], bool], loss: Callable[[Any], Any] | None = None
) -> Recorded:
    """The program of `loss(model(*example))`.

    Args:
        example: one batch; a mapping at the end whose keys are arguments of the model's is passed as keywords.
        is_leaf: layers that are taken whole: what runs inside them is not told apart.

    Raises:
        BadInput: no tensor in the example, or the loss fails.
        ShapeMismatch: the example does not fit; says what the layer says.
        CannotTrace: the model does something that depends on values, or that a program cannot hold.
    """
    leaves = paddle.utils.flatten(list(example))
    places = [i for i, x in enumerate(leaves) if _is_tensor(x)]
    if not places:
        raise BadInput(f"The example holds no tensor; got {', '.join(type(x).__name__ for x in example) or 'nothing'}.")
    specs = [_spec(leaves[i], f"x_{n}" if n else "x") for n, i in enumerate(places)]
    runs: list[LayerRun] = []

    @paddle.jit.not_to_static  # type: ignore[untyped-decorator]  # Paddle has no types
    def called(given: Sequence[Any]) -> Any:
        filled = list(leaves)
        for i, value in zip(places, given, strict=True):
            filled[i] = value
        arguments, keywords = _arguments(model, paddle.utils.pack_sequence_as(list(example), filled))
        with _watched(model, is_leaf, runs):
            made = model(*arguments, **keywords)
        outputs = [x for x in paddle.utils.flatten([made]) if _is_value(x)]
        return [*outputs, _scalar(loss, made)] if loss else outputs

    with _names_of_their_own(model), _undisturbed(model):
        concrete = _program(model, called, specs)
    made = [x for x in paddle.utils.flatten(concrete.outputs) if _is_value(x)]
    scalar = made.pop() if loss else None
    tensors = {value.id: tensor for tensor, value in zip(*concrete.parameters, strict=True)}
    names = tuple(op.attrs()["name"] for op in concrete.main_program.global_block().ops if op.name() == "pd_op.data")
    return Recorded(concrete.main_program, names, tuple(made), scalar, tuple(runs), tensors)


def _program(model: Any, called: Callable[..., Any], specs: Sequence[Any]) -> Any:
    """Paddle's record of the call.

    Raises:
        ShapeMismatch, CannotTrace: see `recorded`.
    """
    try:
        with warnings.catch_warnings():  # what Paddle says of programs that are kept; this one is not
            warnings.filterwarnings("ignore", "When training, we now always track")
            warnings.filterwarnings("ignore", "Tensor do not have 'place' interface")
            return paddle.jit.to_static(called, input_spec=[specs], full_graph=True).concrete_program
    except FaninError:
        raise
    except Exception as error:
        cause = said(error)
        if "InvalidArgument" in str(error) or isinstance(error, (AssertionError, IndexError)):
            raise ShapeMismatch(f"{type(model).__name__} cannot be called with this example: {cause}.") from error
        raise CannotTrace(
            f"{type(model).__name__} cannot be recorded as a program: {type(error).__name__}: {cause}. "
            "What depends on values, such as `if x.sum() > 0` or x.numpy(), cannot be. plan(model), without an "
            "example, runs nothing."
        ) from error


def said(error: BaseException) -> str:
    """The line of an error that says what is wrong, out of the pages in which Paddle wraps it."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    marked = [found for line in lines if (found := ERROR_LINE.match(line))]
    if marked:
        return str(marked[-1].group(2) or marked[-1].group(4)).rstrip(".")
    return (lines[0] if lines else type(error).__name__).rstrip(".")


def _scalar(loss: Callable[[Any], Any], made: Any) -> Any:
    try:
        value = loss(made)
    except Exception as error:
        raise BadInput(f"The loss failed on the model's output: {type(error).__name__}: {said(error)}.") from error
    if not isinstance(value, paddle.pir.Value) or any(n != 1 for n in value.shape):
        got = f"shape {tuple(value.shape)}" if hasattr(value, "shape") else type(value).__name__
        raise BadInput(f"The loss must return a tensor with one element; got {got}. Reduce it with .mean() or .sum().")
    return value


def _is_tensor(x: Any) -> bool:
    return hasattr(x, "shape") and hasattr(x, "dtype")


def _spec(x: Any, name: str) -> Any:
    return paddle.static.InputSpec([int(n) for n in x.shape], str(x.dtype).rpartition(".")[2] or str(x.dtype), name)


def _arguments(model: Any, example: list[Any]) -> tuple[list[Any], dict[str, Any]]:
    """A mapping at the end is keywords, if one of its keys is an argument."""
    if example and isinstance(example[-1], dict):
        known = inspect.signature(model.forward).parameters
        if any(key in known for key in example[-1]):
            return example[:-1], example[-1]
    return example, {}


@contextmanager
def _watched(model: Any, is_leaf: Callable[[Any], bool], runs: list[LayerRun]) -> Iterator[None]:
    """Layers say when they ran, for as long as the block lasts; what is inside a leaf says nothing."""
    inside: list[str] = []  # a leaf that is running

    def enters(path: str, layer: Any) -> Callable[..., None]:
        def hook(_: Any, __: Any) -> None:
            if not inside and is_leaf(layer):
                inside.append(path)

        return hook

    def leaves(path: str, layer: Any) -> Callable[..., None]:
        def hook(_: Any, given: Any, *rest: Any) -> None:
            if inside and inside[-1] != path:
                return
            inside.clear()
            inputs, outputs = (tuple(filter(_is_value, paddle.utils.flatten(list(x)))) for x in (given, rest[-1:]))
            keywords = [x for x in paddle.utils.flatten(list(rest[:-1])) if _is_value(x)]
            runs.append(LayerRun(path, layer, (*inputs, *keywords), outputs))

        return hook

    hooks = []
    try:
        for path, layer in model.named_sublayers(include_self=True):
            hooks.append(layer.register_forward_pre_hook(enters(path, layer)))
            hooks.append(layer.register_forward_post_hook(leaves(path, layer), with_kwargs=True))
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _is_value(x: Any) -> bool:
    return isinstance(x, paddle.pir.Value)


@contextmanager
def _undisturbed(model: Any) -> Iterator[None]:
    """What a `forward` hangs on its layers, a buffer or a cache, is gone afterwards: it would be symbolic."""
    layers = list(model.sublayers(include_self=True))
    kept = [(vars(layer), dict(vars(layer)), layer._buffers, dict(layer._buffers)) for layer in layers]
    try:
        yield
    finally:
        for own, before, buffers, values in kept:
            own.clear()
            own.update(before)
            buffers.clear()
            buffers.update(values)


@contextmanager
def _names_of_their_own(model: Any) -> Iterator[None]:
    """A program knows tensors by name: those that have one name in two places have others for a while."""
    layers = model.sublayers(include_self=True)
    tensors = {id(t): t for layer in layers for t in layer._parameters.values() if t is not None}
    count = Counter(t.name for t in tensors.values())
    twice = [(t, t.name) for t in tensors.values() if count[t.name] > 1]
    try:
        for i, (tensor, name) in enumerate(twice):
            tensor.name = f"{name}.{i}"
        yield
    finally:
        for tensor, name in twice:
            tensor.name = name


def source_of(callstack: Sequence[str]) -> str:
    """The innermost line of the user's own, as "file.py:12"; "" if there is none."""
    frames = [found.groups() for line in callstack if (found := FRAME.match(line))]
    for file, line in reversed(frames):
        if file.startswith(LIBRARIES[1]):
            return ""
        if not file.startswith(LIBRARIES[0]):
            return f"{Path(file).name}:{line}"
    return ""
