"""The report of a run: one HTML file to look through its photos in a browser, which fetches nothing.

An index, by which photos are sorted and filtered, stands at the top of the page. Thumbnails, outlines and small maps
follow in blocks of `BLOCK` photos, in the order in which a person should look at them, and the page reads a block when
it shows one of its photos. So it opens before the browser has read it to its end. The index has for each photo

    [name, review score, predicted class, its probability, [[class, probability, objects, given], ...], reason]

with null for what a photo that has failed does not have, and the number of its reason, which others have null for. A
block has for each photo

    [width, height, thumbnail, [[class, number, confidence, x0, y0, x1, y1, given, outline], ...],
     [[class, probability], ...], {class: map}, file]

or null for one that has failed. Pictures are WebP files in base64, and `file` is relative to the page.
"""

from __future__ import annotations

import os
from base64 import b64encode
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any
from urllib.parse import quote_from_bytes

from jinja2 import Environment, PackageLoader, StrictUndefined

from deepinside.archive.folder import about_run, part_rows
from deepinside.archive.review import need
from deepinside.archive.rows import Row, box_of, file_of, labels_of, mask_of, photos_of
from deepinside.archive.small_maps import read_map
from deepinside.archive.thumbnails import UNITS, map_picture, outline, thumbnail
from deepinside.core import escape
from deepinside.core.errors import writing
from deepinside.core.files import atomic_write
from deepinside.core.formats import IN_FLIGHT
from deepinside.core.labels import Labels
from deepinside.core.progress import Progress
from deepinside.core.threads import in_order

NAME = "report.html"
BLOCK = 64  # photos
DIGITS = 4  # of probabilities and scores
MOST_REASONS = 12  # why photos have failed, that are listed at the top


@dataclass(frozen=True)
class Report:
    """A report that has been written: how many photos are in it, have failed, and could not be read again."""

    path: Path
    photos: int
    failed: int
    unread: int


@dataclass
class _Index:
    """What the page sorts and filters by, and where the details of each photo are in the spool."""

    labels: Labels
    photos: list[list[Any]] = field(default_factory=list)
    places: list[tuple[int, int]] = field(default_factory=list)
    reasons: Counter[str] = field(default_factory=Counter)
    numbers: dict[str, int] = field(default_factory=dict)  # of the reasons
    shown: set[int] = field(default_factory=set)  # classes
    unread: int = 0

    def add(self, photo: Sequence[Row], place: tuple[int, int], is_read: bool) -> None:
        """Add the rows of a photo, whose details stand at a place of the spool."""
        name, reason = escape.terminal(photo[0]["photo"]), photo[0]["error"]
        if reason is not None:
            self.reasons[reason] += 1
            number = self.numbers.setdefault(reason, len(self.numbers))
            self.photos.append([name, None, None, None, [], number])
        else:
            predicted, probability = photo[0]["top"][0], photo[0]["top_probability"][0]
            self.photos.append(
                [name, _short(need(photo)), predicted, _short(probability), [*map(list, _found(photo))], None]
            )
            self.shown.update(photo[0]["top"], (row["class"] for row in photo if row["class"] is not None))
            self.unread += not is_read
        self.places.append(place)

    @property
    def order(self) -> list[int]:
        """The photos that need a person most come first, and those that have failed last."""
        scores = [-1 if photo[1] is None else photo[1] for photo in self.photos]
        return sorted(range(len(scores)), key=lambda number: -scores[number])

    def sorted(self, order: Sequence[int]) -> dict[str, Any]:
        """The index as the page reads it."""
        return {
            "block": BLOCK,
            "units": UNITS,
            "names": {index: escape.terminal(self.labels.name(index)) for index in sorted(self.shown)},
            "reasons": [*map(escape.terminal, self.numbers)],
            "photos": [self.photos[number] for number in order],
        }


