"""A localizer besides the presets, which has to work wherever they do."""

from dataclasses import dataclass, field

import numpy as np

from deepinside.core.results import About, Segmentation
from deepinside.explanations.by_color import Paper


@dataclass(frozen=True)
class Bright:
    """A third localizer: two objects, the left and the right half of whatever the paper's map finds bright."""

    paper: Paper = field(default_factory=Paper)

    about = About("the brighter half", "mean logits of ten crops")

    def views(self, classifier, photo):
        return self.paper.views(classifier, photo)

    def see(self, classifier, batch, choices, most=None):
        return self.paper.see(classifier, batch, choices, most)

    def segment(self, seen, k):
        bright = seen.maps[k] >= np.median(seen.maps[k])
        left = np.arange(bright.shape[1]) < bright.shape[1] // 2
        nowhere = np.zeros_like(bright)
        return tuple(Segmentation(seen.frame, bright & half, nowhere, nowhere, 0.0) for half in (left, ~left))
