"""Run a model once on symbolic values and keep the program that it makes: every operation, and which layer ran it.

It is Paddle's own road from dynamic code to a program (`paddle.jit.to_static`), without its rewriting of source code:
the model's `forward` runs as it stands, and nothing is computed.
"""

from __future__ import annotations

import inspect
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import paddle

from fanin.errors import BadInput, CannotTrace, FaninError, ShapeMismatch
from fanin.frameworks.measured import name_of
from fanin.frameworks.paddle.watch import LayerRun, Watch, is_value, names_of_their_own, undisturbed, watched

FRAME: Final = re.compile(r'^\s*File "(.+)", line (\d+)')
LIBRARIES: Final = (str(Path(paddle.__file__).parent), str(Path(__file__).parents[2]))  # Paddle's files, and fanin's
ERROR_LINE: Final = re.compile(r"^\s*(?:\((\w+)\)\s*)(.+)$|^(\w*Error): (.+)$")


@dataclass(frozen=True)
class Recorded:
    """A program.

    Attributes:
        program: of Paddle's intermediate representation (PIR).
        outputs: the values that the model returns, one after the other.
        returned: the same as it returns them, in lists and mappings.
        scalar: what the loss makes of them, if there is one.
        runs: of layers, inner ones before those around them.
        tensors: parameters, buffers and other tensors of the model's that it reads, by their names in the program.
    """

    program: Any
    outputs: tuple[Any, ...]
    returned: Any
    scalar: Any
    runs: tuple[LayerRun, ...]
    tensors: Mapping[str, Any]

    def tensor_of(self, value: Any) -> Any:
        """The tensor of the model's that a value stands for; None for what is computed."""
        made = value.get_defining_op()
        given = made is not None and made.name() == "builtin.parameter"
        return self.tensors[made.attrs()["parameter_name"]] if given else None


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
    watch, failed, returned = Watch(is_leaf), list[Exception](), list[Any]()

    @paddle.jit.not_to_static  # type: ignore[untyped-decorator]  # Paddle has no types
    def called(given: Sequence[Any]) -> Any:
        filled = list(leaves)
        for i, value in zip(places, given, strict=True):
            filled[i] = value
        arguments, keywords = _arguments(model, paddle.utils.pack_sequence_as(list(example), filled))
        try:
            with watched(model, watch):
                made = model(*arguments, **keywords)
            returned[:] = [made]
            outputs = [x for x in paddle.utils.flatten([made]) if is_value(x)]
            return [*outputs, scalar_of(loss, made)] if loss else outputs
        except Exception as error:
            failed.append(error)  # as it was raised: Paddle tells it anew, in other words
            raise

    with names_of_their_own(model), undisturbed(model):
        try:
            with quiet():
                concrete = paddle.jit.to_static(called, input_spec=[specs], full_graph=True).concrete_program
        except Exception as error:
            raise _explained(model, failed[0] if failed else error, watch) from error
        tensors = {tensor.name: tensor for tensor in concrete.parameters[0]}
    made = [x for x in paddle.utils.flatten(concrete.outputs) if is_value(x)]
    scalar = made.pop() if loss else None
    return Recorded(concrete.main_program, tuple(made), returned[0], scalar, tuple(watch.runs), tensors)


def _explained(model: Any, error: Exception, watch: Watch) -> Exception:
    """What went wrong, and in which layer."""
    if isinstance(error, FaninError):
        return error
    layers = dict(model.named_sublayers(include_self=True))
    path = watch.running[-1] if watch.running else ""
    place = f" Layer {path!r}, {layers[path]}:" if path and not list(layers[path].children()) else ""
    cause = said(error)
    arguments = isinstance(error, TypeError) and re.search(r"\bargument", str(error)) and "Value" not in str(error)
    if "InvalidArgument" in str(error) or arguments or isinstance(error, (AssertionError, IndexError)):
        return ShapeMismatch(f"{type(model).__name__} cannot be called with this example.{place} {cause}.")
    return CannotTrace(
        f"{type(model).__name__} cannot be recorded as a program.{place} {type(error).__name__}: {cause}. What depends "
        "on values, such as `if x.sum() > 0` or x.numpy(), cannot be; plan(model), without an example, runs nothing."
    )


@contextmanager
def quiet() -> Iterator[None]:
    """Not what Paddle says of programs that are kept; these are not."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "When training, we now always track")
        warnings.filterwarnings("ignore", "Tensor do not have 'place' interface")
        yield


def said(error: BaseException) -> str:
    """The line of an error that says what is wrong, out of the pages in which Paddle wraps it."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    marked = [found for line in lines if (found := ERROR_LINE.match(line))]
    if marked:
        return str(marked[-1].group(2) or marked[-1].group(4)).rstrip(".")
    return (lines[0] if lines else type(error).__name__).rstrip(".")


def scalar_of(loss: Callable[[Any], Any], made: Any) -> Any:
    """The loss of what a model returns, symbolic values or tensors.

    Raises:
        BadInput: it fails, or is no scalar.
    """
    try:
        value = loss(made)
    except FaninError:
        raise
    except Exception as error:
        raise BadInput(
            f"The loss, {name_of(loss)}, failed on the model's output: {type(error).__name__}: {said(error)}."
        ) from error
    if not isinstance(value, (paddle.pir.Value, paddle.Tensor)) or any(n != 1 for n in value.shape):
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


def source_of(callstack: Sequence[str]) -> str:
    """The innermost line of the user's own, as "file.py:12"; "" if there is none."""
    frames = [found.groups() for line in callstack if (found := FRAME.match(line))]
    for file, line in reversed(frames):
        if file.startswith(LIBRARIES[1]):
            return ""
        if not file.startswith(LIBRARIES[0]):
            return f"{Path(file).name}:{line}"
    return ""
