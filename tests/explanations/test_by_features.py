"""`best` against its slow twin, from photo to box, on networks small and real; and what the network is shown for it.

The twin finds one object of one class in one photo, so it is compared with `Best(objects=1)`.
"""

import itertools
from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage
from torch import nn

import slow_best
from deepinside.core.errors import DeepInsideError
from deepinside.core.geometry import Box, Frame
from deepinside.core.images import as_photo, read
from deepinside.cut.continuity import Continuity, lab
from deepinside.cut.outline import OutlineOptions, trace
from deepinside.explanations import by_features
from deepinside.explanations.by_features import Best, FeatureSeen
from deepinside.explanations.explain import detections, explain
from deepinside.explanations.glance import Coarse, Glance
from deepinside.explanations.leads import Lead
from deepinside.networks.classifier import Classifier
from helpers import state_of

ONE = Best(objects=1)

# ---------------------------------------------------------------------------------------------- networks and photos


def convolution(channels, outputs, stride):
    return nn.Sequential(nn.Conv2d(channels, outputs, 3, stride=stride, padding=1), nn.ReLU())


def strides_8_16_32():
    return convolution(3, 8, 4), convolution(8, 12, 2), convolution(12, 16, 2), convolution(16, 16, 2)


def pooled():
    return nn.Sequential(*strides_8_16_32(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 4))


def dense():
    return nn.Sequential(*strides_8_16_32(), nn.Flatten(), nn.Linear(16 * 16, 4))


def gridless():
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * 128 * 128, 4), nn.Tanh())


NETWORKS = {  # what each is for -> how to make it, and where `best` should look, by the names of its layers
    "global pooling": (pooled, {"fine": "model.1", "middle": "model.2", "seed": "model.2", "last": "model.3"}),
    "a dense layer that weighs places, of one size": (
        dense,
        {"fine": "model.1", "middle": "model.2", "seed": "model.2", "last": "model.3", "any_size": False},
    ),
    "no layer with a grid": (gridless, {"fine": None, "middle": None, "seed": None, "last": None, "any_size": False}),
}


def mean_of_squares(side, weights):
    convolution = nn.Conv2d(len(weights[0]), len(weights), side, stride=side)
    with torch.no_grad():
        convolution.weight.copy_(torch.tensor(weights)[:, :, None, None].expand(-1, -1, side, side) / side**2)
        convolution.bias.fill_(-0.05)
    return nn.Sequential(convolution, nn.Softplus(beta=10))


def colors_at_strides_8_16_32(classes=(0, 1, 2)):
    """Sees how red, green and blue each place is; each class reads one of these, or -1 for none."""
    excess = [[1.0 if k == j else -0.5 for j in range(3)] for k in range(3)]
    same = np.eye(3).tolist()
    body = mean_of_squares(8, excess), mean_of_squares(2, same), mean_of_squares(2, same)
    scores = nn.Linear(3, len(classes))
    with torch.no_grad():
        scores.weight.copy_(torch.tensor([[40.0 * (k == color) for k in range(3)] for color in classes]))
        scores.bias.zero_()
    return nn.Sequential(*body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), scores)


COLORS = {"fine": "model.0", "middle": "model.1", "seed": "model.1", "last": "model.2"}
RED, GREEN, BLUE = range(3)
SQUARES = {RED: (20, 30, 60, 64), BLUE: (120, 90, 170, 140)}


def colors_classifier(*classes):
    return Classifier(colors_at_strides_8_16_32(classes or (RED, GREEN, BLUE)), size=128)


