"""What the audit of a run found, in words, as a table and as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from deepinside.archive.audit import FEWEST, LEAST, RARE, Judged
from deepinside.archive.small_maps import SIDE, mean_map
from deepinside.core import escape
from deepinside.core.errors import writing
from deepinside.core.files import atomic_write
from deepinside.core.terminal import literal

if TYPE_CHECKING:
    from rich.table import Table

MOST_ROWS = 20  # of the table, beside the classes that are raised
TYPICAL = 12  # photos of a cluster that the JSON file names
THIRDS = (("top left", "top", "top right"), ("left", "center", "right"), ("bottom left", "bottom", "bottom right"))


def by_thirds(map: Float[np.ndarray, "32 32"]) -> Float[np.ndarray, "3 3"]:
    """The share of a map in each ninth of the frame; in all 1, if the map sums to that.

    >>> by_thirds(np.full((32, 32), 1 / 1024)).round(3).tolist()[0]
    [0.111, 0.111, 0.111]
    """
    edges = np.linspace(0, SIDE, 4)
    share = np.clip(np.arange(1, SIDE + 1)[None] - edges[:-1, None], 0, 1)
    share -= np.clip(np.arange(1, SIDE + 1)[None] - edges[1:, None], 0, 1)
    return np.asarray(share @ map @ share.T)


def where(map: Float[np.ndarray, "32 32"]) -> str:
    """The ninth of the frame that has most of a map, by name."""
    row, column = np.unravel_index(int(by_thirds(map).argmax()), (3, 3))
    return THIRDS[row][column]


def described(judged: Judged) -> str:
    """What is odd about a class, where it has been judged: one clause."""
    first = judged.clusters[0]
    place = f"in the {where(first.mean)} of the frame" if judged.view == "place" else "on few cells, wherever they are"
    return f"{first.share:.0%} of its photos are decided {place}, against {RARE:.0%} of all others"


def told(found: Sequence[Judged]) -> Iterator[str]:
    """The verdict: a line for each class that is raised, or one that says that there is none."""
    judged = [each for each in found if each.clusters]
    raised = [each for each in judged if each.is_raised]
    for each in raised:
        outside = "" if each.outside is None else f"; {each.outside:.0%} of its evidence is outside of its boxes"
        yield f"{each.evidence.label}: {described(each)}{outside}"
    if len(judged) < FEWEST:
        yield (
            f"nothing is raised among fewer than {FEWEST} classes with {LEAST} photos each (here {len(judged)}): "
            "nobody could tell what is usual"
        )
    elif not raised:
        yield f"nothing is raised: no class of {len(judged)} stands out from the others"


def audit_table(found: Sequence[Judged]) -> Table:
    """The classes, the oddest first: all that are raised, and so many in all as are easily read."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD)
    table.add_column("class")
    for heading in ("photos", "odd", "usual", "where", "outside of\nits boxes", "oddness"):
        table.add_column(heading, justify="right", no_wrap=True)
    for number, each in enumerate(found):
        if not each.is_raised and number >= MOST_ROWS:
            break
        outside = "" if each.outside is None else f"{each.outside:.0%}"
        odd = ("too few",) * (not each.clusters) or (
            f"{each.clusters[0].share:.0%}",
            f"{each.usual:.0%}",
            where(each.clusters[0].mean) if each.view == "place" else "few cells",
            outside,
            f"{each.oddness:.1f}" + (" !" if each.is_raised else ""),
        )
        table.add_row(literal(each.evidence.label), str(len(each.evidence.maps)), *odd)
    return table


def write_json(found: Sequence[Judged], path: Path) -> Path:
    """Write all that was found of all classes. Raises `DeepInsideError` where that is impossible."""
    with writing(path, "a file"), atomic_write(path) as part:
        part.write_text(json.dumps({"classes": list(map(_json, found))}, indent=1) + "\n")
    return path


def _json(judged: Judged) -> dict[str, Any]:
    evidence = judged.evidence
    return {
        "class": evidence.index,
        "label": evidence.label,
        "photos": len(evidence.maps),
        "raised": judged.is_raised,
        "oddness": judged.oddness,
        "view": judged.view,
        "usual": judged.usual,
        "outside": judged.outside,
        "by_thirds": by_thirds(mean_map(evidence.maps)).round(4).tolist(),
        "clusters": [
            {
                "size": each.size,
                "share": each.share,
                "where": where(each.mean),
                "by_thirds": by_thirds(each.mean).round(4).tolist(),
                "typical": [escape.encodable(str(evidence.files[number])) for number in each.photos[:TYPICAL]],
            }
            for each in judged.clusters
        ],
    }
