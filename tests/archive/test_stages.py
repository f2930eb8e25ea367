"""The stages of a run: which classes are looked for, and what an answer says."""

import torch
from PIL import Image

from deepinside.archive.stages import Asked, answers_here
from deepinside.archive.wanted import Wanted
from deepinside.explanations.presets import localizer_of


def asked(least=0.1, top=0):
    return Asked(localizer_of("best"), most=None, least=least, top=top)


def test_the_classes_to_look_for(colors):
    logits = torch.log(torch.tensor([0.6, 0.05, 0.35]))
    assert asked().choice(colors, ())(logits) == [0, 2]
    assert asked(least=0.5).choice(colors, ())(logits) == [0]
    assert asked(least=0.9).choice(colors, ())(logits) == [0], "the likeliest stands for what the photo shows"
    assert asked(least=0.9, top=2).choice(colors, ())(logits) == [0, 2]
    assert asked(top=5).choice(colors, ())(logits) == [0, 2, 1]
    assert asked().choice(colors, (1,))(logits) == [1]
    assert asked(top=1).choice(colors, (1,))(logits) == [1, 0]


def test_an_answer_has_its_error_and_its_notes(colors, tmp_path):
    Image.new("RGB", (8, 6), "red").save(tmp_path / "a.png")
    Image.new("I;16", (8, 6), 40_000).save(tmp_path / "deep.png")
    photos = [Wanted.named(tmp_path / name, tmp_path / name) for name in ("deep.png", "missing.png")]
    deep, missing = answers_here(colors, photos, asked())
    assert (deep.path, missing.path) == (photos[0].path, photos[1].path)
    assert "no such file" in missing.error
    assert missing.notes == ()
