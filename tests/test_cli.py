"""The command as a user types it: what it prints, where it writes, and how it ends."""

import io
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from helpers import square
from third_localizer import Bright


def test_localize_prints_classes_and_boxes_and_draws_a_sheet(deepinside, photos, tmp_path):
    status, out, _ = deepinside("localize", photos / "coffee.jpg", "--top", 2, "--out", tmp_path)
    assert status == 0
    lines = out.splitlines()
    assert lines[0].endswith("coffee.jpg  600 x 400")
    assert "espresso" in lines[1]
    assert "box" in lines[1]
    assert lines[-1] == f"  -> {tmp_path / 'coffee.localize.png'}"
    sheet = np.asarray(Image.open(tmp_path / "coffee.localize.png").convert("RGB"))
    assert sheet.shape[1] > 1000
    assert len(np.unique(sheet.reshape(-1, 3), axis=0)) > 5000, "a picture, not a blank page"


def test_json_is_one_object_a_photo_and_the_run_goes_on(deepinside, photos, tmp_path):
    (tmp_path / "broken.jpg").write_bytes((photos / "cat.jpg").read_bytes()[:5000])
    status, out, _ = deepinside("localize", tmp_path / "broken.jpg", photos / "cat.jpg", "--target", "tabby", "--json")
    failed, found = (json.loads(line) for line in out.splitlines())
    assert status == 1
    assert failed.keys() == {"path", "error"}
    assert "truncated" in failed["error"]
    assert found.keys() == {"path", "width", "height", "objects"}
    assert (found["width"], found["height"]) == (451, 300)
    tabby, *_ = found["objects"]
    assert tabby.keys() == {"index", "label", "probability", "confidence", "box"}
    assert 0 <= tabby["confidence"] <= 1
    assert (tabby["index"], tabby["label"]) == (281, "tabby")
    x0, y0, x1, y1 = tabby["box"]
    assert 0 <= x0 < x1 <= 451
    assert 0 <= y0 < y1 <= 300
    assert list(tmp_path.iterdir()) == [tmp_path / "broken.jpg"], "no pictures unless asked for"


def test_of_several_objects_of_a_class_all_or_the_surest_are_told(deepinside, small, tmp_path, monkeypatch):
    monkeypatch.setattr("deepinside.explanations.presets.PRESETS", {"best": Bright()})
    square(tmp_path / "a.png")
    objects = {}
    for wanted in ("all", "one"):
        arguments = ("localize", tmp_path / "a.png", "--target", "red", "--objects", wanted, "--out", tmp_path)
        status, out, _ = deepinside(*arguments)
        assert status == 0
        objects[wanted] = [line.split("box")[1] for line in out.splitlines() if "box" in line]
        found = json.loads(deepinside(*arguments, "--json")[1])["objects"]
        assert [" ".join(f"{corner:>5}" for corner in each["box"]) for each in found] == [
            line.strip("\n")[1:] for line in objects[wanted]
        ]
    assert objects["all"][:1] == objects["one"]
    assert len(objects["all"]) == 2
    assert {path.name for path in tmp_path.iterdir()} == {
        "a.png",
        "a.localize-red.png",
        "a.localize-one-object-red.png",
    }


@pytest.mark.parametrize("command", ["localize", "compare"])
def test_an_unknown_choice_of_objects_is_told_before_anything_is_loaded(deepinside, tmp_path, monkeypatch, command):
    monkeypatch.setattr("deepinside.networks.sources.load", lambda *arguments, **options: pytest.fail("it loads"))
    square(tmp_path / "a.png")
    status, out, err = deepinside(command, tmp_path / "a.png", "--objects", "al")
    assert (status, out) == (2, "")
    assert "expected a choice of objects (one, all), got 'al'; did you mean all" in err


def test_export_writes_each_format_beside_the_sheets(deepinside, photos, tmp_path):
    arguments = ("localize", photos / "cat.jpg", "--top", 1, "--export", "coco", "--export", "voc", "--json")
    status, out, _ = deepinside(*arguments, "--out", tmp_path)
    assert status == 0
    annotation = json.loads((tmp_path / "coco" / "annotations.json").read_text())["annotations"][0]
    x0, y0, x1, y1 = json.loads(out)["objects"][0]["box"]
    assert annotation["bbox"] == [x0, y0, x1 - x0, y1 - y0]
    assert len(list((tmp_path / "voc").rglob("*.xml"))) == 1
    status, _, err = deepinside(*arguments, "--out", tmp_path)
    assert status == 2, "labels that somebody may have corrected are not written over"
    assert str(tmp_path / "coco") in err


