"""One small data set and its reproduction, for the run and for its page."""

import numpy as np
import pytest
from PIL import Image

from deepinside.reproduction.reproduce import Extent, reproduce
from deepinside.training.recipe import recipe
from deepinside.training.train import Resources, Setup

SETUP = Setup(recipe("modern", epochs=2, batch=8), size=32, hidden_units=16)
CPU = Resources("cpu", "float32")


@pytest.fixture(scope="session")
def root(tmp_path_factory):
    """Noise with a square of the class's color; the squares are the objects that boxes are drawn around."""
    root = tmp_path_factory.mktemp("data")
    rng, lines = np.random.default_rng(0), ["image,label,x0,y0,x1,y1"]
    for split, count in (("train", 12), ("val", 3)):
        for name, color in (("ant <small> $x_{y$", (220, 40, 40)), ("bee & co", (40, 40, 220))):
            (root / split / name).mkdir(parents=True)
            for i in range(count):
                picture = rng.integers(90, 160, (40, 40, 3))
                x, y = rng.integers(2, 18, 2)
                picture[y : y + 20, x : x + 20] = color
                Image.fromarray(picture.astype(np.uint8)).save(root / split / name / f"{i}.png")
                if split == "val":
                    lines.append(f"val/{name}/{i}.png,{name},{x},{y},{x + 20},{y + 20}")
    (root / "boxes.csv").write_text("\n".join(lines) + "\n")
    return root


@pytest.fixture(scope="session")
def made(root, tmp_path_factory):
    out = tmp_path_factory.mktemp("out")
    events = list(reproduce(root, out, SETUP, Extent(judged=4, shown=2, steps=3), CPU))
    return out, events[-1].path, events
