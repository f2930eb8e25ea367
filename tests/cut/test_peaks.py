"""Peaks against a slow search: the dip on the best way to anything higher, cell by cell."""

import numpy as np
import pytest
from scipy import ndimage

from deepinside.cut.peaks import peaks

EIGHT = np.ones((3, 3))


def slow_peaks(map, persistence, least):
    """Flat indices of the cells whose every way to a higher one dips to at most a share of their height."""
    found = []
    for i in np.argsort(-map, axis=None, kind="stable"):
        height = map.flat[i]
        # The highest level at which the component of the cell holds a higher one.
        dip = 0.0
        for level in np.unique(map)[::-1]:
            labels, _ = ndimage.label(map >= level, EIGHT)
            if labels.flat[i] and map[labels == labels.flat[i]].max() > height:
                dip = level
                break
        if height >= least * map.max() and dip <= persistence * height:
            found.append(int(i))
    return found


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("persistence", [0.4, 0.7, 0.95])
def test_peaks_are_those_of_the_slow_search(seed, persistence):
    random = np.random.default_rng(seed)
    map = ndimage.gaussian_filter(random.random((11, 13)), 0.8)
    map = (map - map.min()) / np.ptp(map) + 1e-3  # no two cells are equal
    found = peaks(map, persistence, least=0.2)
    assert [peak.height for peak in found] == [map.flat[i] for i in slow_peaks(map, persistence, 0.2)]


def test_the_cells_of_a_peak_are_its_own_above_a_share_of_its_height():
    y, x = np.mgrid[:20, :30]
    left = np.exp(-((y - 9) ** 2 + (x - 7) ** 2) / 8)
    right = 0.8 * np.exp(-((y - 11) ** 2 + (x - 22) ** 2) / 18)
    first, second = peaks(left + right, persistence=0.7, least=0.15, share=0.5)
    assert (first.mask == ((left + right >= 0.5 * first.height) & (x < 15))).all()
    assert (second.mask == ((left + right >= 0.5 * second.height) & (x > 14))).all()


def test_a_ripple_belongs_to_the_higher_peak_and_two_objects_stay_two():
    row = np.array([[0.1, 1.0, 0.85, 0.9, 0.1, 0.6, 0.2]])
    assert [peak.height for peak in peaks(row, persistence=0.7)] == [1.0, 0.6]
    assert [peak.height for peak in peaks(row, persistence=0.99)] == [1.0, 0.9, 0.6]


def test_low_peaks_are_left_out_and_a_flat_map_is_one():
    row = np.array([[1.0, 0.0, 0.1, 0.0, 0.5]])
    assert [peak.height for peak in peaks(row, least=0.2)] == [1.0, 0.5]
    (only,) = peaks(np.full((3, 4), 2.0))
    assert only.mask.all()
    assert peaks(np.zeros((3, 4))) == []
