"""A desk with the network of three colors, photos for it, and a run that people may correct."""

import gc
import warnings
from pathlib import Path

import gradio  # noqa: F401 -- before the package imports it, as `tests/conftest.py` says
import pytest
from PIL import Image

from deepinside.archive.run import running
from deepinside.archive.wanted import Wanted
from deepinside.studio.runs import Runs
from desks import desk_of, scene


def pytest_collection_modifyitems(items):
    """Gradio leaves the event loops of its components to the garbage collector."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.filterwarnings("ignore::ResourceWarning"))


@pytest.fixture(autouse=True, scope="module")
def without_leftovers():
    """What Gradio has left goes here, and not in somebody else's test."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


@pytest.fixture
def desk(colors):
    return desk_of(colors)


@pytest.fixture
def photo(desk):
    """The id of a photo that somebody has brought."""
    return desk.keep(scene(), "my photo.png")


SQUARES = {"a.png": [("red", 4, 4), ("red", 30, 18)], "b.png": [("red", 8, 8)], "<b>c.png": [("red", 20, 12)]}


@pytest.fixture
def run_folder(colors, tmp_path):
    """A run of three photos with red squares, of which one has two, and one that cannot be read."""
    for name, mine in SQUARES.items():
        image = Image.new("RGB", (48, 36), "gray")
        for color, x, y in mine:
            image.paste(color, (x, y, x + 12, y + 12))
        image.save(tmp_path / name)
    (tmp_path / "broken.png").write_bytes(b"")
    wanted = [Wanted.named(tmp_path / name, Path(name), (0,)) for name in (*SQUARES, "broken.png")]
    with running(colors, wanted, tmp_path / "run") as (_, answers):
        assert [each.error is None for each in answers] == [True, True, True, False]
    return tmp_path / "run"


@pytest.fixture
def runs(run_folder):
    return Runs([run_folder])


@pytest.fixture
def keys(runs):
    """The keys of the photos of the run by their names."""
    return {each.name: key for key, each in runs.photos(0).items()}
