"""Figures by how much of the image the objects cover: small ones are harder to find than large ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from deepinside.evaluation.metrics import Estimate, estimate, mean_of, resamples
from deepinside.evaluation.results import Evaluation

BOUNDS = (0.0, 0.05, 0.15, 0.3, np.inf)  # parts of the image
FIGURES = ("gt_known_accuracy", "mask_iou")


@dataclass(frozen=True)
class Sized:
    """The images whose objects have one size: how many, and each method's figures over them."""

    key: str
    heading: str
    count: int
    figures: Mapping[str, Mapping[str, Estimate]]


def by_size(evaluation: Evaluation) -> Iterator[Sized]:
    """The figures of every size that some image's objects have, the smallest first, with 95% bootstrap intervals."""
    shares = np.array([case.share for case in evaluation.cases])
    weights = resamples(len(shares), evaluation.seed)
    for low, high in pairwise(BOUNDS):
        inside = (low <= shares) & (shares < high)
        if not inside.any():
            continue
        figures = {
            name: {
                key: estimate(mean_of(np.where(inside, column, np.nan)), weights)
                for key in FIGURES
                if (column := row.columns.get(key)) is not None and not np.isnan(column[inside]).all()
            }
            for name, row in evaluation.rows.items()
            if row.columns
        }
        yield Sized(*_named(low, high), int(inside.sum()), figures)


def _named(low: float, high: float) -> tuple[str, str]:
    """The key of a size in JSON, and its heading in tables."""
    if not low:
        return f"under_{100 * high:.0f}", f"under {high:.0%}"
    if high == np.inf:
        return f"over_{100 * low:.0f}", f"over {low:.0%}"
    return f"{100 * low:.0f}_to_{100 * high:.0f}", f"{low:.0%} to {high:.0%}"
