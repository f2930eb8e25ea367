"""What `explain` returns: the results of `core.results`, which here know their photo and show themselves.

The rooms below, which draw and write what was found, take the results of `core`, and so know nothing of these.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from deepinside.core import results
from deepinside.core.errors import DeepInsideError
from deepinside.core.results import Saliency
from deepinside.explanations.originals import Original, photo_of

if TYPE_CHECKING:
    from fiftyone import Detections as FiftyOneDetections
    from matplotlib.figure import Figure
    from pandas import DataFrame
    from supervision import Detections as SupervisionDetections

    from deepinside.core.images import Photo


@dataclass(frozen=True, eq=False, repr=False)
class Detection(results.Detection):
    """One object of one class in one photo, as `core.results.Detection` has it, and its `Explanation.photo`.

    In a notebook, it shows its outline and box in the photo, and its saliency.
    """

    photo: Original = None

    def _repr_html_(self) -> str:
        from deepinside.explanations.notebook import detection_html

        return detection_html(self, self.photo)


@dataclass(frozen=True, eq=False, repr=False)
class Contrast(results.Contrast):
    """Two classes in one photo, as `core.results.Contrast` has them, and the photo, as `Explanation` keeps it.

    In a notebook, it shows for each class its objects and what speaks for it rather than the other.
    """

    photo: Original = None

    def figure(self) -> Figure:
        """The sheet of `deepinside compare --against` as a figure of matplotlib. Raises as `Explanation.figure`."""
        from deepinside.explanations.sheets import contrast_sheet

        return contrast_sheet(photo_of(self.photo, *self.size), self)

    def _repr_html_(self) -> str:
        from deepinside.explanations.notebook import contrast_html

        return contrast_html(self, self.photo)


@dataclass(frozen=True, eq=False, repr=False)
class Reconstruction(results.Reconstruction):
    """The gradient of one score at one photo, as `core.results.Reconstruction` has it, and the photo.

    In a notebook, it shows the photo, the gradient in color, and its largest magnitude over the color channels.
    """

    photo: Original = None

    def figure(self) -> Figure:
        """The sheet of `deepinside saliency --neuron` as a figure of matplotlib. Raises as `Explanation.figure`."""
        from deepinside.explanations.sheets import neuron_sheet

        return neuron_sheet(photo_of(self.photo, *self.size), self, self.model)

    def _repr_html_(self) -> str:
        from deepinside.explanations.notebook import reconstruction_html

        return reconstruction_html(self, self.photo)


@dataclass(frozen=True, eq=False, repr=False)
class Explanation(results.Explanation):
    """The objects in one photo, as `core.results.Explanation` has them, and the photo, so that it can be shown.

    `photo` is its file, which is read again when it is needed, or the photo itself where it came from no file, which
    then stays in memory as long as the explanation does; None where it is not known.

    In a notebook, it shows its classes: outlines and boxes, saliency and probabilities. Its methods write no files.
    """

    photo: Original = None

    def show(self) -> None:
        """Show it in the notebook, or in Pillow's viewer where this is none. Raises `DeepInsideError` as `figure`."""
        from deepinside.explanations.notebook import in_notebook
        from deepinside.explanations.sheets import rendered

        if not in_notebook():
            rendered(self.figure()).show()
            return
        from IPython.display import display

        display(self)

    def figure(self) -> Figure:
        """The sheet of the command as a figure of matplotlib, to go on with: a row of panels for each class.

        Raises `DeepInsideError` for no objects, and where the photo is not known or cannot be read as it was.
        """
        from deepinside.explanations.sheets import localization_sheet, saliency_sheet

        if not self.objects:
            raise DeepInsideError(f"{self.name}: expected an explanation with objects to draw, got one without any")
        has_boxes = all(each.segmentation is not None for each in self.objects)
        return (localization_sheet if has_boxes else saliency_sheet)(self._read(), self)

    def overlay(self, alpha: float = 0.7, target: int | str | None = None) -> Image.Image:
        """The photo in its own size, with the saliency map of a class over it.

        Args:
            alpha: how much of the map there is where it is brightest, in [0, 1]; with 0, it is the photo.
            target: a class that was explained, by index, WordNet id or name; by default the first one.

        Raises `DeepInsideError` for another `alpha` or class, and as `figure` does.
        """
        from deepinside.explanations.panels import joined, maps_of, overlaid

        if not 0 <= alpha <= 1:
            raise DeepInsideError(f"expected alpha in [0, 1], got {alpha}")
        maps: list[Saliency] = maps_of(self._of_class(target))
        values, _ = joined(maps, self.width, self.height)
        return Image.fromarray(overlaid(np.asarray(self._read().image), values, alpha))

    def to_dict(self) -> dict[str, Any]:
        """Plain values, which JSON can hold: what `deepinside localize --json` prints.

        `{"path", "width", "height", "objects": [{"index", "label", "probability", "confidence", "box"}]}`, with boxes
        `[x0, y0, x1, y1]` in photo pixels. Raises `DeepInsideError` for an explanation without boxes.
        """
        from deepinside.explanations.conversions import as_dict

        return as_dict(self)

    def to_frame(self) -> DataFrame:
        """A row for each object, with the columns of the CSV export.

        Raises `DeepInsideError` for an explanation without boxes, and where pandas is not installed.
        """
        from deepinside.explanations.conversions import as_frame

        return as_frame(self, self.photo)

    def to_supervision(self) -> SupervisionDetections:
        """Boxes, masks in photo pixels, confidences, class indices, and as data `class_name` and `probability`.

        Raises `DeepInsideError` for an explanation without boxes, and where supervision is not installed.
        """
        from deepinside.explanations.conversions import as_supervision

        return as_supervision(self)

    def to_fiftyone(self) -> FiftyOneDetections:
        """For a field of a sample, `sample["objects"] = explanation.to_fiftyone()`, as the FiftyOne export has them.

        Raises `DeepInsideError` for an explanation without boxes, and where FiftyOne is not installed.
        """
        from deepinside.explanations.conversions import as_fiftyone

        return as_fiftyone(self)

    def _repr_html_(self) -> str:
        from deepinside.explanations.notebook import explanation_html

        return explanation_html(self, self.photo)

    def _read(self) -> Photo:
        return photo_of(self.photo, self.width, self.height)

    def _of_class(self, target: int | str | None) -> tuple[results.Detection, ...]:
        """The objects of a class that was explained."""
        classes = self.by_class
        for mine in classes:
            if target is None or target in (mine[0].index, mine[0].label, mine[0].wnid):
                return mine
        known = ", ".join(mine[0].label for mine in classes)
        raise DeepInsideError(f"expected a class that was explained ({known or 'there is none'}), got {target!r}")
