"""Small maps against means over cells by brute force."""

import numpy as np

from deepinside.archive.small_maps import read_map, small_map
from deepinside.core.geometry import Box, Frame
from deepinside.core.results import Saliency


def test_a_small_map_is_the_mean_of_a_fine_one_in_each_cell():
    fine = np.random.default_rng(0).random((96, 128)).astype(np.float32)
    small = small_map(Saliency(Frame.whole(640, 480, width=128, height=96), fine))
    means = fine.reshape(32, 3, 32, 4).mean(axis=(1, 3))
    assert np.abs(small - 255 * means / means.max()).max() <= 0.51


def test_a_small_map_of_a_part_of_the_photo_is_zero_outside_of_it():
    frame = Frame(64, 32, Box(32, 0, 64, 32), 8, 8)
    small = small_map(Saliency(frame, np.ones((8, 8), np.float32)))
    assert (small[:, :16] == 0).all()
    assert (small[:, 16:] == 255).all()
    assert (small_map(Saliency(frame, np.zeros((8, 8), np.float32))) == 0).all()


def test_a_map_comes_back_from_its_bytes():
    small = small_map(Saliency(Frame.whole(9, 7, width=3, height=3), np.eye(3, dtype=np.float32)))
    assert (read_map(small.tobytes()) == small).all()
