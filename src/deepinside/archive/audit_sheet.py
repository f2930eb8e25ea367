"""The sheet of an audit: where the evidence of the oddest classes lies, and their most typical photos with it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from deepinside.archive.audit import Cluster, Judged
from deepinside.archive.audit_tables import described, where
from deepinside.archive.small_maps import SIDE, mean_map
from deepinside.core.errors import DeepInsideError
from deepinside.core.fonts import fitted
from deepinside.core.geometry import Frame
from deepinside.core.images import read
from deepinside.explanations.panels import brightest, dimmed
from deepinside.explanations.sheets import thumbnail

CLASSES, UNRAISED = 8, 2  # that are shown: of those that are raised, or the oddest where none is
CLUSTERS, PHOTOS = 3, 6  # of a class, and of a cluster
PANEL, HEADING = 1.5, 0.32  # inches


def audit_sheet(found: Sequence[Judged]) -> Figure:
    """Of each class that is raised, its mean saliency, and each cluster's with its most typical photos.

    Where no class is raised, the oddest ones are shown. Raises `DeepInsideError` where no class has enough photos.
    """
    raised = [each for each in found if each.is_raised][:CLASSES]
    shown = raised or [each for each in found if each.clusters][:UNRAISED]
    if not shown:
        raise DeepInsideError("expected a class with enough photos for a sheet, got none")
    heights = [HEADING + PANEL * len(_clusters(each)) for each in shown]
    width = PANEL * (2 + PHOTOS)
    figure = Figure(figsize=(width, sum(heights)), dpi=150, layout="constrained")
    parts = figure.subfigures(len(shown), 1, height_ratios=heights, squeeze=False)[:, 0]
    for part, judged in zip(parts, shown, strict=True):
        verdict = described(judged) + ("" if judged.is_raised else " (not raised)")
        heading = fitted(f"{judged.evidence.label}: {verdict}", 10, 0.96 * width)
        part.suptitle(heading.text, **heading.style)
        rows = part.subplots(len(_clusters(judged)), 2 + PHOTOS, squeeze=False)
        _show_class(rows[0][0], judged)
        for row, cluster in zip(rows, _clusters(judged), strict=True):
            _show_cluster(list(row[1:]), judged, cluster)
        for axes in rows.flat:
            if not axes.has_data():
                axes.set_axis_off()
            axes.set_xticks([])
            axes.set_yticks([])
    return figure


def _clusters(judged: Judged) -> Sequence[Cluster]:
    """The oddest clusters; the whole class stands beside them already, unless it is one."""
    parts = [each for each in judged.clusters if each.size < 1]
    return parts[:CLUSTERS] or judged.clusters[:1]


def _show_class(axes: Axes, judged: Judged) -> None:
    maps = judged.evidence.maps
    _show_mean(axes, mean_map(maps), f"all {len(maps)} photos")


def _show_cluster(row: Sequence[Axes], judged: Judged, cluster: Cluster) -> None:
    """The mean map of a cluster, and its most typical photos, lit up by their maps."""
    name = "all photos" if cluster.size == 1 else f"cluster of {cluster.size:.0%}"
    _show_mean(row[0], cluster.mean, f"{name}, {where(cluster.mean)}")
    for axes, number in zip(row[1:], cluster.photos, strict=False):
        _show_photo(axes, judged, number)


def _show_mean(axes: Axes, mean: Float[np.ndarray, "32 32"], name: str) -> None:
    axes.imshow(mean, cmap="inferno", vmin=0, interpolation="bilinear")
    axes.set_xlabel(name, fontsize=7)


def _show_photo(axes: Axes, judged: Judged, number: int) -> None:
    """A photo, bright and in color where its evidence is, so that what is there can be seen; black if it is gone."""
    map = judged.evidence.maps[number] / np.float32(255)
    path = judged.evidence.files[number]
    try:
        image = thumbnail(read(path))
    except DeepInsideError:
        image = np.zeros((SIDE, SIDE, 3), np.uint8)
    height, width = image.shape[:2]
    values = Frame.whole(width, height, width=SIDE, height=SIDE).map_to_photo(map)
    share = np.clip(values / brightest(values), 0, 1)[..., None]
    axes.imshow((image * share + dimmed(image, 1.0) * 0.6 * (1 - share)).astype(np.uint8))
    axes.set_xlabel(fitted(path.name, 6, PANEL).text, fontsize=6)
