"""What a picture says of itself, and that its file brings it back."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from deepinside import Classifier, DeepInsideError
from deepinside.class_images.drawn import Drawn, Provenance, Settings, read_drawn, stem
from deepinside.class_images.picture_files import write_picture
from deepinside.core.labels import Labels


@pytest.mark.parametrize("drawn", [
    Drawn(Path("a.png"), "北京犬", -12.3401, Provenance("m", "paper", 9, -3, True, (7, 9)), 154, "n02086079"),
    Drawn(Path("a.png"), "x", 2.5, Provenance("m", "p", 9, 3, True, (7, 9), "12ab", "0.1", "34cd")),
    Drawn(Path("a.png"), "conv:3@1,2", 0.0, Provenance("timm:x", "canonical", 150, 0, False, (224, 448))),
])  # fmt: skip
def test_values_survive_their_file(tmp_path, drawn):
    there = replace(drawn, path=tmp_path / drawn.path)
    write_picture(torch.rand(3, 7, 9), there.path, there.facts)
    assert read_drawn(there.path) == there


def test_the_same_photos_under_other_names_are_the_same(tmp_path):
    classifier = Classifier(nn.Sequential(nn.Flatten(), nn.Linear(192, 2)), size=8)
    pixels = np.random.default_rng(0).integers(0, 255, (2, 8, 8, 3), dtype=np.uint8)
    for name, row in (("a", 0), ("b", 0), ("c", 1)):
        Image.fromarray(pixels[row]).save(tmp_path / f"{name}.png")

    def made(*names):
        return Provenance.of([classifier], Settings(like=tuple(tmp_path / f"{name}.png" for name in names)))

    assert made("a", "c") == made("b", "c")
    assert len({made().like, made("a").like, made("c").like, made("a", "c").like, made("c", "a").like}) == 5
    with pytest.raises(DeepInsideError, match="nowhere"):
        made("nowhere")


def test_stems_are_safe_file_names():
    classifier = Classifier(nn.Identity(), labels=Labels.of(["jack-o'-lantern", "..", "Café/bar"]))
    assert [stem(classifier, index) for index in range(3)] == ["0000-jack-o-lantern", "0001", "0002-caf-bar"]


def test_a_picture_shows_itself_and_says_how_it_was_made(tmp_path):
    made = Provenance("lite0", "paper", 9, 3, True, (7, 9))
    drawn = Drawn(tmp_path / "a.png", "<b>tabby", 2.5, made)
    about = "score 2.50, lite0, preset paper, 9 steps, seed 3, 9 x 7 pixels"
    assert repr(drawn) == f"Drawn('<b>tabby', {about}, '{tmp_path}/a.png')"
    assert "expected" in drawn._repr_html_()
    assert "<img" not in drawn._repr_html_()
    write_picture(torch.rand(3, 7, 9), drawn.path, drawn.facts)
    shown = drawn._repr_html_()
    assert about in shown
    assert "<b>" not in shown
    assert 'alt="class image of &lt;b&gt;tabby"' in shown
