"""Photos, explanations without a network, and readers, for the tests of exports."""

import os
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from deepinside.core.geometry import Frame
from deepinside.core.images import find_photos, read
from deepinside.core.results import Detection, Explanation, Segmentation

# pycocotools predates numpy 2
old_pycocotools = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

LABELS = {281: "tabby", 0: 'cup & "saucer" <hot>: ünï 猫 😀', 7: "crane", 8: "crane"}


def detection(
    index: int, mask: np.ndarray, frame: Frame, label: str | None = None, confidence: float = 0.75
) -> Detection:
    empty = np.zeros_like(mask)
    label = LABELS.get(index, f"c{index}") if label is None else label
    found = Segmentation(frame, mask, mask, empty, 0.0, confidence=confidence)
    return Detection(index, label, f"n{index:08d}", 1.5, 0.1 + index / 1000, frame, mask.astype(np.float32), found)


def explanation(path: Path, classes=(281,), seed: int = 0) -> Explanation:
    """Masks of one blob each, on a small grid over the central square of the photo. A class may stand there twice."""
    photo = read(path)
    frame = Frame.center(photo.width, photo.height, width=14, height=14)
    generator = np.random.default_rng(seed)
    objects = []
    for number, index in enumerate(classes):
        mask = np.zeros((14, 14), dtype=bool)
        y, x = generator.integers(0, 9, 2)
        mask[y : y + 5, x : x + 4] = generator.random((5, 4)) < 0.7
        mask[y, x] = True
        objects.append(detection(index, mask, frame, confidence=0.75 / (1 + number)))
    return Explanation(str(path), photo.width, photo.height, "lite0", "paper", tuple(objects))


def save_photo(path: Path, width: int, height: int, **options) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(width * height).integers(0, 255, (height, width, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path, **options)
    return path


def album_in(folder: Path) -> Path:
    """One stem in two folders, names with everything in them, a portrait that EXIF turns, a GIF."""
    folder = folder / "my photos"
    turned = Image.Exif()
    turned[274] = 6
    save_photo(folder / "tom.jpg", 64, 48)
    save_photo(folder / "cats" / "tom.jpg", 50, 70)
    save_photo(folder / "cats" / 'Ünï 猫 & <"quote"> \' #100% +1 a.b.png', 33, 31)
    save_photo(folder / "portrait.jpg", 80, 40, exif=turned)
    save_photo(folder / "still.gif", 40, 40)
    return folder


def items_of(folder: Path, classes=(281, 281, 0)):
    return [(path, name, explanation(path, classes, seed)) for seed, (path, name) in enumerate(find_photos([folder]))]


def corners(seen: Detection) -> tuple[int, ...]:
    """The box found the slow way, from the mask."""
    y, x = np.nonzero(seen.mask)
    return int(x.min()), int(y.min()), int(x.max()) + 1, int(y.max()) + 1


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def read_yolo(folder: Path):
    """What ultralytics does (ultralytics/data/utils.py): pictures of a folder, `/images/` -> `/labels/`."""
    yaml = pytest.importorskip("yaml", reason="PyYAML, which reads data.yaml, is not installed")
    data = yaml.safe_load((folder / "data.yaml").read_text(encoding="utf-8"))
    assert sorted(data["names"]) == list(range(len(data["names"])))
    suffixes = {"bmp", "dng", "jpeg", "jpg", "mpo", "png", "tif", "tiff", "webp"}
    found = {}
    for split in ("train", "val"):
        for picture in sorted((folder / data[split]).rglob("*.*")):
            if picture.suffix.lower()[1:] in suffixes:
                before, _, after = str(picture).rpartition("/images/")
                label = Path(f"{before}/labels/{after}".rsplit(".", 1)[0] + ".txt")
                rows = [line.split() for line in label.read_text(encoding="utf-8").splitlines()]
                assert all(len(row) == 5 for row in rows)
                found[picture] = [(data["names"][int(row[0])], [float(v) for v in row[1:]]) for row in rows]
    return found


def slow_brush_decode(data: list[int], height: int, width: int) -> np.ndarray:
    """thi.ng's rle-pack, bit by bit, as the comment on top of label_studio_sdk/converter/brush.py has it."""
    bits = "".join(f"{byte:08b}" for byte in data)
    position = 0

    def take(size: int) -> int:
        nonlocal position
        position += size
        return int(bits[position - size : position], 2)

    count, word = take(32), take(5) + 1
    sizes = [take(4) + 1 for _ in range(4)]
    values: list[int] = []
    while len(values) < count:
        run = take(1)
        length = take(sizes[take(2)]) + 1
        values += [take(word)] * length if run else [take(word) for _ in range(length)]
    picture = np.array(values).reshape(height, width, 4)
    assert (picture == picture[..., :1]).all()
    assert set(np.unique(picture)) <= {0, 255}
    return picture[..., 3] == 255


MASK = np.array([[True, False], [False, False]])


def interpreter_with(package: str, variable: str) -> str:
    """A Python that has a package: the one that runs the tests, or the one that an environment variable names.

    Some readers need other versions of NumPy than this environment has, or a data base, and live in their own.
    """
    if os.environ.get(variable):
        return os.environ[variable]
    if find_spec(package) is None:
        pytest.skip(f"{package} is not installed, and {variable} names no Python that has it")
    return sys.executable
