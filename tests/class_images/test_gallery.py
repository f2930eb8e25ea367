"""Pictures in files: what they say of themselves, and a run that goes on where it was stopped."""

import re

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from deepinside import Classifier, DeepInsideError
from deepinside.class_images.ascent import CHUNK, Ascent, class_image
from deepinside.class_images.gallery import (
    FIGURE_1,
    Settings,
    class_images_command,
    draw,
    every_class,
    figure_1,
    final_scores,
    stem,
)
from deepinside.class_images.picture_files import read_facts
from deepinside.core.images import read
from deepinside.core.labels import Labels
from deepinside.gradients.targets import Neuron

NAMES = [f"kind {number}" for number in range(CHUNK + 3)]
QUICK = Settings(steps=2, seed=5)


@pytest.fixture
def classifier():
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, len(NAMES))
    )
    return Classifier(network.eval(), labels=NAMES, size=(10, 12), name="small")


def run(classifier, targets, folder, settings=QUICK, **how):
    return [drawn for progress in draw(classifier, targets, folder, settings, **how) for drawn in progress.drawn]


def test_a_picture_says_how_it_was_made(classifier, tmp_path):
    drawn, neuron = run(classifier, [3, Neuron("model.0", 2)], tmp_path)
    assert drawn.path == tmp_path / "0003-kind-3.png"
    pixels = torch.from_numpy(np.array(read(drawn.path).image)).permute(2, 0, 1)[None].float() / 255
    score = classifier.network(pixels)[0, 3].item()
    facts = dict(drawn.facts)
    assert float(facts.pop("score")) == pytest.approx(score, abs=1e-4)
    assert facts == {
        "class": "kind 3", "index": "3", "wnid": "", "model": "small", "preset": "canonical", "steps": "2", "seed": "5",
        "ascended": "score", "size": "12 x 10",
    }  # fmt: skip
    assert read_facts(drawn.path) == drawn.facts
    made = class_image(classifier.network, 3, size=(10, 12), steps=2, seed=5)
    torch.testing.assert_close(pixels, made, atol=0.51 / 255, rtol=0)
    assert neuron.path == tmp_path / "model-0-2.png"
    assert neuron.facts["class"] == "model.0:2"


def test_score_of_a_neuron_is_read_at_its_layer(classifier):
    image = torch.rand(1, 3, 10, 12).mul(255).round() / 255
    expected = classifier.network.model[0](image)[0, 1].mean()
    (score,) = final_scores(classifier, [Neuron("model.0", 1, at="mean")], image)
    assert score == pytest.approx(expected.item(), abs=1e-5)


def test_progress_goes_up_to_the_end(classifier, tmp_path):
    went = list(draw(classifier, list(range(CHUNK + 3)), tmp_path, QUICK))
    assert [progress.step for progress in went] == [1, 2, 2, 3, 4, 4]
    assert {progress.steps for progress in went} == {4}
    assert [len(progress.drawn) for progress in went] == [0, 0, CHUNK, 0, 0, 3]


def test_resume_makes_what_is_missing_and_nothing_else(classifier, tmp_path):
    everything = list(range(CHUNK + 3))
    whole = {drawn.path: drawn.path.read_bytes() for drawn in run(classifier, everything, tmp_path)}
    times = {path: path.stat().st_mtime_ns for path in whole}
    (tmp_path / "0001-kind-1.png").unlink()
    (tmp_path / "0002-kind-2.png").write_bytes(whole[tmp_path / "0002-kind-2.png"][:60])  # as a full disk leaves it
    (tmp_path / ".0004-kind-4.png.part").write_bytes(b"half a picture, as kill -9 leaves it")
    again = run(classifier, everything, tmp_path, resume=True)
    assert {drawn.path: drawn.path.read_bytes() for drawn in again} == whole, "the same pictures, bit by bit"
    new = {path.name for path, time in times.items() if path.stat().st_mtime_ns != time}
    assert new == {"0001-kind-1.png", "0002-kind-2.png"}


def test_resume_does_not_take_pictures_of_other_settings(classifier, tmp_path):
    (old,) = run(classifier, [0], tmp_path)
    before = old.path.read_bytes()
    run(classifier, [0], tmp_path, Settings(steps=2, seed=6), resume=True)
    assert old.path.read_bytes() != before
    assert read_facts(old.path)["seed"] == "6"


def test_animation_shows_the_ascent_and_ends_with_the_picture(classifier, tmp_path):
    run(classifier, [0], tmp_path, Settings(preset="paper", steps=9), animate="webp")
    with Image.open(tmp_path / "0000-kind-0.webp") as animation:
        assert animation.n_frames == 3  # after steps 1, 5 and 9


def test_command_prints_each_picture_and_lays_out_the_sheet(classifier, tmp_path, capsys):
    class_images_command(classifier, [1, 0], tmp_path, QUICK)
    out, err = capsys.readouterr()
    assert err == ""
    lines = out.splitlines()
    assert re.fullmatch(rf" +-?\d+\.\d{{4}}  kind 1 +-> {re.escape(str(tmp_path))}/0001-kind-1.png", lines[0])
    assert lines[-1] == f"  -> {tmp_path / 'class-images.png'}"
    assert read(tmp_path / "class-images.png").width > 2 * 224


