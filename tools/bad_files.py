"""A corpus of bad files: what folders of photos and shards hold in practice, each with what has to become of it.

    python tools/bad_files.py FOLDER        # makes FOLDER/photos and FOLDER/shards, and prints a line of JSON for each

The expected outcome is that of the file where its folder is searched: `ok`, `error`, which is a row with a reason, or
`not a photo`, which is no row. It is made for Linux, whose file names may hold any bytes but the slash and NUL.
"""

import json
import os
import stat
import sys
import tarfile
from dataclasses import asdict, dataclass
from io import BytesIO
from pathlib import Path
from struct import pack
from zlib import compress, compressobj, crc32

import numpy as np
from PIL import ExifTags, Image

OK, ERROR, NO_PHOTO = "ok", "error", "not a photo"
SIDE = 30_000  # pixels of a bomb, and the length of a strip
ODD_NAMES = (
    b"two words.jpg", b"two\nlines.jpg", b"tab\tand \x1b[31mred.jpg", "\U0001f431 \u67f4\u72ac.jpg".encode(),
    b"--help.jpg", b"-rf.jpg", b"caf\xe9.jpg", b"\xff\xfe.jpg", b"a;b,c'd\"e$(f)`g`.jpg", b"=1+1.jpg", b"50%.jpg",
    b"back\\slash.jpg", b"x" * 251 + b".jpg", "\u202egpj.exe.jpg".encode(), b"[a-z]*.jpg",
)  # fmt: skip


@dataclass(frozen=True)
class Made:
    """A file, relative to the folder of the corpus, what is expected of it, and a part of the reason of an error.

    `member` is the name of a member, where the file is a shard, and its number where a name occurs twice.
    """

    file: str
    expected: str
    reason: str = ""
    member: str | None = None


def make(folder: Path) -> list[Made]:
    """The whole corpus in a folder, which is new or empty; returns the manifest."""
    groups = (truncated, contents, animated, modes, oriented, sizes, specials, links, named, equal_names)
    photos = [made for each in groups for made in each(_subfolder(folder, Path("photos", each.__name__)))]
    found = [Made(f"photos/{made.file}", made.expected, made.reason) for made in photos]
    shards = [made for each in (outside, odd_members, broken) for made in each(_subfolder(folder, Path("shards")))]
    return found + [Made(f"shards/{made.file}", made.expected, made.reason, made.member) for made in shards]