def squares(size=(200, 160), boxes=SQUARES):
    """Noise with squares, each of one color."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(90, 120, (size[1], size[0], 3)).astype(np.uint8)
    for color, (x0, y0, x1, y1) in boxes.items():
        pixels[y0:y1, x0:x1] = rng.integers(10, 40, (y1 - y0, x1 - x0, 3))
        pixels[y0:y1, x0:x1, color] += 200
    return Image.fromarray(pixels)


def seen_in(classifier, image, classes, localizer=ONE):
    photo = as_photo(image)
    return localizer.see(classifier, [localizer.views(classifier, photo)], [lambda _logits: list(classes)])[0]


def images_shown(network):
    """The shapes of what the network is shown from now on."""
    shapes = []
    network.register_forward_pre_hook(lambda _, inputs: shapes.append(tuple(inputs[0].shape)))
    return shapes


# ------------------------------------------------------------------------------------------------------ the slow twin


def test_the_twin_has_the_constants_of_the_package():
    """A constant that was changed here and not there, or the other way around, would go unnoticed where it is idle."""
    values = (Best(), Continuity(), OutlineOptions())
    for defaults, table in zip(values, slow_best.TABLE.values(), strict=True):
        assert {name: getattr(defaults, name) for name in table} == table
    for defaults, table in ((Continuity(), slow_best.CONTINUITY), (OutlineOptions(), slow_best.OUTLINE)):
        assert set(vars(defaults)) == set(table), "none is left out"


def check(classifier, image, index, localizer=ONE, **layers):
    """Ours, in float32 and with the network folded, against the twin in float64.

    Rounding moves the seed by less than 2e-6 of its range, the log odds by less than 2e-5 and the energy by less than
    1e-6 of itself (measured); all have five times that room or more. Regions, masks and boxes are the same, pixel by
    pixel: no label of these photos is so near to a tie.
    """
    seen = seen_in(classifier, image, [index], localizer)
    (ours,) = detections(classifier, localizer, seen)
    slow = slow_best.find(classifier.network, image, index, classifier.size, **layers)
    (lead,), last = seen.leads[0], slow.looks[-1]
    assert np.abs(seen.maps[0] - slow.looks[0].seed).max() < 1e-5
    assert lead.glance.frame.region.as_tuple() == last.region
    assert lead.closed == bool(slow.refused)
    assert lead.confidence == pytest.approx(last.probability, rel=1e-5)
    assert np.abs(lead.glance.maps[lead.k] - last.seed).max() < 1e-5
    assert np.abs(lead.cut.odds - last.odds).max() < 1e-4
    assert (lead.cut.foreground == last.foreground).all()
    assert (lead.cut.mask == last.cells).all()
    found = ours.segmentation
    assert (found.foreground_seeds == (slow.odds > localizer.continuity.slope)).all()
    assert (found.background_seeds == (slow.odds < -localizer.continuity.slope)).all()
    assert found.energy == pytest.approx(slow.energy, rel=1e-5, abs=1e-3)
    assert found.confidence == lead.confidence
    assert (found.mask == slow.pixels).all()
    assert (ours.mask == slow.mask).all()
    assert ours.box.as_tuple() == slow.box
    return slow


@pytest.fixture
def small_cat(photos):
    return Image.open(photos / "cat.jpg").convert("RGB").resize((128, 96))


@pytest.mark.parametrize("kind", NETWORKS)
def test_best_equals_its_slow_twin_on_small_networks(small_cat, kind):
    make, layers = NETWORKS[kind]
    torch.manual_seed(3)
    classifier = Classifier(make(), size=128)
    found = [check(classifier, small_cat, index, **layers) for index in range(4)]
    assert len({slow.box for slow in found}) > 1, "the classes are told apart"
    assert any((slow.coarse != slow.pixels).mean() > 0.02 for slow in found), "the outline moved"


@pytest.mark.parametrize("color", [RED, GREEN, BLUE])
def test_best_equals_its_slow_twin_where_it_looks_closer(color):
    slow = check(colors_classifier(), squares(), color, **COLORS)
    assert len(slow.looks) == (1 if color == GREEN else 3)
    assert slow.box == SQUARES.get(color, (0, 0, 200, 160)), "to the pixel"


def test_best_equals_its_slow_twin_on_a_real_network(lite0, photos):
    image = Image.open(photos / "coffee.jpg").convert("RGB").resize((280, 224))
    layers = {"fine": "model.blocks.2", "middle": "model.blocks.4", "seed": "model.blocks.4", "last": "model.bn2"}
    slow = check(lite0, image, lite0.labels.find("espresso"), **layers)
    assert len(slow.looks[0].maps) == 4, "two layers at two sizes"


def test_best_equals_its_slow_twin_on_a_real_network_that_looks_closer(lite0, photos):
    image = Image.open(photos / "astronaut.jpg").convert("RGB")
    layers = {"fine": "model.blocks.2", "middle": "model.blocks.4", "seed": "model.blocks.4", "last": "model.bn2"}
    slow = check(lite0, image, lite0.labels.find("space shuttle"), **layers)
    assert len(slow.looks) == 3
    assert max(slow.pixels.shape) > 2 * OutlineOptions().coarsest, "cut at three resolutions"


CHANGES = {
    ("rocket", RED): [  # three looks
        ("Best", "scales", (1.0,)),
        ("Best", "closer", 0), ("Best", "closer", 1), ("Best", "margin", 0.1), ("Best", "margin", 0.8),
        ("Best", "filled", 0.2), ("Best", "doubt", 0.5), ("Best", "resolution", 50),
        ("Continuity", "floor", 0.3), ("Continuity", "level", 0.7), ("Continuity", "sharpness", 2.0),
        ("Continuity", "temperature", 0.6), ("Continuity", "slope", 0.8), ("Continuity", "clip", 1.0),
        ("Continuity", "edge", 0.3), ("Continuity", "side", 0.2), ("Continuity", "fade", 0.2),
        ("Continuity", "blur", 1.5), ("Continuity", "cell", 8), ("Continuity", "node", 16),
    ],
    ("astronaut", RED): [  # two looks
        ("OutlineOptions", "band", 0.05), ("OutlineOptions", "coarsest", 30), ("OutlineOptions", "narrow", 5.0),
        ("OutlineOptions", "components", 2), ("OutlineOptions", "color", 0.3), ("OutlineOptions", "prior", 3.0),
        ("OutlineOptions", "smoothness", 5.0), ("OutlineOptions", "contrast", 0.5), ("OutlineOptions", "rounds", 1),
        ("OutlineOptions", "clip", 2.0), ("OutlineOptions", "uniform", 0.3), ("OutlineOptions", "samples", 100),
        ("OutlineOptions", "iterations", 1), ("OutlineOptions", "updates", 0),
        ("OutlineOptions", "covariance_floor", 0.01),
    ],
}  # fmt: skip


@pytest.fixture(scope="module")
def scenes(photos):
    """The photos, and what the twin finds in each as it is."""
    found = {}
    for name, color in CHANGES:
        image = Image.open(photos / f"{name}.jpg").convert("RGB").resize((200, 200))
        network = colors_classifier().network
        found[name] = image, slow_best.find(network, image, color, (128, 128), **COLORS)
    return found


@pytest.mark.parametrize(
    ("name", "color", "change"),
    [(*scene, change) for scene, changes in CHANGES.items() for change in changes],
    ids=lambda value: " ".join(map(str, value)) if isinstance(value, tuple) else str(value),
)
def test_a_constant_means_the_same_to_both(scenes, monkeypatch, name, color, change):
    """Each is changed alone, and something changes with it."""
    kind, constant, value = change
    image, before = scenes[name]
    monkeypatch.setitem(slow_best.TABLE[kind], constant, value)
    changes = {constant: value}
    if kind == "Continuity":
        changes = {"continuity": Continuity(**changes)}
    if kind == "OutlineOptions":
        changes = {"outline": OutlineOptions(**changes)}
    slow = check(colors_classifier(), image, color, replace(ONE, **changes), **COLORS)
    assert len(before.looks) == {"rocket": 3, "astronaut": 2}[name]
    assert found_by(slow) != found_by(before)


def found_by(slow):
    """All that a change could change."""
    last = slow.looks[-1]
    return [len(slow.looks), last.region, last.probability, last.seed.tobytes(), last.odds.tobytes(), slow.energy]


# -------------------------------------------------------------------------------------- from one look to the next


def looked_at(lead):
    return lead.glance.frame.region


def test_a_look_follows_another_until_the_object_fills_its_view():
    """Round by round, on the same photo: the regions are those that the look before asked for."""
    photo, regions = squares(), []
    for closer in range(5):
        ((lead,),) = seen_in(colors_classifier(), photo, [RED], replace(ONE, closer=closer)).leads
        regions.append(looked_at(lead))
    assert regions[0] == Box(0, 0, 200, 160)
    for before, after in itertools.pairwise(regions):
        assert after.area <= before.area
    assert regions[1] != regions[0]
    assert regions[3] == regions[4], "no look is taken that would be about the same"


def test_a_closer_look_that_doubts_the_class_is_not_taken_in():
    """The same look, at a bound just above and just below the confidence that it has."""
    first, second = (
        seen_in(colors_classifier(), squares(), [RED], replace(ONE, closer=closer)).leads[0][0] for closer in (0, 1)
    )
    ratio = first.confidence / second.confidence
    for doubt, expected in ((ratio * 0.99, first), (ratio * 1.01, second)):
        ((found,),) = seen_in(colors_classifier(), squares(), [RED], replace(ONE, closer=1, doubt=doubt)).leads
        assert looked_at(found) == looked_at(expected)
        assert found.confidence == expected.confidence
        assert found.closed == (expected is first)


def test_a_refused_look_is_not_taken_again():
    """Whatever is refused once would be refused again, at the price of a pass."""
    counts = []
    for closer in (0, 1, 4):
        classifier = colors_classifier()
        shown = images_shown(classifier.network.model)
        seen_in(classifier, squares(), [RED], replace(ONE, doubt=0.0, closer=closer))
        counts.append(shown.count((1, 3, 128, 128)))
    assert counts[1] == counts[2] == counts[0] + 1


# ----------------------------------------------------------------------------------------------------- the outline


def outlined(pixels, odds, outline):
    """The mask of `segment` where the coarse cut has found all cells with odds above 0, each a pixel of the photo."""
    rows, columns = odds.shape
    frame = Frame.whole(columns, rows, width=columns, height=rows)
    glance = Glance(torch.zeros(1), (0,), frame, ((odds,),), (), pixels.astype(np.float32), Continuity())
    lead = Lead(glance, 0, Coarse(odds.astype(np.float32), odds > 0), 0.5)
    seen = FeatureSeen(glance, ((lead,),), as_photo((pixels * 255).astype(np.uint8)))
    (found,) = replace(ONE, outline=outline).segment(seen, 0)
    return found.mask


def test_of_two_parts_that_color_tells_apart_the_one_with_more_evidence_is_the_object():
    """The coarse mask is a bar over two patches; the left one is larger, the right one surer."""
    pixels, odds = np.full((40, 80, 3), 0.5), np.full((40, 80), -1.0)
    left, right = np.s_[12:28, 8:40], np.s_[12:28, 48:72]
    pixels[left] = pixels[right] = 0.9, 0.1, 0.1
    odds[12:28, 8:44], odds[12:28, 44:72] = 0.1, 3.0
    found = outlined(pixels, odds, OutlineOptions(band=1.0, smoothness=1.0))
    expected = np.zeros((40, 80), bool)
    expected[right] = True
    assert (found == expected).all()
    assert pixels[left].size > pixels[right].size


def test_where_the_pixels_leave_nothing_the_coarse_mask_stays():
    odds = np.full((40, 40), -3.0)
    odds[18:22, 17:24] = 0.01
    gray, options = np.full((40, 40, 3), 0.5), OutlineOptions(band=10.0)
    assert not trace(gray, odds, odds > 0, options).mask.any()
    assert (outlined(gray, odds, options) == (odds > 0)).all()


# ------------------------------------------------------------------------------------------------ several classes


def test_classes_whose_regions_agree_share_one_glance():
    """Also where the regions have to be the same."""
    classifier = colors_classifier(RED, RED, BLUE)
    seen = seen_in(classifier, squares(), [0, 1, 2], replace(ONE, agree=1.0))
    (red,), (same,), (blue,) = seen.leads
    assert red.glance is same.glance is not blue.glance
    assert red.glance.classes == (0, 1)
    assert blue.glance.classes == (2,)
    assert (red.k, same.k, blue.k) == (0, 1, 0)
    boxes = [found.box.as_tuple() for found in detections(classifier, ONE, seen)]
    assert boxes == [SQUARES[RED], SQUARES[RED], SQUARES[BLUE]]


def test_each_round_is_one_pass_of_all_crops():
    classifier = colors_classifier(RED, RED, BLUE)
    seen_in(classifier, squares(), [0])
    shown = images_shown(classifier.network.model)
    batch = [squares(), squares((160, 200), {RED: (90, 120, 140, 180)})]
    views = [ONE.views(classifier, as_photo(image)) for image in batch]
    ONE.see(classifier, views, [lambda _logits: [0, 1, 2], lambda _logits: [0]])
    several = [shape for shape in shown if shape[0] > 1]  # one image alone is to find out about the layers
    assert several == [(2, 3, 128, 128), (2, 3, 192, 192), (3, 3, 128, 128), (3, 3, 128, 128)]


def alike(ours, theirs):
    """Up to rounding, which depends on the images of a batch."""
    assert ours.index == theirs.index
    assert ours.probability == pytest.approx(theirs.probability, rel=1e-4)
    assert np.abs(ours.map - theirs.map).max() < 1e-4
    assert ours.confidence == pytest.approx(theirs.confidence, rel=1e-4)
    assert ours.segmentation.frame == theirs.segmentation.frame
    assert (ours.mask == theirs.mask).all()
    assert ours.box == theirs.box


def test_a_class_alone_gets_what_it_gets_among_others():
    """Where regions are shared only if they are the same."""
    localizer = replace(ONE, agree=1.0)
    classifier, image = colors_classifier(RED, GREEN, BLUE, RED), squares()
    together = explain(classifier, image, [0, 1, 2, 3], preset=localizer)
    for found in together.objects:
        alike(found, explain(classifier, image, found.index, preset=localizer).objects[0])


@pytest.mark.parametrize(("name", "labels"), [
    ("astronaut", ["space shuttle", "stretcher", "crash helmet", "bobsled"]),
    ("rocket", ["missile", "projectile", "drilling platform", "space shuttle"]),
])  # fmt: skip
def test_a_class_alone_gets_what_it_gets_among_others_of_a_real_network(lite0, photos, name, labels):
    localizer = replace(ONE, agree=1.0)
    together = explain(lite0, photos / f"{name}.jpg", labels, preset=localizer).objects
    if name == "astronaut":
        assert any(found.segmentation.frame.region.x0 > 0 for found in together), "some are looked at closer"
    for found in together:
        alike(found, explain(lite0, photos / f"{name}.jpg", found.index, preset=localizer).objects[0])


@pytest.mark.parametrize("name", ["astronaut", "rocket"])
def test_a_shared_region_is_nearly_the_one_that_a_class_gets_alone(lite0, photos, name):
    localizer = replace(ONE, closer=1, filled=1.0, agree=0.5)
    image = read(photos / f"{name}.jpg").image
    seen = seen_in(lite0, image, [812, 744, 657, 450, 518], localizer)
    alone = [seen_in(lite0, image, [index], localizer).leads[0][0] for index in seen.classes]
    overlaps = [looked_at(lead).iou(looked_at(own)) for (lead,), own in zip(seen.leads, alone, strict=True)]
    assert min(overlaps) >= localizer.agree
    assert min(overlaps) < 1, "one was shared that is not the same"
    assert len({id(lead.glance) for (lead,) in seen.leads}) < len(seen.leads)


def test_photos_of_a_batch_get_what_each_gets_alone():
    classifier = colors_classifier()
    images = [squares(), squares((90, 210), {BLUE: (20, 130, 50, 170)}), squares((40, 30), {RED: (1, 2, 30, 28)})]
    classes = [[RED, BLUE], [BLUE], [GREEN, RED]]
    photos = [as_photo(image) for image in images]
    choices = [lambda _logits, mine=mine: mine for mine in classes]
    together = ONE.see(classifier, [ONE.views(classifier, photo) for photo in photos], choices)
    for photo, seen, mine in zip(photos, together, classes, strict=True):
        alone = explain(classifier, photo, mine, preset=ONE)
        for ours, theirs in zip(detections(classifier, ONE, seen), alone.objects, strict=True):
            alike(ours, theirs)


def test_a_class_that_points_nowhere_does_not_disturb_the_others():
    classifier, image = colors_classifier(RED, -1, BLUE), squares()
    red, nowhere, blue = explain(classifier, image, [0, 1, 2], preset=ONE).objects
    assert [found.box.as_tuple() for found in (red, nowhere, blue)] == [SQUARES[RED], (0, 0, 200, 160), SQUARES[BLUE]]
    assert nowhere.mask.all()
    assert seen_in(classifier, image, [0, 1, 2]).leads[1] == ()
    for preset in (ONE, Best()):
        with pytest.raises(DeepInsideError, match="flat"):
            explain(classifier, image, 1, preset=preset)


# --------------------------------------------------------------------------------------------- networks of all kinds


KINDS = [pooled, dense, gridless, colors_at_strides_8_16_32]


@pytest.mark.parametrize("preset", [ONE, Best()], ids=["one", "several"])
@pytest.mark.parametrize("make", KINDS)
def test_the_network_is_left_as_it_was(small_cat, preset, make):
    torch.manual_seed(3)
    classifier = Classifier(make(), size=128)
    classifier.network.train()
    before = state_of(classifier.network)
    for found in explain(classifier, small_cat, [0, 1, 2], preset=preset).objects:
        check_mask(found, small_cat.size)
    with pytest.raises(DeepInsideError, match="from 0 to"):
        explain(classifier, small_cat, [17], preset=preset)
    assert state_of(classifier.network) == before


@pytest.mark.parametrize("preset", [ONE, Best(), Best(scales=(1.0,))], ids=["one", "several", "one size first"])
@pytest.mark.parametrize("make", [dense, gridless])
def test_a_network_of_a_fixed_size_is_shown_that_size_only(small_cat, preset, make):
    torch.manual_seed(3)
    classifier = Classifier(make(), size=128)
    shown = []
    classifier.network.model.register_forward_pre_hook(lambda _, inputs: shown.append(inputs[0].detach()))
    explanation = explain(classifier, small_cat, [0, 1, 2, 3], preset=preset)
    assert all(tuple(image.shape[2:]) == (128, 128) for image in shown if image.any()), "but for a blank one"
    if make is gridless:
        assert any(found.segmentation.frame.region.x0 > 0 for found in explanation.objects), "some are looked at closer"


def test_a_network_of_a_fixed_size_so_small_that_the_next_size_is_its_own(small_cat):
    """10/7 of 32 pixels is 32 pixels again, in whole multiples of 32; twice as many are not."""
    torch.manual_seed(3)
    body = convolution(3, 8, 2), convolution(8, 8, 2), nn.Flatten(), nn.Linear(8 * 64, 4)
    for found in explain(Classifier(nn.Sequential(*body), size=32), small_cat, [0, 1]).objects:
        check_mask(found, small_cat.size)


# -------------------------------------------------------------------------------------------------- photos of all kinds


def check_mask(found, size):
    """In photo pixels, of the photo's exact size, of one component, and the box is around it."""
    width, height = size
    assert found.mask.shape == found.saliency.shape == (height, width)
    ys, xs = np.nonzero(found.mask)
    assert found.box.as_tuple() == (xs.min(), ys.min(), xs.max() + 1, ys.max() + 1)
    assert ndimage.label(found.mask)[1] == 1
    assert 0 <= found.confidence <= 1


