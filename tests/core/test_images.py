"""Photos of every format, written by Pillow and read back."""

import io
import os

import numpy as np
import pytest
import torch
from PIL import Image

from deepinside.core.errors import DeepInsideError
from deepinside.core.geometry import Box, Frame
from deepinside.core.images import as_photo, find_photos, read, read_bytes, view

GRADIENT = np.stack(np.broadcast_arrays(np.arange(40)[:, None] * 6, np.arange(60)[None] * 4, 90), -1).astype(np.uint8)


@pytest.fixture
def picture():
    return Image.fromarray(GRADIENT)


@pytest.mark.parametrize(("suffix", "options", "tolerance"), [
    (".png", {}, 0), (".bmp", {}, 0), (".tif", {}, 0), (".tif", {"compression": "tiff_lzw"}, 0),
    (".webp", {"lossless": True}, 0), (".jpg", {"quality": 95}, 12), (".gif", {}, 24),
])  # fmt: skip
def test_formats(tmp_path, picture, suffix, options, tolerance):
    path = tmp_path / f"photo{suffix}"
    picture.save(path, **options)
    difference = read(path).pixels.astype(int) - GRADIENT
    assert abs(difference).max() <= tolerance


def test_gif_is_its_first_frame(tmp_path):
    frames = [Image.new("RGB", (8, 8), color) for color in ("red", "blue")]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert (read(tmp_path / "a.gif").pixels == [255, 0, 0]).all()


def test_sixteen_bit_grey_keeps_its_brightness(tmp_path):
    grey = (np.arange(256, dtype=np.uint16) * 257).reshape(16, 16)
    for suffix in (".png", ".tif"):
        Image.fromarray(grey).save(tmp_path / f"deep{suffix}")
        assert (read(tmp_path / f"deep{suffix}").pixels[..., 1] == np.arange(256).reshape(16, 16)).all()


def test_float_tiff_uses_the_scale_its_values_fit(tmp_path):
    unit = np.linspace(0, 1, 64, dtype=np.float32).reshape(8, 8)
    Image.fromarray(unit).save(tmp_path / "unit.tif")
    Image.fromarray(unit * 255).save(tmp_path / "byte.tif")
    assert (read(tmp_path / "unit.tif").pixels == read(tmp_path / "byte.tif").pixels).all()
    assert read(tmp_path / "unit.tif").pixels.max() == 255


def test_float_tiff_with_nan_is_refused(tmp_path):
    Image.fromarray(np.full((4, 4), np.nan, np.float32)).save(tmp_path / "nan.tif")
    with pytest.raises(DeepInsideError, match="not finite"):
        read(tmp_path / "nan.tif")


