"""Initializers whose tensor as a whole has a structure: against independent implementations, and by what they do."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
import torch.nn.functional as F
from scipy import linalg, signal

from fanin.errors import BadInput, UnknownName
from fanin.initializers import (
    STFT,
    Assign,
    Bilinear,
    DeltaOrthogonal,
    Dirac,
    Identity,
    Initializer,
    IsometricConvolution,
    Target,
    ZerO,
)

Array = npt.NDArray[np.float64]


def drawn(what: Initializer, *shape: int) -> Array:
    values: Array = what.draw(Target("weight", shape, "float64"), seed=0).reshape(shape)
    return values


# The identity


@pytest.mark.parametrize("shape", [(3, 3), (2, 5), (5, 2), (1, 1), (0, 3)])
def test_the_identity_is_that_of_numpy(shape: tuple[int, int]) -> None:
    assert (drawn(Identity(2.5), *shape) == 2.5 * np.eye(*shape)).all()


@pytest.mark.parametrize("groups", [1, 2, 3])
@pytest.mark.parametrize("shape", [(6, 4, 3), (6, 2, 3, 5), (6, 6, 1, 2, 4), (6, 1, 4)])
def test_dirac_is_that_of_torch(shape: tuple[int, ...], groups: int) -> None:
    theirs = torch.nn.init.dirac_(torch.empty(shape, dtype=torch.float64), groups).numpy()
    assert (drawn(Dirac(groups), *shape) == theirs).all()


def test_a_depthwise_dirac_hands_every_channel_on() -> None:
    x = torch.randn(2, 6, 9, dtype=torch.float64)
    weight = torch.from_numpy(drawn(Dirac(groups=6), 6, 1, 3))
    assert torch.equal(F.conv1d(x, weight, padding=1, groups=6), x)


# Isometries


def circular(x: torch.Tensor, weight: Array) -> torch.Tensor:
    """The convolution of the whole plane or line, which has no border."""
    sizes = weight.shape[2:]
    conv = F.conv1d if len(sizes) == 1 else F.conv2d
    pad = [n for size in reversed(sizes) for n in (0, size - 1)]
    return conv(F.pad(x, pad, mode="circular"), torch.from_numpy(weight))


SHAPES = [(6, 6, 3), (7, 4, 4), (4, 4, 3, 3), (6, 3, 2, 3), (5, 5, 1, 4), (3, 2, 1, 1), (1, 1, 3)]


@pytest.mark.parametrize("what", [DeltaOrthogonal(1.5), IsometricConvolution(1.5)], ids=lambda w: type(w).__name__)
@pytest.mark.parametrize("shape", SHAPES)
def test_a_convolution_that_is_an_isometry_keeps_the_norm_of_any_input(
    what: Initializer, shape: tuple[int, ...]
) -> None:
    x = torch.randn(8, shape[1], *[7] * (len(shape) - 2), dtype=torch.float64)
    y = circular(x, drawn(what, *shape))
    assert torch.allclose(y.flatten(1).norm(dim=1), 1.5 * x.flatten(1).norm(dim=1), rtol=1e-12)


@pytest.mark.parametrize("shape", [(3, 6, 3), (2, 5, 2, 3)])
def test_with_fewer_outputs_the_norms_of_gradients_are_kept(shape: tuple[int, ...]) -> None:
    x = torch.randn(1, shape[1], *[7] * (len(shape) - 2), dtype=torch.float64, requires_grad=True)
    y = circular(x, drawn(IsometricConvolution(), *shape))
    delta = torch.randn_like(y)
    (y * delta).sum().backward()  # type: ignore[no-untyped-call]
    assert x.grad is not None
    assert float(x.grad.norm() / delta.norm()) == pytest.approx(1.0, rel=1e-12)


def test_an_isometric_convolution_uses_its_whole_kernel_and_differs_from_step_to_step() -> None:
    taps = np.abs(drawn(IsometricConvolution(), 8, 8, 3, 3)).max(axis=(0, 1))
    assert (taps > 1e-3).all()


def test_a_delta_is_zero_but_for_its_center() -> None:
    weight = drawn(DeltaOrthogonal(), 4, 4, 3, 5)
    assert np.abs(weight[:, :, 1, 2]).min() > 0
    weight[:, :, 1, 2] = 0
    assert not weight.any()


# ZerO


@pytest.mark.parametrize("shape", [(4, 4), (3, 5), (8, 8), (8, 3), (7, 3), (5, 4), (100, 70), (2, 1)])
def test_zero_is_the_algorithm_of_its_authors(shape: tuple[int, int]) -> None:
    rows, columns = shape
    p = 1 << math.ceil(math.log2(rows))
    expected = np.eye(*shape)
    if rows > columns:
        expected = np.eye(rows, p) @ (linalg.hadamard(p) / p**0.5) @ np.eye(p, columns)
    assert np.allclose(drawn(ZerO(), *shape), expected, rtol=0, atol=1e-15)
    kernel = drawn(ZerO(), *shape, 3, 2)
    assert (kernel[:, :, 1, 1] == drawn(ZerO(), *shape)).all()
    assert np.count_nonzero(kernel) == np.count_nonzero(kernel[:, :, 1, 1])


# Bilinear


@pytest.mark.parametrize("factor", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("grouped", [False, True])
def test_upsampling_a_plane_gives_the_plane(factor: int, grouped: bool) -> None:
    k, channels = 2 * factor - factor % 2, 3
    weight = torch.from_numpy(drawn(Bilinear(), channels, 1 if grouped else channels, k, k))
    i, j = torch.meshgrid(torch.arange(6.0), torch.arange(6.0), indexing="ij")
    plane = torch.stack([2 * i - j + c for c in range(channels)])[None].double()
    padding = (k - factor) // 2 + (k - factor) % 2
    up = F.conv_transpose2d(plane, weight, stride=factor, padding=padding, groups=channels if grouped else 1)
    slopes_i, slopes_j = (
        up.diff(dim=2)[..., factor:-factor, factor:-factor],
        up.diff(dim=3)[..., factor:-factor, factor:-factor],
    )
    assert torch.allclose(slopes_i, torch.tensor(2 / factor).double())
    assert torch.allclose(slopes_j, torch.tensor(-1 / factor).double())


@pytest.mark.parametrize("factor", [2, 3, 4])
def test_inside_it_is_the_interpolation_of_torch(factor: int) -> None:
    k = 2 * factor - factor % 2
    x = torch.randn(1, 1, 8, dtype=torch.float64)
    padding = math.ceil((factor - 1) / 2)
    ours = F.conv_transpose1d(x, torch.from_numpy(drawn(Bilinear(), 1, 1, k)), stride=factor, padding=padding)
    theirs = F.interpolate(x, scale_factor=factor, mode="linear", align_corners=False)
    inner = slice(2 * factor, 6 * factor)
    assert torch.allclose(ours[..., inner], theirs[..., inner])


# STFT


@pytest.mark.parametrize("window", ["hann", "hamming", "none"])
@pytest.mark.parametrize("periodic", [False, True])
@pytest.mark.parametrize("length", [16, 15, 9, 1])
def test_an_stft_is_the_fourier_transform_of_the_windowed_frame(window: str, periodic: bool, length: int) -> None:
    frame = np.random.default_rng(0).normal(size=length)
    win = np.ones(length) if window == "none" else signal.get_window(window, length, fftbins=periodic)
    theirs = np.fft.rfft(frame * win, 16)
    for side, part in (("real", theirs.real), ("imag", theirs.imag)):
        ours = drawn(STFT(side, window, "none", periodic), 9, 1, length)[:, 0] @ frame
        assert np.allclose(ours, part, atol=1e-13)
        for scaling, scale in (("density", np.sqrt((win**2).sum())), ("spectrum", np.abs(win).sum())):
            scaled = drawn(STFT(side, window, scaling, periodic), 9, 1, length)[:, 0] @ frame
            assert np.allclose(scaled, part / (scale or 1), atol=1e-13)


# Assigned values


def test_assigned_values_are_broadcast_as_numpy_does() -> None:
    columns = [1.0, -2.0, 0.5]
    assert (drawn(Assign(columns), 4, 3) == np.broadcast_to(columns, (4, 3))).all()
    assert (drawn(Assign(np.arange(6).reshape(2, 3)), 2, 3) == np.arange(6).reshape(2, 3)).all()
    assert hash(Assign([[1, 2]])) == hash(Assign(((1.0, 2.0),)))
    law = Assign(columns).law(Target("w", (4, 3)))
    assert (law.mean, law.std) == pytest.approx((np.mean(columns), np.std(columns)))


# What cannot be


@pytest.mark.parametrize(
    ("what", "shape", "message"),
    [
        (Identity(), (3,), r"needs a matrix; 'weight' has shape \(3,\)\. For convolutions use Dirac"),
        (Identity(), (3, 3, 3), r"needs a matrix; 'weight' has shape \(3, 3, 3\)"),
        (Dirac(), (3, 3), "needs the weight of a convolution, .*For matrices use Identity or Orthogonal"),
        (Dirac(groups=4), (6, 1, 3), "cannot split the 6 outputs of 'weight' .* into 4 groups"),
        (DeltaOrthogonal(), (2, 3, 3), "at least as many outputs as inputs; .*Use IsometricConvolution"),
        (DeltaOrthogonal(), (3,), "needs the weight of a convolution"),
        (IsometricConvolution(), (3, 3), "needs the weight of a convolution"),
        (IsometricConvolution(), (3, 3, 0), "needs a kernel"),
        (ZerO(), (), r"needs a matrix or a kernel; 'weight' has shape \(\)\. Use Zeros"),
        (Bilinear(), (3, 2, 4), r"\(C, C, \*kernel\) or, depthwise"),
        (STFT(), (9, 2, 16), r"needs shape \(F, 1, T\)"),
        (STFT(), (1, 1, 16), r"needs shape \(F, 1, T\)"),
        (
            Assign([1, 2, 3]),
            (3, 2),
            r"values of shape \(3,\), which NumPy does not broadcast to 'weight' of shape \(3, 2\)",
        ),
    ],
    ids=repr,
)
def test_a_shape_that_cannot_be_is_refused_with_a_way_out(
    what: Initializer, shape: tuple[int, ...], message: str
) -> None:
    with pytest.raises(BadInput, match=message):
        what.law(Target("weight", shape))
    with pytest.raises(BadInput, match=message):
        what.draw(Target("weight", shape), seed=0)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Identity(math.inf), "Identity: gain must be a finite number; got inf."),
        (lambda: Dirac(groups=0), "Dirac: groups must be an integer, at least 1; got 0."),
        (lambda: Dirac(groups=1.5), "Dirac: groups must be an integer, at least 1; got 1.5."),  # type: ignore[arg-type]
        (lambda: DeltaOrthogonal(-1), "gain must be a finite number, at least 0; got -1."),
        (lambda: IsometricConvolution(math.nan), "gain must be a finite number, at least 0; got nan."),
        (lambda: Assign([[1], [1, 2]]), "Assign: expected numbers, nested alike; got"),
        (lambda: Assign("x"), "Assign: expected numbers, nested alike; got"),
        (lambda: Assign([1, math.nan]), "Assign: expected finite numbers; got nan among them."),
        (lambda: Assign(np.zeros(70_000)), "holds up to 65,536 values; got 70,000. Use Pretrained"),
    ],
)
def test_arguments_that_make_no_tensor_are_refused_at_construction(build: Any, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        build()


def test_unknown_words_of_an_stft_name_the_nearest() -> None:
    with pytest.raises(UnknownName, match=r"There is no window 'han'\. Did you mean 'hann'"):
        STFT(window="han")
