"""A little noise: on what, how much, and under which name."""

from __future__ import annotations

import numpy as np
import pytest

from fanin.errors import BadInput
from fanin.graph import Fans
from fanin.initializers import Identity, Jittered, Mirrored, Normal, Target, Zeros, initializer
from fanin.initializers.scaled import scaled
from fanin.testing import assert_conforms

SQUARE = Target("w", (64, 64), "float64", Fans(64, 64))


@pytest.mark.parametrize(
    "what",
    [
        Jittered("constant(value=0.5)"),
        Jittered("dirac"),
        Jittered("hadamard_identity", 0.3),
        Jittered("mirrored", 0.1),
        Jittered("orthogonal", 0.5),
        Jittered("uniform", 1.0),
        Jittered("zeros"),
        Jittered("normal", 0.0),
    ],
    ids=str,
)
def test_the_law_is_that_of_the_sum(what: Jittered) -> None:
    assert_conforms(what)


def test_the_noise_has_its_own_name_and_the_base_is_what_it_was() -> None:
    """Mutant: base and noise from one stream, whose sum is a wider base."""
    base = Normal(0.5)
    noise = Jittered(base, 0.1).draw(SQUARE, 3) - base.draw(SQUARE, 3)
    own = Normal(0.05).draw(Target("w.jitter", (64, 64), "float64"), 3)
    assert np.allclose(noise, own, atol=1e-15)
    assert abs(np.corrcoef(noise, base.draw(SQUARE, 3))[0, 1]) < 0.1  # 6/√4096


def test_it_is_relative_to_the_rms_so_that_zeros_stay_zeros() -> None:
    assert Jittered(Identity(), 0.01).law(SQUARE).std == pytest.approx((1 / 64 * 1.0001 - 1 / 64**2) ** 0.5)
    assert not Jittered(Zeros(), 0.5).draw(SQUARE, 0).any()


def test_a_scaled_one_has_as_much_noise_for_its_size() -> None:
    wide, narrow = (scaled(Jittered(Mirrored(), 0.1), by).draw(SQUARE, 0) for by in (3.0, 1.0))
    assert np.allclose(wide, 3 * narrow)


def test_what_cannot_be_jittered_is_refused() -> None:
    with pytest.raises(BadInput, match="at least 0"):
        Jittered(relative_std=-0.1)
    with pytest.raises(BadInput, match="kept as it is"):
        Jittered("keep")
    with pytest.raises(BadInput, match="each part its own"):
        Jittered(initializer("per_part"))
