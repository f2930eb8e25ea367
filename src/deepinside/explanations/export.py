"""Export of explanations for other tools: COCO, Pascal VOC, YOLO, Label Studio, mask images, CSV and FiftyOne.

    with exporting(folder, ["coco", "voc"]) as add:
        for path, name in find_photos([photos]):
            add(path, name, explain(classifier, path, top=1))

Each format gets a folder of its own below `folder`, without labels in it, since those of an older run may have been
corrected by hand; or with those of an earlier export of the same run, which is added to, see `exports.manifest`. Photos
are processed one by one, and their masks are not kept in memory. Files are written atomically, and complete after every
photo, so that a run that is interrupted or killed keeps what it has finished. A new format is a function and an entry
of `FORMATS`.

Names and labels may hold anything. What a format or a line of a list cannot hold becomes a visible escape, such as
`\\x1b`, the same in all formats.

All objects of all classes of an explanation are written. Classes are alternatives: for one class per photo, explain
with `top=1`, and for one box per photo with `objects="one"` as well. Formats with scores have two numbers for each
object: the `probability` of its class in the whole photo, and as `score`, by which tools rank and filter objects, the
`confidence` that it is an object of that class.

Boxes and masks are in pixels of the upright photo. A tool that ignores the EXIF orientation shows the portrait photos
of a phone lying on their side, with other pixels under the box. The layouts that contain the photos (`voc` and `yolo`)
get symbolic links, which take no space. For a photo that EXIF rotates, and for a GIF, they get an upright JPEG, so that
every tool sees the same image. `zip -r` and `cp -RL` replace the links by files.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from itertools import chain
from pathlib import Path
from types import MappingProxyType

from deepinside.core.errors import named
from deepinside.core.results import Explanation
from deepinside.explanations.exports.coco import coco
from deepinside.explanations.exports.fiftyone import fiftyone
from deepinside.explanations.exports.folder import claimed, reported, told
from deepinside.explanations.exports.labelstudio import labelstudio
from deepinside.explanations.exports.masks import masks
from deepinside.explanations.exports.names import name_class
from deepinside.explanations.exports.table import table
from deepinside.explanations.exports.voc import voc
from deepinside.explanations.exports.writers import Add, Writer
from deepinside.explanations.exports.yolo import yolo


def export(items: Iterable[tuple[Path, Path, Explanation]], folder: Path, formats: str | Iterable[str]) -> list[Path]:
    """Write explanations in one or more formats; returns the folder of each format.

    Args:
        items: `(photo file, name, explanation)`, iterated once; `find_photos` returns the files with their names.
        folder: for the folders of the formats.
        formats: names of `FORMATS`.

    Raises `DeepInsideError` as `exporting` does.
    """
    names = _known(formats)
    with exporting(folder, names) as add:
        for photo, name, explanation in items:
            add(photo, name, explanation)
    return [folder / name for name in names]


@contextmanager
def exporting(
    folder: Path,
    formats: str | Iterable[str],
    classes: Sequence[tuple[str, str | None]] = (),
    *,
    run_photos: Collection[str] | None = None,
    tell: Callable[[str], None] | None = None,
) -> Iterator[Add]:
    """Yield a function `add(photo file, name, explanation)` that writes a photo in one or more formats.

    When it returns, the photo is in the files. A run that is killed leaves complete files, which the next one into the
    same folder replaces, unless they have been changed since.

    Args:
        folder: for the folders of the formats.
        formats: names of `FORMATS`.
        classes: names and WordNet ids of all classes of the network, in its order, so that lists of classes are
            complete and an annotator can choose any of them; without, they hold the classes that were found.
        run_photos: absolute paths of all photos of a run, of which those that have an answer are added here, so that an
            earlier export of the same run may be in the folder. Files that somebody has changed since stay as they
            are; see `exports.growing` for those that hold many photos.
        tell: what to do with a line about what somebody has changed.

    Raises `DeepInsideError` for an unknown format, a folder of a format that holds labels or cannot be written, and
    explanations without boxes.
    """
    names = _known(formats)
    known: dict[int, str] = {}
    for index, (label, wnid) in enumerate(classes):
        name_class(known, index, label, wnid)
    with ExitStack() as claims, ExitStack() as stack:
        manifests = [claims.enter_context(claimed(folder / name, run_photos)) for name in names]
        with reported(folder):
            begun = [FORMATS[name](each, known) for name, each in zip(names, manifests, strict=True)]
            adds = [stack.enter_context(each) for each in begun]

        def add(photo: Path, name: Path, explanation: Explanation) -> None:
            with reported(folder):
                for manifest, each in zip(manifests, adds, strict=True):
                    each(photo, name, explanation)
                    manifest.has_labels = True

        try:
            yield add
            for each in manifests:
                each.is_whole = True
        finally:
            with reported(folder):
                stack.close()
    for line in chain.from_iterable(map(told, manifests)):
        (tell or str)(line)


FORMATS: Mapping[str, Writer] = MappingProxyType(
    {
        "coco": coco,
        "voc": voc,
        "yolo": yolo,
        "labelstudio": labelstudio,
        "masks": masks,
        "csv": table,
        "fiftyone": fiftyone,
    }
)


def _known(formats: str | Iterable[str]) -> list[str]:
    """The requested formats, without duplicates."""
    names = list(dict.fromkeys([formats] if isinstance(formats, str) else formats))
    for name in names:
        named(name, FORMATS, "an export format")
    return names
