"""Who recognizes the pictures: ranks and intervals by hand, methods side by side, figures in JSON."""

import json

import pytest
from PIL import Image
from rich.console import Console

from deepinside import Classifier, DeepInsideError
from deepinside.class_images.drawn import Settings, read_drawn
from deepinside.core.progress import Progress
from deepinside.evaluation.appearance import Appearance, appearance_table
from deepinside.evaluation.recognition import (
    Recognition,
    as_json,
    by_family,
    check_methods,
    classes_of_all,
    family,
    judged,
    recognition,
    recognize,
    spread,
    table,
    wilson,
    write_json,
)
from helpers import TONES, Tones, painter


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
    row = recognition("canonical", "lite1", "EfficientNet", [0, 0, 1, 4, 5, 900])
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
    assert spread(40, 1000, first=7) == list(range(7, 1000, 25))
    assert spread(3, 10, first=2) == [2, 5, 8]
    for wrong in (0, 4):
        with pytest.raises(DeepInsideError, match="between 1 and 3"):
            spread(wrong, 3)
    for wrong in (-1, 25):
        with pytest.raises(DeepInsideError, match="first class from 0 to 24"):
            spread(40, 1000, first=wrong)


def test_methods_that_cannot_run_are_told(monkeypatch):
    monkeypatch.setattr("deepinside.evaluation.recognition.find_spec", lambda name: None)
    methods, notes = check_methods(["canonical", "lucent"])
    assert methods == ["canonical"]
    assert "deepinside[lucent]" in notes[0]
    with pytest.raises(DeepInsideError, match="did you mean lucent"):
        check_methods(["lucid"])


def test_lucent_has_one_maker_only():
    methods, (note,) = check_methods(["paper", "lucent"], one_maker=False)
    assert methods == ["paper"]
    assert "one network only" in note
    assert check_methods(["paper"], one_maker=False) == (["paper"], [])


def test_makers_of_one_picture_are_judged_as_themselves(tmp_path):
    makers = [painter(), painter("second", 5)]
    judges = [painter("judge", 7), painter("second", 5)]  # of which one is a maker, and judges once
    events = list(judged(makers, judges, ["canonical"], [0], Settings(steps=2), tmp_path))
    rows = [event for event in events if isinstance(event, Recognition)]
    assert [row.judge for row in rows] == ["painter", "second", "judge"]
    assert [read_drawn(path).provenance.model for path in (tmp_path / "canonical").glob("*.png")] == [
        "painter + second"
    ]
    assert "vit.py:make and b, 1 classes" in str(table(["a/long/way/vit.py:make", "b"], rows).title)
    shown = table(["painter", "second"], rows)
    assert "painter and second" in str(shown.title)
    assert list(map(str, shown.columns[1].cells))[1:] == ["painter (itself)", "second (itself)", "judge"]


def test_each_method_is_judged_by_model_and_judge(tmp_path, capfd):
    settings, folder = Settings(steps=100), tmp_path / "pictures"
    events = list(judged([painter()], [painter("judge", 5)], ["canonical", "paper"], [0, 2, 4], settings, folder))
    assert capfd.readouterr() == ("", "")
    rows = [event for event in events if isinstance(event, Recognition)]
    assert [(row.method, row.judge) for row in rows] == [
        ("canonical", "painter"), ("canonical", "judge"), ("paper", "painter"), ("paper", "judge"),
    ]  # fmt: skip
    # Red, blue and light are plain to see for every network of the kind.
    assert all(row.top1.value == 1 for row in rows)
    assert list(dict.fromkeys(event.what for event in events if isinstance(event, Progress))) == ["canonical", "paper"]
    cells = [str(cell) for column in table(["painter"], rows).columns for cell in column.cells]
    assert cells.count("painter (itself)") == 2
    looks = [event for event in events if isinstance(event, Appearance)]
    assert [(each.of, each.n) for each in looks] == [("canonical", 3), ("paper", 3)]
    shown = [str(cell) for column in appearance_table(looks).columns for cell in column.cells]
    assert f"{looks[1].grain:.3f}" in shown
    figures = json.loads(write_json(["painter"], rows, looks, tmp_path / "figures.json").read_text())
    assert figures["classes"] == 3
    assert figures["methods"]["canonical"]["judge"]["top1"] == 1
    for method in ("canonical", "paper"):
        made = [read_drawn(path).provenance for path in (folder / method).glob("*.png")]
        assert [(each.preset, each.steps) for each in made] == [(method, 100)] * 3


def test_pictures_of_an_earlier_run_are_used(tmp_path):
    arguments = ([painter()], [], ["canonical"], [0, 3], Settings(steps=3), tmp_path)
    first = list(judged(*arguments))
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "canonical").iterdir()}
    again = list(judged(*arguments))
    assert times == {path: path.stat().st_mtime_ns for path in (tmp_path / "canonical").iterdir()}
    assert again[-2:] == first[-2:]


def test_without_a_folder_nothing_is_kept(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert isinstance(list(judged([painter()], [], ["paper"], [0], Settings(steps=1)))[-1], Appearance)
    assert list(tmp_path.iterdir()) == []


class Shades(Tones):
    """Another family, which computes the same."""


def test_judges_stand_by_family_the_models_own_first():
    model, near, far = painter("model"), painter("near"), Classifier(Shades(), labels=TONES, size=6, name="far")
    assert [family(each) for each in (model, far)] == ["Tones", "Shades"]
    assert [each.name for each in by_family([model, far, near])] == ["model", "near", "far"]
    assert [each.name for each in by_family([far, near, model])] == ["far", "near", "model"]
    assert family(Classifier(Shades(), frozen=True)) == "Shades"


def test_judges_with_other_classes_are_refused():
    other = Classifier(Tones(), labels=[*TONES[1:], "red"], name="other")
    with pytest.raises(DeepInsideError, match="other has others"):
        classes_of_all(painter(), [other])
    with pytest.raises(DeepInsideError, match="class names"):
        classes_of_all(Classifier(Tones(), name="bare"), [])
    assert classes_of_all(painter(), [painter("judge", 5)]) == 6


def test_the_table_fits_80_columns_and_shows_every_figure(capsys):
    names = [("lite0", "EfficientNet"), ("a/long/way/to/vit_tiny.py:make", "VisionTransformer")]
    rows = [Recognition(method, *name, 200, wilson(200, 200), wilson(33, 200)) for method in "ab" for name in names]
    Console(width=80).print(table(["lite0"], rows))
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    assert sum("100.0 (98 to 100)   16.5 (12 to 22)" in line for line in lines) == 4
    assert sum("VisionTransformer   vit_tiny.py:make " in line for line in lines) == 2


def test_json_keeps_intervals():
    rows = [Recognition("paper", "lite1", "EfficientNet", 10, wilson(0, 10), wilson(1, 10))]
    told = as_json(["lite0"], rows, [Appearance("photos", 4, 0.25, 0.5, 0.125)])
    assert told["appearance"] == {"photos": {"n": 4, "grain": 0.25, "contrast": 0.5, "colorfulness": 0.125}}
    figures = told["methods"]["paper"]["lite1"]
    assert (figures["top1"], figures["family"]) == (0, "EfficientNet")
    assert figures["top5_interval"] == [pytest.approx(wilson(1, 10).low), pytest.approx(wilson(1, 10).high)]
