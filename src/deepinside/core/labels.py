"""Class names: find the class that an index, a WordNet id or a typed name refers to."""

from __future__ import annotations

import operator
import os
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from deepinside.core.errors import DeepInsideError, nearest
from deepinside.core.label_files import in_order, is_integer, is_wnid, read_classes

NUMBER = re.compile(r"[+-]?[0-9]+")
UNNAMED = re.compile(r"class ([0-9]{1,9})")  # what `Labels.name` calls a class without a name


@dataclass(frozen=True)
class Labels:
    """The classes of a network, in the order of its logits.

    `synonyms` holds the names of each class, the most common one first; `wnids` their WordNet ids, if there are any.

    >>> labels = Labels((("tabby", "tabby cat"), ("crane",), ("crane", "derrick")), ("n1", "n2", "n3"))
    >>> labels.find("Tabby cat"), labels.find("n3"), labels.find(1)
    (0, 2, 1)
    >>> labels.name(2)
    'crane (n3)'
    """

    synonyms: tuple[tuple[str, ...], ...] = ()
    wnids: tuple[str, ...] = ()

    @classmethod
    def of(cls, names: Sequence[str], wnids: Sequence[str] = ()) -> Labels:
        """Labels from one string per class.

        With WordNet ids, a string is a synset as in ImageNet's own list: commas separate synonyms, and the first one is
        the name of the class. Without them, the whole string is its name, and its parts between commas find it as well.

        >>> Labels.of(["tench, Tinca tinca"], ["n01440764"]).name(0), Labels.of(["Washington, D.C."]).name(0)
        ('tench', 'Washington, D.C.')
        """
        parts = [tuple(part.strip() for part in name.split(",")) for name in names]
        if not wnids:
            parts = [
                (name.strip(), *filter(None, own)) if len(own) > 1 else own
                for name, own in zip(names, parts, strict=True)
            ]
        return cls(tuple(parts), tuple(wnids))

    def __len__(self) -> int:
        return len(self.synonyms)

    def name(self, index: int) -> str:
        """The first name of a class; where several classes share it, the WordNet id or the index is added."""
        if index >= len(self):
            return f"class {index}"
        first = self.synonyms[index][0]
        if self._first_names[first.lower()] == 1:
            return first
        return f"{first} ({self.wnids[index] if self.wnids else index})"

    def wnid(self, index: int) -> str | None:
        """The WordNet id of a class, or None if the labels have none."""
        return self.wnids[index] if index < len(self.wnids) else None

    def find(self, wanted: object) -> int:
        """The index of the class that an index, a WordNet id or a name refers to; names are matched without case.

        Text is a name first, then a WordNet id, then an index: where classes are called by numbers, `"3"` is the class
        of this name, and `3` the one of this index; `reading` tells. Integers of NumPy and PyTorch are indices.

        Raises `DeepInsideError` for an unknown name, with the most similar ones, for a name that several classes
        share, with their indices, and for other types.
        """
        if not isinstance(wanted, str):
            return self._checked(_integer(wanted))
        text = wanted.strip()
        if NUMBER.fullmatch(text) and len(text) < 20 and not self._matches(text):
            return self._checked(int(text))
        return self.named(wanted)

    def named(self, wanted: str) -> int:
        """As `find`, but for names and WordNet ids alone: a number is a name as well."""
        text = wanted.strip().lower()
        matches = self._matches(text)
        if len(matches) == 1:
            return matches[0]
        if matches:
            options = ", ".join(f"{self.name(i)} = {i}" for i in matches)
            raise DeepInsideError(f"{wanted!r} names {len(matches)} classes: {options}; give the index")
        if wanted.strip() in self.wnids:
            return self.wnids.index(wanted.strip())
        if not self and (unnamed := UNNAMED.fullmatch(text)):
            return int(unnamed.group(1))
        raise DeepInsideError(f"expected a class name, WordNet id or index, got {wanted!r}; {self._suggest(text)}")

    def reading(self, wanted: object) -> str | None:
        """How `find` reads a number in text that could be a name or an index; None where there is only one reading.

        >>> Labels.of(["1", "2", "3"]).reading("2")
        "'2' is read as the class named '2' (index 1), not as index 2"
        """
        if not isinstance(wanted, str) or not NUMBER.fullmatch(wanted.strip()):
            return None
        try:
            index = self.find(wanted)
        except DeepInsideError:
            return None
        if self._matches(wanted.strip().lower()):
            other = int(wanted)
            if other == index or not 0 <= other < len(self):
                return None
            return f"{wanted!r} is read as the class named {self.name(index)!r} (index {index}), not as index {other}"
        if not self.has_numbers:
            return None
        return f"no class is named {wanted!r}, so it is read as index {index}, the class named {self.name(index)!r}"

    @cached_property
    def has_numbers(self) -> bool:
        """Whether some class is called by a number, so that a number in text is likely to be a name."""
        return any(NUMBER.fullmatch(name) for names in self.synonyms for name in names)

    def _checked(self, index: int) -> int:
        if index < 0 or (len(self) and index >= len(self)):
            last = len(self) - 1 if len(self) else "the number of classes minus one"
            raise DeepInsideError(f"expected a class index from 0 to {last}, got {index}")
        return index

    def _matches(self, text: str) -> list[int]:
        """Classes of this name: by their whole entry first, then by their first name, then by any synonym.

        `name` tells classes of the same name apart, and what it gives finds its class as well.
        """
        whole = [i for i, names in enumerate(self._lower) if ", ".join(names) == text]
        first = [i for i, names in enumerate(self._lower) if names[0] == text]
        any_name = [i for i, names in enumerate(self._lower) if text in names]
        if len(first) > 1:  # "crane" is the whole entry of one class and the first name of two
            return first
        return whole or first or any_name or ([self._own_names[text]] if text in self._own_names else [])

    def _suggest(self, text: str) -> str:
        every = [name for names in self._lower for name in names]
        containing = [name for name in every if text and text in name][:3]
        return f"did you mean {' or '.join(containing)}?" if containing else nearest(text, every)

    @cached_property
    def _lower(self) -> tuple[tuple[str, ...], ...]:
        return tuple(tuple(name.lower() for name in names) for names in self.synonyms)

    @cached_property
    def _own_names(self) -> dict[str, int]:
        return {self.name(i).lower(): i for i in range(len(self)) if self._first_names[self._lower[i][0]] > 1}

    @cached_property
    def _first_names(self) -> Counter[str]:
        return Counter(names[0] for names in self._lower)


