"""The one path, on real photos with a real network and on a network small enough to follow by hand."""

import numpy as np
import pytest
import timm
import torch
import torchvision
from PIL import Image
from torch import nn

from deepinside.core.errors import DeepInsideError
from deepinside.core.geometry import Box
from deepinside.core.images import as_photo, read
from deepinside.explanations.by_color import Paper
from deepinside.explanations.by_features import Best
from deepinside.explanations.explain import BATCH, detections, explain, explain_each
from deepinside.networks.classifier import Classifier
from helpers import state_of
from third_localizer import Bright


class Corner(nn.Module):
    """Class 0 is the redness of the upper left quarter, class 1 the blueness of the lower right, class 2 neither."""

    def forward(self, images):
        half = images.shape[-1] // 2
        red = images[:, 0, :half, :half].square().mean((1, 2))
        blue = images[:, 2, half:, half:].square().mean((1, 2))
        return torch.stack([4 * red, 4 * blue, 0 * red], dim=1)


@pytest.fixture
def corner():
    return Classifier(Corner(), labels=["red", "blue", "none"], size=28)


@pytest.fixture
def scene():
    rng = np.random.default_rng(0)
    pixels = rng.integers(90, 110, (64, 64, 3), dtype=np.uint8)
    pixels[8:24, 8:24] = [220, 30, 30]
    return Image.fromarray(pixels)


def test_paper_preset_equals_a_slow_loop_over_crops(corner, scene):
    explanation = explain(corner, scene, [0], preset="paper")
    image = torch.from_numpy(np.array(scene.resize((32, 32), Image.Resampling.BICUBIC))).permute(2, 0, 1) / 255
    total, seen = np.zeros((32, 32)), np.zeros((32, 32))
    logits = []
    for y, x in ((0, 0), (0, 4), (4, 0), (4, 4), (2, 2)):
        for mirrored in (False, True):
            crop = image[None, :, y : y + 28, x : x + 28]
            pixels = (crop.flip(-1) if mirrored else crop).clone().requires_grad_()
            scores = corner.network(pixels)
            scores[0, 0].backward()
            map = pixels.grad[0].abs().amax(0).numpy()
            total[y : y + 28, x : x + 28] += map[:, ::-1] if mirrored else map
            seen[y : y + 28, x : x + 28] += 1
            logits.append(scores.detach()[0])
    found = explanation.objects[0]
    assert np.allclose(found.map, total / seen, atol=1e-6)
    assert found.score == pytest.approx(torch.stack(logits).mean(0)[0].item(), abs=1e-6)
    assert found.probability == pytest.approx(torch.stack(logits).mean(0).softmax(0)[0].item(), abs=1e-6)


def test_box_is_on_the_object(corner, scene):
    found = explain(corner, scene, ["red"], preset="paper").objects[0]
    assert found.box.iou(Box(8, 8, 24, 24)) > 0.7
    ys, xs = np.nonzero(found.mask)
    assert found.box.as_tuple() == (xs.min(), ys.min(), xs.max() + 1, ys.max() + 1)


@pytest.mark.parametrize("preset", ["best", "paper"])
def test_real_photo_top_five(lite0, photos, preset):
    photo = read(photos / "coffee.jpg")
    explanation = explain(lite0, photo, preset=preset)
    assert [found.label for found in explanation.objects][:1] == ["espresso"]
    probabilities = [found.probability for found in explanation.objects]
    assert len(probabilities) == 5
    assert probabilities == sorted(probabilities, reverse=True)
    for found in explanation.objects:
        assert found.saliency.shape == found.mask.shape == (photo.height, photo.width)
        assert found.mask.any()
        assert 0 <= found.box.x0 < found.box.x1 <= photo.width
        assert 0 <= found.box.y0 < found.box.y1 <= photo.height


@pytest.mark.parametrize("preset", ["best", "paper"])
def test_same_photo_same_bits(lite0, photos, preset):
    first, second = (explain(lite0, photos / "cat.jpg", "tabby", preset=preset).objects[0] for _ in range(2))
    assert (first.map == second.map).all()
    assert first.box == second.box
    assert first.probability == second.probability


def test_targets_by_name_id_and_index_agree(lite0, photos):
    found = [explain(lite0, photos / "cat.jpg", [t], boxes=False).objects[0] for t in ("tabby", "n02123045", 281)]
    assert {(d.index, d.label, d.wnid) for d in found} == {(281, "tabby", "n02123045")}
    assert (found[0].map == found[2].map).all()


