"""Every metric against a slow second computation, and the loop on small trees with a network one can follow."""

import csv
import json
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torchvision.transforms.functional import gaussian_blur

from conftest import state_of
from deepinside import evaluate as module
from deepinside.classifier import Classifier
from deepinside.datasets import Thing, read_samples
from deepinside.errors import DeepInsideError
from deepinside.evaluate import (
    STAGES,
    as_json,
    cases_sheet,
    choose,
    class_of,
    evaluate,
    evaluate_command,
    table,
    write_csv,
    write_json,
)
from deepinside.explain import explain
from deepinside.geometry import Box, Frame
from deepinside.images import read, view
from deepinside.labels import Labels
from deepinside.metrics import (
    LEVELS,
    STEPS,
    faithfulness,
    pointing_game,
)

NAMES = ["red", "green", "blue"]
FLOORS = {"center_box", "whole_image", "classification"}
CAMS = {"grad_cam", "grad_cam_oracle", "layer_cam", "layer_cam_oracle"} if find_spec("pytorch_grad_cam") else set()


class Colors(nn.Module):
    """Global average pooling of three features, one a color, and a linear layer that reads one class off each."""

    def __init__(self):
        super().__init__()
        self.features = nn.Conv2d(3, 3, 3, padding=1, padding_mode="replicate")
        self.rectify = nn.Softplus(beta=10)  # curved, so that gradients differ from place to place
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.scores = nn.Linear(3, 3)
        with torch.no_grad():
            excess = 1.5 * torch.eye(3) - 0.5  # of a color over the mean of the others
            self.features.weight.copy_(excess[:, :, None, None].expand(3, 3, 3, 3) / 9)
            self.features.bias.fill_(-0.1)
            self.scores.weight.copy_(100 * torch.eye(3))
            self.scores.bias.zero_()

    def forward(self, images):
        return self.scores(self.pool(self.rectify(self.features(images))).flatten(1))


