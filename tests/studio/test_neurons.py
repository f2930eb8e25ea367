"""What the layers see at a place, against the library's own order of neurons."""

import pytest
from torch import nn

from deepinside.core.errors import DeepInsideError
from deepinside.core.geometry import Box
from deepinside.explanations.excitement import excited_at
from deepinside.explanations.reconstruct import reconstruct
from deepinside.networks.classifier import Classifier
from deepinside.studio.neurons import COUNT, LEAST, MARGIN, _region, neurons_html
from helpers import NAMES, Colors, Page


@pytest.fixture
def rectified():
    network = Colors()
    network.rectify = nn.ReLU()
    return Classifier(network, labels=NAMES, size=32, name="<b>colors")


@pytest.mark.parametrize("rule", ["gradient", "guided"])
@pytest.mark.parametrize(("x", "y"), [(0.0, 0.0), (30.0, 20.0), (63.0, 47.0)])
def test_layers_come_one_after_the_other_with_their_most_excited_neurons(rectified, desk, photo, x, y, rule):
    photo = desk.photo(photo)
    parts = list(neurons_html(rectified, photo, x, y, rule))
    excited = excited_at(rectified, photo, x, y, count=COUNT)
    layers = list(dict.fromkeys(each.neuron.layer for each in excited))
    assert len(parts) == len(layers)
    for number, part in enumerate(parts, start=1):
        mine = [each for each in excited if each.neuron.layer in layers[:number]]
        untold = part.count("expected rectifiers")  # the rule acts on none before the first of them
        assert part.count("<figure") + untold == len(mine)
        assert untold == (COUNT if rule == "guided" else 0)
        mine = mine[untold:]
        places = [part.index(f"channel {each.neuron.channel}, activation {each.activation:.2f}") for each in mine]
        assert len(places) == len(mine)
        assert [layer in Page(part).text for layer in layers[:number]] == [True] * number
    read = Page(parts[-1])
    assert f"at {x:.0f}, {y:.0f}" in read.text
    assert "b" not in read.tags
    assert f"<b>colors, rule {rule}" in read.text


def test_the_region_holds_what_the_neuron_could_see(rectified, desk, photo):
    photo = desk.photo(photo)
    for each in excited_at(rectified, photo, 30, 20, count=COUNT):
        seen = reconstruct(rectified, photo, each.neuron, rule="gradient")
        region, field = _region(seen), seen.field
        whole = Box(0, 0, photo.width, photo.height)
        assert whole.x0 <= region.x0 <= max(field.x0, 0)
        assert min(field.y1, whole.y1) <= region.y1 <= whole.y1
        assert region.width >= min(LEAST * (1 + MARGIN), whole.width) - 1


@pytest.mark.parametrize(("x", "y"), [(-1.0, 0.0), (64.5, 3.0), (3.0, 1e9), (float("nan"), 3.0)])
def test_a_place_outside_of_the_photo_is_told(rectified, desk, photo, x, y):
    with pytest.raises(DeepInsideError):
        list(neurons_html(rectified, desk.photo(photo), x, y, "gradient"))


def test_a_rule_that_cannot_act_is_told(colors, desk, photo):
    told = list(neurons_html(colors, desk.photo(photo), 30, 20, "guided"))[-1]
    assert "expected rectifiers" in Page(told).text
