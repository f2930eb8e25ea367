"""What the page shows, as plain values: the photo with its objects, the classes, and the boxes of a run.

The scripts in `assets` draw these values and compute nothing. Addresses are relative, so that the page may be served
below any path.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle
from typing import Any
from urllib.parse import urlencode

from deepinside.archive.corrections import MOVED, REJECTED, Corrections, found_of
from deepinside.core import html
from deepinside.core.escape import terminal
from deepinside.core.results import Detection, Explanation, corners
from deepinside.explanations.panels import COLORS
from deepinside.studio.pictures import outlines_of
from deepinside.studio.runs import RunPhoto
from deepinside.studio.take import KINDS
from deepinside.studio.wish import Wish

View = dict[str, Any]


def photo_view(wish: Wish, explanation: Explanation, name: str) -> View:
    """The photo, its map and seeds by their addresses, and its objects with outlines and boxes in photo pixels."""
    objects = explanation.objects
    of_class = objects[0]
    count = f"{len(objects)} object{'s' * (len(objects) > 1)}"
    boxes = [corners(each) if _has_box(each) else None for each in objects]
    told = ", ".join(str(box) for box in boxes if box)
    return {
        "photo": f"studio/photo?{urlencode({'photo': wish.photo})}",
        "map": f"studio/map?{wish.seeing.query}",  # which stays as it is while an outline follows
        "seeds": f"studio/seeds?{wish.query}",
        "width": explanation.width,
        "height": explanation.height,
        "alt": f"{terminal(name)}: {count} of the class {terminal(of_class.label)}, boxes {told or 'none'}",
        "objects": [
            {"path": path, "box": box and list(box), "color": color, "number": number}
            for number, (path, box, color) in enumerate(
                zip(outlines_of(objects), boxes, cycle(COLORS), strict=False), start=1
            )
        ],
        "link": wish.query,
        "take": {kind: f"studio/take/{kind}?{wish.query}" for kind in KINDS},
    }


def classes_view(explanation: Explanation, chosen: int) -> View:
    """The likeliest classes with their probabilities, and the chosen one, which need not be one of them."""
    classes = [(each.index, each.label, each.probability) for each in explanation.predictions]
    mine = explanation.objects[0]
    if all(index != chosen for index, _, _ in classes):
        classes.append((mine.index, mine.label, mine.probability))
    return {
        "classes": [
            {"index": index, "label": terminal(label), "probability": probability, "chosen": index == chosen}
            for index, label, probability in classes
        ]
    }


def objects_table(explanation: Explanation) -> str:
    """The objects as a table: how sure the localizer is, and the box."""
    rows = [
        (str(number), f"{each.confidence:.1%}", *map(str, corners(each) if _has_box(each) else ("–",) * 4))
        for number, each in enumerate(explanation.objects, start=1)
    ]
    mine = explanation.objects[0]
    title = f"{mine.label}: probability {mine.probability:.1%}"
    return html.page(html.table(title, ("object", "confidence", "x0", "y0", "x1", "y1"), rows))


def run_view(run: int, photo: RunPhoto, said: Corrections) -> View:
    """A photo of a run, whose boxes can be moved: as they were found, or as somebody has moved them."""
    first = photo.rows[0]
    address = f"studio/run/{run}/{photo.key}"
    if first["error"] is not None:
        return {"photo": None, "objects": [], "alt": terminal(f"{photo.name}: {first['error']}")}
    objects = []
    for number, (row, color) in enumerate(zip(photo.objects, cycle(COLORS), strict=False), start=1):
        correction = said.get(found_of(row))
        found = [row["x0"], row["y0"], row["x1"], row["y1"]]
        objects.append(
            {
                "path": "",
                "box": list(correction.box) if correction and correction.kind == MOVED and correction.box else found,
                "color": color,
                "number": number,
                "label": terminal(f"{number}. {row['label']}, {row['confidence']:.0%} sure"),
                "state": correction.kind if correction else "",
                "hidden": bool(correction and correction.kind == REJECTED),
            }
        )
    return {
        "photo": address,
        "width": first["width"],
        "height": first["height"],
        "alt": terminal(f"{photo.name} with {len(objects)} boxes"),
        "objects": objects,
    }


def list_view(photos: Sequence[RunPhoto], judged: Sequence[bool], chosen: int | None) -> View:
    """A page of the list of a run."""
    return {
        "photos": [
            {
                "key": str(each.key),
                "name": terminal(each.name),
                "need": each.need,
                "why": terminal(each.why),
                "judged": is_judged,
                "chosen": each.key == chosen,
            }
            for each, is_judged in zip(photos, judged, strict=True)
        ]
    }


def _has_box(detection: Detection) -> bool:
    return detection.segmentation is not None and bool(detection.segmentation.mask.any())