@pytest.mark.parametrize("preset", [ONE, Best()], ids=["one", "several"])
@pytest.mark.parametrize(("make", "size"), [
    *itertools.product(KINDS, [(2, 2), (1, 40), (5, 300), (300, 5), (127, 31), (700, 90)]),
    *itertools.product([pooled, dense, gridless], [(1, 1)]),  # which is of one color
])  # fmt: skip
def test_photos_of_any_shape(preset, make, size):
    torch.manual_seed(3)
    noise = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    image = ndimage.gaussian_filter(noise, (2, 2, 0))
    found = explain(Classifier(make(), size=128), Image.fromarray(image), [0, 2], preset=preset)
    assert [each.index for each, *_ in found.by_class] == [0, 2]
    for each in found.objects:
        check_mask(each, size)


@pytest.mark.parametrize("preset", [ONE, Best()], ids=["one", "several"])
@pytest.mark.parametrize("color", [(0, 0, 0), (255, 255, 255), (200, 30, 90)])
def test_a_photo_of_one_color(lite0, preset, color):
    """A network that pads its images tells the border from the middle, so there is a map, and so a mask."""
    image = Image.new("RGB", (90, 60), color)
    for found in explain(lite0, image, top=2, preset=preset).objects:
        check_mask(found, image.size)
    for size in (image.size, (1, 1)):  # but not one that is the same everywhere
        with pytest.raises(DeepInsideError, match="flat"):
            explain(colors_classifier(), image.resize(size), [0], preset=preset)