@pytest.mark.parametrize("mode", ["L", "1", "P", "CMYK", "YCbCr", "LAB"])
def test_modes_become_rgb(tmp_path, mode):
    red = Image.new("RGB", (6, 6), "red")
    if mode == "LAB":
        from PIL import ImageCms

        change = ImageCms.buildTransform(ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB")
        converted = ImageCms.applyTransform(red, change)
    else:
        converted = red.convert(mode)
    path = tmp_path / ("a.jpg" if mode in ("CMYK", "YCbCr") else "a.tif")
    converted.save(path)
    photo = read(path)
    assert photo.image.mode == "RGB"
    if mode in ("P", "CMYK", "YCbCr", "LAB"):
        assert abs(photo.pixels.astype(int) - [254, 0, 0]).max() <= 6


def test_transparency_is_composited_on_white(tmp_path):
    half = Image.new("RGBA", (4, 4), (0, 0, 0, 128))
    half.save(tmp_path / "half.png")
    assert (read(tmp_path / "half.png").pixels == 127).all()
    palette = Image.new("P", (4, 4), 0)
    palette.putpalette([10, 20, 30])
    palette.save(tmp_path / "clear.png", transparency=0)
    assert (read(tmp_path / "clear.png").pixels == 255).all()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(tmp_path, orientation):
    # What a camera held that way stores: the upright image under the inverse of the orientation.
    inverse = {1: None, 2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}[orientation]
    upright = Image.fromarray(GRADIENT)
    stored = upright if inverse is None else upright.transpose(Image.Transpose(inverse))
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored.save(tmp_path / "a.png", exif=exif)
    photo = read(tmp_path / "a.png")
    assert (photo.width, photo.height) == (60, 40)
    assert (photo.pixels == GRADIENT).all()


@pytest.mark.parametrize("orientation", [1, 6])
def test_a_jpeg_is_decoded_at_a_fraction_of_its_size_for_a_thumbnail(tmp_path, picture, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    large = picture.resize((800, 600), Image.Resampling.BICUBIC)
    large.save(tmp_path / "large.jpg", exif=exif, quality=95)
    large.save(tmp_path / "large.png", exif=exif)
    whole = read(tmp_path / "large.jpg")
    for least, side in ((100, 200), (150, 200), (151, 400), (500, 800), (1000, 800)):
        small = read(tmp_path / "large.jpg", least=least)
        assert max(small.width, small.height) == side
        assert (small.width > small.height) == (whole.width > whole.height)
        expected = np.asarray(whole.image.resize(small.image.size, Image.Resampling.BOX), float)
        assert np.abs(small.pixels - expected).mean() < 3
    assert max(read(tmp_path / "large.png", least=100).image.size) == 800


def test_one_pixel_and_very_wide_photos(tmp_path):
    for size in ((1, 1), (3000, 2), (2, 3000)):
        Image.new("RGB", size, (10, 200, 30)).save(tmp_path / "a.png")
        photo = read(tmp_path / "a.png")
        image = view(photo, Frame.whole(photo.width, photo.height, width=32, height=32))
        assert torch.allclose(image, torch.tensor([10, 200, 30]).view(1, 3, 1, 1) / 255, atol=1e-6)


def test_hundred_megapixels_are_read_without_a_warning(tmp_path):
    Image.new("1", (10_000, 10_000)).save(tmp_path / "large.png")
    assert (read(tmp_path / "large.png").width, 1) == (10_000, 1)


def test_decompression_bomb_is_refused(tmp_path):
    Image.new("1", (15_000, 15_000)).save(tmp_path / "bomb.png")
    with pytest.raises(DeepInsideError, match="bomb"):
        read(tmp_path / "bomb.png")


def spoil_truncated(data):
    return data[: len(data) // 2]


@pytest.mark.parametrize(("spoil", "message"), [
    (spoil_truncated, "damaged or truncated"),
    (lambda data: b"", "empty file"),
    (lambda data: b"To whom it may concern", "unknown format"),
])  # fmt: skip
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".webp"])
def test_broken_files_give_one_line(tmp_path, suffix, spoil, message):
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8))
    stream = io.BytesIO()
    noise.save(stream, {".jpg": "JPEG", ".tif": "TIFF"}.get(suffix, suffix[1:].upper()))
    path = tmp_path / f"broken{suffix}"
    path.write_bytes(spoil(stream.getvalue()))
    with pytest.raises(DeepInsideError) as caught:
        read(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)
    if suffix != ".tif" or spoil is not spoil_truncated:  # a TIFF's directory is at its end
        assert message in str(caught.value)


def test_missing_file_and_folder_are_named(tmp_path):
    with pytest.raises(DeepInsideError, match="no such file"):
        read(tmp_path / "none.jpg")
    with pytest.raises(DeepInsideError, match="got a folder"):
        read(tmp_path)


def test_view_is_an_area_average_when_shrinking_by_a_whole_factor():
    checks = np.indices((64, 64)).sum(0) % 2
    photo = as_photo(np.repeat((checks * 255).astype(np.uint8)[..., None], 3, axis=2))
    image = view(photo, Frame.whole(64, 64, width=8, height=8), Image.Resampling.BILINEAR)
    assert torch.allclose(image, torch.full_like(image, 0.5), atol=0.02)


