"""One initializer for each part of a tensor that packs several: query, key and value; gates; experts."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from fanin.errors import BadInput
from fanin.graph import Fans, Part, Parts
from fanin.initializers.base import Initializer, Law, Structure, Target, all_elements, rounded
from fanin.initializers.constant import Constant, Zeros
from fanin.initializers.keep import Keep
from fanin.initializers.orthogonal import Orthogonal
from fanin.initializers.spelling import initializer
from fanin.initializers.variance_scaling import VarianceScaling
from fanin.stream import Elements
from fanin.stream.elements import index_array

LSTM_GATES = ("i", "f", "g", "o")  # input, forget, cell, output: the order of torch and Keras


@dataclass(frozen=True)
class PerPart(Initializer):
    """Each part of the tensor as a parameter of its own, with its own name, shape and fans.

    Part p of `tensor` is drawn under the name `tensor.p`. Which parts there are, a plan knows of attention and
    recurrent layers; say it for others: `PerPart("he_normal", parts=("q", "k", "v"))`.

    Args:
        each: for every part, as an initializer or by its spelling.
        but: exceptions, part → initializer.
        parts: names of equal parts along the first axis, or any `Parts`; needed where the target declares none. If the
            target's fans are those of the whole, a part has the same fan_in and its share of the fan_out.

    Raises:
        BadInput: a part is to be kept, or `but` names no part; later, a target without parts, or with others.

    Example:
        >>> target = Target("attn.qkv", (6, 2), "float64", Fans(2, 6))
        >>> qkv = PerPart("orthogonal", parts=("q", "k", "v")).draw(target, seed=0)
        >>> k = Orthogonal().draw(Target("attn.qkv.k", (2, 2), "float64"), seed=0)
        >>> bool((qkv[4:8] == k).all())
        True
    """

    whole: ClassVar[bool] = True

    each: Initializer | str = VarianceScaling()  # noqa: RUF009 (frozen)
    but: Mapping[str, Initializer | str] | tuple[tuple[str, Initializer | str], ...] = ()
    parts: Parts | Sequence[str] | None = None

    def __post_init__(self) -> None:
        given: Any = self.parts  # JSON and spellings give plain data
        if isinstance(given, Mapping):
            object.__setattr__(self, "parts", Parts(**given))
        elif given is not None and not isinstance(given, Parts):
            object.__setattr__(self, "parts", Parts(given))
        but = {str(name): initializer(what) for name, what in dict(self.but).items()}
        object.__setattr__(self, "each", initializer(self.each))
        object.__setattr__(self, "but", tuple(but.items()))
        if any(isinstance(what, Keep) for what in (self.each, *dict(self.but).values())):
            raise BadInput("PerPart: a tensor is kept as a whole or not at all; use Keep() for the tensor.")
        if self._declared:
            self._check_exceptions(self._declared.names)

    @property
    def _declared(self) -> Parts | None:
        return self.parts if isinstance(self.parts, Parts) else None  # the constructor leaves nothing else

    def __str__(self) -> str:
        """`zeros per part, f: Constant(value=1)`."""
        return ", ".join([f"{self.each} per part", *(f"{name}: {what}" for name, what in dict(self.but).items())])

    def pieces(self, target: Target) -> tuple[tuple[Part, Initializer, Target], ...]:
        """Each part with its initializer and the target that it is alone."""
        parts = self._parts(target)
        exceptions = dict(self.but)
        return tuple(
            (
                part,
                initializer(exceptions.get(part.name, self.each)),
                Target(part_name(target, part), part.shape, target.dtype, self._fans(target, part)),
            )
            for part in parts.of(target.shape)
        )

    def law(self, target: Target) -> Law:
        """That of an element of any part: the mixture of the parts' laws."""
        pieces = self.pieces(target)
        laws = [what.law(alone) for _, what, alone in pieces]
        return mixture(laws, [alone.size for _, _, alone in pieces])

    def draw(self, target: Target, seed: int, elements: Elements | None = None) -> npt.NDArray[Any]:
        """The elements asked for, each by the part in which it lies."""
        asked = all_elements(target, elements)
        pieces = self.pieces(target)
        axis = self._parts(target).axis % len(target.shape)
        inner = math.prod(target.shape[axis + 1 :])
        if axis == 0 and isinstance(asked, range) and asked.step == 1:
            wanted = [(what, alone, _overlap(asked, part, inner)) for part, what, alone in pieces]
            drawn = [what.draw(alone, seed, own) for what, alone, own in wanted if own]
            return np.concatenate(drawn) if drawn else rounded(np.empty(0), target.dtype)
        chosen = index_array(asked)
        before, rest = np.divmod(chosen, target.shape[axis] * inner or 1)
        along, after = np.divmod(rest, inner or 1)
        values = np.empty(chosen.shape, rounded(np.empty(0), target.dtype).dtype)
        for part, what, alone in pieces:
            here = (part.start <= along) & (along < part.start + part.size)
            if here.any():
                own = (before[here] * part.size + along[here] - part.start) * inner + after[here]
                values[here] = what.draw(alone, seed, own)
        return values

    def _parts(self, target: Target) -> Parts:
        parts = self._declared or target.parts
        if parts is None:
            raise BadInput(
                f"{target.name!r} (shape {target.shape}) declares no parts. "
                "Say which it has, such as PerPart(…, parts=('q', 'k', 'v')), or use the initializer alone."
            )
        if self.parts and target.parts and self.parts != target.parts:
            raise BadInput(
                f"{target.name!r} packs {target.parts}; PerPart expected {self.parts}. Leave its `parts` out."
            )
        if not parts.slices:
            self._check_exceptions(parts.names)
        return parts

    def _check_exceptions(self, names: tuple[str, ...]) -> None:
        if unknown := dict(self.but).keys() - set(names):
            raise BadInput(f"PerPart: no part is called {', '.join(sorted(unknown))}; there are {', '.join(names)}.")

    def _fans(self, target: Target, part: Part) -> Fans | None:
        declared = self._declared
        if target.fans is None or declared is None or target.parts or declared.slices:
            return target.fans  # already those of a part
        fan_out = target.fans.fan_out * part.size / max(target.shape[declared.axis], 1)
        return Fans(target.fans.fan_in, int(fan_out) if fan_out == int(fan_out) else fan_out)