@pytest.mark.parametrize("size", [(96, 128), (128, 96)])
def test_networks_that_take_no_squares(size):
    classifier = Classifier(colors_at_strides_8_16_32(), size=size)
    image = squares((260, 130), {RED: (30, 20, 90, 70), BLUE: (170, 50, 230, 110)})
    red, blue = explain(classifier, image, [RED, BLUE], preset=ONE).objects
    assert red.box.iou(Box(30, 20, 90, 70)) > 0.95
    assert blue.box.iou(Box(170, 50, 230, 110)) > 0.95
    for found in (red, blue):
        check_mask(found, image.size)


@pytest.mark.parametrize("channels", [1, 4])
def test_other_channels_are_looked_at_closer_as_well(channels):
    """The network reads the last channel; the outline is cut in the first three."""
    values = np.random.default_rng(0).random((120, 160, channels), dtype=np.float32) * 0.1
    values[30:70, 40:90] += 0.8
    last = [[float(channel == channels - 1) for channel in range(channels)]]
    body = mean_of_squares(8, last), mean_of_squares(2, [[1.0]]), mean_of_squares(2, [[1.0]])
    network = nn.Sequential(*body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(1, 2))
    with torch.no_grad():
        network[-1].weight.copy_(torch.tensor([[10.0], [0.0]]))
        network[-1].bias.zero_()
    classifier = Classifier(network, size=128, mean=[0.0] * channels)
    (found,) = explain(classifier, values, [0], preset=ONE).objects
    assert found.segmentation.frame.region != Box(0, 0, 160, 120), "a closer look was taken"
    assert found.box.iou(Box(40, 30, 90, 70)) > 0.95
    check_mask(found, (160, 120))


