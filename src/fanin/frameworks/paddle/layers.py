"""What each of Paddle's own layers that hold weights is in PyTorch's words, seen from outside.

To teach a layer: a line in `LAYERS`, class → a function of the description and the run. Layers that are not here are
looked into.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from fanin.frameworks.paddle.describe import Description, shape_of
from fanin.frameworks.paddle.operations import same_padding
from fanin.frameworks.paddle.watch import LayerRun
from fanin.graph import Held, Ref

Describe = Callable[[Description, LayerRun], None]
RECURRENT: Final[Mapping[str, str]] = {"LSTM": "lstm", "GRU": "gru", "RNN_TANH": "rnn_tanh", "RNN_RELU": "rnn_relu"}
CELLS: Final[Mapping[str, str]] = {"LSTMCell": "lstm", "GRUCell": "gru", "SimpleRNNCell": "rnn_tanh"}


def layer_arguments(own: Callable[[Any], Held | None], layer: Any) -> dict[str, Any]:
    """The weight and the bias of a layer that has them under these names."""
    return {name: own(layer._parameters.get(name)) for name in ("weight", "bias")}


def _linear(d: Description, run: LayerRun) -> None:
    out = run.outputs[0]
    arguments = {"input": d.read(run.inputs[0]), **layer_arguments(d.parameter, run.layer)}
    d.gives(out, d.emit("linear", arguments, shape_of(out)))


def _bilinear(d: Description, run: LayerRun) -> None:
    out = run.outputs[0]
    inputs = {f"input{i}": d.read(x) for i, x in enumerate(run.inputs[:2], 1)}
    d.gives(out, d.emit("bilinear", {**inputs, **layer_arguments(d.parameter, run.layer)}, shape_of(out)))


def _embedding(d: Description, run: LayerRun) -> None:
    layer, out = run.layer, run.outputs[0]
    padding = layer._padding_idx
    arguments = {"weight": d.parameter(layer.weight), "indices": d.read(run.inputs[0])}
    d.gives(out, d.emit("embedding", arguments | {"padding_idx": -1 if padding is None else padding}, shape_of(out)))


def _conv(d: Description, run: LayerRun) -> None:
    layer = run.layer
    rank = len(layer._kernel_size)
    transposed = "Transpose" in layer_name(layer)
    arguments: dict[str, Any] = {
        **layer_arguments(d.parameter, layer),
        "stride": tuple(layer._stride),
        "padding": _padding(layer, shape_of(run.inputs[0])),
        "dilation": tuple(layer._dilation),
        "groups": layer._groups,
    }
    if transposed:
        arguments["output_padding"] = _each(layer.output_padding, rank)
    _over_channels(d, run, f"conv{'_transpose' if transposed else ''}{rank}d", arguments)


def _padding(layer: Any, shape: tuple[int, ...]) -> tuple[int, ...]:
    """On each side; where the sides differ, that before."""
    given, kernel, last = layer._padding, tuple(layer._kernel_size), _last(layer)
    if isinstance(given, str):
        sizes = shape[1:-1] if last else shape[2:]
        same = same_padding(sizes, kernel, tuple(layer._stride), tuple(layer._dilation))
        return tuple(same) if given.upper() == "SAME" else (0,) * len(kernel)
    listed = [given] if isinstance(given, int) else given
    flat = [n for one in listed for n in (one if isinstance(one, (list, tuple)) else [one])]
    if len(flat) == 2 * len(kernel) + 4:  # batch and channels too
        flat = flat[2:-2] if last else flat[4:]
    return tuple(flat[::2]) if len(flat) == 2 * len(kernel) else _each(flat, len(kernel))


def _each(given: Any, rank: int) -> tuple[int, ...]:
    listed = [given] if isinstance(given, int) else list(given)
    return tuple(listed * rank if len(listed) == 1 else listed)


def _batch_norm(d: Description, run: LayerRun) -> None:
    layer = run.layer
    arguments = {
        **layer_arguments(d.parameter, layer),
        "running_mean": None,
        "running_var": None,
        "training": True,
        "momentum": 1 - layer._momentum,
        "eps": layer._epsilon,
    }
    _over_channels(d, run, "batch_norm", arguments)


def _instance_norm(d: Description, run: LayerRun) -> None:
    layer = run.layer
    scale = {"weight": d.parameter(layer._parameters.get("scale")), "bias": d.parameter(layer._parameters.get("bias"))}
    _over_channels(d, run, "instance_norm", {**scale, "use_input_stats": True, "eps": layer._epsilon})


def _group_norm(d: Description, run: LayerRun) -> None:
    layer = run.layer
    arguments = {"num_groups": layer._num_groups, **layer_arguments(d.parameter, layer), "eps": layer._epsilon}
    _over_channels(d, run, "group_norm", arguments)


def _layer_norm(d: Description, run: LayerRun) -> None:
    layer, out = run.layer, run.outputs[0]
    normalized = tuple(layer._normalized_shape)
    arguments = {"input": d.read(run.inputs[0]), "normalized_shape": normalized}
    own = layer_arguments(d.parameter, layer)
    d.gives(out, d.emit("layer_norm", arguments | own | {"eps": layer._epsilon}, shape_of(out)))


def _last(layer: Any) -> bool:
    return not str(getattr(layer, "_data_format", "NC")).startswith("NC")


def _over_channels(d: Description, run: LayerRun, op: str, arguments: Mapping[str, Any]) -> None:
    """PyTorch's operations want the channels first."""
    x, out = run.inputs[0], run.outputs[0]
    ref, shape, rank = d.read(x), shape_of(out), len(out.shape)
    if not _last(run.layer) or rank < 3:
        d.gives(out, d.emit(op, {"input": ref, **arguments}, shape))
        return
    given = shape_of(x)
    turned = d.emit(
        "permute", {"self": ref, "dims": (0, rank - 1, *range(1, rank - 1))}, (given[0], given[-1], *given[1:-1])
    )
    made = d.emit(op, {"input": turned, **arguments}, (shape[0], shape[-1], *shape[1:-1]))
    d.gives(out, d.emit("permute", {"self": made, "dims": (0, *range(2, rank), 1)}, shape))


