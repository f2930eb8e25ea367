"""Files that are complete or absent, and whose metadata can be read back."""

import os

import numpy as np
import pytest
import torch
from PIL import Image

from deepinside import DeepInsideError
from deepinside.class_images.picture_files import read_facts, write_animation, write_picture
from deepinside.core.images import read

FACTS = {"class": "Pekinese, 北京犬", "score": "12.3400", "seed": "0"}


@pytest.fixture
def image():
    return torch.rand(3, 10, 12, generator=torch.Generator().manual_seed(0))


def test_picture_and_facts_come_back(image, tmp_path):
    path = write_picture(image, tmp_path / "new" / "0154-pekinese.png", FACTS)
    assert read_facts(path) == FACTS
    bytes_ = read(path).pixels
    np.testing.assert_array_equal(bytes_, (image.permute(1, 2, 0).numpy() * 255).round().astype(np.uint8))
    assert list(path.parent.iterdir()) == [path], "no temporary file is left"


def test_a_write_that_fails_leaves_what_was_there(image, tmp_path):
    path = write_picture(image, tmp_path / "a.png", FACTS)
    before = path.read_bytes()
    with pytest.raises(DeepInsideError, match=r"\[0, 1\]"):
        write_picture(image + 5, path, FACTS)
    assert path.read_bytes() == before


def test_a_place_that_cannot_be_written_is_named(image, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DeepInsideError, match="expected a place to write"):
        write_picture(image, tmp_path / "file" / "a.png", FACTS)


def test_a_file_that_is_no_complete_picture_has_no_facts(image, tmp_path):
    path = write_picture(image, tmp_path / "a.png", FACTS)
    whole = path.read_bytes()
    for kept in (0, 50, len(whole) // 2):
        path.write_bytes(whole[:kept])
        assert read_facts(path) == {}
    assert read_facts(tmp_path) == read_facts(tmp_path / "none.png") == {}


@pytest.mark.parametrize("kind", ["gif", "webp"])
def test_animation_runs_through_the_frames(tmp_path, kind):
    frames = [torch.full((3, 8, 8), level) for level in (0.0, 0.5, 1.0)]
    with Image.open(write_animation(frames, tmp_path / f"a.{kind}")) as animation:
        assert animation.n_frames == 3
        levels = []
        for number in range(3):
            animation.seek(number)
            levels.append(np.asarray(animation.convert("RGB")).mean())
    assert levels == pytest.approx([0, 128, 255], abs=3)


@pytest.mark.parametrize("content", [
    b"", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", b"GIF89a", b"\x89PNG\r\n\x1a\n" + b"\xff" * 99,
])  # fmt: skip
def test_what_is_no_picture_of_ours_has_no_facts(tmp_path, content):
    (tmp_path / "a.png").write_bytes(content)
    assert read_facts(tmp_path / "a.png") == {}


def test_pipes_folders_and_bombs_keep_nobody_waiting(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "folder.png").mkdir()
    Image.new("1", (20_000, 20_000)).save(tmp_path / "bomb.png")
    assert [read_facts(tmp_path / f"{name}.png") for name in ("pipe", "folder", "bomb")] == [{}, {}, {}]


@pytest.mark.parametrize("level", [0.1, 0.5, 0.9])
def test_bytes_are_rounded_as_the_scores_are(tmp_path, level):
    image = torch.full((3, 4, 4), level)
    path = write_picture(image, tmp_path / "a.png", {})
    assert np.asarray(Image.open(path)).flatten().tolist() == (image * 255).round().flatten().tolist()
