"""What `explain` returns shows itself: its photo, its overlay, its figure, and that it is the command's."""

import ast
import json
import os
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from matplotlib import colormaps
from PIL import Image

from deepinside import Detection, Explanation, explain, explain_each, read
from deepinside.core.errors import DeepInsideError
from deepinside.explanations import results
from deepinside.explanations.panels import brightest
from deepinside.explanations.sheets import localization_sheet, rendered, saliency_sheet


@pytest.fixture
def photo(tree):
    return tree / "0.png"


@pytest.fixture
def seen(colors, photo):
    return explain(colors, photo, top=2)


def test_an_explanation_knows_its_photo(colors, photo, monkeypatch):
    monkeypatch.chdir(photo.parent)
    from_file, from_name = explain(colors, photo), explain(colors, "0.png")
    (outcome,) = explain_each(colors, [Path("0.png")])
    for each in (from_file, from_name, outcome.explanation):
        assert isinstance(each, Explanation)
        assert each.photo == photo, "a file is not kept in memory"
        assert all(isinstance(one, Detection) and one.photo == photo for one in each.objects)
    monkeypatch.chdir("/")
    assert from_name.name == "0.png"
    assert from_name.overlay(0).size == (64, 48)
    image, whole = Image.open(photo), read(photo)
    assert explain(colors, whole).photo is whole
    assert explain(colors, image).overlay(0).tobytes() == image.tobytes()


def test_an_overlay_is_the_photo_and_the_map_in_shares(seen, photo):
    pixels = np.asarray(Image.open(photo))
    np.testing.assert_array_equal(seen.overlay(0), pixels)
    for target in (None, seen.objects[-1].index, seen.objects[-1].label):
        objects = [each for each in seen.objects if target is None or target in (each.index, each.label)]
        of_class = [each for each in objects if each.index == objects[0].index]
        map = np.max([each.saliency for each in of_class], axis=0)
        unit = np.clip(map / brightest(map), 0, 1)
        share = 0.6 * np.sqrt(unit)[..., None]
        expected = pixels * (1 - share) + colormaps["inferno"](unit)[..., :3] * 255 * share
        assert np.abs(np.asarray(seen.overlay(0.6, target), float) - expected).max() <= 0.5 + 1e-3


@pytest.mark.parametrize(("arguments", "told"), [
    ((1.5,), r"expected alpha in \[0, 1\], got 1.5"), ((float("nan"),), "alpha"),
    ((0.5, "unicorn"), r"expected a class that was explained \(.*red.*\), got 'unicorn'"),
])  # fmt: skip
def test_what_cannot_be_laid_over_is_an_error(seen, arguments, told):
    with pytest.raises(DeepInsideError, match=told):
        seen.overlay(*arguments)


def test_a_figure_is_the_sheet_of_the_command(colors, seen, photo):
    alone = explain(colors, photo, boxes=False)
    for each, sheet in ((seen, localization_sheet), (alone, saliency_sheet)):
        drawn, expected = each.figure(), sheet(read(photo), each)
        assert len(drawn.axes) == len(expected.axes) > 1
        for axes, same in zip(drawn.axes, expected.axes, strict=True):
            assert axes.get_ylabel() == same.get_ylabel()
            for mine, its in zip(axes.images, same.images, strict=True):
                np.testing.assert_array_equal(mine.get_array(), its.get_array())
    with pytest.raises(DeepInsideError, match="without any"):
        replace(seen, objects=()).figure()


def test_what_knows_no_photo_still_shows_itself(seen):
    bare = replace(seen, photo=None)
    assert "without its photo" in bare._repr_html_()
    assert "without its photo" in replace(seen.objects[0], photo=None)._repr_html_()
    with pytest.raises(DeepInsideError, match="knows its photo"):
        bare.figure()


def test_text_has_no_arrays(seen):
    assert repr(seen).startswith("Explanation of ")
    assert repr(seen.objects[0]).startswith("Detection('")
    assert len(repr(seen).splitlines()) == 1 + len(seen.by_class)


def test_show_opens_a_viewer_or_displays_in_a_notebook(seen, monkeypatch):
    opened, displayed = [], []
    monkeypatch.setattr(Image.Image, "show", lambda image: opened.append(image.size))
    monkeypatch.delitem(sys.modules, "IPython", raising=False)
    seen.show()
    assert opened == [rendered(seen.figure()).size]
    shell = SimpleNamespace(kernel=object())
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    monkeypatch.setitem(sys.modules, "IPython.display", SimpleNamespace(display=displayed.append))
    seen.show()
    assert displayed == [seen]
    assert len(opened) == 1


def test_showing_writes_no_files(seen, tmp_path, monkeypatch):
    empty = tmp_path / "empty"
    empty.mkdir()
    monkeypatch.chdir(empty)
    before = sorted(os.listdir(tmp_path))
    seen._repr_html_(), seen.figure(), seen.overlay(), seen.to_dict(), repr(seen)
    assert os.listdir(empty) == []
    assert sorted(os.listdir(tmp_path)) == before


def test_conversions_are_methods(seen, photo):
    assert json.loads(json.dumps(seen.to_dict()))["path"] == str(photo)
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    assert isinstance(seen.to_frame(), pandas.DataFrame)
    assert (seen.to_frame()["path"] == str(photo)).all()


def test_ipython_shows_the_page(seen):
    formatters = pytest.importorskip("IPython.core.formatters", reason="IPython is not installed")
    shown, _ = formatters.DisplayFormatter().format(seen)
    assert set(shown) == {"text/plain", "text/html"}
    assert shown["text/html"] == seen._repr_html_()


def test_heavy_libraries_are_imported_where_they_are_used():
    tree = ast.parse(Path(results.__file__).read_text())
    modules = [each.module for each in tree.body if isinstance(each, ast.ImportFrom)]
    assert "deepinside.core.results" in modules
    assert not [name for name in modules if not name.startswith(("__future__", "dataclasses", "typing", "PIL"))
                and name not in ("deepinside.core", "deepinside.core.errors", "deepinside.core.results",
                                 "deepinside.explanations.originals")]  # fmt: skip


def test_a_photo_in_memory_is_kept(colors, photo):
    pixels = np.asarray(Image.open(photo))
    (outcome,) = explain_each(colors, [pixels], top=1)
    assert outcome.path is None
    for each in (outcome.explanation, explain(colors, pixels, top=1)):
        np.testing.assert_array_equal(each.overlay(0), pixels)
        assert each.to_dict()["path"] == "photo"