def imagenet() -> Labels:
    """The 1000 classes of ILSVRC-2012, in the order that public networks use."""
    from timm.data.imagenet_info import ImageNetInfo

    info = ImageNetInfo("imagenet-1k")
    return Labels.of([info.index_to_description(i) for i in range(info.num_classes())], info.label_names())


def as_labels(value: Labels | Iterable[object] | str | os.PathLike[str]) -> Labels:
    """The labels that a list, a dictionary or a file of class names stands for.

    Args:
        value: names in the order of the logits; a dictionary from numbers to names or from names to numbers, in which
            the numbers 0, 1, 2, ... give the order; or the path of a file, see `read_labels`. A class may also be a
            list of synonyms, of which the first can be its WordNet id. Text is a path.

    Raises `DeepInsideError` for numbers with gaps, empty names, other types, and files without labels.

    >>> as_labels({"dog": 1, "cat": 0}).synonyms, as_labels({"0": "cat", "1": "dog"}).synonyms
    ((('cat',), ('dog',)), (('cat',), ('dog',)))
    >>> as_labels(["Washington, D.C.", "Paris"]).name(0)
    'Washington, D.C.'
    """
    if isinstance(value, Labels):
        return value
    if isinstance(value, (str, os.PathLike)):
        return read_labels(value)
    return _of_classes(in_order(value))


def read_labels(path: str | os.PathLike[str]) -> Labels:
    """Labels from a file in the order of the logits.

    Text files have one class per line, such as `tabby`; a line in quotes is one name whatever it contains. All lines
    may start with a WordNet id, as in ILSVRC's `LOC_synset_mapping.txt`, or start or end with the number of the class.
    In `.json` files, classes are a list or a dictionary, also as part of Hugging Face's `config.json`, or ImageNet's
    `imagenet_class_index.json`. Tables (`.csv`, `.tsv`) have a column of names, with a column of numbers or of WordNet
    ids where there is one.

    Raises `DeepInsideError` for a file that cannot be read, and for empty lines between classes.
    """
    try:
        return _of_classes(read_classes(Path(path)))
    except DeepInsideError as error:
        reason = str(error)
        raise DeepInsideError(reason if str(path) in reason else f"{path}: {reason}") from None


def _of_classes(classes: Sequence[object]) -> Labels:
    entries = [_names(each, number) for number, each in enumerate(classes)]
    if entries and all(len(entry) > 1 and is_wnid(entry[0]) for entry in entries):
        return Labels(tuple(entry[1:] for entry in entries), tuple(entry[0] for entry in entries))
    if any(len(entry) > 1 for entry in entries):
        return Labels(tuple(entries))
    names = [name for (name,) in entries]
    return imagenet() if _is_imagenet(names) else Labels.of(names)


def _names(value: object, number: int) -> tuple[str, ...]:
    """The names of one class: text, a number that is its name, or several of them."""
    several = value if isinstance(value, (list, tuple)) else [value]
    if not all(isinstance(each, str) or is_integer(each) for each in several):
        raise DeepInsideError(f"expected a name for class {number}, got {' '.join(str(value).split())[:60]!r}")
    names = tuple(str(each).strip() for each in several)
    if not names or not all(names):
        raise DeepInsideError(f"expected a name for every class, got an empty one for class {number}")
    return names


def _is_imagenet(names: Sequence[str]) -> bool:
    """Whether these are ImageNet's classes with all synonyms, as Hugging Face's networks have them, without ids."""
    if len(names) != 1000 or "," not in names[0]:
        return False
    return list(names) == [", ".join(synonyms) for synonyms in imagenet().synonyms]


def _integer(value: object) -> int:
    """An index of any integer type. Raises `DeepInsideError` for truth values, fractions and all else."""
    try:
        if is_integer(value):
            return operator.index(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, RuntimeError):  # arrays of several numbers
        pass
    told = " ".join(repr(value).split())[:60]
    raise DeepInsideError(f"expected a class name, WordNet id or index, got {told}")
