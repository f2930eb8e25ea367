"""Orientation and refusals of pictures that Pillow does not read; their values are tested with `images.read`."""

from io import BytesIO

import numpy as np
import pytest
from PIL import Image, ImageOps

from deepinside.core.bands import is_tiff, read_bands, upright
from deepinside.core.errors import DeepInsideError

VALUES = np.arange(24, dtype=np.uint8).reshape(4, 6, 1)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_upright_is_pillows(orientation):
    image = Image.fromarray(VALUES[..., 0])
    image.getexif()[0x0112] = orientation
    assert (upright(VALUES, orientation)[..., 0] == np.asarray(ImageOps.exif_transpose(image))).all()


def test_a_file_of_many_bands_is_turned_upright(tmp_path):
    tifffile = pytest.importorskip("tifffile")
    values = np.random.default_rng(0).integers(0, 255, (4, 6, 5), dtype=np.uint8)
    tifffile.imwrite(
        tmp_path / "a.tif", values, planarconfig="contig", photometric="minisblack", extratags=[(274, 3, 1, 6, True)]
    )
    assert (read_bands(BytesIO((tmp_path / "a.tif").read_bytes()), "a").values == upright(values, 6)).all()


def test_what_is_too_large_or_damaged_is_refused(tmp_path, monkeypatch):
    tifffile = pytest.importorskip("tifffile")
    tifffile.imwrite(
        tmp_path / "a.tif", np.zeros((400, 600, 5), np.uint8), planarconfig="contig", photometric="minisblack"
    )
    content = (tmp_path / "a.tif").read_bytes()
    assert is_tiff(content[:12])
    with pytest.raises(DeepInsideError, match=r"b\.tif: this TIFF cannot be read") as refused:
        read_bands(BytesIO(content[:200]), str(tmp_path / "b.tif"))
    assert "\n" not in str(refused.value)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(DeepInsideError, match="decompression bomb"):
        read_bands(BytesIO(content), "a.tif")