def test_view_of_a_region_is_the_region():
    photo = as_photo(GRADIENT)
    frame = Frame(60, 40, Box(20, 10, 40, 30), width=20, height=20)
    assert (view(photo, frame)[0].permute(1, 2, 0).mul(255).round().numpy() == GRADIENT[10:30, 20:40]).all()


def test_as_photo_takes_tensors_arrays_and_pillow(picture):
    tensor = torch.from_numpy(GRADIENT).permute(2, 0, 1) / 255
    for source in (tensor, tensor[None], GRADIENT, picture, as_photo(GRADIENT)):
        assert (as_photo(source).pixels == GRADIENT).all()


@pytest.mark.parametrize(("source", "message"), [
    (torch.full((3, 4, 4), -1.0), "undo the normalization"),
    (torch.full((3, 4, 4), float("nan")), "in \\[0, 1\\]"),
    (torch.zeros(4, 4), "\\(3, height, width\\)"),
    (np.zeros((4, 4, 3), dtype=bool), "uint8"),
    (np.zeros((4, 4, 3, 1)), "explain each photo of a batch"),
    (torch.zeros(2, 3, 4, 4), "explain each photo of a batch"),
    (np.zeros((3, 40, 60)), "channels come first in tensors only"),
    (torch.zeros(40, 60, 3), r"got torch.float32 \(40, 60, 3\)"),
    (np.full((4, 4), 255.0), "got 255 to 255"),
    ([Image.new("RGB", (4, 4))] * 2, "expected one photo, got a list of 2; explain each of them"),
    (["a.jpg"], "expected one photo, got a list of 1"),
])  # fmt: skip
def test_as_photo_says_what_it_expected(source, message):
    with pytest.raises(DeepInsideError, match=message):
        as_photo(source)


@pytest.mark.parametrize("suffix", [
    "jpg", "jpeg", "jpe", "jfif", "jif", "jfi", "png", "apng", "webp", "gif", "tif", "tiff", "bmp", "dib", "avif",
    "avifs", "jp2", "j2k", "jpx", "jpf", "j2c", "jpc", "ppm", "JFIF", "Jp2",
])  # fmt: skip
def test_every_suffix_of_a_declared_format_is_found_in_folders(tmp_path, picture, suffix):
    kind = {"j": "JPEG", "p": "PNG", "w": "WEBP", "g": "GIF", "t": "TIFF", "b": "BMP", "d": "DIB", "a": "AVIF"}
    name = suffix.lower()
    is_2000 = name.startswith(("jp2", "j2", "jpx", "jpf", "jpc"))
    form = "JPEG2000" if is_2000 else {"apng": "PNG", "ppm": "PPM"}.get(name, kind[name[0]])
    picture.save(tmp_path / f"a.{suffix}", format=form)
    ((path, _),) = find_photos([tmp_path])
    assert (read(path).width, read(path).height) == (60, 40)


@pytest.mark.parametrize("content", [
    b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n{} loop\n", b"%PDF-1.4\n", b"8BPS\0\1" + b"\0" * 40,
    b"\xd7\xcd\xc6\x9a" + b"\0" * 40, b"\0\0\1\0\1\0" + b"\0" * 40,
])  # fmt: skip
def test_other_formats_are_never_opened_whatever_the_name(tmp_path, monkeypatch, content):
    from PIL import EpsImagePlugin

    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", lambda *_, **__: pytest.fail("Ghostscript was started"))
    (tmp_path / "a.jpg").write_bytes(content)
    with pytest.raises(DeepInsideError, match="unknown format"):
        read(tmp_path / "a.jpg")
    with pytest.raises(DeepInsideError, match="unknown format"):
        read_bytes(content, "a.jpg in an archive")


