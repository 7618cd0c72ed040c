"""Run a model on symbolic tensors and record every operation, inside subclassed layers too, on any back end.

Keras evaluates a layer that it does not know by the back end, on abstract values, and sees nothing of what is inside.
Here such a layer's own `call` is run on the symbolic tensors instead, so that its layers and `keras.ops` are met one by
one. Nothing is computed, and no node is hung on the user's layers.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, Final

import keras

_LIBRARIES: Final = frozenset({"fanin", "keras", "torch", "jax", "tensorflow", "optree", "contextlib"})

_BOLD: Final = re.compile(r"\x1b\[1m(.*?)(\x1b|$)", re.DOTALL)


@dataclass(frozen=True)
class Recorded:
    """One call of a layer or an operation.

    Attributes:
        what: the layer, the operation, or an activation that takes the back end's own tensors only.
        outputs: its symbolic results, one after the other.
        layer: the innermost layer that was running; None for the model itself.
        source: "file.py:line" of the user's code.
        unseen: why the layer was not looked into, where it has layers inside.
        bare: what it makes is before the layer's own activation, which is a call of its own.
    """

    what: Any
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    outputs: tuple[Any, ...]
    layer: Any
    source: str = ""
    unseen: str = ""
    bare: bool = False


@dataclass
class Recorder:
    """Takes down the calls.

    Attributes:
        is_leaf: layers that are described as they are, from the outside.
        constants: symbolic tensors in the place of real ones that a layer with weights was called with, and these.
    """

    is_leaf: Callable[[Any], bool]
    calls: list[Recorded] = field(default_factory=list)
    stack: list[Any] = field(default_factory=list)
    constants: list[tuple[Any, Any]] = field(default_factory=list)

    def symbols(self, given: Any) -> Any:
        """Arguments without a signal among them, such as the positions that a table is read at, as symbolic tensors."""
        if any(isinstance(x, keras.KerasTensor) for x in keras.tree.flatten(given)):
            return given
        return keras.tree.map_structure(self._constant, given)

    def _constant(self, x: Any) -> Any:
        if not hasattr(x, "shape") or not hasattr(x, "dtype") or isinstance(x, keras.Variable):
            return x
        symbol = keras.KerasTensor(tuple(map(int, x.shape)), keras.backend.standardize_dtype(x.dtype))
        self.constants.append((symbol, x))
        return symbol

    def layer(self, layer: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        """A layer on symbolic tensors: taken down, or looked into."""
        if self.is_leaf(layer):
            return self._leaf(layer, args, kwargs)
        before = len(self.calls)
        self.stack.append(layer)
        try:
            return layer.call(*args, **kwargs)
        except Exception as error:  # noqa: BLE001  # code for the back end's own tensors may raise anything
            del self.calls[before:]
            why = said(error)
        finally:
            self.stack.pop()
        return self.take(layer, args, kwargs, _spec(layer, args, kwargs), why)

    def _leaf(self, layer: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        """What it makes, then its own activation, as an operation behind it."""
        made = _spec(layer, args, kwargs)
        activation = getattr(layer, "activation", None)
        if activation is None or not isinstance(made, keras.KerasTensor) or hasattr(layer, "cell"):
            return self.take(layer, args, kwargs, made)
        self.take(layer, args, kwargs, made, bare=True)
        self.stack.append(layer)
        try:
            return activation(made)
        except Exception:  # noqa: BLE001  # a function of the back end's own tensors
            return self.take(activation, (made,), {}, keras.KerasTensor(made.shape, made.dtype))
        finally:
            self.stack.pop()

    def take(
        self,
        what: Any,
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        made: Any,
        unseen: str = "",
        *,
        bare: bool = False,
    ) -> Any:
        """Take down one call; returns what it makes."""
        layer = what if isinstance(what, keras.layers.Layer) else self.stack[-1] if self.stack else None
        outputs = tuple(keras.tree.flatten(made))
        self.calls.append(Recorded(what, args, kwargs, outputs, layer, users_line(), unseen, bare))
        return made


_ACTIVE: ContextVar[Recorder | None] = ContextVar("recorder", default=None)


def _spec(what: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """Shapes and dtypes of the results; of a layer that declares some axes as unknown, those that its code gives."""
    token = _ACTIVE.set(None)  # what the back end evaluates is not recorded
    try:
        made = what.compute_output_spec(*args, **kwargs)
        if any(None in getattr(x, "shape", ()) for x in keras.tree.flatten(made)):
            return keras.Operation.compute_output_spec(what, *args, **kwargs)
        return made
    finally:
        _ACTIVE.reset(token)


@contextmanager
def recording(recorder: Recorder) -> Iterator[None]:
    """Symbolic calls of this thread go to the recorder; Keras is as it was afterwards."""
    module: Any = sys.modules[keras.layers.Layer.__module__]  # where a layer's call hangs a node on the layer
    operation, layer, node = keras.Operation.symbolic_call, keras.layers.Layer.symbolic_call, module.Node
    called = keras.layers.Layer.__call__

    def of_operation(self: Any, *args: Any, **kwargs: Any) -> Any:
        active = _ACTIVE.get()
        if active is None:
            return operation(self, *args, **kwargs)
        return active.take(self, args, kwargs, _spec(self, args, kwargs))

    def of_layer(self: Any, *args: Any, **kwargs: Any) -> Any:
        active = _ACTIVE.get()
        return layer(self, *args, **kwargs) if active is None else active.layer(self, args, kwargs)

    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        active = _ACTIVE.get()
        if active is not None and self.built and self.weights:
            args, kwargs = active.symbols((args, kwargs))
        return called(self, *args, **kwargs)

    def no_node(*args: Any, **kwargs: Any) -> Any:
        return node(*args, **kwargs) if _ACTIVE.get() is None else None

    token = _ACTIVE.set(recorder)
    keras.Operation.symbolic_call, keras.layers.Layer.symbolic_call = of_operation, of_layer
    keras.layers.Layer.__call__, module.Node = call, no_node
    try:
        yield
    finally:
        keras.Operation.symbolic_call, keras.layers.Layer.symbolic_call = operation, layer
        keras.layers.Layer.__call__, module.Node = called, node
        _ACTIVE.reset(token)


def users_line() -> str:
    """The innermost line of the user's own, called from here, as "file.py:12"; "" if there is none."""
    frame: FrameType | None = sys._getframe(1)
    found = ""
    while frame:
        module = frame.f_globals.get("__name__", "")
        if not found and module.partition(".")[0] not in _LIBRARIES:
            found = f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}"
        if frame.f_code.co_name == "recorded_call" and module.startswith("fanin."):
            return found
        frame = frame.f_back
    return ""


def said(error: BaseException) -> str:
    """The first line of what an error says, out of the paragraphs in which Keras wraps it."""
    inside = _BOLD.search(str(error))
    lines = [line.strip() for line in (inside.group(1) if inside else str(error)).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__).split(". ")[0].rstrip(".")
