"""Class names from whatever people have: dictionaries of either direction, and files of several kinds.

Here, the classes are a list in the order of the network's logits; each is its name, or a tuple of its WordNet id (if
known) and its synonyms. `labels.as_labels` makes `Labels` of it.
"""

from __future__ import annotations

import ast
import csv
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from re import Pattern
from typing import Any

from deepinside.core.errors import DeepInsideError, brief
from deepinside.core.text import read_text, split_table

# Where files hold the classes, among other things: Hugging Face, timm, COCO-like lists, torchvision's ImageFolder.
KEYS = ("id2label", "label2id", "label_names", "names", "classes", "labels", "class_to_idx")
# Column names of a table of classes.
NUMBERS = frozenset({"index", "id", "idx", "number", "class_id", "class_index", "class_idx", "label_id", ""})
NAMES = frozenset({"name", "label", "class", "class_name", "label_name", "names", "labels", "classes", "category"})
WNIDS = frozenset({"wnid", "synset", "wordnet_id"})
# Lines of a number and a name, with any of the usual separators.
NUMBER_FIRST = re.compile(r"(?P<number>[0-9]{1,9})(\s*[:;,=|)]\s*|\.\s+|\s+)(?P<name>\S.*)")
NUMBER_LAST = re.compile(r"(?P<name>.*?\S)(\s*[:;,=|]\s*|\s+)(?P<number>[0-9]{1,9})")
# Files that hold names in another form than one on each line.
OTHER_FORMS = (".yaml", ".yml", ".xml", ".pbtxt", ".toml", ".html")


def read_classes(path: Path) -> list[Any]:
    """The classes in a file, by its suffix. Raises `DeepInsideError` for a file that cannot be read as classes."""
    if path.suffix.lower() in OTHER_FORMS:
        raise DeepInsideError(
            f"{path}: expected class names as .txt with one on every line, .csv, .tsv or .json, got {path.suffix}"
        )
    try:
        return READERS.get(path.suffix.lower(), _of_lines)(path)
    except DeepInsideError as error:
        reason = str(error)
        raise DeepInsideError(reason if str(path) in reason else f"{path}: {reason}") from None


def in_order(classes: object) -> list[Any]:
    """The classes of a list, or of a dictionary with their numbers, also as an entry of another dictionary.

    Raises `DeepInsideError` for numbers with gaps, and for other types.

    >>> in_order({"dog": 1, "cat": 0}), in_order({"0": "cat", "1": "dog"}), in_order({"id2label": {"0": "cat"}})
    (['cat', 'dog'], ['cat', 'dog'], ['cat'])
    """
    if isinstance(classes, Mapping):
        inside = next((classes[key] for key in KEYS if isinstance(classes.get(key), (Mapping, list, tuple))), classes)
        return _ordered(inside) if isinstance(inside, Mapping) else list(inside)
    if isinstance(classes, (str, bytes, set, frozenset)) or not isinstance(classes, Iterable):
        raise DeepInsideError(
            "expected class names as a list, a dictionary with their numbers, or a file, got "
            f"{type(classes).__name__}" + ("; sets have no order" if isinstance(classes, (set, frozenset)) else "")
        )
    return list(classes)


def is_wnid(word: str) -> bool:
    """Whether a word is a WordNet id, such as n01440764."""
    return len(word) == 9 and word[0] == "n" and word[1:].isdigit()


def is_integer(value: object) -> bool:
    """Whether a value is an integer of Python, NumPy or PyTorch, and no truth value."""
    return hasattr(value, "__index__") and "bool" not in str(getattr(value, "dtype", type(value).__name__))


def _ordered(numbered: Mapping[Any, Any]) -> list[Any]:
    """The names of a dictionary from numbers to names, or from names to numbers, in the order of the numbers."""
    if not numbered:
        return []
    keys, values = list(numbered), list(numbered.values())
    by_key, by_value = _sorted(keys, values), _sorted(values, keys)
    if by_key is not None and by_value is not None:
        # Numbers that stand for numbers: the type tells which are names, as far as it can.
        if all(map(is_integer, values)) and not any(map(is_integer, keys)):
            return by_value
        if list(map(str, by_key)) != list(map(str, by_value)) and not all(map(is_integer, keys)):
            raise DeepInsideError("expected names and numbers in a dictionary of labels, got only numbers; give a list")
    found = by_key if by_key is not None else by_value
    if found is None:
        last = len(numbered) - 1
        raise DeepInsideError(
            f"expected a dictionary of names and the numbers 0 to {last}, without gaps, got {_told(keys, values)}"
        )
    return found


def _sorted(numbers: Sequence[object], names: Sequence[Any]) -> list[Any] | None:
    """The names in the order of the numbers, or None where these are not 0, 1, 2, ..."""
    found = [_number(number) for number in numbers]
    if sorted(number for number in found if number is not None) != list(range(len(names))):
        return None
    return [name for _, name in sorted(zip(found, names, strict=True), key=lambda pair: pair[0] or 0)]


def _number(value: object) -> int | None:
    if isinstance(value, str):
        text = value.strip()
        return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None
    return int(value) if is_integer(value) else None  # type: ignore[call-overload]


