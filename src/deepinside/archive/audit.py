"""The audit of a run: which classes the network decides by something that no other class is decided by.

The maps of each class fall into clusters. A cluster is odd if many photos of the class have more of their evidence
where the cluster has its own than almost all photos of the other classes. Objects have their places and shapes, so that
every class is a little odd; it is raised only where it is so more often than the other classes are and than chance
allows. Maps are compared twice: cell by cell, which finds what is always at one place, such as a logo in a corner; and
with their cells sorted, which finds evidence on a few cells anywhere in the frame, such as a watermark.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeAlias

import numpy as np
from jaxtyping import Float, Int, UInt8

from deepinside.archive.clusters import clusters
from deepinside.archive.evidence import Evidence
from deepinside.archive.small_maps import SIDE, mean_map

LEAST, FEWEST = 10, 5  # photos of a class that is judged, and classes among which any is raised
SMALLEST = 0.1  # share of a class's photos in a cluster that is judged
CELLS = 16  # of a map that is compared, along each axis
COMPARED = 5000  # photos of the other classes with which a cluster is compared, about the same number of each
RARE = 0.01  # share of the other classes' photos that come as close to a cluster as the photos that are counted
USUAL = 0.9  # quantile, over the other classes, of the share that is usual for a class
LEVEL = 0.01  # probability that chance raises any class of a run
WORTH = 0.15  # share of a class's photos that is worth raising
ALIKE = 0.8  # a place that explains so many of the photos of an extent stands for both

Maps: TypeAlias = UInt8[np.ndarray, "photos 32 32"]
Vectors: TypeAlias = Float[np.ndarray, "photos values"]
ByClass: TypeAlias = Sequence[Float[np.ndarray, "_ values"]]


@dataclass(frozen=True, eq=False)
class Cluster:
    """Similar maps of a class.

    `size` is the share of the class's photos in it, and `share` that of the photos, in the cluster or not, which come
    closer to its mean than all but `RARE` of the other classes' photos; both in [0, 1]. `photos` are the numbers of its
    photos in the evidence, the most typical first, and `mean` is their mean map, with a sum of 1.
    """

    size: float
    share: float
    mean: Float[np.ndarray, "32 32"]
    photos: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Judged:
    """What is found of a class in one of the `VIEWS`: its clusters, the oddest first.

    `usual` is the share that the oddest cluster of another class reaches. `oddness` is how unlikely the first cluster's
    share is beside it: the negative decimal logarithm of the probability, over all classes; 0 or more, and None where
    the class has too few photos. `is_raised` says whether a person should look at it.
    """

    evidence: Evidence
    view: str = "place"
    clusters: tuple[Cluster, ...] = ()
    usual: float = 0.0
    oddness: float | None = None
    is_raised: bool = False

    @property
    def outside(self) -> float | None:
        """The share of the evidence outside of the class's boxes: the mean over the photos that have any."""
        known = self.evidence.outside[~np.isnan(self.evidence.outside)]
        return float(known.mean()) if len(known) else None


def audit(evidence: Sequence[Evidence]) -> list[Judged]:
    """Judge all classes; those with the oddest clusters come first, and those with too few photos last.

    The order of the classes and of their photos does not matter, as long as photos are drawn at random. Among fewer
    than `FEWEST` classes nothing is raised, since nobody could tell what is usual.
    """
    enough = [each for each in evidence if len(each.maps) >= LEAST]
    few = [Judged(each) for each in evidence if len(each.maps) < LEAST]
    by_view = [_judged(enough, view) for view in VIEWS] if enough else []
    oddest = [_chosen(views) for views in zip(*by_view, strict=True)]
    return [*sorted(oddest, key=_rank), *few]


def _chosen(views: Sequence[Judged]) -> Judged:
    """Of what the views make of a class, a place if it explains as many photos: that says more than an extent."""
    raised = [each for each in views if each.is_raised]
    if not raised:
        return max(views, key=lambda each: each.oddness or 0.0)
    most = max(each.clusters[0].share for each in raised)
    return next(each for each in raised if each.clusters[0].share >= ALIKE * most)


