"""Training sets: pictures by class, in ILSVRC's tree, in one folder per class, or in tar archives.

Only file names are read here; `loading` opens the pictures. The class of a picture is the name of its folder, of the
archive, or of the folder inside the archive, or the content of the `.cls` file beside it in an archive, as WebDataset
writes it.
"""

from __future__ import annotations

import io
import random
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from deepinside.core.errors import DeepInsideError, brief
from deepinside.core.files import is_file
from deepinside.core.formats import is_picture_name
from deepinside.core.label_files import is_wnid
from deepinside.core.labels import Labels, read_labels
from deepinside.core.text import decoded
from deepinside.data.boxes import read_samples

VALIDATION = ("val", "valid", "validation", "test")
LARGEST_RECORD = 2**20  # bytes of a header of an archive, or of the name of a class in it
HELD_OUT = 0.1  # of each class, where nobody set a validation set apart


class Entry(NamedTuple):
    """One picture and its class's index: a file, or `length` bytes from `offset` on in an archive."""

    path: Path
    label: int
    offset: int = 0
    length: int | None = None
    name: str = ""

    def __str__(self) -> str:
        return f"{self.path}/{self.name}" if self.name else str(self.path)


@dataclass(frozen=True)
class TrainingSet:
    """The classes of a data set, and its pictures for training and for validation.

    `Entry.label` is an index into `labels`. `unlabeled` counts the validation pictures without a usable annotation,
    which are left out.
    """

    labels: Labels
    train: tuple[Entry, ...]
    validation: tuple[Entry, ...]
    unlabeled: int = 0


Found = dict[str, list[Entry]]


def read_training_set(root: Path, seed: int = 0) -> TrainingSet:
    """The pictures of a data set by class. The kind of tree is detected.

    Classes are numbered in the order of `LOC_synset_mapping.txt`, where `root` or its parent has one, and else in the
    order of their names.

    Args:
        root: an ILSVRC tree (`Data/CLS-LOC/train/CLASS/*` with validation as `read_samples` takes it), or a folder with
            `train` and `val`, each with one folder or `.tar` per class, or archives with folders or `.cls` files
            inside; or such a folder alone.
        seed: draws the tenth of each class that is held out where there is no validation set.

    Raises `DeepInsideError` where there are no pictures, fewer than two classes, or a class that the mapping lacks.
    """
    root = Path(root)
    if not root.is_dir():
        raise DeepInsideError(f"{root}: expected a folder with training pictures, found none")
    top = next((top for top in (root, root / "ILSVRC") if (top / "Data/CLS-LOC/train").is_dir()), None)
    if top is not None:
        return _ilsvrc(root, top)
    named = root / "train"
    found = _by_class(named if named.is_dir() else root)
    labels, index = _numbers(root, _checked(root, found))
    separate = next((root / name for name in VALIDATION if named.is_dir() and (root / name).is_dir()), None)
    if separate is None:
        train, validation = _hold_out(_numbered(found, index), len(index), seed)
    else:
        train, validation = _numbered(found, index), _numbered(_by_class(separate), index)
    if not validation:
        raise DeepInsideError(f"{separate or root}: expected validation pictures of the training classes, found none")
    return TrainingSet(labels, tuple(train), tuple(validation))


def _ilsvrc(root: Path, top: Path) -> TrainingSet:
    folder = top / "Data/CLS-LOC/train"
    found = _by_class(folder)
    labels, index = _numbers(root, _checked(folder, found))
    validation, unlabeled = [], 0
    for sample in read_samples(root):
        known = [index[thing.wnid] for thing in sample.annotations if thing.wnid in index]
        if known:
            validation.append(Entry(sample.path, known[0]))
        else:
            unlabeled += 1
    if not validation:
        raise DeepInsideError(f"{root}: expected validation pictures of the training classes, found none")
    return TrainingSet(labels, tuple(_numbered(found, index)), tuple(validation), unlabeled)


def _checked(root: Path, found: Found) -> list[str]:
    """The names of the classes that have pictures, sorted."""
    names = sorted(name for name, entries in found.items() if entries)
    if not names:
        raise DeepInsideError(
            f"{root}: expected pictures in one folder per class, or in .tar archives, found none; the tree may be "
            "ILSVRC's (Data/CLS-LOC/train/CLASS), train/CLASS with val/CLASS, or CLASS alone"
        )
    if len(names) < 2:
        raise DeepInsideError(f"{root}: expected at least two classes to tell apart, got only {names[0]!r}")
    return names


