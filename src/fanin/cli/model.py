"""FILE.py:factory → a model and an example: the only place that runs a user's code."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any, cast

from fanin.errors import BadInput, CannotTrace, MissingExtra, ShapeMismatch, UnknownName
from fanin.frameworks import adapter_of
from fanin.stream import key


def load_model(
    reference: str, shape: str | None, seed: int = 0, *, needs_example: bool = True
) -> tuple[Any, tuple[Any, ...]]:
    """Call the factory; returns the model and the example to call it with.

    The factory takes no arguments and returns a model, or (model, example input, …). `shape` ("32,3,224,224") asks for
    white noise instead of the factory's example. The framework is seeded first, so that the same command sees the same
    model.

    Raises:
        BadInput: the file or the factory does not exist, raises, or does not return a model; no example is known.
    """
    module, factory = _factory(reference)
    key(seed, "")  # refuses what is no seed
    _seed_constructors(seed)
    try:
        made = factory()
    except Exception as error:
        line = _line_in(error, module)
        raise BadInput(f"{reference}() raised {type(error).__name__}{line}: {error}") from error
    model, *example = made if isinstance(made, tuple) else (made,)
    try:
        adapter = adapter_of(model)
    except BadInput as error:
        raise BadInput(
            f"{reference}() must return a torch.nn.Module, a model of Keras, Flax, Equinox or Paddle, a net of NumPy "
            f"arrays, or a tuple of one and its example inputs; got {type(model).__name__}."
        ) from error
    if shape is not None:
        return model, (adapter.example_input(parse_shape(shape)),)
    if not example and needs_example:
        raise BadInput(f"{reference}() gives no example input. Add --input with its shape, for example --input 32,64.")
    return model, tuple(example)


def load_function(reference: str) -> Callable[..., Any]:
    """What FILE.py:name means.

    Raises:
        BadInput: the file does not exist or raises, or what it has of that name cannot be called.
        UnknownName: it has nothing of that name.
    """
    return _factory(reference)[1]


@contextmanager
def example_hint(shape: str | None, example: tuple[Any, ...]) -> Iterator[None]:
    """Where the example was made or given otherwise than was meant, say what else can be done if it does not fit."""
    try:
        yield
    except ShapeMismatch as error:
        if shape is None or "integer" not in str(error):
            raise
        raise ShapeMismatch(
            f"{error} --input makes floating-point noise; let the function return (model, example) for anything else."
        ) from error
    except (CannotTrace, BadInput) as error:
        if isinstance(error, UnknownName) or len(example) != 1 or not isinstance(example[0], tuple | list):
            raise
        raise BadInput(
            f"{error} Its example is one {type(example[0]).__name__}, which the model was given as one input: for "
            "several inputs, let the function return (model, a, b), or a dict of names."
        ) from error


def overrides_of(items: Sequence[str], file: str | None = None) -> dict[str, Any]:
    """The overrides in a TOML file, then those written as "KEY=INITIALIZER".

    Raises:
        BadInput: one that is not so written, or a file that cannot be read.
    """
    from fanin.plans.overrides import from_toml

    pairs = [item.partition("=") for item in items]
    if wrong := [key for key, _, what in pairs if not what]:
        raise BadInput(f"--override takes PATH=INITIALIZER, such as '*head.weight=zeros'; got {wrong[0]!r}.")
    named = from_toml(file) if file is not None else {}
    return {key: what for key, what in named.items() if key not in {k for k, _, _ in pairs}} | {
        key: what for key, _, what in pairs
    }


def parse_shape(text: str) -> tuple[int, ...]:
    """A shape written as "32,3,224,224" or "32x3x224x224".

    Raises:
        BadInput: not positive whole numbers.
    """
    parts = text.lower().replace("x", ",").split(",")
    if not all(part.strip().isdecimal() and int(part) > 0 for part in parts):
        raise BadInput(f"--input takes a shape, positive whole numbers such as 32,3,224,224; got {text!r}.")
    return tuple(int(part) for part in parts)


def load_loss(name: str | None, reference: str, model: Any) -> Callable[..., Any] | None:
    """A function of the file that the model came from, one of another file, or one of the framework's own losses.

    Raises:
        BadInput: there is none of that name.
    """
    if name is None:
        return None
    file, _, _ = reference.rpartition(":")
    elsewhere, _, own = name.rpartition(":")
    if elsewhere and Path(elsewhere).resolve() != Path(file).resolve():
        return _factory(name)[1]
    name = own  # a file is run once, whatever is taken from it
    losses = getattr(adapter_of(model), "LOSSES", "torch.nn.functional")
    found = getattr(sys.modules[_module_name(Path(file))], name, None)
    found = getattr(importlib.import_module(losses), name, None) if found is None else found
    if not callable(found):
        raise BadInput(
            f"--loss {name}: neither {file} nor {losses} has a function of that name. Name one, or FILE.py:function."
        )
    return cast(Callable[..., Any], found)


def _seed_constructors(seed: int) -> None:
    """What the file has imported draws from generators with this seed; PyTorch, if it has imported nothing."""
    named = [name for name in ("keras", "paddle") if name in sys.modules]
    for name in named:
        importlib.import_module(f"fanin.frameworks.{name}").seed_everything(seed)
    if "torch" in sys.modules or (not named and find_spec("torch")):
        _torch().manual_seed(seed % 2**64)


def _torch() -> Any:
    try:
        import torch
    except ImportError as error:
        raise MissingExtra("PyTorch", "torch", "Reading a model") from error
    return torch


def _factory(reference: str) -> tuple[ModuleType, Callable[[], Any]]:
    file, separator, name = reference.rpartition(":")
    if not separator or not file.endswith(".py"):
        raise BadInput(f"Name a model as FILE.py:factory; got {reference!r}.")
    path = Path(file)
    if not path.is_file():
        raise BadInput(f"There is no file {file!r} (looked in {Path.cwd()}).")
    os.environ.setdefault("GLOG_minloglevel", "2")  # read when Paddle is imported: errors alone
    warnings.filterwarnings("ignore", "No ccache found")  # of Paddle's, for who compiles operators
    module = _run(path)
    found = getattr(module, name, None)
    if found is None:
        own = [n for n, v in vars(module).items() if callable(v) and getattr(v, "__module__", "") == module.__name__]
        raise UnknownName(f"function in {file}", name, own)
    if not callable(found):
        raise BadInput(f"{reference} is a {type(found).__name__}; expected a function or class that builds the model.")
    return module, found


def _module_name(path: Path) -> str:
    return f"fanin_model_{path.stem}"


def _run(path: Path) -> ModuleType:
    """Execute the file as a module, with its folder importable as if it were run as a script."""
    name = _module_name(path)
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None  # a .py file that exists always has one
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and torch look their module up there
    sys.path.insert(0, str(path.parent.resolve()))
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise BadInput(f"{path} could not be run: {type(error).__name__}{_line_in(error, module)}: {error}") from error
    finally:
        sys.path.pop(0)
    return module


def _line_in(error: Exception, module: ModuleType) -> str:
    """The innermost line of the user's file, as " at net.py:12"."""
    if isinstance(error, SyntaxError) and error.lineno:
        return f" at {Path(error.filename or '').name}:{error.lineno}"
    lines = [
        f"{Path(module.__file__ or '').name}:{frame.lineno}"
        for frame in inspect.getinnerframes(error.__traceback__)  # type: ignore[arg-type]  # it was raised, so it has one
        if frame.filename == module.__file__
    ]
    return f" at {lines[-1]}" if lines else ""
