"""Text and tables from files as people's programs write them: encodings, byte order marks, separators, capitals.

Files are UTF-8, UTF-16 or UTF-32 with a byte order mark, as Excel writes them, or else Windows-1252, which includes
Latin-1. A file in another encoding is refused, since its letters would be guessed.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

from deepinside.core.errors import DeepInsideError, brief
from deepinside.core.escape import FORMULA

SEPARATORS = (",", ";", "\t", "|")
LARGEST = 2**30  # bytes of a text file; COCO's own annotations of its training set have 0.45 * 2**30

# The marks of UTF-32 are looked for first, since the one of UTF-16 is a part of them.
MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
THOUSANDS = re.compile(r"[+-]?\d{1,3}(,\d{3})+")

_field_limit = Lock()


@dataclass(frozen=True)
class Row:
    """One row of a table: the line of the file that it ends on, and its fields by column, without outer spaces."""

    line: int
    fields: dict[str, str]
    complaint: str = ""  # what is wrong with it, such as a field too many

    def get(self, column: str) -> str:
        """The field of a column, or "" where the table or the row has none."""
        return self.fields.get(column, "")


@dataclass(frozen=True)
class Table:
    """The columns of a table in small letters, its rows without the empty ones, and its separator."""

    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    separator: str = ","

    def number(self, text: str) -> float:
        """A field as a number. A comma is a decimal comma, except where it may separate thousands.

        Raises `ValueError` for anything else.

        >>> Table((), (), ";").number("12,5"), Table((), (), ",").number("12.5")
        (12.5, 12.5)
        """
        if "," in text and (self.separator == ";" or not THOUSANDS.fullmatch(text)):
            text = text.replace(",", ".")
        if "_" in text:
            raise ValueError(f"expected a number, got {text!r}")
        return float(text)


def read_text(path: Path) -> str:
    """The text of a file, without its byte order mark. Line ends are kept as they are.

    Raises `DeepInsideError` for a file that is missing, not regular, too large or in another encoding.
    """
    try:
        if path.exists() and not path.is_file():
            raise DeepInsideError(f"{path}: expected a text file, found a folder, a device or a pipe")
        if path.stat().st_size > LARGEST:
            raise DeepInsideError(f"{path}: expected a text file of at most {LARGEST} bytes, found a larger one")
        return decoded(path.read_bytes())
    except UnicodeDecodeError:
        raise DeepInsideError(f"{path}: expected a text file, found another encoding; save it as UTF-8") from None
    except (OSError, ValueError) as error:
        raise DeepInsideError(f"{path}: expected a text file ({brief(error)})") from None


def decoded(content: bytes) -> str:
    """Bytes as text. Raises `UnicodeDecodeError` where the encoding is not one of those of this module.

    >>> decoded("naïve".encode("utf-16")), decoded("naïve".encode("utf-8")), decoded("naïve".encode("cp1252"))
    ('naïve', 'naïve', 'naïve')
    """
    encoding = next((name for mark, name in MARKS if content.startswith(mark)), None) or _unmarked(content)
    if encoding:
        return content.decode(encoding)
    if b"\0" in content:
        raise UnicodeDecodeError("utf-8", content, content.index(0), content.index(0) + 1, "a NUL byte")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        return content.decode("cp1252")


def _unmarked(content: bytes) -> str | None:
    """UTF-16 without its mark, known by the NULs of its Latin letters: most bytes of every second place."""
    for first, encoding in ((1, "utf-16-le"), (0, "utf-16-be")):
        half = content[first::2]
        if len(content) % 2 == 0 and half.count(0) > len(half) // 2 and not content[1 - first :: 2].count(0):
            return encoding
    return None


def read_table(path: Path, wanted: Collection[str] = ()) -> Table:
    """A table with a line of column names. Names and fields lose their outer spaces, and names their capitals.

    Args:
        path: a file whose fields are separated by commas, semicolons, tabs or bars, quoted where necessary. A first
            line such as `sep=;` tells the separator.
        wanted: columns by which the separator is recognized, in small letters.

    Raises `DeepInsideError` for a file that cannot be read, a quotation without an end, and a column given twice.
    """
    separator, lines = split_table(path, wanted)
    if not lines:
        return Table((), (), separator)
    columns = tuple(name.casefold() for name in lines[0][1])
    twice = sorted(name for name in wanted if columns.count(name) > 1)
    if twice:
        raise DeepInsideError(f"{path}: expected every column once, found {twice[0]!r} {columns.count(twice[0])} times")
    return Table(columns, tuple(_row(number, fields, columns) for number, fields in lines[1:]), separator)


def split_table(path: Path, wanted: Collection[str] = ()) -> tuple[str, list[tuple[int, list[str]]]]:
    """The separator of a table, and its lines as numbers and fields, without those that are empty.

    Raises `DeepInsideError` for a file that cannot be read and a quotation without an end.
    """
    text = read_text(path)
    declared = re.match(r"\s*\"?sep=(.)\"?[ \t]*(\r\n|\r|\n|$)", text, re.IGNORECASE)
    start = declared.end() if declared else 0
    separator = declared.group(1) if declared else _separator(text, wanted)
    skipped = len(text[:start].splitlines())
    try:
        return separator, [(number + skipped, fields) for number, fields in _split(text[start:], separator)]
    except csv.Error as error:
        raise DeepInsideError(f"{path}: expected a table with fields separated by {separator!r} ({error})") from None


def _separator(text: str, wanted: Collection[str]) -> str:
    """The one that separates most of the wanted columns in the first line that is not empty, or else most fields."""
    first = next((line for line in text.splitlines() if line.strip()), "")

    def found(separator: str) -> tuple[int, int]:
        try:
            fields = next(_split(first, separator), (0, []))[1]
        except csv.Error:
            return (0, 0)
        return (len({field.casefold() for field in fields} & set(wanted)), len(fields))

    return max(SEPARATORS, key=found)


def _split(text: str, separator: str) -> Iterator[tuple[int, list[str]]]:
    with _fields_of(len(text)):
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=True, strict=True)
        lines = [(reader.line_num, [field.strip() for field in fields]) for fields in reader]
    return ((number, fields) for number, fields in lines if any(fields))


@contextmanager
def _fields_of(length: int) -> Iterator[None]:
    """Allow fields of this length in the block; the limit of Python's own reader belongs to the whole process."""
    with _field_limit:
        before = csv.field_size_limit()
        csv.field_size_limit(max(before, length + 1))
        try:
            yield
        finally:
            csv.field_size_limit(before)


def _row(line: int, fields: list[str], columns: tuple[str, ...]) -> Row:
    while len(fields) > len(columns) and not fields[-1]:
        fields = fields[:-1]
    if len(fields) > len(columns):
        complaint = (
            f"expected {len(columns)} fields, got {len(fields)}; put fields that contain the separator in quotes"
        )
    elif len(fields) < len(columns):
        complaint = f"expected {len(columns)} fields, got {len(fields)}"
    else:
        complaint = ""
    return Row(line, dict(zip(columns, map(_plain, fields), strict=False)), complaint)


def _plain(field: str) -> str:
    """A field without the apostrophe that keeps spreadsheets from evaluating it, see `escape.cell`."""
    return field[1:] if field.startswith("'") and field[1:].startswith(FORMULA) else field
