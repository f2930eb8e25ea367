"""Which neurons a point excites, against a hook on the plain module and a sort; which layers are looked at."""

import numpy as np
import pytest
import timm
import torch
import torchvision
from PIL import Image
from torch import nn

from deepinside import load
from deepinside.core.errors import DeepInsideError
from deepinside.core.images import read
from deepinside.explanations.excitement import default_layers, excited_at
from deepinside.explanations.reconstruct import reconstruct
from deepinside.gradients.targets import read_neuron
from deepinside.networks.classifier import Classifier
from deepinside.networks.layers import Layer
from helpers import state_of


@pytest.fixture(scope="module")
def sequence():
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(inplace=True), nn.MaxPool2d(2), nn.Conv2d(6, 9, 3, padding=1)]
    module = nn.Sequential(*layers, nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(9, 4))
    return Classifier(module, size=(24, 32), mean=0.5, std=0.2)


@pytest.fixture(scope="module")
def transformer():
    torch.manual_seed(0)
    return Classifier(timm.create_model("vit_tiny_patch16_224", depth=6, num_classes=5), size=224, mean=0.5, std=0.5)


@pytest.fixture(scope="module")
def own_lite0():
    """Not the one that all tests share, which would give its fast form up when its network is read."""
    return load("lite0")


def slow_maps(classifier, path, names):
    """What the layers of the plain module return for the whole photo, (channels, rows, columns) each."""
    heard, modules = {}, dict(classifier._network.model.named_modules())
    hooks = [
        modules[name].register_forward_hook(lambda _, __, output, name=name: heard.update({name: output.clone()}))
        for name in names
    ]
    _, image = classifier.whole(read(path))
    with torch.no_grad():
        classifier._network.eval()(image)
    for hook in hooks:
        hook.remove()
    return {name: output[0] for name, output in heard.items()}


def expected_of(maps, x, y, width, height):
    """Row, column, the channels in order, their activations and excesses, by argsort."""
    _, rows, columns = maps.shape
    row, column = int(np.floor(y / height * rows)), int(np.floor(x / width * columns))
    here = maps[:, row, column].double().numpy()
    excess = here - maps.double().numpy().mean(axis=(1, 2))
    return row, column, here, excess, np.argsort(-excess, kind="stable")


def check(classifier, path, x, y, names, maps, count=3):
    found = excited_at(classifier, path, x, y, count=count)
    assert list(dict.fromkeys(each.neuron.layer for each in found)) == names
    photo = read(path)
    for name in names:
        mine = [each for each in found if each.neuron.layer == name]
        row, column, here, excess, order = expected_of(maps[name], x, y, photo.width, photo.height)
        assert len(mine) == min(count, len(here))
        assert {each.neuron.at for each in mine} == {(row, column)}
        assert [each.excess for each in mine] == pytest.approx(excess[order[:count]], rel=1e-3, abs=1e-4)
        channels = [each.neuron.channel for each in mine]
        assert len({*channels}) == len(channels)
        assert [each.excess for each in mine] == pytest.approx(excess[channels], rel=1e-3, abs=1e-4)
        assert [each.activation for each in mine] == pytest.approx(here[channels], rel=1e-3, abs=1e-4)
        assert all(each.cell.x0 <= x < each.cell.x1 and each.cell.y0 <= y < each.cell.y1 for each in mine)
    return found


@pytest.mark.parametrize("place", [(0.0, 0.0), (0.31, 0.72), (0.5, 0.5), (0.9999, 0.9999)])
def test_a_small_network_against_a_hook_and_a_sort(sequence, photos, place):
    photo = read(photos / "cat.jpg")
    x, y = place[0] * photo.width, place[1] * photo.height
    maps = slow_maps(sequence, photos / "cat.jpg", names := ["1", "4"])
    check(sequence, photos / "cat.jpg", x, y, names, maps, count=7)