def rows_of(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def colors():
    return Classifier(Colors(), labels=NAMES, size=32, name="colors")


@pytest.fixture
def tree(tmp_path):
    """Photos with a square of one color, the box around it, and one photo that is not there."""
    rng = np.random.default_rng(0)
    rows = [("image", "label", "x0", "y0", "x1", "y1")]
    for number in range(6):
        x, y, side = rng.integers(0, 24), rng.integers(0, 16), rng.integers(10, 30)
        pixels = rng.integers(90, 110, (48, 64, 3), dtype=np.uint8)
        channel = number % 3
        pixels[y : y + side, x : x + side] = 20
        pixels[y : y + side, x : x + side, channel] = 230
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
        label = NAMES[channel] if number != 5 else NAMES[0]  # the last one is annotated wrongly
        rows.append((f"{number}.png", label, x, y, min(x + side, 64), min(y + side, 48)))
    rows.append(("missing.png", "red", 0, 0, 5, 5))
    rows.append(("0.png", "unicorn", 0, 0, 64, 48))
    with open(tmp_path / "boxes.csv", "w", newline="") as file:
        csv.writer(file).writerows(rows)
    return tmp_path


@pytest.fixture
def masked(tree):
    """The same with a mask for each photo but the first: the left half of the box."""
    lines = ["image,label,x0,y0,x1,y1,mask"]
    for row in rows_of(tree / "boxes.csv")[:6]:
        image, label, *corners = row.values()
        x0, y0, x1, y1 = map(int, corners)
        values = np.zeros((48, 64), np.uint8)
        values[y0:y1, x0 : (x0 + x1) // 2] = 255
        Image.fromarray(values).save(tree / f"mask-{image}")
        lines.append(",".join([image, label, *corners, "" if image == "0.png" else f"mask-{image}"]))
    (tree / "boxes.csv").write_text("\n".join(lines))
    return tree


# ------------------------------------------------------------------------------------------------------------- metrics


def test_faithfulness_equals_a_slow_loop_over_steps(colors):
    image = torch.rand(1, 3, 12, 12, generator=torch.Generator().manual_seed(0))
    map = np.random.default_rng(0).random((12, 12))
    insertion, deletion = faithfulness(colors.network, image, map, 1)
    order = sorted(range(144), key=lambda p: -map.flat[p])
    blurred = gaussian_blur(image, [11, 11], [5.0, 5.0])
    for start, end, found in ((blurred, image, insertion), (image, image.mean((2, 3), keepdim=True), deletion)):
        curve = []
        for step in range(STEPS + 1):
            picture = start.clone()
            for pixel in order[: int(torch.tensor(144 * step / STEPS).round())]:
                y, x = divmod(pixel, 12)
                picture[..., y, x] = end.expand_as(image)[..., y, x]
            curve.append(colors.network(picture).softmax(1)[0, 1].item())
        area = sum((a + b) / 2 for a, b in pairwise(curve)) / STEPS
        assert found == pytest.approx(area, abs=1e-5)


def test_class_of_a_thing_prefers_the_wordnet_id_and_distrusts_numbers():
    labels, box = Labels((("tabby",), ("crane",)), ("n00000001", "n00000002")), Box(0, 0, 1, 1)
    assert class_of(Thing(box, wnid="n00000002", name="tabby", index=0), labels) == 1
    assert class_of(Thing(box, name="tabby", index=1), labels) == 0
    assert class_of(Thing(box, wnid="n9", name="boat", index=1), labels) is None, "another data set's numbers"
    assert class_of(Thing(box, index=1), labels) == 1
    assert class_of(Thing(box, wnid="n9", index=7), Labels()) == 7


def test_the_class_asked_about_is_the_one_ranked_first_or_the_largest():
    small, large = Thing(Box(0, 0, 1, 1)), Thing(Box(0, 0, 9, 9))
    assert module._asked([3, 8, 5], {5: [large], 8: [small]}) == 8
    assert module._asked([3], {5: [small, large], 8: [small]}) == 5


@pytest.mark.parametrize("presets", [("paper",), ("best", "paper")])
def test_loop_equals_a_slow_second_computation(colors, tree, presets):
    evaluation = evaluate(colors, read_samples(tree), presets)
    assert set(evaluation.rows) == {*presets, *FLOORS, *CAMS}
    truth = {row["image"]: row for row in rows_of(tree / "boxes.csv") if row["label"] in NAMES}
    for preset in presets:
        ious, top1, top5, pointed = [], [], [], []
        for number in range(6):
            row = truth[f"{number}.png"]
            box = Box(*(float(row[side]) for side in ("x0", "y0", "x1", "y1")))
            predicted = explain(colors, tree / f"{number}.png", preset=presets[0]).objects
            objects = {seen.index: seen for seen in explain(colors, tree / f"{number}.png", preset=preset).objects}
            asked = NAMES.index(row["label"])
            iou = objects[asked].box.iou(box)
            ious.append(iou)
            top1.append(not (predicted[0].index == asked and iou >= 0.5))
            top5.append(not (asked in [seen.index for seen in predicted[:5]] and iou >= 0.5))
            pointed.append(pointing_game(objects[asked].map, objects[asked].frame, np.array([box.as_tuple()], float)))
        figures = {key: figure.value for key, figure in evaluation.rows[preset].figures.items()}
        assert figures["mean_iou"] == pytest.approx(np.mean(ious))
        assert figures["gt_known_accuracy"] == pytest.approx(np.mean(np.array(ious) >= 0.5))
        assert figures["box_accuracy_0.7"] == pytest.approx(np.mean(np.array(ious) >= 0.7))
        assert figures["top1_error"] == pytest.approx(np.mean(top1))
        assert figures["top5_error"] == pytest.approx(np.mean(top5))
        assert figures["pointing_game"] == pytest.approx(np.mean(pointed))
    assert evaluation.rows["classification"].figures["top1_error"].value == pytest.approx(1 / 6)
    assert evaluation.rows["classification"].figures["top5_error"].value == 0


def test_no_method_beats_the_classification_error_and_oracles_beat_transfers(colors, tree):
    rows = evaluate(colors, read_samples(tree), ["paper"]).rows
    for name, row in rows.items():
        for top in ("top1_error", "top5_error"):
            figure = row.figures[top]
            assert figure.value >= rows["classification"].figures[top].value
            assert figure.low <= figure.value <= figure.high
        if "max_box_accuracy_0.5" in row.figures:
            for level in LEVELS:
                oracle, transferred = (row.figures[f"max_box_accuracy{how}_{level}"].value for how in ("_oracle", ""))
                assert oracle >= transferred, name


def test_failures_are_counted_and_named(colors, tree):
    (tree / "2.png").write_bytes((tree / "2.png").read_bytes()[:60])
    evaluation = evaluate(colors, read_samples(tree), ["paper"], baselines=False)
    assert len(evaluation.cases) == 5
    assert {path.name for path, _ in evaluation.failures} == {"missing.png", "2.png"}
    assert all(str(path) in reason for path, reason in evaluation.failures)


def test_unknown_classes_are_a_failure_with_their_names(colors, tree):
    (tree / "boxes.csv").write_text("image,label,x0,y0,x1,y1\n0.png,unicorn,1,1,9,9\n1.png,green,1,1,9,9\n")
    evaluation = evaluate(colors, read_samples(tree), ["paper"], baselines=False)
    assert len(evaluation.cases) == 1
    assert "colors" in evaluation.failures[0][1]
    assert "unicorn" in evaluation.failures[0][1]


def test_the_network_is_left_as_it_was(colors, tree):
    before = state_of(colors.network)
    evaluate(colors, read_samples(tree), ["best"], faithful=True, sanity=1)
    assert state_of(colors.network) == before


def test_same_seed_same_figures(colors, tree):
    one, same = (as_json(evaluate(colors, read_samples(tree), ["paper"], seed=3)) for _ in range(2))
    assert one == same


def test_masks_bring_pixel_figures(colors, masked):
    evaluation = evaluate(colors, read_samples(masked), ["paper"])
    ious = []
    for number in range(1, 6):
        mask = np.asarray(Image.open(masked / f"mask-{number}.png")) > 0
        index = evaluation.cases[number].label
        seen = explain(colors, masked / f"{number}.png", [index], preset="paper").objects[0]
        ious.append((seen.mask & mask).sum() / (seen.mask | mask).sum())
    assert evaluation.rows["paper"].figures["mask_iou"].value == pytest.approx(np.mean(ious)), "known of five photos"
    for name in ("paper", *CAMS):
        assert 0 < evaluation.rows[name].figures["pxap"].value <= 1
        assert 0 < evaluation.rows[name].figures["mask_iou"].value <= 1
    assert "pxap" not in evaluation.rows["whole_image"].figures
    whole = [(np.asarray(Image.open(masked / f"mask-{number}.png")) > 0).mean() for number in range(1, 6)]
    assert evaluation.rows["whole_image"].figures["mask_iou"].value == pytest.approx(np.mean(whole))


def test_faithfulness_and_sanity_are_options(colors, tree):
    evaluation = evaluate(colors, read_samples(tree), ["paper"], faithful=True, sanity=2)
    figures = evaluation.rows["paper"].figures
    assert figures["insertion_auc"].value > figures["deletion_auc"].value, "the color is what decides"
    for share in STAGES:
        key = f"randomization_correlation_{100 * share:.0f}"
        assert -1 <= figures[key].value <= 1
        assert [key in case.found["paper"].scores for case in evaluation.cases] == [True, True] + [False] * 4


@pytest.mark.skipif(not CAMS, reason="grad-cam is not installed")
def test_grad_cam_is_cam_for_average_pooling_and_one_linear_layer(colors, tree):
    photo = read(tree / "0.png")
    image = view(photo, Frame.whole(64, 48, width=32, height=32))
    network = colors.network.model
    with torch.no_grad():
        features = network.rectify(network.features(image))
    for target in range(3):
        cam = (network.scores.weight[target, :, None, None] * features[0]).sum(0).clamp(min=0).detach().numpy()
        found = module._cam_methods(colors)["grad_cam"](image, target)
        span = cam.max() - cam.min()
        assert np.allclose(found, (cam - cam.min()) / span if span > 0 else 0, atol=1e-5)


def test_a_network_without_a_feature_map_has_no_cam(tree):
    flat = Classifier(nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 3)), labels=NAMES, size=32)
    assert module._cam_methods(flat) == {}


