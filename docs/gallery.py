"""Make the images of docs/neurons.md: `python docs/gallery.py`. SqueezeNet's need its weights, see examples/."""

from __future__ import annotations

from pathlib import Path

import deepinside as di
from deepinside.core.images import find_photos
from deepinside.explanations import sheets
from deepinside.explanations.compare import compare
from deepinside.explanations.reconstruct import most_exciting

REPOSITORY = Path(__file__).parents[1]
IMAGES = REPOSITORY / "docs" / "images"
SQUEEZENET = f"{REPOSITORY / 'examples' / 'squeezenet.py'}:squeezenet"


def compared(classifier: di.Classifier, name: str, file: str) -> None:
    """The three rules and all presets on one photo."""
    photo = di.read(REPOSITORY / "photos" / f"{name}.jpg")
    seen = compare(classifier, photo)
    print(sheets.save(sheets.compare_sheet(photo, seen.rules, seen.presets, Path(classifier.name).name), IMAGES / file))


def excited(classifier: di.Classifier, neuron: di.Neuron, file: str) -> None:
    """The photos that excite a neuron most, with reconstructions by DeconvNet."""
    photos = [path for path, _ in find_photos([REPOSITORY / "photos"])]
    found, _ = most_exciting(classifier, photos, neuron)
    shown = [(di.read(path), di.reconstruct(classifier, path, neuron, rule="deconvnet")) for _, path in found]
    print(sheets.save(sheets.exciting_sheet(shown, Path(classifier.name).name), IMAGES / file))


def main() -> None:
    """Make all images."""
    compared(di.load("lite0"), "cat", "compare-lite0.png")
    try:
        squeezenet = di.load(SQUEEZENET)
    except di.DeepInsideError as error:
        print(error)
        return
    compared(squeezenet, "coffee", "compare-squeezenet.png")
    excited(squeezenet, di.Neuron("features.9", 40), "exciting-squeezenet.png")


if __name__ == "__main__":
    main()
