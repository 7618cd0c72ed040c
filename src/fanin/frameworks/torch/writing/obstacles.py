"""What keeps a parameter, or all of a model, from being written; known before the first value is."""

from __future__ import annotations

from typing import Any

import torch

from fanin.frameworks.torch.model.shards import agreed, is_sharded, spans, splits_of
from fanin.frameworks.torch.model.whole import is_a
from fanin.frameworks.torch.writing.fill import DTYPES
from fanin.graph import Parameter


def of_model(model: torch.nn.Module) -> list[str]:
    """Wrappers that hold the parameters elsewhere than where the model shows them."""
    found = []
    for path, module in model.named_modules():
        at = f"{path}: " if path else ""
        if is_a(module, "torch.distributed.fsdp.fully_sharded_data_parallel", "FullyShardedDataParallel"):
            found.append(
                f"{at}FullyShardedDataParallel keeps its parameters in flat buffers without their shapes; "
                "use torch.distributed.fsdp.fully_shard, or initialize before wrapping"
            )
        if is_a(module, "torch.distributed.fsdp", "FSDPModule") and not _is_resharded(module):
            found.append(
                f"{at}its parameters are gathered, and what is written into them now is lost when they are sharded "
                "again; call reshard() on it first, a step that sends nothing"
            )
    return found


def of_parameter(tensor: torch.Tensor, memory: torch.Tensor | None, planned: Parameter) -> list[str]:
    """Why a tensor, of which this process holds `memory`, cannot be given what is planned for it."""
    found = to_read(tensor, memory, planned)
    if memory is not None and memory.is_inference():
        found.append("it was made under torch.inference_mode() and cannot be changed in place; build the model outside")
    return found


def to_read(tensor: torch.Tensor, memory: torch.Tensor | None, planned: Parameter) -> list[str]:
    """Why the values of a tensor cannot even be compared with what is planned for it."""
    if memory is None:
        return ["it has no shape yet; run the model once to make its lazy layers"]
    if not is_plain(memory):
        return [
            f"it is a {type(memory).__name__}, whose values are computed from something else; "
            "initialize the model before it is converted"
        ]
    dtype = DTYPES.get(tensor.dtype) or str(tensor.dtype).removeprefix("torch.")
    found = []
    if tuple(tensor.shape) != planned.shape:
        found.append(f"the plan has shape {planned.shape}, the model {tuple(tensor.shape)}")
    if dtype != planned.dtype:
        found.append(f"the plan has dtype {planned.dtype}, the model {dtype}")
    elif tensor.dtype not in DTYPES:
        found.append(f"dtype {dtype} is not one of {', '.join(DTYPES.values())}")
    if memory.layout is not torch.strided:
        found.append(f"its layout is {str(memory.layout).removeprefix('torch.')}; only dense tensors can be filled")
    if memory.is_meta:
        found.append("it is on the meta device and has no memory; use fanin.materialize_, or model.to_empty first")
    return found + (_of_shard(tensor, memory) if is_sharded(tensor) else [])


def is_plain(memory: torch.Tensor) -> bool:
    """Not of a type that computes its values from something else, as quantized, nested and fake tensors do."""
    return type(memory).__torch_dispatch__ is torch.Tensor.__torch_dispatch__


def _of_shard(tensor: Any, memory: torch.Tensor) -> list[str]:
    placed = f"placed {', '.join(map(str, tensor.placements))} on a mesh of {tuple(tensor.device_mesh.shape)}"
    splits = splits_of(tensor)
    if isinstance(splits, str):
        return [f"it is {placed}, and {splits}"]
    if splits is None:  # not in its mesh: there is nothing to write in this process
        return []
    for axis, found in splits.items():
        if not agreed(tensor.shape[axis], found):
            return [
                f"it is {placed}, which does not divide {tensor.shape[axis]} evenly: PyTorch's DTensor and fully_shard "
                "then disagree on who holds which elements; use a size that the mesh divides"
            ]
    held = tuple(sum(map(len, spans(n, splits.get(axis, [])))) for axis, n in enumerate(tensor.shape))
    if held != tuple(memory.shape):
        return [f"it is {placed}, of which {held} is here; its local tensor has shape {tuple(memory.shape)}"]
    return []


def _is_resharded(module: Any) -> bool:
    """Whether FSDP2 shows the sharded parameters; the state is not public."""
    return all(group.is_sharded for group in module._get_fsdp_state()._fsdp_param_groups)