def report(folder: Path, out: Path | None = None) -> Iterator[Progress | Report]:
    """Write the report of a run, finished or on its way: its progress, and at the end what has been written.

    Args:
        folder: of the run.
        out: the HTML file; `report.html` in the folder unless it is given.

    Raises `DeepInsideError` for a folder without a run, and where the report cannot be written. A photo that cannot
    be read any more has its outlines alone.
    """
    about, path = about_run(folder), out or folder / NAME
    count = sum(1 for rows in part_rows(folder, ["key"]) for _ in photos_of(rows))
    photos = chain.from_iterable(photos_of(rows) for rows in part_rows(folder))
    index = _Index(labels_of(about))
    with writing(path, "the report"), TemporaryFile(dir=path.parent) as spool:
        made = in_order(partial(_made, base=path.parent), photos, _pixels, IN_FLIGHT)
        for done, (photo, details, is_read) in enumerate(made):
            index.add(photo, (spool.tell(), len(details)), is_read)
            spool.write(details)
            yield Progress("photos", done, count)
        order = index.order
        with atomic_write(path) as part, part.open("w", encoding="utf-8") as page:
            page.writelines(_page(folder, about, index, order, _blocks(spool, [index.places[n] for n in order])))
    yield Report(path, len(index.photos), index.reasons.total(), index.unread)


def _page(
    folder: Path, about: dict[str, Any], index: _Index, order: Sequence[int], blocks: Iterator[str]
) -> Iterator[str]:
    environment = Environment(loader=PackageLoader("deepinside.archive"), autoescape=True, undefined=StrictUndefined)
    often = [(escape.terminal(reason), count) for reason, count in index.reasons.most_common()]
    return environment.get_template("report.html").generate(
        title=escape.terminal(folder.resolve().name),
        about={name: escape.terminal(str(about[name])) for name in ("model", "preset", "deepinside")},
        photos=len(index.photos),
        objects=sum(found[2] for photo in index.photos for found in photo[4]),
        failed=index.reasons.total(),
        reasons=often[:MOST_REASONS],
        others=sum(count for _, count in often[MOST_REASONS:]),
        index=escape.script(index.sorted(order)),
        first=next(blocks, "[]"),
        blocks=blocks,
    )


def _blocks(spool: IO[bytes], places: Sequence[tuple[int, int]]) -> Iterator[str]:
    for start in range(0, len(places), BLOCK):
        yield f"[{','.join(_at(spool, place) for place in places[start : start + BLOCK])}]"


def _at(spool: IO[bytes], place: tuple[int, int]) -> str:
    spool.seek(place[0])
    return spool.read(place[1]).decode()


# ------------------------------------------------------------------------------------------------------------- a photo


def _pixels(photo: Sequence[Row]) -> int:
    return int(photo[0]["width"] or 0) * int(photo[0]["height"] or 0)


def _made(photo: Sequence[Row], base: Path) -> tuple[Sequence[Row], bytes, bool]:
    """The rows of a photo, its details for a page in a folder, and whether its file could be read."""
    first = photo[0]
    if first["error"] is not None:
        return photo, b"null", False
    picture = thumbnail(file_of(first))
    details = [
        first["width"],
        first["height"],
        _text(picture or b""),
        [_object(row) for row in photo if row["class"] is not None],
        [[index, _short(chance)] for index, chance in zip(first["top"], first["top_probability"], strict=True)],
        {row["class"]: _text(map_picture(read_map(row["map"]))) for row in photo if row["map"] is not None},
        _link(first["file"], base),
    ]
    return photo, escape.script(details).encode(), picture is not None


def _object(row: Row) -> list[Any]:
    sure, box = _short(row["confidence"]), box_of(row).as_tuple()
    return [row["class"], row["number"], sure, *box, bool(row["given"]), outline(mask_of(row))]


def _found(photo: Iterable[Row]) -> Iterator[tuple[int, float, int, bool]]:
    """The classes of the objects in a photo: number, probability, how many objects, and whether somebody gave it."""
    objects = [row for row in photo if row["class"] is not None]
    counts = Counter(row["class"] for row in objects)
    for row in {row["class"]: row for row in objects}.values():
        yield row["class"], _short(row["probability"]), counts[row["class"]], bool(row["given"])


def _link(file: bytes, base: Path) -> str:
    """The address of a photo, relative to the folder of the page, so that both can be moved together."""
    path = os.fsdecode(file)
    try:
        relative = Path(os.path.relpath(path, base.resolve()))
    except ValueError:  # on another drive
        return Path(path).as_uri()
    return quote_from_bytes(os.fsencode(relative.as_posix()))


def _short(number: float) -> float:
    return round(float(number), DIGITS)


def _text(content: bytes) -> str:
    return b64encode(content).decode()