def test_the_network_is_as_before(corner, scene):
    corner.network.train()
    before = state_of(corner.network)
    explain(corner, scene, targets=["red"])
    with pytest.raises(DeepInsideError):
        explain(corner, scene, targets=[17])
    assert state_of(corner.network) == before


def test_best_box_is_around_the_cup_and_not_beyond_the_saucer(lite0, photos):
    box = explain(lite0, photos / "coffee.jpg", "espresso").objects[0].box
    cup, saucer = Box(172, 18, 407, 308), Box(76, 18, 480, 388)  # drawn by hand
    assert box.intersection(cup).area > 0.95 * cup.area
    assert box.intersection(saucer).area > 0.95 * box.area


@pytest.mark.parametrize("make", [
    lambda: timm.create_model("vit_tiny_patch16_224", num_classes=5),
    lambda: timm.create_model("swin_tiny_patch4_window7_224", num_classes=5),
    lambda: torchvision.models.resnet18(num_classes=5),
    lambda: torchvision.models.vgg11(num_classes=5),
])  # fmt: skip
def test_best_works_on_other_architectures(make, photos):
    torch.manual_seed(0)
    found = explain(Classifier(make(), size=224, name="random"), photos / "cat.jpg", top=1).objects[0]
    assert 0 < found.mask.mean() <= 1
    assert found.map.max() == pytest.approx(1)


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (500, 3)])
def test_photos_of_any_shape_have_boxes_inside(lite0, size):
    noise = np.random.default_rng(0).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
    found = explain(lite0, noise, top=1).objects[0]
    assert found.mask.shape == (size[1], size[0])
    assert found.box.area >= 1
    assert found.box.x1 <= size[0]
    assert found.box.y1 <= size[1]


def test_fewer_classes_than_asked_for_and_one_that_points_nowhere(corner, scene):
    explanation = explain(corner, scene, top=5, preset="paper")
    assert len(explanation.objects) == 3
    nowhere = next(found for found in explanation.objects if found.label == "none")
    assert nowhere.box == Box(0, 0, 64, 64)


@pytest.mark.parametrize(("arguments", "message"), [
    ({"targets": []}, "at least one target"), ({"top": 0}, "at least one class"),
    ({"targets": "blu"}, "did you mean blue"),
    ({"preset": "paperr"}, "did you mean paper"), ({"objects": "on"}, "did you mean one"),
    ({"objects": "first", "boxes": False}, "one, all"),
    ({"targets": ["none"]}, "flat"), ({"targets": 3}, "from 0 to 2"),
])  # fmt: skip
def test_wrong_wishes_are_named(corner, scene, arguments, message):
    with pytest.raises(DeepInsideError, match=message):
        explain(corner, scene, **arguments)


def test_labels_that_do_not_match_the_network_are_named(scene):
    with pytest.raises(DeepInsideError, match=r"\(3\), got 2"):
        explain(Classifier(Corner(), labels=["a", "b"], size=28), scene)


def test_saliency_alone_has_no_box(corner, scene):
    with pytest.raises(DeepInsideError, match="saliency alone"):
        _ = explain(corner, scene, "red", boxes=False).objects[0].box


@pytest.mark.parametrize("targets", [None, ["red", "blue"]])
def test_all_objects_of_each_class_or_the_surest_alone(colors, scene, tmp_path, targets):
    scene.save(tmp_path / "a.png")
    every = explain(colors, scene, targets, preset=Bright())
    one = explain(colors, scene, targets, preset=Bright(), objects="one")
    (outcome,) = explain_each(colors, [tmp_path / "a.png"], targets, preset=Bright(), objects="one")
    classes = [mine[0].index for mine in every.by_class]
    assert len(classes) == (2 if targets else 3)
    assert [seen.index for seen in every.objects] == [index for index in classes for _ in range(2)]
    for left, right in every.by_class:
        assert left.box.x1 <= right.box.x0
        assert left.probability == right.probability
    for few in (one, outcome.explanation):
        assert [seen.box for seen in few.objects] == [first.box for first, _ in every.by_class]
    assert len(explain(colors, scene, targets, preset=Bright(), boxes=False).objects) == len(classes)