def _numbers(root: Path, names: Sequence[str]) -> tuple[Labels, dict[str, int]]:
    """The labels of the classes, and the index of each class by the name that the data set gives it."""
    mapping = next((path for path in _mappings(root) if path.is_file()), None)
    if mapping is None:
        labels = Labels.of(names, names if all(map(is_wnid, names)) else ())
        return labels, {name: number for number, name in enumerate(names)}
    listed = read_labels(mapping)
    missing = sorted(set(names) - set(listed.wnids))
    if missing:
        raise DeepInsideError(f"{mapping}: expected a line for every training class, found none for {missing[0]}")
    chosen = [number for number, wnid in enumerate(listed.wnids) if wnid in set(names)]
    labels = Labels(tuple(listed.synonyms[n] for n in chosen), tuple(listed.wnids[n] for n in chosen))
    return labels, {wnid: number for number, wnid in enumerate(labels.wnids)}


def _mappings(root: Path) -> Iterator[Path]:
    yield root / "LOC_synset_mapping.txt"
    yield root.parent / "LOC_synset_mapping.txt"


def _numbered(found: Found, index: Mapping[str, int]) -> list[Entry]:
    return [entry._replace(label=index[name]) for name in sorted(found) if name in index for entry in found[name]]


def _hold_out(entries: Sequence[Entry], classes: int, seed: int) -> tuple[list[Entry], list[Entry]]:
    train: list[Entry] = []
    validation: list[Entry] = []
    groups: list[list[Entry]] = [[] for _ in range(classes)]
    for entry in entries:
        groups[entry.label].append(entry)
    for group in groups:
        if len(group) < 2:
            raise DeepInsideError(f"{group[0]}: expected at least two pictures of its class, to hold one out, got one")
        random.Random(seed).shuffle(group)
        count = max(round(HELD_OUT * len(group)), 1)
        validation += group[:count]
        train += group[count:]
    return train, validation


# ------------------------------------------------------------------------------------------------ folders and archives


def _by_class(folder: Path) -> Found:
    found: Found = {}
    for path in _listed(folder):
        if path.is_dir() and not path.name.startswith("."):
            pictures = [Entry(each, 0) for each in sorted(path.rglob("*")) if is_picture_name(each)]
            found.setdefault(path.name, []).extend(pictures)
        elif path.suffix.lower() == ".tar":
            for name, entries in _in_archive(path).items():
                found.setdefault(name, []).extend(entries)
    return found


def _listed(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir(), key=lambda path: path.name)
    except OSError as error:
        raise DeepInsideError(f"{folder}: expected a folder that can be read ({error.strerror})") from None


class _Headers(io.BufferedReader):
    """An archive of which no record is read that claims to be larger than a header or the name of a class."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is None or not 0 <= size <= LARGEST_RECORD:
            raise tarfile.ReadError(f"a record claims to have {size} bytes")
        return super().read(size)


def _in_archive(path: Path) -> Found:
    """The pictures of an uncompressed archive by class. None is unpacked: each is a range of the archive's bytes."""
    pictures: list[tarfile.TarInfo] = []
    classes: dict[str, str] = {}
    if not is_file(path):
        raise DeepInsideError(f"{path}: expected an uncompressed .tar archive, found no regular file")
    try:
        with _Headers(io.FileIO(path)) as file, tarfile.open(fileobj=file, mode="r:") as archive:
            for member in archive:
                if member.issparse():
                    raise tarfile.ReadError(f"{member.name} is a sparse file")
                if member.isfile() and is_picture_name(member.name):
                    pictures.append(member)
                elif member.isfile() and member.name.endswith(".cls"):
                    content = archive.extractfile(member)
                    classes[member.name.removesuffix(".cls")] = decoded(content.read()).strip() if content else ""
    except Exception as error:  # on damaged headers tarfile raises anything, from ValueError to IndexError
        raise DeepInsideError(f"{path}: expected an uncompressed .tar archive ({brief(error)})") from None
    found: Found = {}
    for member in pictures:
        inside = Path(member.name)
        folder = inside.parent.name
        name = classes.get(str(inside.with_suffix("")), folder or path.stem)
        found.setdefault(name, []).append(Entry(path, 0, member.offset_data, member.size, member.name))
    return found
