"""Pictures in files: what they say of themselves, and runs that are interrupted and resumed."""

from dataclasses import replace
from importlib.metadata import version

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from deepinside import Classifier, DeepInsideError
from deepinside.class_images.ascent import class_image
from deepinside.class_images.drawn import Drawn, Provenance, Settings, read_drawn
from deepinside.class_images.gallery import (
    FIGURE_1,
    Gallery,
    Sheet,
    chosen,
    draw_facets,
    every_class,
    figure_1,
    final_scores,
)
from deepinside.class_images.objectives import CHUNK
from deepinside.class_images.picture_files import read_facts, write_picture
from deepinside.class_images.references import best_photos
from deepinside.core.escape import terminal
from deepinside.core.images import read
from deepinside.core.labels import Labels
from deepinside.core.progress import Progress
from deepinside.gradients.targets import Neuron
from helpers import noise_photos

NAMES = [f"kind {number}" for number in range(CHUNK + 3)]
QUICK = Settings(steps=2, seed=5)


@pytest.fixture
def classifier():
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, len(NAMES))
    )
    return Classifier(network.eval(), labels=NAMES, size=(10, 12), name="small")


@pytest.fixture
def photos(tmp_path):
    return noise_photos(tmp_path, 3)


def run(classifier, targets, folder, settings=QUICK, **how):
    return pictures(Gallery(classifier, folder, settings, **how).draw(targets))


def pictures(events):
    return [event for event in events if isinstance(event, Drawn)]


def test_a_picture_says_how_it_was_made(classifier, tmp_path):
    drawn, neuron = run(classifier, [3, Neuron("model.0", 2)], tmp_path)
    assert drawn.path == tmp_path / "0003-kind-3.png"
    pixels = torch.from_numpy(np.array(read(drawn.path).image)).permute(2, 0, 1)[None].float() / 255
    score = classifier.network(pixels)[0, 3].item()
    assert drawn.score == pytest.approx(score, abs=1e-4)
    weights, by = classifier.digest(), version("deepinside")
    assert drawn.provenance == Provenance("small", "canonical", 2, 5, False, (10, 12), weights, by)
    assert (drawn.name, drawn.index) == ("kind 3", 3)
    facts = read_facts(drawn.path)
    assert facts.pop("score") == f"{drawn.score:.4f}"
    assert facts == {
        "class": "kind 3", "index": "3", "wnid": "", "model": "small", "preset": "canonical", "steps": "2", "seed": "5",
        "ascended": "score", "size": "12 x 10", "weights": weights, "version": by,
    }  # fmt: skip
    assert read_drawn(drawn.path) == drawn
    made = class_image(classifier.network, 3, size=(10, 12), steps=2, seed=5)
    torch.testing.assert_close(pixels, made, atol=0.51 / 255, rtol=0)
    assert neuron.path == tmp_path / "model-0-2.png"
    assert (neuron.name, neuron.index, neuron.wnid) == ("model.0:2", None, None)
    assert read_drawn(neuron.path) == neuron