def test_facets_are_pictures_from_other_seeds_side_by_side(classifier, tmp_path):
    drawn = class_images_command(classifier, [1, 0], tmp_path, QUICK, facets=2)
    names = ["0001-kind-1-seed-5", "0001-kind-1-seed-6", "0000-kind-0-seed-5", "0000-kind-0-seed-6"]
    assert [picture.path.stem for picture in drawn] == names
    assert [picture.facts["seed"] for picture in drawn] == ["5", "6", "5", "6"]
    assert drawn[0].path.read_bytes() != drawn[1].path.read_bytes()


def test_gallery_draws_every_class(classifier, tmp_path):
    drawn = class_images_command(classifier, [], tmp_path, QUICK, gallery=True)
    assert [picture.name for picture in drawn] == NAMES


class Peaks(nn.Module):
    """Class 0 to 3 like red; class 4 likes it, too, but a bright start traps it on a small bump."""

    def __init__(self):
        super().__init__()
        self.anchor = nn.Parameter(torch.zeros(1))

    def forward(self, images):
        red = images[:, 0].mean((1, 2))
        return torch.stack([10 * red] * 4 + [red], dim=1)


def test_a_stuck_picture_gets_one_other_start_and_the_better_one_stays(tmp_path, monkeypatch):
    classifier = Classifier(Peaks(), labels=[f"kind {k}" for k in range(5)], size=(8, 8), name="peaks")
    seeds = []

    def ascents(of, part, settings):
        seeds.append((list(part), settings.seed))
        brightness = 0.5 if settings.seed == QUICK.seed else best
        yield Ascent(1, 1, torch.zeros(len(part)), torch.full((len(part), 3, 8, 8), brightness), done=True)

    monkeypatch.setattr("deepinside.class_images.gallery._ascents", ascents)
    for best, expected in ((0.9, 0.9), (0.2, 0.5)):
        seeds.clear()
        folder = tmp_path / str(best)
        run(classifier, range(5), folder, restart=True)
        assert seeds == [([0, 1, 2, 3, 4], QUICK.seed), ([4], QUICK.seed + 1)]
        facts = read_facts(folder / "0004-kind-4.png")
        assert facts["starts"] == "2"
        assert float(facts["score"]) == pytest.approx(expected, abs=0.01)
        assert np.asarray(read(folder / "0004-kind-4.png").image).max() == round(255 * expected)
        run(classifier, range(5), folder, restart=True, resume=True)
        assert len(seeds) == 2, "an earlier run tried already"


def test_a_picture_drawn_again_is_told_and_keeps_its_place(tmp_path, monkeypatch, capsys):
    classifier = Classifier(Peaks(), labels=[f"kind {k}" for k in range(5)], size=(8, 8), name="peaks")

    def ascents(of, part, settings):
        images = torch.full((len(part), 3, 8, 8), 0.5 + 0.4 * (settings.seed != QUICK.seed))
        yield Ascent(1, 1, torch.zeros(len(part)), images, done=True)

    monkeypatch.setattr("deepinside.class_images.gallery._ascents", ascents)
    drawn = class_images_command(classifier, [], tmp_path, QUICK, gallery=True)
    assert [picture.name for picture in drawn] == [f"kind {k}" for k in range(5)]
    assert float(drawn[4].facts["score"]) == pytest.approx(0.9, abs=0.01)
    assert capsys.readouterr().out.count("kind 4") == 2


def test_a_recipe_without_chance_is_not_started_again(tmp_path, monkeypatch):
    classifier = Classifier(Peaks(), labels=[f"kind {k}" for k in range(5)], size=(8, 8), name="peaks")
    monkeypatch.setattr("deepinside.class_images.gallery._start_again", None)
    assert len(run(classifier, range(5), tmp_path, Settings("paper", steps=1), restart=True)) == 5


@pytest.mark.parametrize(("targets", "how", "message"), [
    ([], {}, "expected the names of classes"),
    ([1], {"gallery": True}, "got both"),
    ([1], {"animate": "mp4"}, "expected an animation as gif or webp"),
])  # fmt: skip
def test_mistakes_are_named(classifier, tmp_path, targets, how, message):
    with pytest.raises(DeepInsideError, match=message):
        class_images_command(classifier, targets, tmp_path, QUICK, **how)


def test_figure_1_is_in_imagenet(lite0):
    assert [lite0.labels.name(index) for index in figure_1(lite0)] == list(FIGURE_1)


def test_classes_without_names_have_no_gallery():
    with pytest.raises(DeepInsideError, match="--labels"):
        every_class(Classifier(nn.Identity(), name="nameless"))


def test_stems_are_safe_file_names():
    classifier = Classifier(nn.Identity(), labels=Labels.of(["jack-o'-lantern", "..", "Café/bar"]))
    assert [stem(classifier, index) for index in range(3)] == ["0000-jack-o-lantern", "0001", "0002-caf-bar"]