def test_folder_keeps_its_shape_below_out(deepinside, tmp_path):
    for name in ("a/x.png", "b/x.png"):
        (tmp_path / "in" / name).parent.mkdir(parents=True)
        Image.new("RGB", (40, 30), "red").save(tmp_path / "in" / name)
    status, _, _ = deepinside("localize", tmp_path / "in", "--top", 1, "--out", tmp_path / "out")
    assert status == 0
    assert (tmp_path / "out" / "a" / "x.localize.png").is_file()
    assert (tmp_path / "out" / "b" / "x.localize.png").is_file()


def test_several_photos_are_shown_on_one_page_and_its_path_comes_last(deepinside, tmp_path):
    (tmp_path / "in").mkdir()
    for name in ("localize.png", "overview.png", "broken.png"):
        square(tmp_path / "in" / name)
    (tmp_path / "in" / "broken.png").write_bytes(b"")
    before = (tmp_path / "in" / "localize.png").read_bytes()
    names = {"localize.localize.png", "overview.localize.png", "localize.overview.png"}
    status, out, _ = deepinside("localize", tmp_path / "in", "--top", 1, "--out", tmp_path / "in")
    assert status == 1, "for the broken one"
    assert out.splitlines()[-1] == f"  -> {tmp_path / 'in' / 'localize.overview.png'}"
    assert {path.name for path in (tmp_path / "in").iterdir()} == names | {"localize.png", "overview.png", "broken.png"}
    assert (tmp_path / "in" / "localize.png").read_bytes() == before


def test_one_photo_needs_no_page(deepinside, tmp_path):
    square(tmp_path / "a.png")
    _, out, _ = deepinside("localize", tmp_path / "a.png", "--top", 1, "--out", tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a.localize.png"]
    _, out, _ = deepinside("localize", tmp_path / "a.png", tmp_path / "a.png", "--json")
    assert all(json.loads(line) for line in out.splitlines()), "no path among lines of JSON"


def test_photos_are_never_overwritten(deepinside, photos, tmp_path):
    before = (photos / "cat.jpg").read_bytes()
    (tmp_path / "cat.png").write_bytes(before)
    deepinside("saliency", tmp_path / "cat.png", "--out", tmp_path)
    assert (tmp_path / "cat.png").read_bytes() == before


def test_saliency_writes_a_sheet_and_a_map_of_the_photos_size(deepinside, photos, tmp_path):
    status, out, _ = deepinside("saliency", photos / "cat.jpg", "--target", "lynx", "--out", tmp_path)
    assert status == 0
    assert "lynx" in out
    with Image.open(tmp_path / "cat.map-lynx.png") as map:
        assert (map.size, map.mode) == ((451, 300), "L")
        assert np.asarray(map).max() == 255
    assert (tmp_path / "cat.saliency-lynx.png").is_file()


def test_runs_that_differ_write_different_files(deepinside, small, tmp_path):
    square(tmp_path / "a.png")
    runs = [("--top", 2), ("--layer", "features"), ("--preset", "best"), ("--target", 1), ("--neuron", "features:2")]
    runs += [("--preset", "smoothgrad"), ("--preset", "gradcam"), ("--preset", "gradcam", "--layer", "features")]
    names = ["", "-features", "-best", "-green", "-features-2", "-smoothgrad", "-gradcam", "-gradcam-features"]
    for run in runs:
        assert deepinside("saliency", tmp_path / "a.png", *run, "--out", tmp_path / "out")[0] == 0
    expected = {f"a.{kind}{name}.png" for name in names for kind in ("map", "saliency")} | {"a.map-2.png"}
    assert {path.name for path in (tmp_path / "out").iterdir()} == expected


def test_constants_are_changed_and_are_in_the_names_of_files(deepinside, small, colors, tmp_path):
    import deepinside as di
    from deepinside.explanations.presets import with_constants

    square(tmp_path / "a.png")
    given = ("--set", "foreground_quantile=.6", "--set", "cut.smoothness=2", "--target", "red")
    status, told, _ = deepinside(
        "localize", tmp_path / "a.png", "--preset", "paper", *given, "--json", "--out", tmp_path / "out"
    )
    assert status == 0
    localizer = with_constants("paper", {"foreground_quantile": 0.6, "cut.smoothness": 2})
    expected = di.explain(colors, tmp_path / "a.png", "red", preset=localizer)
    assert json.loads(told)["objects"] == expected.to_dict()["objects"]
    deepinside("saliency", tmp_path / "a.png", "--set", "rule=gradient", "--out", tmp_path / "out")
    deepinside("saliency", tmp_path / "a.png", "--set", "enlarge=2", "--out", tmp_path / "out")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "a.localize-paper-foreground_quantile-0.6-cut.smoothness-2.0-red.png",
        *("a.map.png", "a.saliency.png"),  # a constant that is as it was is no choice
        *("a.map-enlarge-2.0.png", "a.saliency-enlarge-2.0.png"),
    }


