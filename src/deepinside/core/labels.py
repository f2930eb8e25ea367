"""Class names: find the class that an index, a WordNet id or a typed name refers to."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from deepinside.core.errors import DeepInsideError, nearest


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
        """Labels from one string per class, in which commas separate synonyms, as in ImageNet's own list."""
        return cls(tuple(tuple(part.strip() for part in name.split(",")) for name in names), tuple(wnids))

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

    def find(self, wanted: int | str) -> int:
        """The index of the class that an index, a WordNet id or a name refers to; names are matched without case.

        Raises `DeepInsideError` for an unknown name, with the most similar ones, and for a name that several classes
        share, with their indices.
        """
        if isinstance(wanted, int) or wanted.strip().lstrip("-").isdigit():
            return self._checked(int(wanted))
        if wanted in self.wnids:
            return self.wnids.index(wanted)
        text = wanted.strip().lower()
        matches = self._matches(text)
        if len(matches) == 1:
            return matches[0]
        if matches:
            options = ", ".join(f"{self.name(i)} = {i}" for i in matches)
            raise DeepInsideError(f"{wanted!r} names {len(matches)} classes: {options}; give the index")
        raise DeepInsideError(f"expected a class name, WordNet id or index, got {wanted!r}; {self._suggest(text)}")

    def _checked(self, index: int) -> int:
        if index < 0 or (len(self) and index >= len(self)):
            last = len(self) - 1 if len(self) else "the number of classes minus one"
            raise DeepInsideError(f"expected a class index from 0 to {last}, got {index}")
        return index

    def _matches(self, text: str) -> list[int]:
        """Classes of this name: by their whole entry first, then by their first name, then by any synonym."""
        whole = [i for i, names in enumerate(self._lower) if ", ".join(names) == text]
        first = [i for i, names in enumerate(self._lower) if names[0] == text]
        any_name = [i for i, names in enumerate(self._lower) if text in names]
        if len(first) > 1:  # "crane" is the whole entry of one class and the first name of two
            return first
        return whole or first or any_name

    def _suggest(self, text: str) -> str:
        every = [name for names in self._lower for name in names]
        containing = [name for name in every if text and text in name][:3]
        return f"did you mean {' or '.join(containing)}?" if containing else nearest(text, every)

    @cached_property
    def _lower(self) -> tuple[tuple[str, ...], ...]:
        return tuple(tuple(name.lower() for name in names) for names in self.synonyms)

    @cached_property
    def _first_names(self) -> Counter[str]:
        return Counter(names[0] for names in self._lower)


def imagenet() -> Labels:
    """The 1000 classes of ILSVRC-2012, in the order that public networks use."""
    from timm.data.imagenet_info import ImageNetInfo

    info = ImageNetInfo("imagenet-1k")
    return Labels.of([info.index_to_description(i) for i in range(info.num_classes())], info.label_names())


def read_labels(path: str | os.PathLike[str]) -> Labels:
    """Labels from a text file with one class per line, such as `tabby, tabby cat`, in the order of the logits.

    Lines may start with a WordNet id, as in ILSVRC's `LOC_synset_mapping.txt`. Raises `DeepInsideError` for a missing
    file and for empty lines between classes.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DeepInsideError(f"{path}: expected a text file with one class name per line ({error})") from None
    names = [line.strip() for line in lines]
    while names and not names[-1]:
        names.pop()
    if not names or not all(names):
        raise DeepInsideError(f"{path}: expected one class name on every line, got an empty one")
    heads = [name.split(maxsplit=1) for name in names]
    if all(len(head) == 2 and is_wnid(head[0]) for head in heads):
        return Labels.of([name for _, name in heads], [wnid for wnid, _ in heads])
    return Labels.of(names)


def is_wnid(word: str) -> bool:
    """Whether a word is a WordNet id, such as n01440764."""
    return len(word) == 9 and word[0] == "n" and word[1:].isdigit()