def _told(keys: Sequence[object], values: Sequence[object]) -> str:
    pairs = [f"{str(key)[:20]!r}: {str(value)[:20]!r}" for key, value in zip(keys, values, strict=True)]
    return ", ".join(pairs[:3]) + (", ..." if len(pairs) > 3 else "")


# --------------------------------------------------------------------------------------------------------------- files


def _of_json(path: Path) -> list[Any]:
    try:
        return in_order(json.loads(read_text(path)))
    except (ValueError, RecursionError) as error:
        raise DeepInsideError(f"{path}: expected class names as JSON ({brief(error)})") from None


def _of_lines(path: Path) -> list[Any]:
    text = read_text(path)
    if text.lstrip().startswith(("{", "[")):  # a Python dictionary, as lists of ImageNet's classes come
        try:
            return in_order(ast.literal_eval(text.strip()))
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            pass
    lines = [line.strip() for line in text.replace("\r\n", "\n").replace("\r", "\n").split("\n")]
    while lines and not lines[-1]:
        lines.pop()
    if not lines or not all(lines):
        raise DeepInsideError(f"{path}: expected one class name on every line, got an empty one")
    heads = [line.split(maxsplit=1) for line in lines]
    if all(len(head) == 2 and is_wnid(head[0]) for head in heads):
        return [(wnid, *(part.strip() for part in name.split(","))) for wnid, name in heads]
    numbered = [_pairs(lines, pattern) for pattern in (NUMBER_FIRST, NUMBER_LAST)]
    return next(filter(None, map(_of_pairs, numbered)), None) or [_unquoted(line) for line in lines]


def _pairs(lines: Sequence[str], pattern: Pattern[str]) -> list[tuple[str, str]]:
    """The number and the name on every line, or nothing where a line has another form."""
    found = [pattern.fullmatch(line) for line in lines]
    return [(each["number"], _unquoted(each["name"])) for each in found if each] if all(found) else []


def _of_pairs(pairs: Sequence[tuple[str, str]]) -> list[Any] | None:
    """The classes of lines that all give a number and a name, if the names alone are distinct.

    Raises `DeepInsideError` for numbers from 1 on, since nothing tells whether they count the network's logits.
    """
    numbers, names = [number for number, _ in pairs], [name for _, name in pairs]
    if len(set(names)) < len(names) or not pairs:
        return None
    if len(pairs) > 2 and sorted(map(int, numbers)) == list(range(1, len(pairs) + 1)):
        raise DeepInsideError(
            f"expected the numbers 0 to {len(pairs) - 1} beside the class names, got 1 to {len(pairs)}; "
            "give the names alone, in the network's order"
        )
    return _sorted(numbers, names)


def _unquoted(line: str) -> str:
    """A line without the quotes around all of it."""
    try:
        fields = next(csv.reader([line], strict=True), [])
    except csv.Error:
        return line
    return fields[0] if line.startswith('"') and len(fields) == 1 else line


def _of_table(path: Path) -> list[Any]:
    _, numbered = split_table(path, NUMBERS | NAMES | WNIDS)
    rows = [fields for _, fields in numbered]
    if not rows:
        raise DeepInsideError(f"{path}: expected one class on every line, got an empty file")
    header = [field.casefold() for field in rows[0]]
    columns = header if NAMES & set(header) and set(header) <= NAMES | NUMBERS | WNIDS else []
    rows = rows[1:] if columns else rows
    uneven = next((line for line, fields in numbered if len(fields) != len(numbered[0][1])), None)
    if uneven is not None:
        raise DeepInsideError(
            f"{path}: expected as many fields on every line as on the first ({len(numbered[0][1])}), found others on "
            f"line {uneven}; put names that contain a comma in quotes"
        )
    return _of_columns(list(zip(*rows, strict=True)), columns, path)


def _of_columns(values: Sequence[Sequence[str]], columns: Sequence[str], path: Path) -> list[Any]:
    """The classes of the columns of a table, which are known by their names or else by their values."""
    numbers = _column(values, columns, NUMBERS, lambda column: _sorted(column, column) is not None)
    wnids = _column(values, columns, WNIDS, lambda column: all(map(is_wnid, column)))
    named = [column for column in values if column is not wnids and (column is not numbers or len(values) == 1)]
    if columns:
        named = [column for column, name in zip(values, columns, strict=True) if name in NAMES]
    if len(named) != 1:
        raise DeepInsideError(f"{path}: expected one column of class names, found {len(named)}")
    rows = list(zip(wnids, named[0], strict=True)) if wnids and wnids is not named[0] else list(named[0])
    if numbers is None or numbers is named[0]:
        return rows
    ordered = _sorted(numbers, rows)
    if ordered is None:
        raise DeepInsideError(f"{path}: expected the numbers 0 to {len(rows) - 1}, each once, beside the names")
    return ordered


def _column(
    values: Sequence[Sequence[str]],
    columns: Sequence[str],
    known: frozenset[str],
    fits: Callable[[Sequence[str]], bool],
) -> Sequence[str] | None:
    if columns:
        return next((column for column, name in zip(values, columns, strict=True) if name in known), None)
    return next((column for column in values if fits(column)), None)


READERS: Mapping[str, Callable[[Path], list[Any]]] = {".json": _of_json, ".csv": _of_table, ".tsv": _of_table}