@pytest.mark.parametrize("spoil", [
    lambda path, whole: path.write_bytes(b""),
    lambda path, whole: path.write_bytes(whole[: len(whole) // 2]),
    lambda path, whole: write_picture(torch.rand(3, 8, 8), path, {}),
    lambda path, whole: write_picture(torch.rand(3, 8, 8), path, read_facts(path) | {"steps": "many"}),
    lambda path, whole: write_picture(torch.rand(3, 8, 8), path, read_facts(path) | {"steps": "9" * 5000}),
    lambda path, whole: write_picture(torch.rand(3, 8, 8), path, read_facts(path) | {"score": "nan"}),
    lambda path, whole: write_picture(torch.rand(3, 8, 8), path, read_facts(path) | {"size": "10"}),
    lambda path, whole: write_picture(torch.rand(3, 8, 8), path, read_facts(path) | {"index": "[1]"}),
    lambda path, whole: path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"),
    lambda path, whole: path.unlink(),
])  # fmt: skip
def test_a_file_that_does_not_say_how_it_was_made_is_none_of_ours(classifier, tmp_path, spoil):
    (drawn,) = run(classifier, [0], tmp_path)
    spoil(drawn.path, drawn.path.read_bytes())
    assert read_drawn(drawn.path) is None
    (again,) = run(classifier, [0], tmp_path, resume=True)
    assert again == drawn


def test_score_of_a_neuron_is_read_at_its_layer(classifier):
    image = torch.rand(1, 3, 10, 12).mul(255).round() / 255
    expected = classifier.network.model[0](image)[0, 1].mean()
    (score,) = final_scores(classifier, [Neuron("model.0", 1, at="mean")], image)
    assert score == pytest.approx(expected.item(), abs=1e-5)


def test_progress_goes_up_to_the_end(classifier, tmp_path):
    events = list(Gallery(classifier, tmp_path, QUICK).draw(list(range(CHUNK + 3))))
    told = [event.done if isinstance(event, Progress) else "picture" for event in events]
    assert told == [1, 2, 2, *["picture"] * CHUNK, 3, 4, 4, *["picture"] * 3]
    assert {event.total for event in events if isinstance(event, Progress)} == {4}


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
    assert read_drawn(old.path).provenance.seed == 6


def test_resume_does_not_take_pictures_of_other_weights_under_the_same_name(classifier, tmp_path):
    (old,) = run(classifier, [0], tmp_path)
    before = old.path.read_bytes()
    (kept,) = run(classifier, [0], tmp_path, resume=True)
    assert kept == old
    with torch.no_grad():
        classifier.network.model[0].weight[2] *= -1.5
    (new,) = run(classifier, [0], tmp_path, resume=True)
    assert new.path.read_bytes() != before
    assert new.provenance.weights == classifier.digest() != old.provenance.weights
    fresh = tmp_path / "fresh"
    run(classifier, [0], fresh)
    assert new.path.read_bytes() == (fresh / new.path.name).read_bytes()


def test_resume_does_not_take_pictures_of_another_name_or_version(classifier, tmp_path, monkeypatch):
    run(classifier, [0], tmp_path)
    (tmp_path / "0000-kind-0.png").replace(tmp_path / "0001-kind-1.png")
    (drawn,) = run(classifier, [1], tmp_path, resume=True)
    assert (drawn.name, read_drawn(drawn.path).name) == ("kind 1", "kind 1")
    monkeypatch.setattr("deepinside.class_images.drawn.version", lambda _: "99.0")
    (again,) = run(classifier, [1], tmp_path, resume=True)
    assert again.provenance.version == "99.0"


def test_resume_makes_an_animation_that_is_missing(classifier, tmp_path):
    (drawn,) = run(classifier, [0], tmp_path)
    before = drawn.path.read_bytes()
    assert run(classifier, [0], tmp_path, resume=True, animate="gif") == [drawn]
    assert (tmp_path / "0000-kind-0.gif").is_file()
    assert drawn.path.read_bytes() == before


@pytest.mark.parametrize("count", range(1, CHUNK + 3))
def test_a_run_that_is_stopped_after_any_picture_ends_with_the_same_bits(classifier, tmp_path, count):
    everything = list(range(CHUNK + 3))
    whole = run(classifier, everything, tmp_path / "whole")
    run(classifier, everything, tmp_path / "cut")
    for drawn in whole[count:]:
        (tmp_path / "cut" / drawn.path.name).unlink()
    run(classifier, everything, tmp_path / "cut", resume=True)
    content = [{path.name: path.read_bytes() for path in (tmp_path / name).iterdir()} for name in ("whole", "cut")]
    assert content[0] == content[1]


def test_targets_whose_files_would_have_one_name_are_refused(classifier, tmp_path):
    classifier.network.model.add_module("a_1", nn.Identity())
    classifier.network.model.add_module("a-1", nn.Identity())
    with pytest.raises(DeepInsideError, match=r"files of their own, got model.a_1:2 and model.a-1:2"):
        run(classifier, [Neuron("model.a_1", 2), Neuron("model.a-1", 2)], tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written_is_told_before_the_first_step(classifier, tmp_path, monkeypatch):
    monkeypatch.setattr("deepinside.class_images.gallery.ascend", lambda *_, **__: pytest.fail("too late"))
    (tmp_path / "file").write_text("")
    with pytest.raises(DeepInsideError, match="expected a folder to write into"):
        run(classifier, [0], tmp_path / "file")


def test_what_a_killed_run_left_is_cleared(classifier, tmp_path):
    left = tmp_path / ".0004-kind-4.png.0123456789abcdef.deepinside.part"
    left.write_bytes(b"half a picture")
    run(classifier, [0], tmp_path)
    assert not left.exists()


@pytest.mark.parametrize(
    "label", ["<script>", "\x1b[31mred", "nul\x00l", "lone \udce9 \ud800", "two\nlines", "x" * 5000]
)
def test_hostile_labels_are_kept_in_the_picture_and_found_again(tmp_path, label):
    network = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 2))
    classifier = Classifier(network, labels=Labels(((label,), ("b",))), size=(8, 8), name="m")
    (drawn,) = run(classifier, [0], tmp_path, animate="webp")
    assert drawn.name == terminal(label)
    assert read_drawn(drawn.path) == drawn
    assert run(classifier, [0], tmp_path, resume=True) == [drawn]


def test_animation_shows_the_ascent_and_ends_with_the_picture(classifier, tmp_path):
    run(classifier, [0], tmp_path, Settings(preset="paper", steps=9), animate="webp")
    with Image.open(tmp_path / "0000-kind-0.webp") as animation:
        assert animation.n_frames == 3  # after steps 1, 5 and 9


def test_the_sheet_comes_last_and_nothing_is_printed(classifier, tmp_path, capfd):
    *_, last = draw_facets(Gallery(classifier, tmp_path, QUICK), [1, 0])
    assert isinstance(last, Sheet)
    assert last.path == tmp_path / "class-images.png"
    assert [drawn.name for drawn in last.pictures] == ["kind 1", "kind 0"]
    assert read(last.path).width > 2 * 224
    assert capfd.readouterr() == ("", "")


def test_facets_are_pictures_from_other_seeds_side_by_side(classifier, tmp_path):
    events = list(draw_facets(Gallery(classifier, tmp_path, QUICK), [1, 0], facets=2))
    drawn = events[-1].pictures
    assert set(pictures(events)) == set(drawn)
    progress = [event for event in events if isinstance(event, Progress)]
    assert [(event.done, event.total) for event in progress] == [(1, 4), (2, 4), (2, 4), (3, 4), (4, 4), (4, 4)]
    assert (progress[0].what, progress[-1].what) == ("0 of 4 pictures", "2 of 4 pictures")
    names = ["0001-kind-1-seed-5", "0001-kind-1-seed-6", "0000-kind-0-seed-5", "0000-kind-0-seed-6"]
    assert [picture.path.stem for picture in drawn] == names
    assert [picture.provenance.seed for picture in drawn] == [5, 6, 5, 6]
    assert drawn[0].path.read_bytes() != drawn[1].path.read_bytes()


def test_a_gallery_has_every_class(classifier, tmp_path):
    drawn = run(classifier, chosen(classifier, [], every=True), tmp_path)
    assert [picture.name for picture in drawn] == NAMES


@pytest.mark.parametrize(("targets", "every", "message"), [
    ([], False, "expected the names of classes"),
    ([1], True, "got both"),
])  # fmt: skip
def test_targets_that_make_no_gallery_are_named(classifier, targets, every, message):
    with pytest.raises(DeepInsideError, match=message):
        chosen(classifier, targets, every)


@pytest.mark.parametrize(("how", "message"), [
    ({"animate": "mp4"}, "expected an animation as gif or webp"),
    ({"settings": Settings("papre")}, "did you mean paper"),
    ({"settings": Settings(steps=0)}, "at least one step"),
])  # fmt: skip
def test_mistakes_are_named_before_anything_is_drawn(classifier, tmp_path, how, message):
    with pytest.raises(DeepInsideError, match=message):
        Gallery(classifier, tmp_path, **how)


def test_figure_1_is_in_imagenet(lite0):
    assert [lite0.labels.name(index) for index in figure_1(lite0)] == list(FIGURE_1)


def test_classes_without_names_have_no_gallery():
    with pytest.raises(DeepInsideError, match="--labels"):
        every_class(Classifier(nn.Identity(), name="nameless"))


@pytest.mark.parametrize("channels", [1, 5])
def test_networks_of_other_channels_have_pictures_in_gray_or_of_the_first_three(tmp_path, channels):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(channels, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    classifier = Classifier(network, size=12, mean=[0.5] * channels, std=[0.25] * channels)
    *_, drawn = run(classifier, [2], tmp_path, Settings(steps=3))
    made = class_image(classifier, 2, steps=3)[0]
    expected = (made[:3] if channels == 5 else made.expand(3, -1, -1)).permute(1, 2, 0).numpy() * 255
    assert np.abs(read(drawn.path).pixels - expected).max() <= 0.51


def test_pictures_are_drawn_to_the_photos_with_the_highest_scores(classifier, photos, tmp_path):
    settings = replace(QUICK, like=tuple(photos))
    targets = list(range(CHUNK + 1))  # two batches, the second of one picture
    drawn = run(classifier, targets, tmp_path / "like", settings)
    alone = class_image(classifier, targets, steps=2, seed=5, like=photos)
    for row, (picture, best) in enumerate(zip(drawn, best_photos(classifier, targets, photos), strict=True)):
        assert list(picture.like) == best
        shown = torch.from_numpy(np.array(read(picture.path).image)).permute(2, 0, 1) / 255
        torch.testing.assert_close(shown, alone[row], atol=0.51 / 255, rtol=0)
    (without,) = run(classifier, [0], tmp_path / "plain")
    assert read(without.path).pixels.tobytes() != read(drawn[0].path).pixels.tobytes()
    assert without.like == ()


def test_resume_takes_pictures_of_the_same_photos_only(classifier, photos, tmp_path):
    settings = replace(QUICK, like=tuple(photos))
    (first,) = run(classifier, [0], tmp_path, settings)
    time = first.path.stat().st_mtime_ns
    (again,) = run(classifier, [0], tmp_path, settings, resume=True)
    assert (again, first.path.stat().st_mtime_ns) == (first, time)
    Image.new("RGB", (9, 9), "red").save(photos[0])
    (other,) = run(classifier, [0], tmp_path, settings, resume=True)
    assert other.provenance != first.provenance
    (plain,) = run(classifier, [0], tmp_path, QUICK, resume=True)
    assert (plain.provenance.like, read_facts(plain.path).get("like")) == ("", None)


def test_a_sheet_shows_the_photos_beside_each_picture(classifier, photos, tmp_path):
    Image.new("RGB", (30, 30), "red").save(photos[0])
    settings = replace(QUICK, like=tuple(photos[:2]))
    *_, last = draw_facets(Gallery(classifier, tmp_path, settings), [1, 0])
    with Image.open(last.path) as sheet:
        cell = sheet.width // 3
        colors = [sheet.convert("RGB").getpixel((x * cell + cell // 2, cell // 2)) for x in (1, 2)]
    assert (255, 0, 0) in colors, "the picture and two photos a row"


def test_what_several_networks_do_not_share_is_told_before_the_first_step(classifier, tmp_path):
    same, other = (Classifier(nn.Identity(), labels=names, name="other") for names in (NAMES, NAMES[::-1]))
    with pytest.raises(DeepInsideError, match="a neuron or a score is that of one"):
        run(classifier, [1, Neuron("model.0", 2)], tmp_path / "a", others=(same,))
    with pytest.raises(DeepInsideError, match="other has others"):
        run(classifier, [1], tmp_path / "b", others=(other,))
    assert list(tmp_path.iterdir()) == []


def test_several_networks_make_a_picture_together(classifier, tmp_path):
    torch.manual_seed(1)
    other = Classifier(
        nn.Sequential(nn.Flatten(), nn.Linear(360, len(NAMES))), labels=NAMES, size=(10, 12), name="dense"
    )
    (drawn,) = run(classifier, [2], tmp_path, others=(other,))
    assert drawn.provenance.model == "small + dense"
    assert drawn.provenance.weights == f"{classifier.digest()} + {other.digest()}"
    made = class_image([classifier, other], 2, steps=2, seed=5)
    shown = torch.from_numpy(np.array(read(drawn.path).image)).permute(2, 0, 1)[None] / 255
    torch.testing.assert_close(shown, made, atol=0.51 / 255, rtol=0)
    assert run(classifier, [2], tmp_path, others=(other,), resume=True) == [drawn]
    assert read(run(classifier, [2], tmp_path, resume=True)[0].path).pixels.tobytes() != shown.numpy().tobytes()