def test_lite0_against_a_hook_and_a_sort(own_lite0, photos):
    photo = read(photos / "coffee.jpg")
    names = ["blocks.0", "blocks.1", "blocks.2", "blocks.4", "blocks.6"]
    maps = slow_maps(own_lite0, photos / "coffee.jpg", names)
    assert [maps[name].shape[1] for name in names] == [112, 56, 28, 14, 7]
    fast = own_lite0.fast
    for x, y in ((0.4, 0.6), (0.8, 0.1)):
        check(own_lite0, photos / "coffee.jpg", x * photo.width, y * photo.height, names, maps)
    assert own_lite0.fast is fast, "a frozen classifier keeps its fast form"


def test_a_transformer_against_a_hook_and_a_sort(transformer, photos):
    photo = read(photos / "rocket.jpg")
    names = ["blocks.1", "blocks.2", "blocks.4", "blocks.5"]
    tokens = slow_maps(transformer, photos / "rocket.jpg", names)
    maps = {name: each[1:].T.reshape(192, 14, 14) for name, each in tokens.items()}
    check(transformer, photos / "rocket.jpg", 0.3 * photo.width, 0.8 * photo.height, names, maps)


def test_the_point_is_one_of_the_upright_photo(sequence, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 255, (30, 50, 3), np.uint8)
    turned = Image.Exif()
    turned[274] = 6
    Image.fromarray(pixels).save(tmp_path / "turned.png", exif=turned)
    Image.fromarray(np.rot90(pixels, -1)).save(tmp_path / "upright.png")
    assert excited_at(sequence, tmp_path / "turned.png", 25, 45) == excited_at(
        sequence, tmp_path / "upright.png", 25, 45
    )
    with pytest.raises(DeepInsideError, match="inside of the photo's 30 x 50 pixels"):
        excited_at(sequence, tmp_path / "turned.png", 45, 25)


def test_reconstruct_and_the_command_take_the_neurons(sequence, own_lite0, photos):
    for classifier, layers in ((sequence, None), (own_lite0, ["blocks.1.0.conv_pw", "blocks.3"])):
        for each in excited_at(classifier, photos / "cat.jpg", 100, 80, layers=layers, count=1):
            assert read_neuron(str(each.neuron)) == each.neuron
            score = reconstruct(classifier, photos / "cat.jpg", each.neuron).score
            assert score == pytest.approx(each.activation, rel=1e-4, abs=1e-5)


def test_a_channel_that_is_high_everywhere_comes_last():
    module = nn.Sequential(nn.Conv2d(3, 3, 1, bias=False), nn.Flatten(), nn.Linear(3 * 8 * 8, 2))
    with torch.no_grad():
        module[0].weight.copy_(torch.diag(torch.tensor([100.0, 1.0, 1.0]))[..., None, None])
    image = torch.zeros(3, 8, 8)
    image[0] = 1
    image[2, 3, 5] = 1
    first, *others = excited_at(Classifier(module, size=8), image, 5.5, 3.5, layers=["0"])
    assert (first.neuron.channel, first.activation, first.excess) == (2, 1.0, pytest.approx(63 / 64))
    assert [(each.neuron.channel, each.activation, each.excess) for each in others] == [(0, 100.0, 0.0), (1, 0.0, 0.0)]


def test_the_module_stays_as_it_is(sequence, photos):
    sequence._network.train()
    before = state_of(sequence._network)
    excited_at(sequence, photos / "cat.jpg", 10, 10)
    with pytest.raises(DeepInsideError):
        excited_at(sequence, photos / "cat.jpg", 10, 10, layers=["5", "6"])
    assert state_of(sequence._network) == before
    sequence._network.eval()


@pytest.mark.parametrize("point", [(-1, 5), (5, -0.1), (1e9, 5), (5, float("nan")), (float("inf"), 5)])
def test_a_point_outside_of_the_photo_is_refused(sequence, photos, point):
    with pytest.raises(DeepInsideError, match=r"inside of the photo's \d+ x \d+ pixels, got"):
        excited_at(sequence, photos / "cat.jpg", *point)
    photo = read(photos / "cat.jpg")
    with pytest.raises(DeepInsideError, match="inside of the photo"):
        excited_at(sequence, photo, photo.width, 0)


