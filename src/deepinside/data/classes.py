"""Pictures by class, as training wants them: ILSVRC's tree, folders of folders, and tar archives.

Only names are read here; `loading` opens the pictures. A class is a folder, an archive named after its class, a folder
inside an archive, or the `.cls` file beside a picture in an archive, as WebDataset writes it.
"""

from __future__ import annotations

import os
import random
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from deepinside.core.errors import DeepInsideError
from deepinside.core.images import SUFFIXES
from deepinside.core.labels import Labels, is_wnid, read_labels
from deepinside.data.boxes import read_samples

VALIDATION = ("val", "valid", "validation", "test")
HELD_OUT = 0.1  # of each class, where nobody set a validation set apart


class Entry(NamedTuple):
    """Where one picture lies: a file, or `length` bytes from `offset` on in an archive; and its class's place."""

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

    `unlabeled` counts validation pictures without a usable annotation, which take no part.
    """

    labels: Labels
    train: tuple[Entry, ...]
    validation: tuple[Entry, ...]
    unlabeled: int = 0


Found = dict[str, list[Entry]]


def read_training_set(root: Path, seed: int = 0) -> TrainingSet:
    """The pictures of a data set by class; the kind of tree is found out.

    Args:
        root: an ILSVRC tree (`Data/CLS-LOC/train/CLASS/*` with validation as `read_samples` takes it), or a folder with
            `train` and `val`, each with a folder or a `.tar` a class, or archives with folders or `.cls` files inside;
            or such a folder alone.
        seed: draws the tenth of each class that is held out where there is no validation set.

    Raises `DeepInsideError` where there are no pictures, or fewer than two classes.
    """
    root = Path(root)
    if not root.is_dir():
        raise DeepInsideError(f"{root}: expected a folder with training pictures, found none")
    top = next((top for top in (root, root / "ILSVRC") if (top / "Data/CLS-LOC/train").is_dir()), None)
    if top is not None:
        return _ilsvrc(root, top)
    named = root / "train"
    found = _by_class(named if named.is_dir() else root)
    names = _checked(root, found)
    place = {name: number for number, name in enumerate(names)}
    separate = next((root / name for name in VALIDATION if named.is_dir() and (root / name).is_dir()), None)
    if separate is None:
        train, validation = _hold_out(_numbered(found, place), len(names), seed)
    else:
        train, validation = _numbered(found, place), _numbered(_by_class(separate), place)
    if not validation:
        raise DeepInsideError(f"{separate or root}: expected validation pictures of the training classes, found none")
    return TrainingSet(_labels(root, names), tuple(train), tuple(validation))


def _ilsvrc(root: Path, top: Path) -> TrainingSet:
    folder = top / "Data/CLS-LOC/train"
    found = _by_class(folder)
    names = _checked(folder, found)
    labels = _labels(root, names)
    place = {name: number for number, name in enumerate(labels.wnids or names)}
    validation, unlabeled = [], 0
    for sample in read_samples(root):
        known = [place[thing.wnid] for thing in sample.things if thing.wnid in place]
        if known:
            validation.append(Entry(sample.path, known[0]))
        else:
            unlabeled += 1
    if not validation:
        raise DeepInsideError(f"{root}: expected validation pictures of the training classes, found none")
    return TrainingSet(labels, tuple(_numbered(found, place)), tuple(validation), unlabeled)


def _checked(root: Path, found: Found) -> list[str]:
    names = sorted(name for name, entries in found.items() if entries)
    if not names:
        raise DeepInsideError(
            f"{root}: expected pictures in one folder a class, or in .tar archives, found none; the tree may be "
            "ILSVRC's (Data/CLS-LOC/train/CLASS), train/CLASS with val/CLASS, or CLASS alone"
        )
    if len(names) < 2:
        raise DeepInsideError(f"{root}: expected at least two classes to tell apart, got only {names[0]!r}")
    return names


def _labels(root: Path, names: Sequence[str]) -> Labels:
    """In the order of ILSVRC's own list, where there is one that names all the classes; else in the names' order."""
    mapping = next((path for path in _mappings(root) if path.is_file()), None)
    if mapping is None:
        return Labels.of(names, names if all(map(is_wnid, names)) else ())
    listed = read_labels(mapping)
    missing = sorted(set(names) - set(listed.wnids))
    if missing:
        raise DeepInsideError(f"{mapping}: expected a line for every training class, found none for {missing[0]}")
    chosen = [number for number, wnid in enumerate(listed.wnids) if wnid in set(names)]
    return Labels(tuple(listed.synonyms[n] for n in chosen), tuple(listed.wnids[n] for n in chosen))


def _mappings(root: Path) -> Iterator[Path]:
    yield root / "LOC_synset_mapping.txt"
    yield root.parent / "LOC_synset_mapping.txt"


def _numbered(found: Found, place: Mapping[str, int]) -> list[Entry]:
    return [entry._replace(label=place[name]) for name in sorted(found) if name in place for entry in found[name]]


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
    for item in sorted(os.scandir(folder), key=lambda item: item.name):
        path = Path(item.path)
        if item.is_dir() and not item.name.startswith("."):
            pictures = [Entry(each, 0) for each in sorted(path.rglob("*")) if _is_picture(each.name)]
            found.setdefault(item.name, []).extend(pictures)
        elif path.suffix == ".tar":
            for name, entries in _in_archive(path).items():
                found.setdefault(name, []).extend(entries)
    return found


def _in_archive(path: Path) -> Found:
    """Members are not unpacked: their bytes lie in one piece in the archive, so that a place in it is enough."""
    pictures: list[tarfile.TarInfo] = []
    classes: dict[str, str] = {}
    try:
        with tarfile.open(path, "r:") as archive:
            for member in archive:
                if member.isfile() and _is_picture(member.name):
                    pictures.append(member)
                elif member.isfile() and member.name.endswith(".cls"):
                    content = archive.extractfile(member)
                    classes[member.name.removesuffix(".cls")] = content.read().decode().strip() if content else ""
    except (tarfile.TarError, OSError, UnicodeDecodeError) as error:
        raise DeepInsideError(f"{path}: expected an uncompressed .tar archive ({error})") from None
    found: Found = {}
    for member in pictures:
        inside = Path(member.name)
        folder = inside.parent.name
        name = classes.get(str(inside.with_suffix("")), folder or path.stem)
        found.setdefault(name, []).append(Entry(path, 0, member.offset_data, member.size, member.name))
    return found


def _is_picture(name: str) -> bool:
    return Path(name).suffix.lower() in SUFFIXES and not Path(name).name.startswith(".")
