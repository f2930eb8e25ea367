"""Ray's answers are those of this process, in whatever order and by however many workers."""

import signal
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from deepinside.archive.folder import part_rows
from deepinside.archive.on_ray import answers_on_ray
from deepinside.archive.records import SCHEMA
from deepinside.archive.run import running
from deepinside.archive.stages import Asked, answers_here
from deepinside.archive.wanted import Wanted
from deepinside.core.errors import DeepInsideError
from deepinside.explanations.presets import localizer_of

pytestmark = pytest.mark.filterwarnings("ignore")  # Ray warns of itself, and of processes that it leaves to the system


@pytest.fixture(scope="module")
def cluster():
    """Two cores of a cluster of our own, for all tests of this file."""
    ray = pytest.importorskip("ray", reason="the engine ray needs the package ray")
    pytest.importorskip("ray.data")
    handlers = {each: signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)}
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    yield
    ray.shutdown()
    for each, handler in handlers.items():  # Ray's own, which would end the process of the tests that follow
        signal.signal(each, handler)


@pytest.fixture
def photos(tmp_path):
    """Eleven photos, three of which cannot be read."""
    random = np.random.default_rng(0)
    for number in range(10):
        image = Image.new("RGB", (40, 30), "gray")
        x, y = (int(each) for each in random.integers(0, 12, 2))
        image.paste(("red", "lime", "blue")[number % 3], (x, y, x + 16, y + 14))
        image.save(tmp_path / f"{number}.png")
    (tmp_path / "3.png").write_bytes(b"")
    (tmp_path / "8.png").write_bytes((tmp_path / "8.png").read_bytes()[:60])
    names = [f"{number}.png" for number in range(11)]
    return [Wanted.named(tmp_path / name, Path(name), (1,) if name == "5.png" else ()) for name in names]


def asked(preset="best"):
    return Asked(localizer_of(preset), most=None, least=0.0, top=0)


def by_file(answers):
    """Rows of each photo but for what time and rounding leave of them."""
    return {answer.path: [_comparable(dict.fromkeys(SCHEMA.names) | row) for row in answer.rows] for answer in answers}


def _comparable(row):
    exact = {name: value for name, value in row.items() if not isinstance(value, (float, list)) and name != "map"}
    return exact | {"probability": row["probability"] and pytest.approx(row["probability"], rel=1e-5)}


@pytest.mark.parametrize(("preset", "workers", "order"), [("best", 1, 1), ("paper", 3, -1)])
def test_the_answers_are_those_of_this_process(cluster, colors, photos, preset, workers, order):
    here = by_file(answers_here(colors, photos, asked(preset)))
    assert by_file(answers_on_ray(colors, photos[::order], asked(preset), workers=workers)) == here
    assert sum(rows[0]["error"] is not None for rows in here.values()) == 3


def test_a_run_goes_on_with_another_engine(cluster, colors, photos, tmp_path):
    with running(colors, photos[:6], tmp_path / "run") as (_, answers):
        assert len(list(answers)) == 6
    with running(colors, photos, tmp_path / "run", engine=answers_on_ray) as (begun, answers):
        assert (begun.done, begun.failed, begun.left) == (5, 1, 5)
        assert {answer.path for answer in answers} == {each.path for each in photos[6:]}
    files = [row["file"] for rows in part_rows(tmp_path / "run", ["file"]) for row in rows]
    assert len(set(files)) == 11


def test_nobody_at_the_address_and_no_ray(colors, photos, monkeypatch):
    pytest.importorskip("ray")
    for address in ("127.0.0.1:1", "ray://127.0.0.1:1", "127.0.0.1:99999"):
        with pytest.raises(DeepInsideError, match=f"expected a Ray cluster at {address}, found none"):
            next(answers_on_ray(colors, photos, asked(), address=address))
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(DeepInsideError, match=r"pip install 'deepinside\[ray\]'"):
        next(answers_on_ray(colors, photos, asked()))