@pytest.mark.parametrize("size", [8, (8, 12), 12, 20])
@pytest.mark.parametrize("preset", ["best", "paper"])
def test_networks_of_a_few_pixels_are_explained(scene, size, preset):
    """Handwritten digits, for one, are published at 8 x 8."""
    found = explain(Classifier(Corner(), size=size), scene, [0], preset=preset).objects[0]
    assert found.box.x0 < 32
    assert found.box.y0 < 32


def loaded(pixels, labels):
    """As a data loader yields them: batches of two photos and their labels."""
    return torch.utils.data.DataLoader(torch.utils.data.TensorDataset(pixels, labels), batch_size=2)


def test_photos_of_any_kind_are_explained_each_with_its_own_targets(corner, scene, tmp_path):
    scene.save(tmp_path / "scene.png")
    array = np.array(scene)
    tensor = torch.from_numpy(array).permute(2, 0, 1) / 255
    sources = [tmp_path / "scene.png", str(tmp_path / "scene.png"), scene, array, tensor, as_photo(scene)]
    expected = {target: explain(corner, scene, target, preset="paper") for target in ("red", "blue")}

    def check(outcomes, targets):
        for outcome, target in zip(outcomes, targets, strict=True):
            (ours,), (theirs,) = outcome.explanation.objects, expected[target].objects
            assert (ours.label, ours.box) == (theirs.label, theirs.box)
            np.testing.assert_allclose(ours.map, theirs.map, rtol=1e-4, atol=1e-6)

    outcomes = list(explain_each(corner, sources, "red", preset="paper"))
    check(outcomes, ["red"] * 6)
    assert [outcome.path for outcome in outcomes] == [tmp_path / "scene.png"] * 2 + [None] * 4
    check(explain_each(corner, [(scene, "blue"), scene], "red", preset="paper"), ["blue", "red"])
    column = ({"image": scene, "label": label} for label in (1, 0))
    check(explain_each(corner, ((row["image"], row["label"]) for row in column), preset="paper"), ["blue", "red"])
    batches = loaded(tensor.repeat(3, 1, 1, 1), torch.tensor([0, 1, 0]))
    check(explain_each(corner, batches, preset="paper"), ["red", "blue", "red"])
    check(explain_each(corner, [tensor.repeat(2, 1, 1, 1)], "blue", preset="paper"), ["blue", "blue"])
    with pytest.raises(DeepInsideError, match="one target for each of 3 photos of a batch, got 2"):
        list(explain_each(corner, [(tensor.repeat(3, 1, 1, 1), [0, 1])]))


def test_a_run_goes_on_after_a_photo_that_fails(corner, scene, tmp_path):
    scene.save(tmp_path / "good.png")
    (tmp_path / "bad.png").write_bytes(b"")
    outcomes = list(explain_each(corner, [tmp_path / "bad.png", tmp_path / "good.png"], "red"))
    assert outcomes[0].explanation is None
    assert "empty file" in str(outcomes[0].error)
    assert outcomes[1].explanation.objects[0].label == "red"


@pytest.mark.parametrize("preset", ["best", "paper"])
def test_photos_at_once_get_what_each_gets_alone(lite0, photos, preset):
    """Up to rounding, which depends on the number of threads and on the photos of a batch."""
    paths, before = sorted(photos.glob("*.jpg")), torch.get_num_threads()
    assert len(paths) == 4
    torch.set_num_threads(2)  # two batches at once, with one thread each
    try:
        outcomes = list(explain_each(lite0, [*paths, *paths], top=2, preset=preset))
    finally:
        torch.set_num_threads(before)
    alone = {path: explain(lite0, path, top=2, preset=preset) for path in paths}
    assert [outcome.path for outcome in outcomes] == [*paths, *paths]
    for outcome in outcomes:
        for ours, theirs in zip(outcome.explanation.objects, alone[outcome.path].objects, strict=True):
            assert ours.label == theirs.label
            assert ours.probability == pytest.approx(theirs.probability, rel=1e-4)
            assert np.corrcoef(ours.map.ravel(), theirs.map.ravel())[0, 1] > 0.9999
            # The paper's cut has near ties, in which rounding decides: there now and then a box moves.
            assert preset == "paper" or ours.box.iou(theirs.box) > 0.98


