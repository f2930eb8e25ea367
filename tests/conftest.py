"""Small networks, real ones and real images for all tests."""

import importlib
import os
import signal
import sys
from pathlib import Path

# Tests run offline: a hub that is asked must refuse at once. Set before anything imports it.
os.environ["HF_HUB_OFFLINE"] = "1"

import pytest
import torch
from hypothesis import settings
from jaxtyping import config
from torch import nn

from helpers import NAMES, Colors, annotated, with_masks

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
def photos(tmp_path_factory):
    """Four real photos: three of the demo's and one that only tests read."""
    folder = tmp_path_factory.mktemp("photos")
    for path in (
        *(REPOSITORY / "photos" / f"{name}.jpg" for name in ("cat", "coffee", "rocket")),
        REPOSITORY / "tests" / "photos" / "astronaut.jpg",
    ):
        (folder / path.name).symlink_to(path)
    return folder


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
    return annotated(tmp_path)


@pytest.fixture
def masked(tmp_path):
    return with_masks(annotated(tmp_path))


@pytest.fixture(scope="session")
def judged_in_full(tmp_path_factory):
    """An evaluation with all that can be judged, of six annotated photos with masks and one that is not there.

    It takes seconds, since the annotations of thousands of calls are checked; it is frozen, and tests only read it.
    """
    from deepinside import Classifier
    from deepinside.data.boxes import read_samples
    from deepinside.evaluation.localization import Judging, evaluate

    folder = with_masks(annotated(tmp_path_factory.mktemp("masked")))
    with open(folder / "boxes.csv", "a") as file:
        file.write("\nmissing.png,red,0,0,5,5,")
    judging = Judging(["best", "paper"], faithful=True, sanity=2)
    return evaluate(Classifier(Colors(), labels=NAMES, size=32, name="colors"), read_samples(folder), judging)


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
