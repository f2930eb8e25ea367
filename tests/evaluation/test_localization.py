"""The loop on small trees with a network one can follow, and on real images."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from torch import nn

from deepinside.core.errors import DeepInsideError
from deepinside.core.geometry import Box, Frame
from deepinside.core.labels import Labels
from deepinside.core.results import Segmentation
from deepinside.data.boxes import read_samples
from deepinside.evaluation import classes
from deepinside.evaluation.localization import Judging, choose, evaluate
from deepinside.evaluation.masks import boundary_f
from deepinside.evaluation.metrics import STAGES, pointing_game
from deepinside.evaluation.tables import as_json, write_json
from deepinside.explanations.explain import explain
from deepinside.explanations.presets import name_of
from deepinside.networks.classifier import Classifier
from helpers import BASELINES, CAMS, NAMES, rows_of, state_of
from third_localizer import Bright


@pytest.mark.parametrize("presets", [("paper",), ("best", "paper")])
def test_loop_equals_a_slow_second_computation(colors, tree, presets):
    evaluation = evaluate(colors, read_samples(tree), Judging(presets))
    assert set(evaluation.rows) == {*presets, *BASELINES, *CAMS}
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


def test_a_third_localizer_is_judged_by_its_surest_object(colors, tree):
    evaluation = evaluate(colors, read_samples(tree), Judging(["paper", Bright()], baselines=False))
    assert list(evaluation.rows)[:2] == ["paper", "Bright()"]
    for case, iou in zip(evaluation.cases, evaluation.rows["Bright()"].ious, strict=True):
        surest = explain(colors, case.path, [case.label], preset=Bright()).objects[0]
        assert surest.box == case.found["Bright()"].box
        assert iou == pytest.approx(max(surest.box.iou(Box(*truth)) for truth in case.truths))


@dataclass(frozen=True)
class Given(Bright):
    """A localizer that finds the masks that it is given, on the photo's own grid, each with its confidence."""

    masks: tuple = ()
    confidences: tuple = ()

    def segment(self, seen, k):
        nowhere = np.zeros_like(self.masks[0])
        frame = Frame.whole(64, 48, width=64, height=48)
        found = zip(self.masks, self.confidences, strict=True)
        return tuple(Segmentation(frame, mask, nowhere, nowhere, 0.0, None, sure) for mask, sure in found)


def test_the_usual_methods_are_judged_in_the_same_table(colors, tree):
    presets = ("smoothgrad", "integrated", "gradient-input", "gradcam", "layercam")
    evaluation = evaluate(colors, read_samples(tree), Judging(presets))
    assert set(evaluation.rows) == {*presets, *BASELINES, *CAMS}
    for name in presets:
        assert evaluation.rows[name].figures.keys() == evaluation.rows["smoothgrad"].figures.keys()
        expected = [explain(colors, case.path, case.label, preset=name).objects[0].box for case in evaluation.cases]
        assert np.allclose(evaluation.rows[name].boxes, [box.as_tuple() for box in expected])
    peaks = [evaluation.rows[name].figures["pointing_game"].value for name in ("gradcam", "grad_cam")]
    assert peaks[0] == peaks[1], "the same map"


def squares(*corners):
    masks = np.zeros((len(corners), 48, 64), dtype=bool)
    for mask, (x0, y0, x1, y1) in zip(masks, corners, strict=True):
        mask[y0:y1, x0:x1] = True
    return tuple(masks)


def write_coco(folder, annotations, **image):
    """Annotations of `0.png`: category, box, and perhaps further keys; their pixels are their boxes."""
    named = ["red", "green", "thing"]
    records = [
        {"id": number, "image_id": 1, "category_id": named.index(name), "bbox": [x0, y0, x1 - x0, y1 - y0],
         "segmentation": [[x0, y0, x1, y0, x1, y1, x0, y1]], **dict(*more)}
        for number, (name, (x0, y0, x1, y1), *more) in enumerate(annotations)
    ]  # fmt: skip
    content = {
        "images": [{"id": 1, "file_name": "0.png", "width": 64, "height": 48, **image}],
        "categories": [{"id": number, "name": name} for number, name in enumerate(named)],
        "annotations": records,
    }
    (folder / "coco.json").write_text(json.dumps(content))
    return folder / "coco.json"