def test_evaluate_prints_the_table_and_writes_json(deepinside, photos, tmp_path, monkeypatch):
    (tmp_path / "coffee.jpg").write_bytes((photos / "coffee.jpg").read_bytes())
    (tmp_path / "boxes.csv").write_text("image,label,x0,y0,x1,y1\ncoffee.jpg,espresso,80,15,480,385\n")
    monkeypatch.chdir(tmp_path)  # images already judged are kept below the folder where one is
    status, out, _ = deepinside("evaluate", tmp_path, "--preset", "best,paper", "--json", tmp_path / "out.json")
    assert status == 0
    assert not Path("deepinside-out").exists(), "nothing is left of what was kept for an interrupted run"
    assert "best" in out
    methods = json.loads((tmp_path / "out.json").read_text())["methods"]
    assert {"best", "paper", "center_box", "whole_image"} <= methods.keys()
    assert methods["best"]["top5_error"] == 0
    assert methods["whole_image"]["mean_iou"] == pytest.approx(400 * 370 / (600 * 400))


def test_class_image_draws_the_classes_and_neurons_asked_for(deepinside, tmp_path):
    arguments = ("lemon", "n02085620", "--neuron", "blocks.2.0:3", "--steps", 2, "--animate", "gif")
    status, out, err = deepinside("class-image", *arguments, "--out", tmp_path)
    assert (status, err) == (0, "")
    assert re.fullmatch(
        rf" +\d+\.\d{{4}}  lemon {{27}} -> {re.escape(str(tmp_path))}/0951-lemon.png", out.splitlines()[0]
    )
    assert out.splitlines()[-1] == f"  -> {tmp_path / 'class-images.png'}"
    assert [line.split()[1] for line in out.splitlines()[:2]] == ["lemon", "Chihuahua"]
    names = ["0151-chihuahua", "0951-lemon", "blocks-2-0-3"]
    expected = {f"{name}.{kind}" for name in names for kind in ("gif", "png")} | {"class-images.png"}
    assert {path.name for path in tmp_path.iterdir()} == expected
    with Image.open(tmp_path / "0951-lemon.png") as lemon:
        assert lemon.size == (224, 224)
        assert (lemon.text["class"], lemon.text["model"], lemon.text["steps"]) == ("lemon", "lite0", "2")


def test_class_image_is_like_photos_and_by_several_networks(deepinside, photos, tmp_path):
    arguments = ("Egyptian cat", "--like", photos, "--with", "lite1", "--steps", 2, "--out", tmp_path)
    status, _, err = deepinside("class-image", *arguments)
    assert (status, err) == (0, "")
    with Image.open(tmp_path / "0285-egyptian-cat.png") as cat:
        assert cat.text["model"] == "lite0 + lite1"
        assert re.fullmatch("[0-9a-f]{16}", cat.text["like"])
    with Image.open(tmp_path / "class-images.png") as sheet:
        assert sheet.width > 2 * 224, "a photo stands beside the picture"


def test_evaluate_class_images_prints_the_tables_and_writes_json(deepinside, photos, tmp_path):
    arguments = ("--classes", 2, "--steps", 1, "--preset", "paper", "--photos", photos, "--json", tmp_path / "out.json")
    status, out, err = deepinside("evaluate-class-images", *arguments)
    assert (status, err) == (0, "")
    assert "lite0 (itself)" in out
    figures = json.loads((tmp_path / "out.json").read_text())
    paper, looks = figures["methods"]["paper"], figures["appearance"]
    assert paper.keys() == {"lite0", "lite1"}
    assert paper["lite1"].keys() == {"family", "top1", "top1_interval", "top5", "top5_interval"}
    assert looks.keys() == {"paper", "photos"}
    assert looks["photos"]["contrast"] > looks["paper"]["contrast"], "after one step, it is nearly gray"


def test_photos_that_are_not_there_are_told_before_the_first_image(deepinside, small, tmp_path):
    status, out, err = deepinside("evaluate-class-images", "--classes", 2, "--photos", tmp_path / "none")
    assert (status, out) == (2, "")
    assert "none: " in err


def test_models_lists_what_load_takes(deepinside):
    status, out, _ = deepinside("models")
    assert status == 0
    assert [line.split()[0] for line in out.splitlines()] == [
        "lite0", "lite1", "lite2", "timm:NAME", "torchvision:NAME", "hf:ID", "RUN", "FILE.py:NAME",
    ]  # fmt: skip