def passes_counted(network):
    """How many images each forward pass of the network saw."""
    seen = []
    network.register_forward_pre_hook(lambda _, inputs: seen.append(len(inputs[0])))
    return seen


@pytest.mark.parametrize(("localizer", "expected"), [(Best(scales=(1.0,), closer=0, objects=1), [3]), (Paper(), [30])])
def test_several_photos_go_through_the_network_in_one_pass(colors, scene, localizer, expected):
    network = colors.network
    views = [localizer.views(colors, as_photo(scene.rotate(angle))) for angle in (0, 90, 180)]
    localizer.see(colors, views, [lambda logits: [0]] * 3)  # whatever is found out about layers is found out now
    seen = passes_counted(network.model)
    localizer.see(colors, views, [lambda logits: [0], lambda logits: [2, 1], lambda logits: [int(logits.argmax())]])
    assert [count for count in seen if count > 1] == expected


@pytest.mark.parametrize("localizer", [Best(), Paper()])
def test_each_photo_of_a_batch_has_classes_of_its_own(colors, scene, localizer):
    photos = [as_photo(scene.rotate(angle)) for angle in (0, 90, 180)]
    wanted = [[0], [2, 1], [1]]
    choices = [lambda logits, mine=mine: mine for mine in wanted]
    together = localizer.see(colors, [localizer.views(colors, photo) for photo in photos], choices)
    assert [list(seen.classes) for seen in together] == wanted
    for photo, seen, mine in zip(photos, together, wanted, strict=True):
        alone = explain(colors, photo, mine, preset=localizer)
        for ours, theirs in zip(detections(colors, localizer, seen), alone.objects, strict=True):
            assert np.allclose(ours.map, theirs.map, rtol=1e-3, atol=1e-6)
            assert ours.box == theirs.box


def test_a_photo_that_fails_does_not_take_its_batch_with_it(tmp_path):
    class Dark(nn.Module):
        """Has no finite answer for black photos."""

        def forward(self, images):
            finite = torch.where(images.amax((1, 2, 3)) > 0, 1.0, float("nan"))
            return images.square().mean((2, 3)) * finite[:, None]

    paths = []
    for number in range(2 * BATCH):
        paths.append(tmp_path / f"{number}.png")
        level = 0 if number == 2 else 40 + 20 * number
        Image.fromarray(np.random.default_rng(number).integers(0, level + 1, (32, 32, 3), dtype=np.uint8)).save(
            paths[-1]
        )
    outcomes = list(explain_each(Classifier(Dark(), size=28), paths, 1, boxes=False, preset="paper"))
    assert [outcome.error is None for outcome in outcomes] == [number != 2 for number in range(2 * BATCH)]
    assert "finite" in str(outcomes[2].error)