def cells_of(layer: Any) -> list[Any]:
    """The cells of a recurrent layer: those of both directions, layer by layer."""
    return [one for one in layer.sublayers(include_self=True) if cell_op(one)]


def cell_op(layer: Any) -> str:
    """The operation of a cell; "" for what is none of Paddle's."""
    op = next((CELLS[name] for name in _names(layer) if name in CELLS), "")
    return "rnn_relu" if op == "rnn_tanh" and getattr(layer, "activation", "") == "relu" else op


def _recurrent(d: Description, run: LayerRun) -> None:
    """A layer over a sequence: `paddle.nn.LSTM` and its like, or `paddle.nn.RNN` round a cell of Paddle's."""
    layer, x = run.layer, run.inputs[0]
    cells = cells_of(layer)
    op = cell_op(cells[0])
    both = getattr(layer, "num_directions", 2 if "BiRNN" in _names(layer) else 1)
    y, states = run.outputs[0], run.outputs[1:]
    names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_ho")
    params = [h for cell in cells for n in names if (h := d.parameter(cell._parameters.get(n))) is not None]
    arguments = {
        "input": d.read(x),
        "params": tuple(params),
        "has_biases": cells[0]._parameters.get("bias_ih") is not None,
        "num_layers": len(cells) // both,
        "dropout": float(getattr(layer, "dropout", 0.0)),
        "train": bool(layer.training),
        "bidirectional": both == 2,
        "batch_first": not layer.time_major,
    }
    whole = (*shape_of(x)[:2], shape_of(y)[-1])  # where the program loops over the steps, it does not know them
    shapes = (whole, *map(shape_of, states))
    made = d.emit(op, arguments, shapes[0], shapes=shapes)
    for i, value in enumerate((y, *states)):
        d.gives(value, Ref(made.name, i, shapes[i]))


def _cell(d: Description, run: LayerRun) -> None:
    """One step."""
    layer = run.layer
    op = f"{cell_op(layer)}_cell"
    names = {"w_ih": "weight_ih", "w_hh": "weight_hh", "b_ih": "bias_ih", "b_hh": "bias_hh"}
    own = {ours: d.parameter(layer._parameters.get(theirs)) for ours, theirs in names.items()}
    states = run.inputs[1:]
    hidden = tuple(d.read(x) for x in states) if op.startswith("lstm") else d.read(states[0]) if states else None
    outs = run.outputs[1:] if len(run.outputs) > 1 else run.outputs  # the output is the state h
    shapes = tuple(map(shape_of, outs))
    made = d.emit(op, {"input": d.read(run.inputs[0]), "hx": hidden, **own}, shapes[0], shapes=shapes)
    for i, value in enumerate(outs):
        d.gives(value, Ref(made.name, i, shapes[i]))
    d.gives(run.outputs[0], made)


# Classes of Paddle by name, base classes included.
LAYERS: Final[Mapping[str, Describe]] = {
    "Linear": _linear,
    "Bilinear": _bilinear,
    "Embedding": _embedding,
    "_ConvNd": _conv,
    "_BatchNormBase": _batch_norm,
    "BatchNorm": _batch_norm,
    "_InstanceNormBase": _instance_norm,
    "GroupNorm": _group_norm,
    "LayerNorm": _layer_norm,
    **dict.fromkeys(("RNNBase", "RNN", "BiRNN"), _recurrent),
    **dict.fromkeys(CELLS, _cell),
}


def _names(layer: Any) -> list[str]:
    return [base.__name__ for base in type(layer).__mro__ if base.__module__.partition(".")[0] == "paddle"]


def layer_name(layer: Any) -> str:
    """The first of its classes that is Paddle's own."""
    return next(iter(_names(layer)), "")


def describer_of(layer: Any) -> Describe | None:
    """How a layer is described from outside; None for those that are looked into.

    A weight that is made anew at each call, as by weight normalisation, is looked into; so is a cell of the user's.
    """
    describe = next((LAYERS[name] for name in _names(layer) if name in LAYERS), None)
    if describe is None or not _runs_as_paddle(layer):
        return None
    if describe is _recurrent:
        return describe if cells_of(layer) else None
    weight = getattr(layer, "weight", None)
    return describe if weight is None or "weight" in layer._parameters else None


def _runs_as_paddle(layer: Any) -> bool:
    """A class derived from one of Paddle's may do something else with its weight."""
    bases: list[Any] = [base for base in type(layer).__mro__ if base.__module__.partition(".")[0] == "paddle"]
    return bool(type(layer).forward is bases[0].forward)