def test_train_prints_a_line_an_epoch_and_its_run_is_a_model(deepinside, tmp_path):
    for name, color in (("ant", "red"), ("bee", "blue")):
        for i in range(4):
            path = tmp_path / "data" / name / f"{i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (40 + i, 40), color).save(path)
    run = tmp_path / "run"
    options = ("--recipe", "modern", "--size", 32, "--hidden-units", 8, "--epochs", 2, "--batch", 2, "--device", "cpu")
    status, out, err = deepinside("train", tmp_path / "data", "--out", run, *options)
    assert (status, err) == (0, "")
    lines = out.splitlines()
    assert lines[0] == "2 classes, 6 training and 2 validation pictures"
    assert [line.split()[1] for line in lines[1:3]] == ["1/2", "2/2"]
    assert lines[3].startswith("ten-crop test: top-1 ")
    status, out, _ = deepinside(
        "localize", tmp_path / "data" / "bee" / "0.png", "--model", run, "--target", "ant", "--json"
    )
    assert status == 0
    assert json.loads(out)["objects"][0]["label"] == "ant"
    status, out, _ = deepinside("train", tmp_path / "data", "--out", run, *options)
    assert status == 0
    assert out.splitlines()[1].startswith("continuing after epoch 2 of 2, from ")


def test_reproduce_prints_what_train_prints_and_the_figures(deepinside, monkeypatch, tmp_path):
    """With the work replaced: here it is what is printed that counts."""
    from deepinside.core.progress import Note, Progress
    from deepinside.evaluation.metrics import Estimate
    from deepinside.evaluation.results import Evaluation, Row
    from deepinside.networks.checkpoint import Checkpoint
    from deepinside.reproduction.reproduce import Report
    from deepinside.training.train import Epoch, Trained

    epoch = Epoch(1, 0.01, 2.5, 0.25, 0.5, 0.75, 123.4)
    trained = Trained(Checkpoint(tmp_path, {}), (epoch,), (0.6, 0.9), (), (), ())
    methods = {"paper": 0.45, "best": 0.4, "center_box": 0.5, "whole_image": 0.55}
    rows = {name: Row(name, None, None, {"top5_error": Estimate(value, 0.0, 1.0)}) for name, value in methods.items()}
    evaluation = Evaluation("run", 0, (), rows, ())
    asked = []

    def events(*arguments):
        asked.append(arguments)
        yield from (Note("2 classes"), Progress("epoch 1", 1, 1), epoch, trained, Note("examining the network"))
        yield Report(tmp_path / "report.html", trained, asked[0][3] and evaluation)

    monkeypatch.setattr("deepinside.reproduction.reproduce.reproduce", events)
    status, out, err = deepinside("reproduce", "ROOT", "--out", tmp_path, "--epochs", 1, "--limit", 9, "--workers", 0)
    assert (status, err) == (0, "")
    assert out.splitlines() == [
        "2 classes",
        "epoch   1/1  learning rate 1.00e-02  loss 2.5000  training top-1 25.0%  validation top-1 50.0%  top-5 75.0%  "
        "123 images/s",
        "ten-crop test: top-1 60.0%, top-5 90.0%",
        "examining the network",
        "top-1 error 50.0%, ten crops 40.0%; top-5 localization error: "
        "paper 45.0%, center_box 50.0%, whole_image 55.0%",
        f"  -> {tmp_path / 'report.html'}",
    ]
    assert (asked[0][3].judged, asked[0][4].workers) == (9, 0)