# ------------------------------------------------------------------------------------------------------- real photos


def contrast(image, mask):
    """The mean distance in CIELAB between the two sides of an outline."""
    colors, steps = lab(np.asarray(image, np.float32) / 255), []
    for axis in (0, 1):
        crosses = np.diff(mask, axis=axis)
        steps.append(np.linalg.norm(np.diff(colors, axis=axis), axis=2)[crosses])
    return np.concatenate(steps).mean()


SHOWN = {  # photo and class -> the box around it, drawn by hand
    ("coffee", "espresso"): (76, 18, 480, 388),  # the saucer with cup and spoon
    ("coffee", "coffee mug"): (76, 18, 480, 388),
    ("cat", "tabby"): (0, 0, 392, 300),
    ("cat", "Egyptian cat"): (0, 0, 392, 300),
    ("astronaut", "space shuttle"): (352, 0, 460, 287),  # the model in the background
}


@pytest.mark.parametrize(("name", "label"), SHOWN)
def test_outlines_of_real_photos_follow_edges_of_color(lite0, photos, name, label):
    """Far more than the outline of the coarse mask, and than one of the same form that is a few pixels off."""
    image = read(photos / f"{name}.jpg").image
    seen = seen_in(lite0, image, [lite0.labels.find(label)])
    (found,) = detections(lite0, ONE, seen)
    ((lead,),) = seen.leads
    coarse = lead.glance.frame.mask_to_photo(lead.cut.mask)
    assert contrast(image, found.mask) > 1.5 * contrast(image, coarse)
    assert contrast(image, found.mask) > 1.5 * contrast(image, ndimage.binary_dilation(found.mask, iterations=4))
    assert found.box.iou(Box(*SHOWN[name, label])) > 0.6
    check_mask(found, image.size)