def part_name(target: Target, part: Part) -> str:
    """Under which a part is drawn."""
    return f"{target.name}.{part.name}"


def block_orthogonal(gain: float = 1.0, blocks: int = 4) -> PerPart:
    """Blocks of rows, each gain · Q with Q Haar-distributed: gates or heads that are orthogonal one by one."""
    if not (isinstance(blocks, int) and blocks > 0):
        raise BadInput(f"block_orthogonal: blocks must be an integer, at least 1; got {blocks!r}.")
    return PerPart(Orthogonal(gain), parts=Parts(tuple(map(str, range(blocks)))))


def forget_gate_bias(value: float = 1.0) -> PerPart:
    """Forget gate at `value`, the other gates' biases 0, so that an LSTM begins by remembering (Gers et al. 2000).

    1 is the value that Jozefowicz, Zaremba & Sutskever 2015 recommend.
    Where the layer adds two biases (torch's b_ih and b_hh), give it to one of them.
    """
    return PerPart(Zeros(), (("f", Constant(value)),), Parts(LSTM_GATES))


def mixture(laws: list[Law], sizes: list[int]) -> Law:
    """The law of an element of any of several tensors, of so many elements each.

    E(x − μ)⁴ of a part at distance d from the common mean is at most κσ⁴ + 4 d √κ σ³ + 6 d²σ² + d⁴, since
    E|x|³ ≤ √(E[x²] E[x⁴]).
    """
    total = sum(sizes)
    if not total or all(law == laws[0] for law in laws):
        first = laws[0] if laws else Law(0.0, 0.0)
        independent = first.structure in (Structure.INDEPENDENT, Structure.FIXED)
        return first if independent else replace(first, structure=Structure.DEPENDENT)
    shares = [size / total for size in sizes]
    mean = math.fsum(share * law.mean for share, law in zip(shares, laws, strict=True))
    variance = math.fsum(s * (law.std**2 + (law.mean - mean) ** 2) for s, law in zip(shares, laws, strict=True))
    fourth = math.fsum(s * _fourth_moment(law, abs(law.mean - mean)) for s, law in zip(shares, laws, strict=True))
    fixed = all(law.structure is Structure.FIXED for law in laws)
    simple = all(law.structure in (Structure.FIXED, Structure.INDEPENDENT) for law in laws)
    return Law(
        mean,
        math.sqrt(variance),
        min(law.low for law in laws),
        max(law.high for law in laws),
        fourth / variance**2 if variance else 3.0,
        fixed or all(law.fixed_norm and law.mean == mean for law in laws),
        Structure.FIXED if fixed else Structure.INDEPENDENT if simple else Structure.DEPENDENT,
    )


def _fourth_moment(law: Law, d: float) -> float:
    root = math.sqrt(law.kurtosis)
    return law.kurtosis * law.std**4 + 4 * d * root * law.std**3 + 6 * d**2 * law.std**2 + d**4


def _overlap(asked: range, part: Part, inner: int) -> range:
    """The elements of a part along the first axis that are among those asked for, by their indices in the part."""
    first = part.start * inner
    begin, end = max(asked.start - first, 0), min(asked.stop - first, part.size * inner)
    return range(begin, max(begin, end))