@pytest.mark.parametrize(("arguments", "message"), [
    (("train", "."), "expected pictures in one folder per class"),
    (("train", "none"), "none: expected a folder with training pictures"),
    (("train", ".", "--recipe", "papre"), "did you mean paper"),
    (("reproduce", ".", "--learning-rate", -1), "expected a positive number"),
    (("class-image", "lemon", "--device", "abacus"), "expected a device of this machine"),
    (("localize", "x.jpg", "--model", "lite7"), "did you mean lite"),
    (("localize", "x.jpg", "--target", "tabbi"), "did you mean tabby"),
    (("localize", "x.jpg", "--preset", "papre"), "did you mean paper"),
    (("localize", ".", "--export", "cocoo"), "found none"),
    (("class-image", "lemmon"), "did you mean lemon"),
    (("class-image", "lemon", "--preset", "papre"), "did you mean paper"),
    (("class-image", "--neuron", "blocks"), "LAYER:CHANNEL"),
    (("class-image", "lemon", "--neuron", "block:1", "--steps", "1"), "name of a layer"),
    (("class-image", "lemon", "--gallery"), "got both"),
    (("evaluate-class-images", "--preset", "lucid"), "did you mean lucent"),
    (("evaluate", ".", "--run", "none", "--preset", "paper"), "beside --run"),
    (("evaluate", ".", "--run", "none", "--model", "lite1"), "beside --run"),
    (("saliency", "."), "expected a folder with photos"),
    (("localize", "x.jpg", "--labels", "none.txt"), "none.txt"),
    (("localize", "x.jpg", "--set", "outline.smothness=40"), "did you mean outline.smoothness"),
    (("localize", "x.jpg", "--set", "outline.smoothness"), "expected --set NAME=VALUE"),
    (("localize", "x.jpg", "--set", "closer=1", "--set", "closer=2"), "expected --set closer once, got '1' and '2'"),
    (("saliency", "x.jpg", "--set", "rule=guidde"), "did you mean guided"),
    (("saliency", "x.jpg", "--set", "rule=guided", "--rule", "deconvnet"), "--rule or --set rule=..., got both"),
    (("saliency", "x.jpg", "--neuron", "blocks.2.0:1", "--set", "enlarge=2"), "give one of them"),
])  # fmt: skip
def test_mistakes_in_the_command_are_one_line_and_exit_2(deepinside, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    status, out, err = deepinside(*arguments)
    assert (status, out) == (2, "")
    assert len(err.splitlines()) == 1
    assert err.startswith("deepinside: ")
    assert message in err


def test_missing_photo_fails_that_photo(deepinside, tmp_path):
    status, out, err = deepinside("localize", tmp_path / "none.jpg")
    assert (status, out) == (1, "")
    assert err == f"deepinside: {tmp_path / 'none.jpg'}: expected a photo, found no such file\n"


def test_a_place_that_cannot_be_written_is_named(deepinside, photos, tmp_path):
    (tmp_path / "file").write_text("")
    status, _, err = deepinside("localize", photos / "cat.jpg", "--top", 1, "--out", tmp_path / "file")
    assert status == 2
    assert err == f"deepinside: {tmp_path / 'file'}: expected a folder to write into (File exists)\n"


@pytest.mark.parametrize("arguments", [
    ("localize", "x.jpg"), ("saliency", "x.jpg"), ("compare", "x.jpg"), ("exciting", "x.jpg", "--neuron", "a:1"),
    ("class-image", "lemon"), ("evaluate-class-images",), ("train", "."), ("reproduce", "."),
])  # fmt: skip
@pytest.mark.parametrize("folder", ["file", "file/below", "/dev/null/below"])
def test_where_nothing_can_be_written_is_told_before_the_work(deepinside, tmp_path, monkeypatch, arguments, folder):
    def too_late(*arguments, **options):
        pytest.fail("a network is loaded, or pictures are looked for")

    monkeypatch.setattr("deepinside.networks.sources.load", too_late)
    monkeypatch.setattr("deepinside.data.classes.read_classes", too_late, raising=False)
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("")
    status, out, err = deepinside(*arguments, "--out", folder)
    assert (status, out) == (2, "")
    assert err.startswith(f"deepinside: {folder}: expected a folder to write into (")
    assert err.count("\n") == 1


def test_help_loads_nothing_heavy():
    code = "import sys; from deepinside import cli; assert not {'torch', 'numpy', 'PIL'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_layers_lists_what_can_be_looked_at(deepinside):
    status, out, _ = deepinside("layers")
    assert status == 0
    lines = [line.split() for line in out.splitlines()]
    assert ["blocks.2.0.conv_pw", "Conv2d", "144", "x", "56", "x", "56", "grid", "56", "x", "56"] in lines
    assert lines[-1][0] == "classifier"


def test_saliency_of_a_neuron_under_a_rule(deepinside, photos, tmp_path):
    arguments = ("--neuron", "blocks.2.1:7", "--rule", "guided", "--out", tmp_path)
    status, out, _ = deepinside("saliency", photos / "cat.jpg", *arguments)
    assert status == 0
    assert "blocks.2.1:7" in out
    assert "rectifiers" in out
    with Image.open(tmp_path / "cat.map-blocks.2.1-7-guided.png") as map:
        assert map.size == (451, 300)
    status, _, error = deepinside("saliency", photos / "cat.jpg", "--target", "tabby", *arguments)
    assert (status, "give one of them" in error) == (2, True)


def test_saliency_at_a_layer_under_a_rule(deepinside, photos, tmp_path):
    plain, guided = tmp_path / "plain", tmp_path / "guided"
    assert deepinside("saliency", photos / "cat.jpg", "--layer", "blocks.2", "--out", plain)[0] == 0
    status, _, _ = deepinside(
        "saliency", photos / "cat.jpg", "--layer", "blocks.2", "--rule", "guided", "--out", guided
    )
    assert status == 0
    names = (plain / "cat.map-blocks.2.png", guided / "cat.map-blocks.2-guided.png")
    maps = [np.asarray(Image.open(name)) for name in names]
    assert not np.array_equal(*maps)
    status, _, error = deepinside("saliency", photos / "cat.jpg", "--layer", "blocks.2", "--preset", "best")
    assert (status, error.count("\n")) == (2, 1), "a mistake in the command, told before the first photo"
    assert "preset 'paper'" in error


def test_compare_draws_every_rule_and_preset(deepinside, photos, tmp_path):
    status, out, _ = deepinside("compare", photos / "cat.jpg", "--out", tmp_path)
    assert status == 0
    assert out.count("acted on 33 rectifiers") == 2
    sheet = np.asarray(Image.open(tmp_path / "cat.compare.png").convert("RGB"))
    assert len(np.unique(sheet.reshape(-1, 3), axis=0)) > 20000


def test_compare_takes_a_neuron_or_a_class(deepinside, photos, tmp_path):
    status, _, error = deepinside("compare", photos / "cat.jpg", "--target", "tabby", "--neuron", "blocks.2.1:7")
    assert (status, "give one of them" in error) == (2, True)
    assert deepinside("compare", photos / "cat.jpg", "--neuron", "blocks.2.1")[0] == 2, "a mistake in the command"
    assert deepinside("compare", photos / "cat.jpg", "--neuron", "blocks.2.1:7", "--out", tmp_path)[0] == 0
    assert (tmp_path / "cat.compare-blocks.2.1-7.png").stat().st_size > 10000


def test_compare_tells_why_this_class_and_not_that(deepinside, photos, tmp_path):
    two = ("--target", "missile", "--against", "crane (n03126707)")
    status, out, err = deepinside("compare", photos / "rocket.jpg", *two, "--out", tmp_path)
    assert (status, err) == (0, "")
    assert [line.split()[-1] for line in out.splitlines()[1:3]] == ["missile", "(n03126707)"]
    assert "missile against crane (n03126707): " in out
    assert [path.name for path in tmp_path.iterdir()] == ["rocket.compare-missile-crane-n03126707.png"]
    status, _, err = deepinside("compare", photos / "rocket.jpg", "--against", "missile", "--out", tmp_path)
    assert (status, "--target" in err) == (2, True)


def test_a_class_that_is_not_the_likeliest_is_compared_with_that_by_itself(deepinside, photos, tmp_path):
    status, out, err = deepinside("compare", photos / "rocket.jpg", "--target", "missile", "--out", tmp_path)
    assert (status, err) == (0, "")
    assert "drilling platform against missile: +" in out
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"rocket.compare-missile.png", "rocket.contrast-missile.png"}


