"""Groups of similar maps, by spectral clustering, as Lapuschkin et al. look for "Clever Hans" predictors (2019).

Maps are joined with their nearest neighbors. The eigenvalues of the normalized Laplacian of that graph are 0 once for
each connected part, and small for parts that hang together by a few edges; the largest gap between two of them says how
many groups there are. Maps of one group may be divided as well, where no gap is large.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int

NEIGHBORS = 7  # of each map
MOST = 6  # groups, at most
EVEN = 1e-9  # eigenvalues that differ by less are equal


def clusters(maps: Float[np.ndarray, "photos values"]) -> Int[np.ndarray, " photos"]:
    """The group of each map, from 0, the largest group first.

    The order of the maps does not matter. Maps are compared by their Euclidean distance; fewer than twice `NEIGHBORS`
    are one group.

    >>> left, right = np.tile([1.0, 0.0], (10, 1)), np.tile([0.0, 1.0], (20, 1))
    >>> clusters(np.concatenate([left, right])).tolist() == 10 * [1] + 20 * [0]
    True
    """
    if len(maps) < 2 * NEIGHBORS:
        return np.zeros(len(maps), np.int64)
    order = np.lexsort(maps.T)  # so that rounding and random starts do not depend on the order of the photos
    found = np.empty(len(maps), np.int64)
    found[order] = _spectral(maps[order])
    sizes = np.bincount(found)
    return np.argsort(np.argsort(-sizes, kind="stable"))[found]


def _spectral(maps: Float[np.ndarray, "photos values"]) -> Int[np.ndarray, " photos"]:
    from scipy.linalg import eigh
    from scipy.sparse.csgraph import laplacian
    from sklearn.cluster import KMeans
    from sklearn.neighbors import kneighbors_graph

    joined = kneighbors_graph(maps, NEIGHBORS)
    joined = joined.maximum(joined.T)
    values, vectors = eigh(laplacian(joined, normed=True).toarray())
    gaps = np.diff(values[: MOST + 1])
    count = 1 + int(np.argmax(gaps > gaps.max() - EVEN))
    if count == 1:
        return np.zeros(len(maps), np.int64)
    rows = vectors[:, :count] / np.maximum(np.linalg.norm(vectors[:, :count], axis=1, keepdims=True), EVEN)
    groups = KMeans(count, n_init=4, random_state=0).fit_predict(rows)
    return np.unique(groups, return_inverse=True)[1].astype(np.int64)