def picture(seed: int = 0, size: tuple[int, int] = (96, 72)) -> Image.Image:
    """A rectangle of one color on gray noise."""
    random = np.random.default_rng(seed)
    pixels = random.integers(100, 140, (size[1], size[0], 3), np.uint8)
    top, left = random.integers(0, size[1] // 2), random.integers(0, size[0] // 2)
    pixels[top : top + size[1] // 2, left : left + size[0] // 2] = np.eye(3, dtype=np.uint8)[seed % 3] * 200 + 20
    return Image.fromarray(pixels)


def encoded(seed: int = 0, kind: str = "JPEG", image: Image.Image | None = None, **options: object) -> bytes:
    """A picture, or the one given, as the content of a file."""
    stream = BytesIO()
    (image or picture(seed)).save(stream, kind, **options)
    return stream.getvalue()


# --------------------------------------------------------------------------------------------------------------- photos


def truncated(folder: Path) -> list[Made]:
    """A JPEG, its first tenths, and the beginnings of other formats."""
    whole = encoded(0, quality=95)
    files = {"whole.jpg": whole} | {f"{tenth}.jpg": whole[: tenth * len(whole) // 11] for tenth in range(1, 11)}
    for kind in ("PNG", "WEBP", "GIF", "TIFF", "BMP", "JPEG2000"):
        content = encoded(1, kind)
        files[f"half{_suffix(kind)}"] = content[: len(content) // 2]
    return [_made(folder, name, content, "" if name == "whole.jpg" else "image") for name, content in files.items()]


def contents(folder: Path) -> list[Made]:
    """Nothing, something else, and a format that the suffix does not tell."""
    return [
        _made(folder, "empty.jpg", b"", "empty file"),
        _made(folder, "page.jpg", b"<!DOCTYPE html><title>404 Not Found</title>", "unknown format"),
        _made(folder, "zeros.jpg", bytes(5000), "unknown format"),
        _made(folder, "script.jpg", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n{} loop\n", "unknown format"),
        _made(folder, "archive.jpg", b"PK\3\4" + bytes(60), "unknown format"),
        _made(folder, "a png.jpg", encoded(0, "PNG")),
        _made(folder, "a jpeg.png", encoded(1)),
        _made(folder, "bytes after the end.jpg", encoded(2) + b"<html>" * 100),
        _made(folder, "exif.jpg", encoded(0, exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff" + b"\xff" * 40)),
    ]


def animated(folder: Path) -> list[Made]:
    """Several frames, of which the first one is the photo."""
    options = {"save_all": True, "append_images": [picture(1), picture(2)]}
    kinds = {"a.gif": "GIF", "a.webp": "WEBP", "a.png": "PNG", "pages.tif": "TIFF", "mpo.jpg": "MPO"}
    return [_made(folder, name, encoded(0, kind, **options)) for name, kind in kinds.items()]


def modes(folder: Path) -> list[Made]:
    """CMYK, 16 bits, alpha, palettes, gray and black and white."""
    rgb, gray = picture(), picture().convert("L")
    deep = Image.fromarray(np.asarray(gray).astype(np.uint16) * 257)
    clear = picture().convert("RGBA")
    clear.putalpha(Image.linear_gradient("L").resize(clear.size))
    palette = rgb.quantize(16)
    return [
        _made(folder, "cmyk.jpg", encoded(image=rgb.convert("CMYK"))),
        _made(folder, "deep.png", encoded(image=deep, kind="PNG")),
        _made(folder, "deep.tif", encoded(image=deep, kind="TIFF")),
        _made(folder, "rgba.png", encoded(image=clear, kind="PNG")),
        _made(folder, "rgba.webp", encoded(image=clear, kind="WEBP")),
        _made(folder, "la.png", encoded(image=clear.convert("LA"), kind="PNG")),
        _made(folder, "palette.png", encoded(image=palette, kind="PNG", transparency=bytes(range(16)))),
        _made(folder, "gray.jpg", encoded(image=gray)),
        _made(folder, "bits.png", encoded(image=rgb.convert("1"), kind="PNG")),
    ]


def oriented(folder: Path) -> list[Made]:
    """The eight orientations of EXIF, and one that does not exist."""
    made = []
    for orientation in range(1, 10):
        exif = Image.Exif()
        exif[ExifTags.Base.Orientation] = orientation
        made.append(_made(folder, f"{orientation}.jpg", encoded(orientation, exif=exif)))
    return made


def sizes(folder: Path) -> list[Made]:
    """A single pixel, strips, and headers that declare more pixels than a photo has."""
    return [
        _made(folder, "pixel.png", encoded(image=picture(size=(2, 2)).crop((0, 0, 1, 1)), kind="PNG")),
        _made(folder, "strip.png", encoded(image=picture(size=(SIDE, 2)), kind="PNG")),
        _made(folder, "tower.png", encoded(image=picture(size=(2, SIDE)), kind="PNG")),
        _made(folder, "bomb.png", _one_color(SIDE, SIDE), "decompression bomb"),
        _made(folder, "lie.png", _png(SIDE, SIDE, compress(bytes(100))), "decompression bomb"),
        _made(folder, "smaller lie.png", _png(12_000, 12_000, compress(bytes(100))), "truncated"),
        _made(folder, "no pixels.png", _png(0, 0, compress(b"")), "unknown format"),
    ]


def specials(folder: Path) -> list[Made]:
    """What is no regular file, or may not be read."""
    os.mkfifo(folder / "pipe.jpg")
    os.mknod(folder / "socket.jpg", stat.S_IFSOCK | 0o600)
    (folder / "locked.jpg").write_bytes(encoded())
    (folder / "locked.jpg").chmod(0)
    _subfolder(folder, Path("folder.jpg"))
    (folder / "folder.jpg" / "inside.jpg").write_bytes(encoded())
    with open(folder / "sparse.jpg", "wb") as file:
        file.truncate(8 * 2**30)
    is_root = os.geteuid() == 0  # who may read everything
    return [
        Made("specials/pipe.jpg", ERROR, "a pipe or a device"),
        Made("specials/socket.jpg", ERROR, "a pipe or a device"),
        Made("specials/locked.jpg", OK if is_root else ERROR, "" if is_root else "Permission denied"),
        Made("specials/folder.jpg", NO_PHOTO),
        Made("specials/folder.jpg/inside.jpg", OK),
        Made("specials/sparse.jpg", ERROR, "at most"),
        _made(folder, "._photo.jpg", b"\0\5\x16\7\0\2\0\0Mac OS X", NO_PHOTO),
        _made(folder, ".hidden.jpg", encoded(), NO_PHOTO),
        _made(folder, "notes.txt", b"no photo", NO_PHOTO),
    ]


def links(folder: Path) -> list[Made]:
    """Links to photos, to nothing, to themselves, to folders and to what has no end."""
    _made(folder, "photo.jpg", encoded())
    targets = {
        "link.jpg": ("photo.jpg", ""), "dangling.jpg": ("nothing.jpg", "no such file"),
        "itself.jpg": ("itself.jpg", "expected a photo"), "one.jpg": ("other.jpg", "expected a photo"),
        "other.jpg": ("one.jpg", "expected a photo"), "zero.jpg": ("/dev/zero", "a pipe or a device"),
        "terminal.jpg": ("/dev/tty", "a pipe or a device"), "below a file.jpg": ("photo.jpg/a.jpg", "no such file"),
        "parent": ("..", NO_PHOTO), "here.jpg": (".", NO_PHOTO),
    }  # fmt: skip
    for name, (target, _) in targets.items():
        (folder / name).symlink_to(target)
    made = [_expected(folder, name, reason) for name, (_, reason) in targets.items()]
    return [Made("links/photo.jpg", OK), *made]


def named(folder: Path) -> list[Made]:
    """Names that a shell, a terminal, a list of one name a line, or an encoding could stumble over."""
    return [_made(folder, os.fsdecode(name), encoded(seed)) for seed, name in enumerate(ODD_NAMES)]


def equal_names(folder: Path) -> list[Made]:
    """Equal stems in different folders, equal names but for the suffix, their letters' case or their accents."""
    names = ("a/tom.jpg", "b/tom.jpg", "a__tom.jpg", "tom.jpg", "tom.png", "tom.JPG", "caf\u00e9.jpg", "cafe\u0301.jpg")
    made = []
    for seed, name in enumerate(names):
        _subfolder(folder, Path(name).parent)
        made.append(_made(folder, name, encoded(seed, "PNG" if name.endswith("png") else "JPEG")))
    return made


# --------------------------------------------------------------------------------------------------------------- shards
# Members that are photos are read, whatever their names, and nothing is ever written where a name points to.


def outside(folder: Path) -> list[Made]:
    """Members whose names lead out of the folder, links and a device."""
    members = [
        (name, encoded(seed)) for seed, name in enumerate(("../above.jpg", "/tmp/absolute.jpg", "a/../../b.jpg"))
    ]
    kinds = {"link.jpg": tarfile.SYMTYPE, "hard.jpg": tarfile.LNKTYPE, "device.jpg": tarfile.CHRTYPE}
    with tarfile.open(folder / "outside.tar", "w") as tar:
        for name, content in members:
            _add(tar, name, content)
        for name, kind in [*kinds.items(), ("pipe.jpg", tarfile.FIFOTYPE), ("folder.jpg", tarfile.DIRTYPE)]:
            _add(tar, name, None, kind)
    made = [Made("outside.tar", OK, member=name) for name, _ in members]
    return made + [Made("outside.tar", NO_PHOTO, member=name) for name in (*kinds, "pipe.jpg", "folder.jpg")]


def odd_members(folder: Path) -> list[Made]:
    """A name that occurs twice, nested folders, hidden files of macOS, damaged photos and odd names."""
    names = ("twice.jpg", "twice.jpg", "a/b/c/deep.jpg", "a/b/c/deep.png", "two\nlines.jpg", "caf\udce9.jpg")
    bad = {
        "empty.jpg": (b"", "empty file"),
        "half.jpg": (encoded()[:300], "image"),
        "a/page.jpg": (b"<html>", "format"),
    }
    others = {"._twice.jpg": b"\0\5\x16\7", "a/._deep.jpg": b"\0\5\x16\7", "twice.json": b"{}"}
    with tarfile.open(folder / "odd.tar", "w") as tar:
        for seed, name in enumerate(names):
            _add(tar, name, encoded(seed, "PNG" if name.endswith("png") else "JPEG"))
        for name, content in [*((name, content) for name, (content, _) in bad.items()), *others.items()]:
            _add(tar, name, content)
    made = [Made("odd.tar", OK, member=name) for name in names]
    made += [Made("odd.tar", ERROR, reason, name) for name, (_, reason) in bad.items()]
    return made + [Made("odd.tar", NO_PHOTO, member=name) for name in others]


def broken(folder: Path) -> list[Made]:
    """A shard that ends within its second member, one without members, and files that are no shards."""
    with tarfile.open(folder / "cut.tar", "w") as tar:
        _add(tar, "first.jpg", encoded(0))
        _add(tar, "second.jpg", encoded(1))
    cut = (folder / "cut.tar").read_bytes()
    (folder / "cut.tar").write_bytes(cut[: 512 * (-(-len(encoded(0)) // 512) + 2) + 700])
    with tarfile.open(folder / "nothing.tar", "w"):
        pass
    (folder / "empty.tar").write_bytes(b"")
    (folder / "page.tar").write_bytes(b"<!DOCTYPE html>" * 100)
    return [
        Made("cut.tar", OK, member="first.jpg"),
        Made("cut.tar", ERROR, member="second.jpg"),
        *(Made(name, ERROR) for name in ("nothing.tar", "empty.tar", "page.tar")),
    ]


def _add(tar: tarfile.TarFile, name: str, content: bytes | None, kind: bytes = tarfile.REGTYPE) -> None:
    member = tarfile.TarInfo(name)
    member.type = kind
    if kind in (tarfile.SYMTYPE, tarfile.LNKTYPE):
        member.linkname = "/etc/passwd"
    member.size = len(content or b"")
    tar.addfile(member, None if content is None else BytesIO(content))


# ---------------------------------------------------------------------------------------------------------------- files


def _made(folder: Path, name: str, content: bytes, reason: str = "") -> Made:
    (folder / name).write_bytes(content)
    return _expected(folder, name, reason)


def _expected(folder: Path, name: str, reason: str) -> Made:
    """`reason` is a part of the message, `NO_PHOTO`, or "" for a photo."""
    outcome = NO_PHOTO if reason == NO_PHOTO else ERROR if reason else OK
    return Made(f"{folder.name}/{name}", outcome, reason if outcome == ERROR else "")


def _subfolder(folder: Path, name: Path) -> Path:
    (folder / name).mkdir(parents=True, exist_ok=True)
    return folder / name


def _suffix(kind: str) -> str:
    return {"TIFF": ".tif", "JPEG2000": ".jp2"}.get(kind, f".{kind.lower()}")


def _one_color(width: int, height: int) -> bytes:
    """A whole PNG of one color, without its pixels in memory."""
    packer, row = compressobj(1), bytes(1 + -(-width // 8))
    return _png(width, height, b"".join(packer.compress(row) for _ in range(height)) + packer.flush(), bits=1)


def _png(width: int, height: int, pixels: bytes, bits: int = 8) -> bytes:
    """A gray PNG of compressed pixels, or whatever the header says."""
    header = pack(">IIBBBBB", width, height, bits, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", pixels) + _chunk(b"IEND", b"")


def _chunk(kind: bytes, content: bytes) -> bytes:
    return pack(">I", len(content)) + kind + content + pack(">I", crc32(kind + content))


def main() -> None:
    """Make the corpus in the folder that is given."""
    folder = Path(sys.argv[1]) if len(sys.argv) == 2 else sys.exit("usage: bad_files.py FOLDER")
    if folder.exists() and any(folder.iterdir()):
        sys.exit(f"{folder}: expected a new or an empty folder")
    for made in make(folder):
        print(json.dumps(asdict(made)))


if __name__ == "__main__":
    main()