def test_masks_are_judged_together_and_objects_one_by_one(colors, tree):
    there = [("red", (0, 0, 20, 20)), ("red", (40, 20, 60, 40)), ("green", (0, 30, 10, 40))]
    masks = squares((0, 0, 20, 10), (40, 20, 60, 40), (25, 0, 30, 10))
    given = Given(masks=masks, confidences=(0.9, 0.8, 0.3))
    evaluation = evaluate(colors, read_samples(write_coco(tree, there)), Judging([given]))
    (case,), row = evaluation.cases, evaluation.rows[name_of(given)]
    assert [row.figures[key].value for key in ("object_recall", "object_precision", "object_recall_several")] == [
        1, pytest.approx(2 / 3), 1,
    ]  # fmt: skip
    assert row.figures["object_ap50"].value == 1, "the wrong one is the least sure"
    assert row.figures["gt_known_accuracy"].value == 1, "of the surest, which has half of the first object"
    assert row.figures["mean_iou"].value == 0.5
    marked = np.logical_or(*squares((0, 0, 20, 20), (40, 20, 60, 40)))
    union = masks[0] | masks[1] | masks[2]
    assert row.figures["mask_iou"].value == pytest.approx((union & marked).sum() / (union | marked).sum())
    assert row.figures["boundary_f"].value == pytest.approx(boundary_f(union, marked, np.zeros_like(marked)))
    assert case.share == pytest.approx(marked.mean())
    assert np.array_equal(case.found[name_of(given)].objects[:, 4], [0.9, 0.8, 0.3])
    whole = evaluation.rows["whole_image"].figures
    assert whole["mask_iou"].value == pytest.approx(marked.mean())
    assert whole["boundary_f"].value == pytest.approx(boundary_f(np.ones_like(marked), marked, np.zeros_like(marked)))
    for name in BASELINES - {"classification", "center_gaussian"} | CAMS:
        figures = evaluation.rows[name].figures
        assert figures["object_recall"].value == figures["gt_known_accuracy"].value / 2, name
        assert figures["object_precision"].value == figures["gt_known_accuracy"].value, name


def test_crowds_of_the_class_are_ignored_and_those_of_others_are_not(colors, tree):
    there = [
        ("red", (0, 0, 20, 20)),
        ("red", (40, 0, 60, 20), {"iscrowd": 1}),
        ("green", (20, 30, 40, 48), {"iscrowd": 1}),
    ]
    given = Given(masks=squares((0, 0, 20, 20), (41, 1, 49, 9), (20, 30, 40, 48)), confidences=(0.9, 0.8, 0.7))
    evaluation = evaluate(colors, read_samples(write_coco(tree, there)), Judging([given], baselines=False))
    figures = evaluation.rows[name_of(given)].figures
    assert figures["object_precision"].value == 0.5
    assert figures["mask_iou"].value == pytest.approx(400 / (400 + 20 * 18))
    assert "object_recall_several" not in figures


def test_difficult_objects_of_voc_need_not_be_found(colors, tree):
    (tree / "Annotations").mkdir()
    (tree / "JPEGImages").mkdir()
    (tree / "0.png").rename(tree / "JPEGImages" / "0.png")
    bounds = "<xmin>{}</xmin><ymin>{}</ymin><xmax>{}</xmax><ymax>{}</ymax>"
    objects = [((1, 1, 20, 20), 0), ((41, 1, 60, 20), 1)]
    content = "".join(
        f"<object><name>red</name><difficult>{difficult}</difficult><bndbox>{bounds.format(*box)}</bndbox></object>"
        for box, difficult in objects
    )
    (tree / "Annotations" / "0.xml").write_text(f"<annotation>{content}</annotation>")
    for masks in (squares((0, 0, 20, 20)), squares((0, 0, 20, 20), (40, 0, 60, 20))):
        given = Given(masks=masks, confidences=(1.0,) * len(masks))
        evaluation = evaluate(colors, read_samples(tree), Judging([given], baselines=False))
        figures = evaluation.rows[name_of(given)].figures
        assert (figures["object_recall"].value, figures["object_precision"].value) == (1, 1)
        assert "boundary_f" not in figures, "nobody marked pixels"


def test_the_likeliest_class_of_a_category_is_asked_about(colors, tree, monkeypatch):
    """The category lists two classes of the network; the photo shows the second."""
    monkeypatch.setattr(classes, "imagenet", lambda: Labels.of(NAMES, ["n1", "n2", "n3"]))
    classes._of_imagenet.cache_clear()
    path = write_coco(tree, [("thing", (0, 0, 20, 20)), ("green", (0, 0, 60, 40))], main_category="thing")
    content = json.loads(path.read_text())
    content["categories"][2]["imagenet"] = [2, 0]
    path.write_text(json.dumps(content))
    (case,) = evaluate(colors, read_samples(path), Judging(["paper"], baselines=False)).cases
    assert (case.label, case.rank, case.truths.tolist()) == ("red", 0, [[0, 0, 20, 20]])
    classes._of_imagenet.cache_clear()


def test_failures_are_counted_and_named(colors, tree):
    (tree / "2.png").write_bytes((tree / "2.png").read_bytes()[:60])
    evaluation = evaluate(colors, read_samples(tree), Judging(["paper"], baselines=False))
    assert len(evaluation.cases) == 5
    assert {failure.path.name for failure in evaluation.failures} == {"missing.png", "2.png"}
    assert all(str(failure.path) in failure.reason for failure in evaluation.failures)


