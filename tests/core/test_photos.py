"""Depths and numbers of channels: what becomes black and white, and what is kept beside RGB."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from deepinside.core.errors import DeepInsideError
from deepinside.core.images import read, read_bytes


def grey16(path, values, tags=None):
    Image.fromarray(values.astype(np.uint16)).save(path, **({"tiffinfo": tags} if tags else {}))
    return read(path)


@pytest.mark.parametrize(("largest", "white"), [(4095, 4095), (3000, 4095), (1023, 1023), (200, 255), (16000, 16383)])
@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_fewer_bits_than_sixteen_are_scaled_by_the_depth_they_fit(tmp_path, largest, white, suffix):
    values = np.linspace(0, largest, 1200).round().reshape(30, 40)
    photo = grey16(tmp_path / f"a.{suffix}", values)
    assert abs(photo.pixels[..., 0] - values * 255 / white).max() <= 0.5
    assert f"{(white + 1).bit_length() - 1}-bit values 0 to {white} were scaled to 8 bits" in photo.notes
    np.testing.assert_allclose(photo.values[..., 0], values / white, atol=1e-6)


def test_photos_that_fill_sixteen_bits_keep_their_scale_and_have_no_note(tmp_path):
    values = np.linspace(0, 40_000, 1200).round().reshape(30, 40)
    photo = grey16(tmp_path / "a.png", values)
    assert abs(photo.pixels[..., 0] - values * 255 / 65535).max() <= 0.5
    assert photo.notes == ()


def test_the_range_that_a_file_declares_is_its_white(tmp_path):
    values = np.linspace(0, 700, 1200).round().reshape(30, 40)
    declared = grey16(tmp_path / "a.tif", values, {281: 4095})
    assert abs(declared.pixels[..., 0] - values * 255 / 4095).max() <= 0.5
    content = (tmp_path / "a.tif").with_suffix(".png")
    Image.fromarray(values.astype(np.uint16)).save(content)
    data = content.read_bytes()
    chunk = b"sBIT\x0c"
    data = data[:33] + struct.pack(">I", 1) + chunk + struct.pack(">I", zlib.crc32(chunk)) + data[33:]
    assert (read_bytes(data, "a.png").pixels == declared.pixels).all()


def test_numbers_below_zero_become_a_window(tmp_path):
    values = np.linspace(-1000, 1000, 1200).round().reshape(30, 40)
    for number, type in enumerate((np.int32, np.float32)):
        Image.fromarray(values.astype(type)).save(tmp_path / f"{number}.tif")
        photo = read(tmp_path / f"{number}.tif")
        assert abs(photo.pixels[..., 0] - (values + 1000) * 255 / 2000).max() <= 0.51
        assert photo.notes == ("values -1000 to 1000 were scaled to 8 bits",)


@pytest.mark.parametrize("value", [0, 1, 100, 65535])
def test_uniform_images_of_sixteen_bits_can_be_read(tmp_path, value):
    assert np.unique(grey16(tmp_path / "a.png", np.full((4, 4), value)).pixels).size == 1


def png16(values, color_type):
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", values.shape[1], values.shape[0], 16, color_type, 0, 0, 0))]
    chunks += [(b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    packed = [
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


@pytest.mark.parametrize(("channels", "color_type"), [(2, 4), (3, 2), (4, 6)])
def test_color_of_twelve_bits_in_sixteen_is_not_black(channels, color_type):
    values = np.random.default_rng(0).integers(0, 4096, (30, 40, channels))
    if channels != 3:
        values[..., -1] = 65535  # opaque
    photo = read_bytes(png16(values, color_type), "a.png")
    colors = values[..., :3] if channels > 2 else values[..., :1]
    assert abs(photo.pixels - colors * 255 / 4095).max() <= 0.5
    assert photo.notes == ("12-bit values 0 to 4095 were scaled to 8 bits",)


def test_color_that_fills_sixteen_bits_is_what_pillow_reads():
    values = np.random.default_rng(0).integers(0, 65536, (30, 40, 3))
    photo = read_bytes(png16(values, 2), "a.png")
    assert (photo.pixels == values // 256).all()
    assert photo.notes == ()


@pytest.mark.parametrize("type", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("planes", ["contig", "separate"])
@pytest.mark.parametrize("bands", [2, 4, 5, 7])
def test_tiff_of_many_bands(tmp_path, type, planes, bands):
    tifffile = pytest.importorskip("tifffile")
    shares = np.random.default_rng(bands).random((30, 40, bands)).astype(np.float32)
    white = {np.uint8: 255, np.uint16: 65535, np.float32: 1}[type]
    values = (shares * white).astype(type)
    stored = values if planes == "contig" else values.transpose(2, 0, 1)
    tifffile.imwrite(tmp_path / "a.tif", stored, planarconfig=planes, photometric="minisblack")
    photo = read(tmp_path / "a.tif")
    np.testing.assert_allclose(photo.values, values.astype(np.float64) / white, atol=1e-6)
    shown = values[..., :3] if bands > 2 else values[..., :1]
    assert abs(photo.pixels - shown.astype(np.float64) * 255 / white).max() <= 0.51


def test_tiff_of_many_bands_without_the_package_names_the_extra(tmp_path, monkeypatch):
    tifffile = pytest.importorskip("tifffile")
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((8, 9, 5), np.uint8), planarconfig="contig", photometric="minisblack")
    monkeypatch.setattr("deepinside.core.bands.find_spec", lambda name: None)
    with pytest.raises(DeepInsideError, match=r"needs an extra: pip install 'deepinside\[tiff\]'"):
        read(tmp_path / "a.tif")


def test_bands_that_no_package_reads_are_left_out_with_a_note(tmp_path, monkeypatch):
    tifffile = pytest.importorskip("tifffile")
    values = np.random.default_rng(0).integers(0, 256, (8, 9, 4), dtype=np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", values, photometric="rgb", extrasamples=["unspecified"])
    np.testing.assert_allclose(read(tmp_path / "a.tif").values, values / 255, atol=1e-6)
    monkeypatch.setattr("deepinside.core.bands.find_spec", lambda name: None)
    photo = read(tmp_path / "a.tif")
    assert (photo.pixels == values[..., :3]).all()
    assert photo.notes == ("3 of its 4 bands were read",)


def test_transparent_tiff_is_composited_for_rgb_and_has_four_values(tmp_path):
    stored = np.random.default_rng(0).integers(0, 256, (30, 40, 4), dtype=np.uint8)
    for suffix in ("tif", "png"):
        Image.fromarray(stored).save(tmp_path / f"a.{suffix}")
    photo = read(tmp_path / "a.tif")
    assert (photo.pixels == read(tmp_path / "a.png").pixels).all()
    np.testing.assert_allclose(photo.values, stored / 255, atol=1e-6)


@pytest.mark.parametrize("kind", ["RGBA", "LA", "P"])
def test_tall_transparent_pictures_are_composited_as_a_whole(tmp_path, kind):
    stored = np.random.default_rng(0).integers(0, 256, (700, 9, 4), dtype=np.uint8)
    image = Image.fromarray(stored) if kind != "P" else Image.fromarray(stored[..., 0]).convert("P")
    image = image.convert("LA") if kind == "LA" else image
    image.save(tmp_path / "a.png", **({"transparency": bytes(range(256))} if kind == "P" else {}))
    with Image.open(tmp_path / "a.png") as opened:
        foreground = opened.convert("RGBA")
    expected = Image.alpha_composite(Image.new("RGBA", foreground.size, "white"), foreground).convert("RGB")
    assert (read(tmp_path / "a.png").pixels == np.asarray(expected)).all()


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("white_is_zero", [False, True])
@pytest.mark.parametrize(("type", "low", "high"), [
    ("u1", 0, 255), ("i1", -128, 127), ("u2", 0, 65535), ("u2", 0, 4095), ("i2", -1024, 3071), ("u4", 0, 2**32 - 1),
    ("i4", -(2**30), 2**30), ("f4", 0, 1),
])  # fmt: skip
def test_tiffs_of_any_type_and_order_of_bytes_are_their_values(
    tmp_path, type, low, high, order, compression, white_is_zero
):
    tifffile = pytest.importorskip("tifffile")
    shares = np.linspace(0, 1, 1200).reshape(30, 40) ** 2  # a ramp that is not its own negative
    stored = (low + shares * (high - low)).astype(type)
    photometric = "miniswhite" if white_is_zero else "minisblack"
    tifffile.imwrite(tmp_path / "a.tif", stored, byteorder=order, compression=compression, photometric=photometric)
    shown = 1 - shares if white_is_zero else shares
    assert (
        abs(read(tmp_path / "a.tif").pixels[..., 0] - 255 * shown).max() <= 1.01
    )  # one rounding to integers, one to bytes


@pytest.mark.parametrize("compression", [None, "deflate"])
def test_a_tiff_that_two_packages_read_from_one_open_file(tmp_path, compression):
    """libtiff, and then tifffile: Pillow has to leave the file where Python's buffer believes that it is."""
    tifffile = pytest.importorskip("tifffile")
    values = np.random.default_rng(0).integers(0, 4096, (200, 300, 3)).astype(np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", values, photometric="rgb", compression=compression, rowsperstrip=16)
    photo = read(tmp_path / "a.tif")
    assert abs(photo.pixels - values.astype(float) * 255 / 4095).max() <= 0.5
    assert photo.notes == ("12-bit values 0 to 4095 were scaled to 8 bits",)