def test_heic_without_its_package_names_the_extra():
    with pytest.raises(DeepInsideError, match=r"a HEIC photo needs an extra: pip install 'deepinside\[heic\]'"):
        read_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "a.heic")


def test_pipes_devices_loops_and_claims_of_size_are_refused_before_reading(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "loop.jpg").symlink_to(tmp_path / "loop.jpg")
    (tmp_path / "device.jpg").symlink_to("/dev/zero")
    with open(tmp_path / "sparse.jpg", "wb") as file:
        file.truncate(8 * 2**30)
    for name, reason in (("pipe", "a pipe"), ("loop", "expected a photo"), ("device", "device"), ("sparse", "at most")):
        with pytest.raises(DeepInsideError, match=reason):
            read(tmp_path / f"{name}.jpg")
    with pytest.raises(DeepInsideError, match="expected a photo, got none"):
        read(tmp_path / ("x" * 300))


def whole(photo, width=20, height=10):
    return Frame.whole(photo.width, photo.height, width=width, height=height)


@pytest.mark.parametrize("channels", [1, 2, 4, 6])
def test_view_of_any_number_of_channels(channels):
    values = np.random.default_rng(0).random((20, 40, channels)).astype(np.float32)
    photo = as_photo(values)
    seen = view(photo, whole(photo), Image.Resampling.BOX, channels)
    expected = values.reshape(10, 2, 20, 2, channels).mean(axis=(1, 3))
    np.testing.assert_allclose(seen[0].permute(1, 2, 0).numpy(), expected, atol=1e-6)
    tensor = as_photo(torch.from_numpy(values).permute(2, 0, 1))
    assert torch.equal(view(tensor, whole(photo), Image.Resampling.BOX, channels), seen)


def test_gray_of_sixteen_bits_keeps_its_precision_for_networks_of_one_channel():
    values = np.linspace(0, 65535, 800).astype(np.uint16).reshape(20, 40)
    photo = as_photo(values)
    seen = view(photo, Frame.whole(40, 20, width=40, height=20), channels=1)
    np.testing.assert_allclose(seen[0, 0].numpy(), values / 65535, atol=1e-6)


def test_one_channel_of_a_color_photo_is_its_luma(picture):
    photo = as_photo(GRADIENT)
    seen = view(photo, Frame.whole(60, 40, width=60, height=40), channels=1)
    np.testing.assert_allclose(seen[0, 0].numpy(), GRADIENT @ [0.299, 0.587, 0.114] / 255, atol=0.6 / 255)
    gray = as_photo(GRADIENT[..., 0])
    assert (gray.pixels == GRADIENT[..., :1]).all()
    assert abs(view(gray, whole(gray), channels=1)[0, 0] - view(gray, whole(gray))[0, 1]).max() <= 0.51 / 255


def test_a_network_of_more_channels_than_the_photo_has_is_told_what_to_give():
    photo = as_photo(GRADIENT)
    with pytest.raises(
        DeepInsideError, match=r"expects 4 channels, and the photo has 3; give an array \(height, width, 4"
    ):
        view(photo, whole(photo), channels=4)


@pytest.mark.parametrize("type", [np.float16, np.float32, np.float64, torch.float16, torch.bfloat16])
def test_floats_of_every_precision(type):
    values = GRADIENT / 255
    source = torch.tensor(values, dtype=type).permute(2, 0, 1) if isinstance(type, torch.dtype) else values.astype(type)
    assert abs(as_photo(source).pixels.astype(int) - GRADIENT).max() <= 1


def test_names_that_are_not_utf8(tmp_path, picture):
    name = os.fsdecode(b"caf\xe9.png")
    picture.save(io.BytesIO(), "PNG")
    with open(tmp_path / name, "wb") as file:
        picture.save(file, "PNG")
    ((path, found),) = find_photos([tmp_path])
    assert str(found) == name
    assert read(path).name == str(path)