def test_layers_that_are_not_there_or_have_no_grid_are_refused(sequence, photos):
    with pytest.raises(DeepInsideError, match="name of a layer, got '11'; did you mean 1"):
        excited_at(sequence, photos / "cat.jpg", 5, 5, layers=["11"])
    with pytest.raises(DeepInsideError, match=r"a layer with a grid, got '7', \(4,\)"):
        excited_at(sequence, photos / "cat.jpg", 5, 5, layers="7")
    with pytest.raises(DeepInsideError, match="at least 1 neuron"):
        excited_at(sequence, photos / "cat.jpg", 5, 5, count=0)
    flat = Classifier(nn.Sequential(nn.Flatten(), nn.Linear(3 * 64, 2)), size=8)
    with pytest.raises(DeepInsideError, match="a network that has a layer with a grid"):
        excited_at(flat, photos / "cat.jpg", 5, 5)


def test_activations_that_are_not_finite_are_told(photos):
    module = nn.Sequential(nn.Conv2d(3, 2, 1), nn.Flatten(), nn.Linear(2 * 64, 2))
    with torch.no_grad():
        module[0].bias.fill_(torch.nan)
    with pytest.raises(DeepInsideError, match="finite activations of layer '0'"):
        excited_at(Classifier(module, size=8), photos / "cat.jpg", 5, 5)


def layers_of(*rows):
    return [Layer(name, kind, (8, *grid), grid) for name, kind, grid in rows]


def test_the_last_layer_of_each_grid_is_looked_at_and_the_five_coarsest_at_most():
    sides = [64, 32, 16, 8, 4, 2, 1]
    rows = [(f"{side}.{part}", "Conv2d", (side, side)) for side in sides for part in "ab"]
    assert default_layers(layers_of(*rows)) == [f"{side}.b" for side in sides[1:6]]


def test_blocks_are_taken_rather_than_what_is_in_them_or_around():
    stages = [(f"blocks.{k}{part}", "Block", (16 >> k, 16 >> k)) for k in range(3) for part in (".0.bn1", ".0", "")]
    rows = [("bn1", "BatchNorm2d", (16, 16)), *stages, ("blocks.2.1.bn1", "BatchNorm2d", (2, 2)), ("bn2", "", (2, 2))]
    assert default_layers(layers_of(*rows)) == ["blocks.0", "blocks.1", "blocks.2"]


def test_attention_weights_are_no_grid():
    rows = [("a", "Conv2d", (7, 7)), ("b.drop", "Dropout", (49, 49)), ("c", "Conv2d", (14, 14))]
    assert default_layers(layers_of(*rows)) == ["c", "a"]


@pytest.mark.parametrize(
    ("depth", "chosen"), [(1, ["stem", "blocks.0.fc", "blocks.0", "norm"]), (2, [0, 1]), (12, [2, 5, 8, 11])]
)
def test_blocks_on_one_grid_are_taken_evenly_over_the_depth(depth, chosen):
    blocks = [(f"blocks.{k}{part}", "Block", (14, 14)) for k in range(depth) for part in (".fc", "")]
    found = default_layers(layers_of(("stem", "Conv2d", (14, 14)), *blocks, ("norm", "LayerNorm", (14, 14))))
    assert found == [each if isinstance(each, str) else f"blocks.{each}" for each in chosen]


def test_blocks_of_torchvision_are_found():
    classifier = Classifier(torchvision.models.VisionTransformer(32, 4, 8, 1, 16, 32, num_classes=3), size=32)
    assert default_layers(classifier.layers()) == [f"encoder.layers.encoder_layer_{k}" for k in (1, 3, 5, 7)]
