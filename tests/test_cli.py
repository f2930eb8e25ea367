"""The command as a user types it: what it prints, where it writes, and how it ends."""

import io
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from deepinside import cli
from deepinside.core.progress import Progress


@pytest.fixture
def deepinside(monkeypatch, capsys):
    """Run the command in this process; gives exit status, standard output and standard error."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["deepinside", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return (ended.value.code or 0, *capsys.readouterr())

    return run


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
    (tabby,) = found["objects"]
    assert tabby.keys() == {"index", "label", "probability", "box"}
    assert (tabby["index"], tabby["label"]) == (281, "tabby")
    x0, y0, x1, y1 = tabby["box"]
    assert 0 <= x0 < x1 <= 451
    assert 0 <= y0 < y1 <= 300
    assert list(tmp_path.iterdir()) == [tmp_path / "broken.jpg"], "no pictures unless asked for"


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


def test_photos_are_never_overwritten(deepinside, photos, tmp_path):
    before = (photos / "cat.jpg").read_bytes()
    (tmp_path / "cat.png").write_bytes(before)
    deepinside("saliency", tmp_path / "cat.png", "--out", tmp_path)
    assert (tmp_path / "cat.png").read_bytes() == before


def test_saliency_writes_a_sheet_and_a_map_of_the_photos_size(deepinside, photos, tmp_path):
    status, out, _ = deepinside("saliency", photos / "cat.jpg", "--target", "lynx", "--out", tmp_path)
    assert status == 0
    assert "lynx" in out
    map = Image.open(tmp_path / "cat.map.png")
    assert (map.size, map.mode) == ((451, 300), "L")
    assert np.asarray(map).max() == 255
    assert (tmp_path / "cat.saliency.png").is_file()


def test_evaluate_prints_the_table_and_writes_json(deepinside, photos, tmp_path, monkeypatch):
    (tmp_path / "coffee.jpg").write_bytes((photos / "coffee.jpg").read_bytes())
    (tmp_path / "boxes.csv").write_text("image,label,x0,y0,x1,y1\ncoffee.jpg,espresso,80,15,480,385\n")
    monkeypatch.chdir(tmp_path)  # images already judged are kept below the folder where one is
    status, out, _ = deepinside("evaluate", tmp_path, "--preset", "best,paper", "--json", tmp_path / "out.json")
    assert status == 0
    assert list(Path("deepinside-out").iterdir()) == []
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


def test_evaluate_class_images_prints_the_table_and_writes_json(deepinside, tmp_path):
    arguments = ("--classes", 2, "--steps", 1, "--preset", "paper", "--json", tmp_path / "out.json")
    status, out, err = deepinside("evaluate-class-images", *arguments)
    assert (status, err) == (0, "")
    assert "lite0 (itself)" in out
    paper = json.loads((tmp_path / "out.json").read_text())["methods"]["paper"]
    assert paper.keys() == {"lite0", "lite1"}
    assert paper["lite1"].keys() == {"top1", "top1_interval", "top5", "top5_interval"}


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
    (("saliency", "."), "expected a folder with photos"),
    (("localize", "x.jpg", "--labels", "none.txt"), "none.txt"),
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
    assert "expected a place to write" in err


def test_progress_bar_is_silent_in_a_pipe():
    items = ["a", "b"]
    assert cli._progress(items) is items


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize("progress", [[], [Progress("epoch 1", 1, 2), Progress("epoch 2", 2, 2)]])
def test_progress_is_a_bar_on_a_terminal_and_nothing_where_there_is_none_to_show(monkeypatch, capsys, progress):
    """So a process that does not lead, which hears of no progress, draws nothing either."""
    events = ["first", *progress, "last"]
    assert list(cli._shown(events)) == ["first", "last"]
    assert capsys.readouterr() == ("", "")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", Terminal())
    assert list(cli._shown(events)) == ["first", "last"]
    drawn = sys.stderr.getvalue()
    assert drawn == "" if not progress else "epoch 2" in drawn


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
    with Image.open(tmp_path / "cat.map.png") as map:
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
    maps = [np.asarray(Image.open(folder / "cat.map.png")) for folder in (plain, guided)]
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
    assert (tmp_path / "cat.compare.png").stat().st_size > 10000


def test_exciting_ranks_the_photos_of_a_folder(deepinside, photos, tmp_path):
    status, out, _ = deepinside("exciting", photos, "--neuron", "blocks.2.1:7", "--out", tmp_path)
    assert status == 0
    activations = [float(line.split()[0]) for line in out.splitlines() if ".jpg" in line]
    assert len(activations) == 4
    assert activations == sorted(activations, reverse=True)
    assert (tmp_path / "blocks.2.1-7.exciting.png").stat().st_size > 10000