def test_what_was_seen_is_a_value(colors, photos):
    """It cannot be changed, and is equal to nothing but itself, since arrays have no truth value."""
    views = Best().views(colors, read(photos / "cat.jpg"))
    seen, again = (Best().see(colors, [views], [lambda logits: [0]])[0] for _ in range(2))
    for value, other in ((seen, again), (views, Best().views(colors, read(photos / "cat.jpg")))):
        with pytest.raises(FrozenInstanceError):
            value.photo = None
        assert value == value
        assert value != other
        assert len({value, other}) == 2


def test_for_maps_alone_nobody_looks_closer_and_for_one_object_nobody_looks_for_others(lite0, photos, monkeypatch):
    """The passes of the network on a photo of two cups that are far from filling it; the first map is the same."""
    cup = read(photos / "coffee.jpg").image.resize((300, 200))
    wide = Image.new("RGB", (900, 400), (90, 110, 80))
    wide.paste(cup, (50, 100))
    wide.paste(cup, (550, 150))
    passes, counted = [], by_features.glances
    monkeypatch.setattr(by_features, "glances", lambda *given: passes.append(given) or counted(*given))
    looked = {}
    for most in (0, 1, None):
        passes.clear()
        views = Best().views(lite0, as_photo(wide))
        (seen,) = Best().see(lite0, [views], [lambda _logits: [967]], most)
        looked[most] = len(passes), seen
    assert looked[0][0] == 1
    assert looked[0][0] < looked[1][0] < looked[None][0]
    assert [len(looked[most][1].leads[0]) for most in (1, None)] == [1, 2]
    assert (looked[0][1].maps[0] == looked[None][1].maps[0]).all()


