"""Bit patterns that nothing computes: fresh memory is filled with them, and what still holds them was never written."""

from __future__ import annotations

from typing import Final

import torch

# Quiet NaNs with a payload: arithmetic makes others, and whoever reads one by mistake gets a NaN. The 8-bit formats
# have few NaNs or one. A bool is a byte that is 0 or 1.
_PATTERNS: Final[dict[torch.dtype, int]] = {
    torch.float64: 0x7FFDA5A5A5A5A5A5,
    torch.float32: 0x7FE5A5A5,
    torch.bfloat16: 0x7FE5,
    torch.float16: 0x7EA5,
    torch.float8_e4m3fn: 0x7F,
    torch.float8_e5m2: 0x7E,
    torch.int64: 0x5AA5A5A5A5A5A5A5,
    torch.int32: 0x5AA5A5A5,
    torch.int16: 0x5AA5,
}
_BYTE: Final = 0xA5
_BITS: Final = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
# In so few bits every pattern is a likely number: there, a tensor counts as poisoned if all of its elements are.
_LIKELY: Final = frozenset({torch.int16, torch.uint16, torch.int8, torch.uint8})
_CHUNK: Final = 1 << 20  # elements looked at in one go, so that looking takes a megabyte


def poison_(tensor: torch.Tensor) -> None:
    """Fill the memory that this process has of the tensor."""
    bits, pattern = _bits(tensor)
    bits.fill_(pattern)


def poisoned(tensor: torch.Tensor) -> bool:
    """Whether an element was never written since `poison_`.

    Exact for what fills the memory with numbers. A tensor of 8- or 16-bit integers of which only a part was written
    passes: each of its elements might be meant so.

    Example:
        >>> x = torch.empty(3)
        >>> poison_(x)
        >>> x[:2] = 1.0
        >>> poisoned(x), poisoned(x[:2]), x.isnan().tolist()
        (True, False, [False, False, True])
    """
    bits, pattern = _bits(tensor)
    if bits.numel() == 0:
        return False
    parts = torch.split(bits.flatten(), _CHUNK) if bits.is_contiguous() else bits.unbind()
    if tensor.dtype in _LIKELY:
        return all(bool((part == pattern).all()) for part in parts)
    return any(bool((part == pattern).any()) for part in parts)


def local(tensor: torch.Tensor) -> torch.Tensor:
    """The part of a sharded tensor that this process holds; any other tensor itself."""
    if hasattr(tensor, "to_local"):
        with torch.no_grad():  # with gradients it is a new tensor that remembers where it came from
            part: torch.Tensor = tensor.to_local()
        return part
    return tensor.detach()


def _bits(tensor: torch.Tensor) -> tuple[torch.Tensor, int]:
    memory = local(tensor)
    memory = torch.view_as_real(memory) if memory.is_complex() else memory
    pattern = _PATTERNS.get(memory.dtype, int.from_bytes(bytes([_BYTE]) * memory.itemsize, signed=memory.itemsize > 1))
    return memory.view(_BITS[memory.itemsize]), pattern
