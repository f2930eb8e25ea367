"""Run lengths against slow decoders and those of the tools that read them."""

from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from deepinside.explanations.exports.run_lengths import brush_rle, coco_rle
from exported import slow_brush_decode

MASKS = arrays(bool, st.tuples(st.integers(1, 40), st.integers(1, 40)))


def slow_coco_decode(text: str, height: int, width: int) -> np.ndarray:
    """`rleFrString` and `rleDecode` of cocoapi's common/maskApi.c, byte by byte."""
    counts: list[int] = []
    position = 0
    while position < len(text):
        value = shift = 0
        more = True
        while more:
            group = ord(text[position]) - 48
            value |= (group & 31) << shift
            more = bool(group & 32)
            position, shift = position + 1, shift + 5
            if not more and group & 16:
                value |= -1 << shift
        counts.append(value + counts[-2] if len(counts) > 2 else value)
    pixels = [bit % 2 == 1 for bit, count in enumerate(counts) for _ in range(count)]
    return np.array(pixels, dtype=bool).reshape(width, height).T


@given(MASKS)
def test_coco_run_lengths_say_the_mask(mask):
    assert np.array_equal(slow_coco_decode(coco_rle(mask), *mask.shape), mask)


@given(MASKS)
def test_coco_run_lengths_are_those_of_pycocotools(mask):
    coder = pytest.importorskip("pycocotools.mask", reason="pycocotools, the reference, is not installed")
    expected = coder.encode(np.asfortranarray(mask.astype(np.uint8)))["counts"].decode()
    assert coco_rle(mask) == expected


def test_long_runs_survive_both_run_lengths():
    mask = np.zeros((700, 900), dtype=bool)
    mask[50:, 10:-3] = True
    assert np.array_equal(slow_coco_decode(coco_rle(mask), *mask.shape), mask)
    full = np.ones((300, 400), dtype=bool)
    for picture in (mask, full, ~full):
        assert np.array_equal(slow_brush_decode(brush_rle(picture), *picture.shape), picture)


def converter_brush():
    """Label Studio's own decoder: its file alone, since the whole SDK wants a server's dependencies."""
    spec = find_spec("label_studio_sdk")
    if spec is None or spec.origin is None:
        pytest.skip("label-studio-sdk, whose decoder is the reference, is not installed")
    file = Path(spec.origin).parent / "converter" / "brush.py"
    module_spec = spec_from_file_location("label_studio_brush", file)
    assert module_spec is not None
    assert module_spec.loader is not None
    module = module_from_spec(module_spec)
    module_spec.loader.exec_module(module)
    return module


@given(MASKS)
def test_brush_run_lengths_say_the_mask(mask):
    assert np.array_equal(slow_brush_decode(brush_rle(mask), *mask.shape), mask)


@settings(deadline=None)
@given(MASKS)
def test_brush_run_lengths_are_read_by_label_studios_decoder(mask):
    decoded = converter_brush().decode_rle(brush_rle(mask)).reshape(*mask.shape, 4)
    assert np.array_equal(decoded[:, :, 3] == 255, mask)
    assert set(np.unique(decoded)) <= {0, 255}