@pytest.mark.parametrize("changes", [{"outline": OutlineOptions(smoothness=20.0)}, {"resolution": 100}], ids=str)
def test_outline_and_resolution_are_those_of_the_localizer_that_segments(lite0, photos, changes):
    """So that another value of these needs no new look."""
    photo, other = read(photos / "cat.jpg"), replace(Best(), **changes)
    choice = [lambda _logits: [285, 281]]
    (seen,) = Best().see(lite0, [Best().views(lite0, photo)], choice)
    (fresh,) = other.see(lite0, [other.views(lite0, photo)], choice)
    for k in range(2):
        found, expected, before = other.segment(seen, k), other.segment(fresh, k), Best().segment(seen, k)
        assert len(found) == len(expected)
        for ours, theirs in zip(found, expected, strict=True):
            assert (ours.frame, ours.energy) == (theirs.frame, theirs.energy)
            assert np.array_equal(ours.mask, theirs.mask)
            assert np.array_equal(ours.foreground_seeds, theirs.foreground_seeds)
        assert [each.energy for each in before] != [each.energy for each in found]


def test_a_graph_of_nodes_larger_than_the_photo_has_one(colors):
    """A constant in its range does not end in an error of another library."""
    image = np.random.default_rng(0).integers(0, 255, (40, 40, 3), dtype=np.uint8)
    explain(colors, image, "red", preset=Best(continuity=Continuity(node=10_000)))