def test_exciting_ranks_the_photos_of_a_folder(deepinside, photos, tmp_path):
    status, out, _ = deepinside("exciting", photos, "--neuron", "blocks.2.1:7", "--out", tmp_path)
    assert status == 0
    activations = [float(line.split()[0]) for line in out.splitlines() if ".jpg" in line]
    assert len(activations) == 4
    assert activations == sorted(activations, reverse=True)
    assert (tmp_path / "blocks.2.1-7.exciting.png").stat().st_size > 10000


# ---------------------------------------------------------------------------------------------------- names and streams

STRANGE = [b"caf\xe9.jpg", "\u67f4\u72ac.jpg".encode(), b"\x1b[31mred\nb.jpg"]


@pytest.fixture
def strange(tmp_path):
    """Photos whose names a terminal cannot or must not be sent, and one that comes after them."""
    folder = tmp_path / "in"
    folder.mkdir()
    for name in (*STRANGE, b"zebra.jpg"):
        try:
            with open(os.path.join(os.fsencode(folder), name), "wb") as file:
                square(file, format="JPEG")
        except OSError:
            pytest.skip("a file system that takes no such names")
    return folder


@pytest.mark.parametrize("encoding", ["utf-8", "cp1252"])
@pytest.mark.parametrize("command", [
    ("localize", "--top", 1), ("localize", "--top", 1, "--json"), ("saliency", "--preset", "best"), ("compare",),
    ("saliency", "--neuron", "features:1"), ("exciting", "--neuron", "features:1", "--rule", "gradient"),
])  # fmt: skip
def test_names_that_cannot_be_printed_do_not_end_the_run(
    deepinside, small, monkeypatch, strange, tmp_path, encoding, command
):
    (strange / "broken\x1b[2J.jpg").write_bytes(b"")
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="strict")
    monkeypatch.setattr(sys, "stdout", stream)
    name, *options = command
    status, _, err = deepinside(name, strange, *options, "--out", tmp_path / "out")
    raw = stream.buffer.getvalue()
    assert status == 1, err
    assert raw.decode(encoding).count("zebra.jpg") >= 1
    assert b"\x1b" not in raw
    assert "\x1b" not in err
    if "--json" in options:
        paths = [json.loads(line)["path"] for line in raw.decode(encoding).splitlines()]
        assert {os.fsencode(Path(path).name) for path in paths} == {*STRANGE, b"zebra.jpg", b"broken\x1b[2J.jpg"}
    else:
        assert rb"caf\xe9.jpg" in raw
        assert rb"\x1b[31mred\nb.jpg" in raw


def test_a_name_without_room_for_a_suffix_is_one_photo_of_the_run(deepinside, small, tmp_path):
    for name in ("x" * 251 + ".png", "y.png"):
        square(tmp_path / name, format="PNG")
    status, _, err = deepinside("localize", tmp_path, "--top", 1, "--export", "masks", "--out", tmp_path / "out")
    assert (status, err) == (0, "")
    assert len(list((tmp_path / "out").glob("*localize.png"))) == 2