def test_boxes_do_not_depend_on_which_other_classes_are_explained(lite0, photos):
    """What lets the loop judge the box of the asked class alone."""
    photo = next(path for path in sorted(photos.iterdir()) if path.suffix in {".jpg", ".png"})
    among = explain(lite0, photo, preset="best").objects[2]
    alone = explain(lite0, photo, [among.index], preset="best").objects[0]
    assert alone.box.iou(among.box) > 0.99


# -------------------------------------------------------------------------------------------------------------- output


def test_json_has_the_promised_shape(colors, tree, tmp_path):
    evaluation = evaluate(colors, read_samples(tree), ["best", "paper"])
    content = json.loads(write_json(evaluation, tmp_path / "deep" / "out.json").read_text())
    assert (content["images"], content["model"]) == (6, "colors")
    for name in ("best", "paper", "center_box", "whole_image"):
        method = content["methods"][name]
        for key in ("top1_error", "top5_error", "gt_known_accuracy", "mean_iou"):
            low, high = method["intervals"][key]
            assert 0 <= low <= method[key] <= high <= 1
        assert method.keys() - {"intervals"} == method["intervals"].keys()
    assert [failure["path"] for failure in content["failures"]] == [str(tree / "missing.png")]


def test_csv_has_a_line_an_image_and_method_that_add_up(colors, tree, tmp_path):
    evaluation = evaluate(colors, read_samples(tree), ["paper"])
    lines = rows_of(write_csv(evaluation, tmp_path / "out.csv"))
    assert len(lines) == 6 * (len(evaluation.rows) - 1)
    for name, row in evaluation.rows.items():
        mine = [line for line in lines if line["method"] == name]
        if name == "classification":
            assert not mine
            continue
        assert np.mean([float(line["iou"]) for line in mine]) == pytest.approx(row.figures["mean_iou"].value, abs=1e-4)
        wrong = np.mean([line["top1_correct"] == "0" for line in mine])
        assert wrong == pytest.approx(row.figures["top1_error"].value)