def pooled(channels=3, classes=3):
    """A small convolutional network whose last maps are pooled."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(channels, 8, 3, stride=2, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 16, 3, stride=2),
        nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, classes),
    )  # fmt: skip


@pytest.mark.parametrize("preset", ["best", "paper"])
@pytest.mark.parametrize(("precision", "tolerance"), [
    (torch.float16, 0.05), (torch.bfloat16, 0.3), (torch.float64, 1e-3),
])  # fmt: skip
@pytest.mark.parametrize("frozen", [False, True])
def test_networks_of_other_precisions_are_explained_as_in_single_precision(scene, preset, precision, tolerance, frozen):
    expected = explain(Classifier(pooled(), size=32), scene, [0, 2], preset=preset)
    found = explain(Classifier(pooled().to(precision), size=32, frozen=frozen), scene, [0, 2], preset=preset)
    for one, other in zip(found.objects, expected.objects, strict=True):
        assert one.score == pytest.approx(other.score, abs=tolerance)
        assert np.linalg.norm(one.map - other.map) <= tolerance * np.linalg.norm(other.map)


@pytest.mark.parametrize("preset", ["best", "paper"])
def test_one_channel_from_rgb_gray_and_sixteen_bit_photos(preset):
    """The mean of the channels of a gray photo is that photo, whatever it is stored as."""
    gray = np.random.default_rng(0).integers(0, 256, (40, 50), dtype=np.uint8)
    classifier = Classifier(pooled(1), size=32, mean=[0.5], std=[0.25])
    scores = [
        explain(classifier, photo, 1, preset=preset).objects[0].score
        for photo in (np.stack([gray] * 3, axis=-1), gray, Image.fromarray(gray), gray.astype(np.uint16) * 257,
                      torch.from_numpy(gray / np.float32(255))[None])
    ]  # fmt: skip
    assert scores == pytest.approx([scores[0]] * len(scores), abs=1e-4)
    assert explain(Classifier(pooled(1), size=32), gray).objects[0].box.area > 0


@pytest.mark.parametrize("preset", ["best", "paper"])
def test_more_channels_than_three_come_from_arrays(preset):
    bands = np.random.default_rng(0).random((40, 50, 5), dtype=np.float32)
    classifier = Classifier(pooled(5), size=(40, 50), mean=[0.5] * 5, std=[0.25] * 5)
    explanation = explain(classifier, bands, 1, preset=preset)
    if preset == "best":  # which is shown the photo as it is
        images = torch.from_numpy(bands).permute(2, 0, 1)[None]
        classifier.network.eval()
        assert explanation.objects[0].score == pytest.approx(classifier.network(images)[0, 1].item(), abs=1e-3)
    with pytest.raises(DeepInsideError, match="5 channels"):
        explain(classifier, Image.new("RGB", (50, 40)), preset=preset)


def test_a_network_of_other_channels_than_it_says_is_told_in_one_line(scene):
    with pytest.raises(DeepInsideError, match="number of channels that it takes") as caught:
        explain(Classifier(pooled(1), size=32, mean=[0.5] * 3), scene)
    assert "\n" not in str(caught.value)


def test_probabilities_are_by_the_networks_own_link(scene):
    one = explain(Classifier(pooled(classes=1), size=32), scene)
    assert one.probabilities == "sigmoid"
    assert one.objects[0].probability == pytest.approx(1 / (1 + np.exp(-one.objects[0].score)))
    several = explain(Classifier(pooled(), size=32, probabilities="sigmoid"), scene, top=3)
    assert [seen.probability for seen in several.objects] == pytest.approx(
        [1 / (1 + np.exp(-seen.score)) for seen in several.objects]
    )
    assert explain(Classifier(pooled(), size=32), scene).probabilities == "softmax"


@pytest.mark.parametrize("targets", [np.int64(1), [np.int64(1)], torch.tensor(1), torch.tensor([1]), np.array([1])])
def test_targets_of_numpy_and_pytorch(scene, targets):
    assert [seen.index for seen in explain(Classifier(pooled(), size=32), scene, targets).objects] == [1]


def test_a_module_in_place_of_a_classifier_is_told(scene, unchecked):
    with pytest.raises(DeepInsideError, match=r"got Sequential; wrap a module as Classifier\(module"):
        explain(pooled(), scene)


def test_too_many_classes_for_one_photo_are_refused_and_many_are_not(tmp_path, scene, monkeypatch):
    monkeypatch.setattr("deepinside.explanations.explain.MOST_CLASSES", 60)
    scene.save(tmp_path / "a.png")
    classifier = Classifier(pooled(classes=61), size=32)
    assert len(explain(classifier, scene, top=60, preset="paper").objects) == 60
    with pytest.raises(DeepInsideError, match="at most 60 classes of a photo at once, got 61"):
        explain(classifier, scene, top=61)
    together = list(explain_each(classifier, [tmp_path / "a.png"] * 3, top=60))
    assert [len(outcome.explanation.by_class) for outcome in together] == [60] * 3


def test_a_photo_without_the_channels_of_the_network_takes_no_other_with_it(tmp_path):
    tifffile = pytest.importorskip("tifffile")
    network = nn.Sequential(nn.Conv2d(5, 4, 3, padding=1), nn.Softplus(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    values = np.random.default_rng(0).integers(0, 255, (30, 40, 5), dtype=np.uint8)
    Image.fromarray(values[..., :3]).save(tmp_path / "1.png")
    for name in ("0.tif", "2.tif"):
        tifffile.imwrite(tmp_path / name, values, planarconfig="contig", photometric="minisblack")
    paths = [tmp_path / name for name in ("0.tif", "1.png", "2.tif")]
    found = list(explain_each(Classifier(network, size=32), paths, top=1))
    assert [outcome.error is None for outcome in found] == [True, False, True]
    assert str(found[1].error).startswith(f"{paths[1]}: the network expects 5 channels, and the photo has 3")
