"""Fits the score of `deepinside review`, and measures how many wrong boxes stand first in its list.

    python benchmarks/review.py MASKS_DEV lite0 [MODEL ...]             # judge the committed weights
    python benchmarks/review.py MASKS_DEV lite0 [MODEL ...] --fit       # and fit new ones

MASKS_DEV is a folder with `images` and `instances.json` in COCO's form, whose images say which `split` they are of and
which category they are about (`main_category`), and whose categories list their ImageNet classes (`imagenet`). The
label of a photo is its class, or the likeliest one of its category. A box is wrong where its IoU with every box of the
category is below one half. Weights are fitted on the splits that end in `-like` and on every other photo of
`coco-train2017`; what is reported are the other half and `ilsvrc2012-val`.

Runs are kept in `build/review`, so that a second call judges them at once.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import deepinside
from deepinside.archive.folder import part_rows
from deepinside.archive.review import need, terms
from deepinside.archive.rows import Row, box_of, photos_of
from deepinside.archive.run import running
from deepinside.archive.wanted import Wanted
from deepinside.core.geometry import Box
from deepinside.explanations.explain import explain

FIRST = 0.2  # of the list
SMALLEST = 0.01  # of the frame: smaller objects count as none
REPORTED = ("ilsvrc2012-val", "coco-train2017")
KEPT = Path(__file__).parents[1] / "build" / "review"


def truth(data: Path) -> Iterator[tuple[dict[str, Any], list[int], list[Box]]]:
    """Each image, the ImageNet classes of its category, and the boxes of its objects."""
    told = json.loads((data / "instances.json").read_text())
    categories = {each["id"]: each for each in told["categories"]}
    annotations: dict[int, list[dict[str, Any]]] = {}
    for each in told["annotations"]:
        annotations.setdefault(each["image_id"], []).append(each)
    for image in told["images"]:
        mine = [each for each in annotations[image["id"]] if each["category_id"] == image["main_category"]]
        boxes = [Box(x, y, x + w, y + h) for x, y, w, h in (each["bbox"] for each in mine if not each["iscrowd"])]
        large = [box for box in boxes if box.area >= SMALLEST * image["width"] * image["height"]]
        if large:
            yield image, categories[image["main_category"]]["imagenet"], large


class Truth(NamedTuple):
    """The split of a photo, the boxes of its objects, and whether it is one that weights are fitted on."""

    split: str
    boxes: list[Box]
    is_chosen: bool


def run_over(data: Path, model: str, with_chosen: bool) -> tuple[Path, dict[str, Truth]]:
    """A run over the photos with their labels, and the truth of each."""
    classifier = deepinside.load(model)
    folder = KEPT / "".join(letter if letter.isalnum() else "-" for letter in model)
    labels = json.loads((folder / "labels.json").read_text()) if (folder / "labels.json").is_file() else {}
    truths, wanted, turn = {}, [], 0
    for image, classes, boxes in sorted(truth(data), key=lambda each: each[0]["file_name"]):
        name, path, split = image["file_name"], data / "images" / image["file_name"], image["split"]
        turn += split.startswith("coco")
        is_chosen = split.endswith("-like") or (split.startswith("coco") and turn % 2 == 1)
        if is_chosen and not with_chosen:
            continue
        truths[name] = Truth(split, boxes, is_chosen)
        if name not in labels:
            found = explain(classifier, path, targets=classes, boxes=False).objects if len(classes) > 1 else ()
            labels[name] = max(found, key=lambda each: each.score).index if found else classes[0]
        wanted.append(Wanted.named(path, Path(name), (labels[name],)))
    with running(classifier, wanted, folder / "run") as (begun, answers):
        for number, _ in enumerate(answers, start=1):
            print(f"\r{model}: {number} of {begun.left}", end="", flush=True)
    (folder / "labels.json").write_text(json.dumps(labels))
    return folder / "run", truths


def figures(photo: Sequence[Row]) -> list[float]:
    """The five figures of the score, without their weights."""
    from deepinside.archive import review

    weights = (review.UNSURE, review.OUTSIDE, review.UNSEEDED, review.SIDES, review.SEVERAL)
    return [term.weight / weight for term, weight in zip(terms(photo), weights, strict=True)]


def lift(scores: np.ndarray, wrong: np.ndarray) -> float:
    """How many times as many wrong boxes are among the first of the list as in a random order."""
    first = np.argsort(-scores, kind="stable")[: round(FIRST * len(scores))]
    return float(wrong[first].mean() / wrong.mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("models", nargs="+")
    parser.add_argument("--fit", action="store_true")
    asked = parser.parse_args()
    chosen: list[tuple[np.ndarray, np.ndarray]] = []
    for model in asked.models:
        folder, truths = run_over(asked.data, model, asked.fit)
        photos = [photo for rows in part_rows(folder) for photo in photos_of(rows) if photo[0]["photo"] in truths]
        photos = sorted((photo for photo in photos if photo[0]["class"] is not None), key=lambda each: each[0]["photo"])
        mine = [truths[photo[0]["photo"]] for photo in photos]
        wrong = np.array([is_wrong(photo[0], each.boxes) for photo, each in zip(photos, mine, strict=True)])
        is_chosen = np.array([each.is_chosen for each in mine])
        print(f"\r{model}" + " " * 20)
        splits = {"reported": ~is_chosen}
        splits |= {name: ~is_chosen & np.array([each.split == name for each in mine]) for name in REPORTED}
        for name, which in (splits | {"all": np.ones(len(photos), bool)} if asked.fit else splits).items():
            tell(name, [photo for photo, is_in in zip(photos, which, strict=True) if is_in], wrong[which])
        if asked.fit:
            chosen.append((np.array([figures(photo) for photo in photos])[is_chosen], wrong[is_chosen]))
    if asked.fit:
        fit(*(np.concatenate(parts) for parts in zip(*chosen, strict=True)))


def tell(name: str, photos: list[Sequence[Row]], wrong: np.ndarray) -> None:
    scores = np.array([need(photo) for photo in photos])
    by_probability = lift(-np.array([photo[0]["probability"] for photo in photos]), wrong)
    most = min(1 / wrong.mean(), 1 / FIRST)
    print(f"  {name:<16} {len(photos)} photos, {wrong.mean():.0%} wrong, expected {scores.mean():.0%}: ", end="")
    print(f"{lift(scores, wrong):.2f} times random; by probability alone {by_probability:.2f}, at most {most:.2f}")


def is_wrong(row: Row, boxes: Sequence[Box]) -> bool:
    return max(box_of(row).iou(box) for box in boxes) < 0.5


def fit(figures: np.ndarray, wrong: np.ndarray) -> None:
    from sklearn.linear_model import LogisticRegression

    found = LogisticRegression(C=10).fit(figures, wrong)
    print("intercept", found.intercept_.round(3), "weights", found.coef_.round(3), "of", len(wrong), "boxes")


if __name__ == "__main__":
    main()
