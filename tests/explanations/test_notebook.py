"""What notebooks show, read back by Python's parser, and its pictures, beside the panels of the sheets."""

import sys
from base64 import b64decode
from dataclasses import replace
from functools import partial
from html.parser import HTMLParser
from io import BytesIO
from types import SimpleNamespace

import numpy as np
import pytest
from matplotlib import colormaps
from matplotlib.axes import Axes
from PIL import Image

from deepinside.core.geometry import Frame
from deepinside.core.images import Photo
from deepinside.core.results import Detection, Explanation, Prediction, Segmentation
from deepinside.explanations import notebook
from deepinside.explanations.panels import brightest, maps_of, show_map, show_outlines
from deepinside.explanations.sheets import PANEL

HOSTILE = '<script>alert("x")</script>'
WHOLE = Frame.whole(480, 320, width=12, height=8)
NOISE = np.random.default_rng(0).integers(0, 256, (320, 480, 3), dtype=np.uint8)
SMOOTH = np.stack([*np.mgrid[:320, :480] / 2, np.full((320, 480), 90)], axis=2).astype(np.uint8)
PHOTO = Photo(Image.fromarray(SMOOTH), "tom.jpg")


def detection(index=281, label="tabby", row=2, with_boxes=True):
    mask = np.zeros((8, 12), bool)
    mask[row : row + 2, 3:9] = True
    map = np.random.default_rng(index).random((8, 12), dtype=np.float32)
    found = Segmentation(WHOLE, mask, mask, ~mask, 0.0, confidence=0.5) if with_boxes else None
    return Detection(index, label, None, 9.0, 0.75, WHOLE, map, found)


def explanation(*objects, **more):
    return Explanation("tom.jpg", 480, 320, "lite0", "best", objects, **more)


class Page(HTMLParser):
    """The tags in order, the words of the page, and its pictures with their alternative texts."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.words, self.pictures, self.open = [], [], {}, []
        self.feed(page)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        values = dict(attributes)
        if tag == "img":
            self.pictures[values["alt"]] = Image.open(BytesIO(b64decode(values["src"].partition("base64,")[2])))
            return
        self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


def test_a_page_has_every_class_object_and_prediction():
    predictions = (Prediction(281, "tabby", 9.0, 0.75), Prediction(5, "lynx <&>", 5.0, 0.125))
    seen = explanation(detection(), detection(row=5), detection(7, HOSTILE), predictions=predictions)
    page = Page(notebook.explanation_html(seen, PHOTO))
    assert page.words.count("tabby") == page.words.count(HOSTILE) == page.words.count("lynx <&>") == 1
    assert page.words.count("75.0%") == 2
    assert "12.5%" in page.words
    assert [each for each in page.words if each.startswith("confidence")] == [
        "confidence 50.0%, box 120 80 360 160",
        "confidence 50.0%, box 120 200 360 280",
        "confidence 50.0%, box 120 80 360 160",
    ]
    assert list(page.pictures) == [
        "tom.jpg with outline and box of 2 objects of the class tabby",
        "saliency map of the class tabby in tom.jpg",
        f"tom.jpg with outline and box of 1 object of the class {HOSTILE}",
        f"saliency map of the class {HOSTILE} in tom.jpg",
    ]
    assert "script" not in page.tags
    assert page.tags.count("details") == 2


def test_pictures_are_those_of_the_panels():
    objects = [detection(), detection(row=5)]
    page = Page(notebook.explanation_html(explanation(*objects), PHOTO))
    draws = (partial(show_outlines, objects=objects), partial(show_map, maps=maps_of(objects)))
    for shown, draw in zip(page.pictures.values(), draws, strict=True):
        drawn = notebook.panel(draw, SMOOTH)
        assert shown.size == drawn.size == (480, 320)
        assert np.abs(np.asarray(shown, float) - np.asarray(drawn, float)).mean() < 2, "but for JPEG"


def test_a_panel_has_the_pixels_of_what_it_draws():
    drawn = np.asarray(notebook.panel(Axes.imshow, NOISE), int)
    assert np.abs(drawn - NOISE).max() <= 1
    seen = detection()
    map = seen.saliency
    expected = colormaps["inferno"](np.clip(map / brightest(map), 0, 1))[..., :3] * 255
    drawn = np.asarray(notebook.panel(partial(show_map, maps=maps_of([seen])), NOISE), float)
    assert np.abs(drawn - expected).max() <= 4, "of 256 colors, the next one"
    outlined = np.asarray(notebook.panel(partial(show_outlines, objects=[seen]), NOISE), int)
    changed = np.nonzero(np.abs(outlined - NOISE).max(axis=2) > 1)
    assert (changed[0].min(), changed[0].max(), changed[1].min(), changed[1].max()) == pytest.approx(
        (80, 160, 120, 360), abs=5
    )
    assert not (set(range(100, 140)) & set(changed[0][np.abs(changed[1] - 240) < 100])), "the middle is the photo"


@pytest.mark.parametrize("size", [(29, 7), (480, 231), (1, 480), (300, 200)])
def test_a_panel_is_as_large_as_those_of_sheets(size):
    drawn = notebook.panel(Axes.imshow, np.full((size[1], size[0], 3), 77, np.uint8))
    scale = PANEL / max(size)
    assert drawn.size == tuple(round(side * scale) for side in size)
    assert (np.asarray(drawn) == 77).all(), "no margins"


def test_without_the_photo_outlines_are_on_gray_and_the_reason_is_told(tmp_path):
    page = Page(notebook.explanation_html(explanation(detection()), tmp_path / "gone<b>.jpg"))
    assert any("gone<b>.jpg" in word for word in page.words)
    assert "b" not in page.tags
    picture = np.asarray(next(iter(page.pictures.values())), int)
    assert np.abs(picture[:40] - notebook.ABSENT).max() <= 3
    assert "without its photo" in Page(notebook.detection_html(detection(), None)).words


def test_saliency_alone_is_beside_the_photo():
    page = Page(notebook.explanation_html(explanation(detection(with_boxes=False)), PHOTO))
    assert "photo" in page.words
    photo, _ = page.pictures.values()
    assert np.abs(np.asarray(photo, float) - SMOOTH).mean() < 2
    assert not [each for each in page.words if "box" in each]


def test_a_detection_shows_its_own_box():
    page = Page(notebook.detection_html(detection(label=HOSTILE), PHOTO))
    assert page.words.count(HOSTILE) == 1
    assert "confidence 50.0%, box 120 80 360 160" in page.words
    assert len(page.pictures) == 2


def test_many_classes_and_objects_do_not_fill_the_notebook(monkeypatch):
    monkeypatch.setattr(notebook, "_pictures", lambda *_: "<img>")
    one = detection()
    objects = [same for index in range(30) for same in [replace(one, index=index)] * 15]
    text = notebook.explanation_html(explanation(*objects), PHOTO)
    assert text.count("<img>") == notebook.MOST_TOLD
    assert "and 10 more classes" in text
    assert text.count("and 5 more objects") == notebook.MOST_TOLD


def test_a_notebook_is_what_has_a_kernel(monkeypatch):
    monkeypatch.delitem(sys.modules, "IPython", raising=False)
    assert not notebook.in_notebook()
    for shell, expected in ((None, False), (object(), False), (SimpleNamespace(kernel=1), True)):
        monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda shell=shell: shell))
        assert notebook.in_notebook() is expected
