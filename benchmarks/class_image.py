"""`make bench`: steps of class images beside Lucent's, on the same model, batch and size.

Lucent runs as it comes: Fourier parametrization, decorrelated colors, its standard transforms, Adam. A step moves every
picture of the batch once. Medians of several runs in turns, since machines are shared.
"""

from __future__ import annotations

from bench import in_turns, row

import deepinside as di
from deepinside.class_images.ascent import ascend
from deepinside.evaluation.lucent import lucent_images

BATCH = 8
STEPS = 10  # of which ours see half the views coarse and half fine, as in a whole ascent, and all are of one start


def main() -> None:
    """The table, in Markdown."""
    classifier = di.load("lite0")
    classes = [number * 120 for number in range(BATCH)]

    def ours(preset: str) -> None:
        for _ in ascend(classifier.fast, classes, preset=preset, size=classifier.size, steps=STEPS):
            pass

    def theirs() -> object:
        return lucent_images(classifier, classes, steps=STEPS, seed=0)

    print("| what | ours | theirs | ratio (over runs) |\n|---|---|---|---|")
    for preset in ("canonical", "paper"):
        mine, other = in_turns(lambda preset=preset: ours(preset), theirs)
        what = f"class image, {preset}, lite0, batch {BATCH}, against Lucent"
        row(what, "image-steps/s", lambda seconds: BATCH * STEPS / seconds, mine, other)


if __name__ == "__main__":
    main()
