"""Who recognizes the pictures: ranks and intervals by hand, methods side by side, figures in JSON."""

import json

import pytest
import torch
from PIL import Image
from torch import nn

from deepinside import Classifier, DeepInsideError
from deepinside.class_images.gallery import Settings, read_drawn
from deepinside.core.progress import Progress
from deepinside.evaluation.recognition import (
    Recognition,
    as_json,
    check_methods,
    classes_of_all,
    judged,
    recognition,
    recognize,
    spread,
    table,
    wilson,
    write_json,
)

NAMES = ["red", "green", "blue", "dark", "light", "grey"]


class Colors(nn.Module):
    """Logits are how much the mean color stands out, and how dark, light and grey the picture is."""

    def forward(self, images):
        means = images.mean(dim=(2, 3))
        level = means.mean(1, keepdim=True)
        return torch.cat([means - level, 0.45 - level, level - 0.55, 0.1 - means.std(1, keepdim=True)], dim=1)


def painter(name="painter", size=6):
    return Classifier(Colors(), labels=NAMES, size=size, name=name)


def test_recognize_ranks_the_pictures_class_at_the_judges_size(tmp_path):
    Image.new("RGB", (9, 7), (255, 0, 0)).save(tmp_path / "red.png")
    # Red: logits 0.67, -0.33, -0.33, 0.12, -0.22, -0.48.
    ranks = recognize(painter(size=(4, 5)), [tmp_path / "red.png"] * 3, [0, 3, 5])
    assert ranks == [0, 1, 5]


def test_judge_with_fewer_classes_is_an_error(tmp_path):
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
    with pytest.raises(DeepInsideError, match="painter has 6"):
        recognize(painter(), [tmp_path / "a.png"], [6])


def test_recognition_counts_ranks():
    row = recognition("canonical", "lite1", [0, 0, 1, 4, 5, 900])
    assert (row.n, row.top1.value, row.top5.value) == (6, 2 / 6, 4 / 6)
    assert row.top1.low < 2 / 6 < row.top1.high


@pytest.mark.parametrize(("hits", "n", "low", "high"), [
    (0, 20, 0.0, 0.161125),
    (20, 20, 0.838875, 1.0),
    (15, 20, 0.531299, 0.888138),
    (170, 200, 0.793902, 0.892815),
])  # fmt: skip
def test_wilson_solves_its_own_equation(hits, n, low, high):
    """The ends are the shares p whose distance from hits / n is 1.96 standard errors of p."""
    figure = wilson(hits, n)
    assert (figure.low, figure.high) == pytest.approx((low, high), abs=2e-4)
    for end in (figure.low, figure.high):
        assert abs(hits / n - end) == pytest.approx(1.959964 * (end * (1 - end) / n) ** 0.5, abs=1e-9)


def test_spread_is_even_and_bounded():
    assert spread(200, 1000) == list(range(0, 1000, 5))
    assert spread(3, 3) == [0, 1, 2]
    for wrong in (0, 4):
        with pytest.raises(DeepInsideError, match="between 1 and 3"):
            spread(wrong, 3)


def test_methods_that_cannot_run_are_told(monkeypatch):
    monkeypatch.setattr("deepinside.evaluation.recognition.find_spec", lambda name: None)
    methods, notes = check_methods(["canonical", "lucent"])
    assert methods == ["canonical"]
    assert "deepinside[lucent]" in notes[0]
    with pytest.raises(DeepInsideError, match="did you mean lucent"):
        check_methods(["lucid"])


