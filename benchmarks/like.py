"""How many class images other networks recognize, drawn with photos (`class-image --like`) and without.

    python benchmarks/like.py PHOTOS --judge lite1 --judge my_network.py:make

PHOTOS has a folder for each class, which is called as the class is: by name, WordNet id or index. Each picture is drawn
alone.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import deepinside as di
from deepinside.class_images.drawn import Drawn, Settings
from deepinside.class_images.gallery import Gallery
from deepinside.class_images.references import listed_photos
from deepinside.evaluation.recognition import recognize


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--model", default="lite0")
    parser.add_argument("--judge", action="append", required=True)
    parser.add_argument("--steps", type=int)
    asked = parser.parse_args()
    classifier, judges = di.load(asked.model), [di.load(name) for name in asked.judge]
    folders = sorted(path for path in asked.photos.iterdir() if path.is_dir())
    classes = [classifier.labels.find(path.name) for path in folders]
    with TemporaryDirectory() as out:
        for way in ("without", "with"):
            began, pictures = time.process_time(), []
            for folder, index in zip(folders, classes, strict=True):
                photos = tuple(listed_photos(folder)) if way == "with" else ()
                gallery = Gallery(classifier, Path(out, way), Settings(steps=asked.steps, like=photos))
                pictures += [event.path for event in gallery.draw([index]) if isinstance(event, Drawn)]
            seconds = (time.process_time() - began) / len(classes)
            print(f"{way} photos: {len(classes)} pictures, {seconds:.0f} s of CPU time each", flush=True)
            for judge in judges:
                ranks = recognize(judge, pictures, classes)
                top1, top5 = (sum(rank < top for rank in ranks) for top in (1, 5))
                print(f"  {judge.name}: {top1} at top-1, {top5} at top-5", flush=True)


if __name__ == "__main__":
    main()
