"""Operations that hand on all elements and change none: other axes, or another order of them."""

from __future__ import annotations

from fanin.signals.axes import Axes, Kind, count, kinds_of, reshaped, usual
from fanin.signals.flow import Gradient
from fanin.signals.frozen import replace
from fanin.signals.gradient import total
from fanin.signals.rules.views_bins import everywhere
from fanin.signals.state import State
from fanin.signals.values import Call, Outcome


def same(call: Call) -> Outcome:
    """`clone`, `contiguous`, a cast: x itself."""
    name = call.first
    return Outcome((call.values[name],), lambda gradients: iter([(name, gradients[0])]))


def detached(call: Call) -> Outcome:
    """`detach`: x itself, and no gradient comes back."""
    return Outcome((call.values[call.first],))


def view(call: Call) -> Outcome:
    """`view`, `reshape`, `flatten`, `unsqueeze`, …: the same elements in row-major order."""
    x = call.state(call.first)
    axes = reshaped(x.axes, call.node.shape)
    if axes is None:  # an axis torn in uneven pieces
        axes = usual(call.node.shape)
        out = replace(x.pooled([max(count(axes, Kind.FEATURE), 1)]), axes=axes).marked("axes guessed after a view")
        return Outcome((out,), lambda g: iter([(call.first, _averaged(g[0], out, x))]))
    return _moved(call, x, axes)


def _averaged(gradient: Gradient, out: State, x: State) -> Gradient:
    return everywhere(total(gradient, out), out, x).flow()


def permute(call: Call) -> Outcome:
    """`permute`, `transpose`, `t`, `movedim`."""
    x = call.state(call.first)
    order = order_of(call, len(x.axes))
    of_positions = [i for i in order if Kind.POSITION in kinds_of(x.axes[i])]
    return _moved(call, x, tuple(x.axes[i] for i in order), ordered=of_positions == sorted(of_positions))


def order_of(call: Call, rank: int) -> list[int]:
    """Which axis of the operand is each axis of the result."""
    order = list(range(rank))
    if call["dims"] is not None:
        return [d % rank for d in call["dims"]]
    if call["dim0"] is not None:
        a, b = call["dim0"] % rank, call["dim1"] % rank
    else:
        a, b = rank - 2, rank - 1
    order[a], order[b] = order[b], order[a]
    return order


def _moved(call: Call, x: State, axes: Axes, *, ordered: bool = True) -> Outcome:
    """New axes; where features change their order, segments can no longer be told apart, where positions do, bins."""
    name = call.first
    before = [f for a in x.axes for f in a if f[0] is Kind.FEATURE]
    after = [f for a in axes for f in a if f[0] is Kind.FEATURE]
    shuffled = len(x.sizes) > 1 and _product_order(before) != _product_order(after)
    if not shuffled:
        out = replace(x, axes=axes)
        return Outcome((out.beside(x) if ordered else out,), lambda g: iter([(name, g[0])]))
    out = replace(x.pooled(), axes=axes)
    out = out.beside(x) if ordered else out
    return Outcome((out,), lambda g: iter([(name, _averaged(g[0], out, x))]))


def _product_order(factors: list[tuple[Kind, int]]) -> list[int]:
    ends, total_ = [], 1
    for _, size in factors:
        total_ *= size
        ends.append(total_)
    return ends