def test_unknown_classes_are_a_failure_with_their_names(colors, tree):
    (tree / "boxes.csv").write_text("image,label,x0,y0,x1,y1\n0.png,unicorn,1,1,9,9\n1.png,green,1,1,9,9\n")
    evaluation = evaluate(colors, read_samples(tree), Judging(["paper"], baselines=False))
    assert len(evaluation.cases) == 1
    assert "colors" in evaluation.failures[0].reason
    assert "unicorn" in evaluation.failures[0].reason


def test_a_box_outside_of_its_photo_is_a_failure_and_not_a_miss(colors, tree):
    rows = "0.png,red,200,200,230,220\n1.png,green,60,40,99,99\n2.png,blue,1,1,9,9\n2.png,red,-9,-9,0,0\n"
    (tree / "boxes.csv").write_text(f"image,label,x0,y0,x1,y1\n{rows}")
    evaluation = evaluate(colors, read_samples(tree), Judging(["paper"], baselines=False))
    assert [case.truths.tolist() for case in evaluation.cases] == [[[60, 40, 64, 48]]], "clipped to the photo"
    assert {failure.path.name for failure in evaluation.failures} == {"0.png", "2.png"}
    assert all("lies outside of the photo's 64 x 48 pixels" in failure.reason for failure in evaluation.failures)


def test_the_network_is_left_as_it_was(colors, tree):
    before = state_of(colors.network)
    evaluate(colors, list(read_samples(tree))[:2], Judging(["best"], faithful=True, sanity=1))  # with sanity, without
    assert state_of(colors.network) == before


def test_same_seed_same_figures(colors, tree):
    one, same = (as_json(evaluate(colors, read_samples(tree), Judging(["paper"], seed=3))) for _ in range(2))
    assert one == same


def test_faithfulness_and_sanity_are_options(colors, tree):
    evaluation = evaluate(colors, read_samples(tree), Judging(["paper"], baselines=False, faithful=True, sanity=2))
    figures = evaluation.rows["paper"].figures
    assert figures["insertion_auc"].value > figures["deletion_auc"].value, "the color is what decides"
    for share in STAGES:
        key = f"randomization_correlation_{100 * share:.0f}"
        assert -1 <= figures[key].value <= 1
        assert [key in case.found["paper"].scores for case in evaluation.cases] == [True, True] + [False] * 4


def test_boxes_do_not_depend_on_which_other_classes_are_explained(lite0, photos):
    """What lets the loop judge the box of the asked class alone."""
    photo = next(path for path in sorted(photos.iterdir()) if path.suffix in {".jpg", ".png"})
    among = explain(lite0, photo, preset="best").objects[2]
    alone = explain(lite0, photo, [among.index], preset="best").objects[0]
    assert alone.box.iou(among.box) > 0.99


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
        evaluate(colors, samples, Judging(["bast"]))
    with pytest.raises(DeepInsideError, match="at least one preset"):
        evaluate(colors, samples, Judging([]))
    with pytest.raises(DeepInsideError, match=r"none of 1 could be.*missing\.png"):
        evaluate(colors, samples[-1:], Judging(["paper"], baselines=False))
    with pytest.raises(DeepInsideError, match="none of 0 could be"):
        evaluate(colors, [], Judging(["paper"], baselines=False))
    with pytest.raises(DeepInsideError, match="limit of 0"):
        choose(samples, 0, 0)
    evaluation = evaluate(colors, samples[:1], Judging(["paper"], baselines=False))
    (tmp_path / "file").write_text("")
    with pytest.raises(DeepInsideError, match="place to write"):
        write_json(evaluation, tmp_path / "file" / "out.json")


def test_real_images(lite0, ilsvrc):
    """Better than the boxes that need no network: of these images the whole one has a mean IoU of 0.50."""
    evaluation = evaluate(lite0, choose(list(read_samples(ilsvrc)), 24, seed=0), Judging(["best"]))
    assert len(evaluation.cases) == 24
    best, center, whole = (
        evaluation.rows[method].figures["mean_iou"].value for method in ("best", "center_box", "whole_image")
    )
    assert best > max(center, whole) + 0.05
    assert all(Path(case.path).is_file() for case in evaluation.cases)


def test_a_photo_without_the_channels_of_the_network_is_a_failure(tree):
    tifffile = pytest.importorskip("tifffile")
    network = nn.Sequential(nn.Conv2d(5, 3, 3, padding=1), nn.Softplus(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    values = np.random.default_rng(0).integers(0, 255, (48, 64, 5), dtype=np.uint8)
    tifffile.imwrite(tree / "0.tif", values, planarconfig="contig", photometric="minisblack")
    (tree / "boxes.csv").write_text("image,label,x0,y0,x1,y1\n0.tif,red,1,1,30,30\n1.png,green,1,1,9,9\n")
    classifier = Classifier(network, labels=NAMES, size=32)
    evaluation = evaluate(classifier, read_samples(tree), Judging(["paper"], baselines=False))
    assert [case.path.name for case in evaluation.cases] == ["0.tif"]
    assert "expects 5 channels, and the photo has 3" in evaluation.failures[0].reason
