"""Small networks, real ones and real images for all tests."""

import csv
import importlib
import os
import signal
import sys
from pathlib import Path

# Tests run offline: a hub that is asked must refuse at once. Set before anything imports it.
os.environ["HF_HUB_OFFLINE"] = "1"

import numpy as np
import pytest
import torch
from hypothesis import settings
from jaxtyping import config
from PIL import Image
from torch import nn

from helpers import NAMES, Colors, rows_of

# While jaxtyping imports a file of the package, Python does not find the cached bytecode of anything that this file
# imports, and compiles whole libraries anew. Those that are imported here first are read from their caches.
for library in (
    "contourpy", "jinja2", "matplotlib.figure", "numba", "pyarrow.parquet", "scipy.ndimage", "scipy.optimize",
    "scipy.sparse.csgraph", "scipy.stats", "torch._dynamo", "torchvision.transforms.v2", "typecheck", "typer", "yaml",
):  # fmt: skip
    importlib.import_module(library)

# The first example compiles numba kernels, and machines are shared: time is measured in benchmarks, not here.
settings.register_profile("shared machine", deadline=None)
settings.load_profile("shared machine")

REPOSITORY = Path(__file__).parents[1]


def pytest_configure(config):
    torch.set_num_threads(1)
    # What runs in the background inherits ignored signals, which tests send to themselves and to their processes.
    for number, usual in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, usual)


@pytest.fixture(scope="session")
def lite0():
    from deepinside import load

    return load("lite0")


@pytest.fixture(scope="session")
def photos():
    return REPOSITORY / "photos"


@pytest.fixture(scope="session")
def ilsvrc():
    """650 real validation images; they are not part of the repository."""
    root = REPOSITORY.parent / "shared" / "ilsvrc-val-dev"
    if not root.is_dir():
        pytest.skip("the ILSVRC validation sample is not beside the repository")
    return root


@pytest.fixture
def small_network():
    """A network of every usual kind of layer, on 8 x 8 pixels, five classes; in float64 so that oracles are sharp."""
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1),
        nn.BatchNorm2d(6),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(2),
        nn.Dropout(0.3),
        nn.Conv2d(6, 8, 3),
        nn.SiLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 5),
    ).double()
    network[1].running_mean.normal_()
    network[1].running_var.uniform_(0.5, 2)
    return network


@pytest.fixture
def unchecked():
    """Annotations are not checked, so that the message a user would get is what a test sees."""
    config.update("jaxtyping_disable", True)
    yield
    config.update("jaxtyping_disable", False)


@pytest.fixture
def colors():
    from deepinside import Classifier

    return Classifier(Colors(), labels=NAMES, size=32, name="colors")


@pytest.fixture
def tree(tmp_path):
    """Photos with a square of one color, the box around it, and one photo that is not there."""
    rng = np.random.default_rng(0)
    rows = [("image", "label", "x0", "y0", "x1", "y1")]
    for number in range(6):
        x, y, side = rng.integers(0, 24), rng.integers(0, 16), rng.integers(10, 30)
        pixels = rng.integers(90, 110, (48, 64, 3), dtype=np.uint8)
        channel = number % 3
        pixels[y : y + side, x : x + side] = 20
        pixels[y : y + side, x : x + side, channel] = 230
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
        label = NAMES[channel] if number != 5 else NAMES[0]  # the last one is annotated wrongly
        rows.append((f"{number}.png", label, x, y, min(x + side, 64), min(y + side, 48)))
    rows.append(("missing.png", "red", 0, 0, 5, 5))
    rows.append(("0.png", "unicorn", 0, 0, 64, 48))
    with open(tmp_path / "boxes.csv", "w", newline="") as file:
        csv.writer(file).writerows(rows)
    return tmp_path


@pytest.fixture
def masked(tree):
    """The same with a mask for each photo but the first: the left half of the box."""
    lines = ["image,label,x0,y0,x1,y1,mask"]
    for row in rows_of(tree / "boxes.csv")[:6]:
        image, label, *corners = row.values()
        x0, y0, x1, y1 = map(int, corners)
        values = np.zeros((48, 64), np.uint8)
        values[y0:y1, x0 : (x0 + x1) // 2] = 255
        Image.fromarray(values).save(tree / f"mask-{image}")
        lines.append(",".join([image, label, *corners, "" if image == "0.png" else f"mask-{image}"]))
    (tree / "boxes.csv").write_text("\n".join(lines))
    return tree


@pytest.fixture
def deepinside(monkeypatch, capsys):
    """Run the command in this process; gives exit status, standard output and standard error."""

    from deepinside import cli

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["deepinside", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return (ended.value.code or 0, *capsys.readouterr())

    return run


@pytest.fixture
def small(monkeypatch, colors):
    """A tiny network in place of the default one, for what does not depend on the network."""
    monkeypatch.setattr("deepinside.networks.sources.load", lambda *arguments, **options: colors)
