"""The photos in the layouts that contain them: links where possible, upright copies where EXIF rotates."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

from PIL import ExifTags

from deepinside.core.errors import DeepInsideError
from deepinside.core.formats import opened
from deepinside.core.images import read
from deepinside.core.shards import content, shard_of
from deepinside.explanations.exports.manifest import Manifest

JPEG_QUALITY = 95  # of upright copies
# Suffixes that every reader opens, including ultralytics; photos with others are copied as JPEG.
LINKED = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})


def link(manifest: Manifest, photo: Path, folder: Path, stem: str, suffix: str | None = None) -> Path:
    """Link to the photo, or copy it where links are not available; if EXIF rotates it, write an upright JPEG.

    A photo in an archive is copied. The link keeps the suffix of the photo unless another one is given. What an earlier
    export has put there stays. A photo that is gone is linked to, so that its labels are not lost. Returns the link or
    the copy.
    """
    copy, target = folder / f"{stem}.jpg", folder / f"{stem}{suffix or photo.suffix.lower()}"
    for path in (copy, target):
        if manifest.has(path):
            return path
    shard = shard_of(photo)
    try:
        is_kept = photo.suffix.lower() in LINKED and not _is_rotated(photo, shard)
    except DeepInsideError:
        is_kept, shard = True, None
    if not is_kept:
        manifest.write(copy, _upright_jpeg(photo))
        return copy
    try:
        if shard is not None:
            manifest.write(target, content(photo, shard))
        else:
            manifest.link(target, photo)
    except OSError:
        manifest.write(target, photo.read_bytes())
    return target


def _is_rotated(photo: Path, shard: Path | None) -> bool:
    with opened(photo if shard is None else BytesIO(content(photo, shard))) as image:
        return image.getexif().get(ExifTags.Base.Orientation, 1) in range(2, 9)


def _upright_jpeg(photo: Path) -> bytes:
    buffer = BytesIO()
    read(photo).image.save(buffer, "JPEG", quality=JPEG_QUALITY)
    return buffer.getvalue()
