"""The loop on small trees with a network one can follow, and on real images."""

from pathlib import Path

import numpy as np
import pytest

from deepinside.core.errors import DeepInsideError
from deepinside.core.geometry import Box
from deepinside.core.labels import Labels
from deepinside.data.boxes import Annotation, read_samples
from deepinside.evaluation import localization as module
from deepinside.evaluation.localization import Judging, choose, class_of, evaluate
from deepinside.evaluation.metrics import STAGES, pointing_game
from deepinside.evaluation.tables import as_json, write_json
from deepinside.explanations.explain import explain
from helpers import BASELINES, CAMS, NAMES, rows_of, state_of
from third_localizer import Bright


def test_class_of_a_thing_prefers_the_wordnet_id_and_distrusts_numbers():
    labels, box = Labels((("tabby",), ("crane",)), ("n00000001", "n00000002")), Box(0, 0, 1, 1)
    assert class_of(Annotation(box, wnid="n00000002", name="tabby", index=0), labels) == 1
    assert class_of(Annotation(box, name="tabby", index=1), labels) == 0
    assert class_of(Annotation(box, wnid="n9", name="boat", index=1), labels) is None, "another data set's numbers"
    assert class_of(Annotation(box, index=1), labels) == 1
    assert class_of(Annotation(box, wnid="n9", index=7), Labels()) == 7


def test_class_of_a_thing_that_is_called_by_a_number():
    """The name first; a number is an index only where no class is called by one."""
    box = Box(0, 0, 1, 1)
    digits = Labels.of(["1", "2", "3", "4", "5"])
    assert class_of(Annotation(box, name="3"), digits) == 2
    assert class_of(Annotation(box, name="0"), digits) is None
    assert class_of(Annotation(box, name="1355869"), Labels.of(["1355868", "1355869"])) == 1
    assert class_of(Annotation(box, name="1"), Labels.of(["cat", "dog"])) == 1


def test_the_class_asked_about_is_the_one_ranked_first_or_the_largest():
    small, large = Annotation(Box(0, 0, 1, 1)), Annotation(Box(0, 0, 9, 9))
    assert module._asked([3, 8, 5], {5: [large], 8: [small]}) == 8
    assert module._asked([3], {5: [small, large], 8: [small]}) == 5


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
    evaluate(colors, read_samples(tree), Judging(["best"], faithful=True, sanity=1))
    assert state_of(colors.network) == before


def test_same_seed_same_figures(colors, tree):
    one, same = (as_json(evaluate(colors, read_samples(tree), Judging(["paper"], seed=3))) for _ in range(2))
    assert one == same


def test_faithfulness_and_sanity_are_options(colors, tree):
    evaluation = evaluate(colors, read_samples(tree), Judging(["paper"], faithful=True, sanity=2))
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
