"""Does a contrast tell two photos apart that stand side by side? On pairs of photos of two classes, in one picture.

    python benchmarks/contrast.py ROOT --model lite0 --pairs 50

ROOT is a tree or a table as `deepinside evaluate` reads it; the first class of a photo is the one that counts. For each
class, the share of its map that lies in the half of its photo: half of it is chance. Beside `contrast`, the maps of
each class alone, by Grad-CAM at the same layer and as the paper's saliency at the image.
"""

from __future__ import annotations

import argparse
import random
from collections import defaultdict
from pathlib import Path

import numpy as np
from PIL import Image
from torch import Tensor

import deepinside as di
from deepinside.core.images import as_photo
from deepinside.core.labels import Labels, imagenet
from deepinside.data.boxes import read_samples
from deepinside.data.samples import Annotation
from deepinside.evaluation.classes import class_of

SIDE = 448  # pixels of the picture; each photo is squeezed to half of it


def side_by_side(left: Path, right: Path) -> Image.Image:
    picture = Image.new("RGB", (SIDE, SIDE))
    for x, path in ((0, left), (SIDE // 2, right)):
        picture.paste(di.read(path).image.resize((SIDE // 2, SIDE)), (x, 0))
    return picture


def on_the_left(map: np.ndarray) -> float:
    """The share of a map in the left half, columns in the middle by halves."""
    columns, width = map.sum(axis=0), map.shape[1]
    weights = np.clip(width / 2 - np.arange(width), 0, 1)
    return float(columns @ weights / columns.sum()) if columns.sum() else 0.5


def shares(classifier: di.Classifier, picture: Image.Image, left: int, right: int) -> dict[str, tuple[float, float]]:
    """By method: of the map of each class, what is in its own half."""
    seen = di.contrast(classifier, picture, left, right)
    maps: dict[str, list[np.ndarray]] = {"contrast": [side.saliency.map for side in seen.sides]}
    _, image = classifier.whole(as_photo(picture))

    def each(found: Tensor) -> list[np.ndarray]:
        return list(found[0].numpy())

    classes = np.array([[left, right]])
    maps["Grad-CAM"] = each(di.grad_cam(classifier, image, classes))
    maps["saliency"] = each(di.saliency(classifier, image, classes))
    return {method: (on_the_left(one), 1 - on_the_left(other)) for method, (one, other) in maps.items()}


def known(annotation: Annotation, labels: Labels) -> int:
    """The network's class; one without class names has those of ImageNet."""
    index = class_of(annotation, labels)
    return imagenet().find(annotation.wnid or annotation.label) if index is None else index


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", type=Path)
    parser.add_argument("--model", action="append")
    parser.add_argument("--pairs", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    samples = list(read_samples(asked.root))
    random.Random(asked.seed).shuffle(samples)
    for name in asked.model or ["lite0"]:
        classifier, found = di.load(name), defaultdict(list)
        for one, other in zip(samples[: 2 * asked.pairs : 2], samples[1 : 2 * asked.pairs : 2], strict=True):
            left, right = (known(sample.annotations[0], classifier.labels) for sample in (one, other))
            if left != right:
                for method, own in shares(classifier, side_by_side(one.path, other.path), left, right).items():
                    found[method].append(own)
        for method, values in found.items():
            both = np.array(values)
            right_half = (both > 0.5).all(axis=1).mean()
            print(
                f"{name}  {method}: {both.mean():.3f} in the own half; both mostly so {right_half:.0%}, n {len(both)}"
            )


if __name__ == "__main__":
    main()