def test_what_is_printed_is_in_the_export_when_the_reader_leaves(deepinside, small, monkeypatch, tmp_path):
    """`deepinside localize ... --export coco | head -1`"""
    for number in range(6):
        square(tmp_path / f"{number}.png")
    reader, writer = os.pipe()
    os.close(reader)
    monkeypatch.setattr(sys, "stdout", os.fdopen(writer, "w"))
    with sys.stdout:
        status, _, err = deepinside("localize", tmp_path, "--top", 1, "--export", "coco", "--out", tmp_path / "out")
    assert (status, err) == (141, "")
    document = json.loads((tmp_path / "out" / "coco" / "annotations.json").read_text())
    assert document["images"][0]["file_name"] == "0.png"


def test_a_signal_leaves_complete_files_of_what_was_done(deepinside, small, monkeypatch, tmp_path):
    from deepinside.explanations import explain

    for number in range(6):
        square(tmp_path / f"{number}.png")
    whole = explain.explain_each

    def interrupted(*arguments, **options):
        for number, outcome in enumerate(whole(*arguments, **options)):
            if number == 2:
                signal.raise_signal(signal.SIGTERM)
            yield outcome

    monkeypatch.setattr(explain, "explain_each", interrupted)
    status, out, err = deepinside("localize", tmp_path, "--top", 1, "--export", "coco", "--out", tmp_path / "out")
    assert (status, err) == (143, "deepinside: terminated\n")
    printed = [line for line in out.splitlines() if " x " in line]
    document = json.loads((tmp_path / "out" / "coco" / "annotations.json").read_text())
    assert [image["file_name"] for image in document["images"]] == ["0.png", "1.png"]
    assert len(printed) == 2


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="a device of Linux")
@pytest.mark.parametrize("arguments", [
    ("localize", "photos/cat.jpg"), ("localize", "photos/cat.jpg", "--json"), ("saliency", "photos/cat.jpg"),
    ("compare", "photos/cat.jpg"), ("layers",), ("models",), ("class-image", "red", "--steps", 1), (), ("--help",),
    ("exciting", "photos/cat.jpg", "--neuron", "features:1", "--rule", "gradient"), ("train", "--help"),
    ("evaluate-class-images", "--classes", 1, "--steps", 1, "--preset", "paper"), ("evaluate", "."),
])  # fmt: skip
def test_a_full_standard_output_is_one_line(deepinside, small, monkeypatch, photos, tmp_path, arguments):
    places = [str(photos / "cat.jpg") if each == "photos/cat.jpg" else each for each in arguments]
    monkeypatch.chdir(tmp_path)
    square("red.png")
    Path("boxes.csv").write_text("image,label,x0,y0,x1,y1\nred.png,red,0,0,20,20\n")
    with open("/dev/full", "w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        status, _, err = deepinside(*places)
    assert (status, err) == (2, "deepinside: standard output: No space left on device\n")


# ------------------------------------------------------------------------------------------------ mistakes, told once


@pytest.mark.parametrize(("arguments", "message"), [
    (("saliency", "--rule", "guidde"), "did you mean guided"),
    (("saliency", "--layer", "block"), "expected the name of a layer"),
    (("saliency", "--layer", "classifier"), "grid"),
    (("saliency", "--preset", "gradcam", "--layer", "block"), "expected the name of a layer"),
    (("saliency", "--preset", "smoothgrad", "--layer", "blocks.2"), "expected no layer for smoothgrad"),
    (("saliency", "--preset", "gradcam", "--neuron", "blocks.2.0:1"), "give one of them"),
    (("saliency", "--preset", "gradcm"), "did you mean gradcam"),
    (("saliency", "--set", "layer=block"), "expected the name of a layer"),
    (("localize", "--preset", "paper", "--set", "layer=block"), "expected the name of a layer"),
    (("localize", "--preset", "paper", "--set", "foreground_quantile=1.5"), "between 0 and 1"),
    (("saliency", "--neuron", "blocks.2.0:9999"), "expected channels from 0"),
    (("saliency", "--neuron", "nope:1"), "expected the name of a layer"),
    (("saliency", "--target", "4000"), "expected a class index from 0 to 999"),
    (("compare", "--neuron", "nope:1"), "expected the name of a layer"),
    (("exciting", "--neuron", "nope:1"), "expected the name of a layer"),
    (("exciting", "--neuron", "blocks.2.0:1", "--rule", "x"), "expected a rule"),
    (("localize", "--labels", "two.txt"), "expected as many labels as the network has classes (1000), got 2"),
    (("compare", "--labels", "two.txt"), "expected as many labels"),
    (("localize", "--model", "small.py:unnamed", "--target", "7"), "expected a class index from 0 to 2, got 7"),
    (("saliency", "--model", "small.py:smooth", "--rule", "guided"), "rectifiers"),
    (("localize", "--model", "small.py:other_size"), "images of shape (1, 3, 8, 8)"),
])  # fmt: skip
def test_a_mistake_is_told_once_and_before_the_first_photo(deepinside, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    Path("two.txt").write_text("ant\nbee\n")
    Path("small.py").write_text(
        "from torch import nn\nfrom deepinside import Classifier\n"
        "net = nn.Sequential(nn.Conv2d(3, 3, 1), nn.SiLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())\n"
        "unnamed = smooth = Classifier(net, size=8)\n"
        "other_size = Classifier(nn.Sequential(nn.Flatten(), nn.Linear(3, 3)), size=8)\n"
    )
    for number in range(3):
        square(f"{number}.png")
    command, *options = arguments
    status, out, err = deepinside(command, ".", *options)
    assert (status, out) == (2, "")
    assert err.count("\n") == 1
    assert message in err
    assert not Path("deepinside-out").exists()


@pytest.mark.parametrize("command", [
    ("localize",), ("localize", "--json"), ("saliency",), ("compare",), ("saliency", "--neuron", "features:1"),
    ("exciting", "--neuron", "features:1", "--rule", "gradient"),
])  # fmt: skip
def test_where_every_photo_fails_it_is_the_photos(deepinside, small, tmp_path, command):
    (tmp_path / "empty.jpg").write_bytes(b"")
    name, *options = command
    assert deepinside(name, tmp_path / "empty.jpg", *options, "--out", tmp_path / "out")[0] == 1


def test_evaluate_without_one_photo_to_judge(deepinside, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("boxes.csv").write_text("image,label,x0,y0,x1,y1\nnone.jpg,espresso,80,15,480,385\n")
    status, out, err = deepinside("evaluate", ".")
    assert (status, out) == (1, "")
    assert "none.jpg" in err


def test_saliency_says_that_its_probabilities_are_those_of_ten_crops(deepinside, photos, tmp_path):
    _, out, _ = deepinside("saliency", photos / "coffee.jpg", "--out", tmp_path)
    assert out.splitlines()[0].endswith("%  (probabilities: mean logits of ten crops)")
    _, out, _ = deepinside("localize", photos / "coffee.jpg", "--top", 1, "--out", tmp_path)
    assert out.splitlines()[0].endswith("600 x 400")


def test_characters_without_a_font_are_told_once(deepinside, monkeypatch, tmp_path):
    from deepinside import Classifier
    from helpers import Colors

    strange = Classifier(Colors(), labels=["\U0010fffd", "b\U0010fffe", "$c$"], size=32, name="colors")
    monkeypatch.setattr("deepinside.networks.sources.load", lambda *arguments, **options: strange)
    photos = tmp_path / "photos"
    photos.mkdir()
    for number in range(3):
        square(photos / f"{number}.png")
    for command in (("localize",), ("saliency",), ("compare", "--target", "0")):
        name, *options = command
        status, _, err = deepinside(name, photos, *options, "--out", tmp_path / "out")
        assert status == 0, err
        assert err.startswith("deepinside: no font of this machine has '\\U0010fffd")
        assert err.count("\n") == 1


def test_notes_about_a_photo_and_an_ambiguous_class_are_told(deepinside, monkeypatch, tmp_path):
    from deepinside import Classifier
    from helpers import Colors

    numbered = Classifier(Colors(), labels=["1", "2", "0"], size=32, name="colors")
    monkeypatch.setattr("deepinside.networks.sources.load", lambda *arguments, **options: numbered)
    values = np.zeros((30, 40), np.uint16)
    values[6:20, 8:24] = 4000
    Image.fromarray(values).save(tmp_path / "twelve.png")
    status, _, err = deepinside("saliency", tmp_path, "--target", "1", "--out", tmp_path / "out")
    assert status == 0, err
    reading, note = err.splitlines()
    assert reading == f"deepinside: {numbered.labels.reading('1')}"
    assert note.startswith(f"deepinside: {tmp_path / 'twelve.png'}: ")


def test_whatever_a_photo_fails_for_its_name_is_told(deepinside, small, tmp_path):
    square(tmp_path / "square.png")
    Image.new("RGB", (40, 30), "gray").save(tmp_path / "gray.png")
    (tmp_path / "empty.png").write_bytes(b"")
    for command in ("localize", "compare"):
        status, _, err = deepinside(command, tmp_path, "--target", "red", "--out", tmp_path.parent / "out")
        assert status == 1
        told = err.splitlines()
        assert sum(f"{tmp_path / 'empty.png'}: expected a photo" in line for line in told) == 1
        assert sum(f"{tmp_path / 'gray.png'}: expected a saliency map" in line for line in told) == 1
        assert not any("empty.png" in line.partition("empty.png")[2] for line in told), "each once"