def test_sheet_shows_the_best_above_the_worst(colors, tree):
    evaluation = evaluate(colors, read_samples(tree), ["paper"], baselines=False)
    titles = [axes.get_title() for axes in cases_sheet(evaluation, "paper", count=2).axes]
    ious = [float(title.split()[-1]) for title in titles]
    ranked = sorted((round(float(iou), 2) for iou in evaluation.rows["paper"].ious), reverse=True)
    assert ious == [ranked[0], ranked[1], ranked[-1], ranked[-2]]
    with pytest.raises(DeepInsideError, match=r"center_box.*'classification'"):
        cases_sheet(evaluation, "classification")


def test_table_has_every_method_and_option(colors, masked):
    evaluation = evaluate(colors, read_samples(masked), ["paper"], faithful=True, sanity=1)
    shown = table(evaluation)
    assert shown.row_count == len(evaluation.rows)
    heads = " ".join(str(column.header) for column in shown.columns)
    for word in ("top-1", "GT-known", "IoU", "pointing", "PxAP", "insertion", "layers new"):
        assert word in heads


def test_no_figure_of_the_table_is_cut_short(colors, masked, capsys):
    evaluate_command(masked, colors, ["best", "paper"], faithful=True, sanity=1)
    out, _ = capsys.readouterr()
    assert "…" not in out
    assert all(name in out for name in (*FLOORS, *CAMS))


def test_command_prints_and_writes_everything(colors, tree, tmp_path, capsys):
    files = [tmp_path / "out" / name for name in ("a.json", "a.csv", "a.png")]
    seen = []
    evaluate_command(
        tree,
        colors,
        ["best", "paper"],
        json_file=files[0],
        csv_file=files[1],
        sheet=files[2],
        progress=lambda samples: (seen.append(sample) or sample for sample in samples),
    )
    out, err = capsys.readouterr()
    for word in ("best", "paper", "center_box", "whole_image", "classification", "those of best", *map(str, files)):
        assert word in out
    assert "1 of 7 images could not be judged" in err
    assert "missing.png" in err
    assert len(seen) == 7
    assert all(path.stat().st_size for path in files)


def test_limit_draws_by_seed_and_keeps_the_order(tree):
    samples = list(read_samples(tree))
    assert choose(samples, None, 0) == samples == choose(samples, 99, 0)
    three = choose(samples, 3, seed=1)
    assert three == choose(samples, 3, seed=1)
    assert [samples.index(sample) for sample in three] == sorted(samples.index(sample) for sample in three)
    assert any(choose(samples, 3, seed) != three for seed in range(9))


def test_messages_say_what_was_expected(colors, tree, tmp_path):
    samples = list(read_samples(tree))
    with pytest.raises(DeepInsideError, match=r"expected a preset.*'bast'.*best"):
        evaluate(colors, samples, ["bast"])
    with pytest.raises(DeepInsideError, match="at least one preset"):
        evaluate(colors, samples, [])
    with pytest.raises(DeepInsideError, match=r"none of 1 could be.*missing\.png"):
        evaluate(colors, samples[-1:], ["paper"], baselines=False)
    with pytest.raises(DeepInsideError, match="none of 0 could be"):
        evaluate(colors, [], ["paper"], baselines=False)
    with pytest.raises(DeepInsideError, match="limit of 0"):
        choose(samples, 0, 0)
    evaluation = evaluate(colors, samples[:1], ["paper"], baselines=False)
    (tmp_path / "file").write_text("")
    with pytest.raises(DeepInsideError, match="place to write"):
        write_json(evaluation, tmp_path / "file" / "out.json")


def test_real_images(lite0, ilsvrc):
    evaluation = evaluate(lite0, choose(list(read_samples(ilsvrc)), 4, seed=0), ["best"])
    assert len(evaluation.cases) == 4
    assert evaluation.rows["best"].figures["mean_iou"].value > 0.3
    assert all(Path(case.path).is_file() for case in evaluation.cases)
