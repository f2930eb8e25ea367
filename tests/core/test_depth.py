"""Which values become black and white."""

import numpy as np
import pytest

from deepinside.core.depth import window


@pytest.mark.parametrize(("values", "declared", "low", "high", "is_noted"), [
    ([0, 60_000], None, 0, 65535, False), ([0, 16_383], None, 0, 16_383, True), ([0, 2], None, 0, 2, True),
    ([0, 0], None, 0, 1, False), ([0, 70_000], None, 0, 70_000, True), ([-5, 10], None, -5, 10, True),
    ([0, 700], 4095, 0, 4095, True), ([0, 5000], 4095, 0, 16_383, True), ([0, 60_000], 65535, 0, 65535, False),
    ([0, 200], 65535, 0, 65535, True), ([0.0, 0.9], None, 0, 1, False), ([0.0, 200.0], None, 0, 255, False),
    ([0.0, 1e-3], None, 0, 1e-3, True), ([-0.5, 1.5], None, -0.5, 1.5, True), ([0.0, 1e6], None, 0, 1e6, True),
])  # fmt: skip
def test_window(values, declared, low, high, is_noted):
    found = window(np.array(values), declared)
    assert (found.low, found.high) == (low, high)
    assert bool(found.note) == is_noted


def test_shares_and_bytes_are_the_same_scale():
    values = np.random.default_rng(0).integers(-1000, 3000, (600, 7))
    found = window(values)
    expected = (values - values.min()) / (values.max() - values.min())
    np.testing.assert_allclose(found.shares(values), expected, atol=1e-6)
    assert (found.bytes(values) == (expected * 255).round()).all()


def test_values_that_are_not_finite_have_no_window():
    with pytest.raises(ValueError, match="not finite"):
        window(np.array([0.0, np.inf]))