def test_each_method_is_judged_by_model_and_judge(tmp_path, capfd):
    settings, folder = Settings(steps=100), tmp_path / "pictures"
    events = list(judged(painter(), [painter("judge", 5)], ["canonical", "paper"], [0, 2, 4], settings, folder))
    assert capfd.readouterr() == ("", "")
    rows = [event for event in events if isinstance(event, Recognition)]
    assert [(row.method, row.judge) for row in rows] == [
        ("canonical", "painter"), ("canonical", "judge"), ("paper", "painter"), ("paper", "judge"),
    ]  # fmt: skip
    # Red, blue and light are plain to see for every network of the kind.
    assert all(row.top1.value == 1 for row in rows)
    assert list(dict.fromkeys(event.what for event in events if isinstance(event, Progress))) == ["canonical", "paper"]
    cells = [str(cell) for column in table("painter", rows).columns for cell in column.cells]
    assert cells.count("painter (itself)") == 2
    figures = json.loads(write_json("painter", rows, tmp_path / "figures.json").read_text())
    assert figures["classes"] == 3
    assert figures["methods"]["canonical"]["judge"]["top1"] == 1
    for method in ("canonical", "paper"):
        made = [read_drawn(path).provenance for path in (folder / method).glob("*.png")]
        assert [(each.preset, each.steps) for each in made] == [(method, 100)] * 3


def test_pictures_of_an_earlier_run_are_used(tmp_path):
    arguments = (painter(), [], ["canonical"], [0, 3], Settings(steps=3), tmp_path)
    first = list(judged(*arguments))
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "canonical").iterdir()}
    again = list(judged(*arguments))
    assert times == {path: path.stat().st_mtime_ns for path in (tmp_path / "canonical").iterdir()}
    assert again[-1] == first[-1]


def test_without_a_folder_nothing_is_kept(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert isinstance(list(judged(painter(), [], ["paper"], [0], Settings(steps=1)))[-1], Recognition)
    assert list(tmp_path.iterdir()) == []


def test_judges_with_other_classes_are_refused():
    other = Classifier(Colors(), labels=[*NAMES[1:], "red"], name="other")
    with pytest.raises(DeepInsideError, match="other has others"):
        classes_of_all(painter(), [other])
    with pytest.raises(DeepInsideError, match="class names"):
        classes_of_all(Classifier(Colors(), name="bare"), [])
    assert classes_of_all(painter(), [painter("judge", 5)]) == 6


def test_lucents_pictures_say_how_they_were_made_and_are_kept(tmp_path, monkeypatch):
    """With Lucent replaced, since what it draws is not the question here."""
    asked = []

    def images(model, classes, steps, seed):
        asked.append((list(classes), steps, seed))
        return torch.full((len(classes), 3, 6, 6), 0.5)

    monkeypatch.setattr("deepinside.evaluation.recognition.lucent_images", images)
    for _ in range(2):
        list(judged(painter(), [], ["lucent"], [0, 3], Settings(steps=4, seed=1), tmp_path))
    assert asked == [([0, 3], 4, 1)], "the second run keeps the pictures of the first"
    drawn = read_drawn(tmp_path / "lucent" / "0003-dark.png")
    assert (drawn.name, drawn.index, drawn.provenance.preset, drawn.provenance.seed) == ("dark", 3, "lucent", 1)
    assert drawn.score == pytest.approx(0.45 - 128 / 255, abs=1e-4)


def test_lucent_draws_on_a_copy_with_its_own_randomness(tmp_path):
    pytest.importorskip("lucent")
    from deepinside.evaluation.recognition import lucent_images

    model = painter(size=24)
    state = torch.get_rng_state()
    first, again = (lucent_images(model, [0, 2], steps=2, seed=1) for _ in range(2))
    assert torch.equal(first, again)
    assert torch.equal(torch.get_rng_state(), state)
    assert first.shape == (2, 3, 24, 24)
    assert not any(module._forward_hooks for module in model.network.modules())


def test_json_keeps_intervals():
    rows = [Recognition("paper", "lite1", 10, wilson(0, 10), wilson(1, 10))]
    figures = as_json("lite0", rows)["methods"]["paper"]["lite1"]
    assert figures["top1"] == 0
    assert figures["top5_interval"] == [pytest.approx(wilson(1, 10).low), pytest.approx(wilson(1, 10).high)]