def _rank(judged: Judged) -> tuple[bool, float, float, int]:
    return (not judged.is_raised, -(judged.oddness or 0.0), -judged.clusters[0].share, judged.evidence.index)


def _judged(evidence: Sequence[Evidence], view: str) -> list[Judged]:
    """All classes in one view."""
    from scipy.stats import binom

    seen = [VIEWS[view](each.maps) for each in evidence]
    found = [_clusters(number, seen, evidence[number].maps) for number in range(len(seen))]
    shares = np.array([mine[0].share for mine in found])
    judged = []
    for number, (each, mine) in enumerate(zip(evidence, found, strict=True)):
        others = np.delete(shares, number)
        usual = max(float(np.quantile(others, USUAL)) if len(others) else 0.0, RARE)
        count = round(mine[0].share * len(each.maps))
        tests = len(VIEWS) * len(evidence)
        oddness = max(-float(binom.logsf(count - 1, len(each.maps), usual) + np.log(tests)) / np.log(10), 0.0)
        is_raised = oddness > -np.log10(LEVEL) and mine[0].share >= WORTH and len(evidence) >= FEWEST
        judged.append(Judged(each, view, mine, usual, float(oddness), bool(is_raised)))
    return judged


def _clusters(number: int, seen: ByClass, maps: Maps) -> tuple[Cluster, ...]:
    """The clusters of a class, and the whole class where there are several, compared with the other classes."""
    vectors = seen[number]
    each = max(COMPARED // max(len(seen) - 1, 1), 1)
    others = [other[:each] for k, other in enumerate(seen) if k != number]
    groups = clusters(vectors)
    members = [np.flatnonzero(groups == group) for group in range(groups.max() + 1)]
    members += [np.arange(len(vectors))] * (len(members) > 1)
    large = [mine for mine in members if len(mine) >= SMALLEST * len(vectors)]
    found = [_compared(vectors, mine, others, maps) for mine in large]
    # Where several have the same share, the one whose size it is has just those photos in it.
    return tuple(sorted(found, key=lambda each: (-each.share, abs(each.size - each.share))))


def _compared(vectors: Vectors, members: Int[np.ndarray, " members"], others: ByClass, maps: Maps) -> Cluster:
    mean = vectors[members].mean(axis=0)
    closeness = vectors @ mean
    typical = members[np.argsort(-closeness[members], kind="stable")]
    # A photo is not compared with itself, to which it would be closer than to any other.
    alone = (len(members) * mean - vectors[members]) / max(len(members) - 1, 1)
    closeness[members] = (vectors[members] * alone).sum(axis=1)
    share = float((closeness > _rare(others, mean)).mean())
    return Cluster(len(members) / len(vectors), share, mean_map(maps[members]), tuple(typical.tolist()))


def _rare(others: ByClass, mean: Float[np.ndarray, " values"]) -> float:
    """How close to a mean all but `RARE` of the other classes' photos come, where each class counts alike."""
    if not others:
        return float("inf")
    closeness = np.concatenate([other @ mean for other in others])
    weights = np.concatenate([np.full(len(other), 1 / len(other)) for other in others])
    order = np.argsort(closeness)
    return float(closeness[order][np.searchsorted(np.cumsum(weights[order]), (1 - RARE) * len(others) - 1e-9)])


def _by_cell(maps: Maps) -> Vectors:
    """The share of the evidence in each cell of a coarse grid."""
    flat = maps.reshape(len(maps), CELLS, SIDE // CELLS, CELLS, SIDE // CELLS).sum(axis=(2, 4)).reshape(len(maps), -1)
    return np.asarray(flat / flat.sum(axis=1, keepdims=True), np.float64)


def _by_size(maps: Maps) -> Vectors:
    """The same, the largest share first."""
    return -np.sort(-_by_cell(maps), axis=1)


# How maps are compared -> the vectors that are; the scalar product of two is their closeness.
VIEWS: Mapping[str, Callable[[Maps], Vectors]] = MappingProxyType({"place": _by_cell, "extent": _by_size})
