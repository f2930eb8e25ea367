"""Class-activation maps as they are judged, against their closed form and the public ones; image-free boxes."""

import numpy as np
import pytest
import timm
import torch
from torch import nn

import deepinside
from deepinside.core.geometry import Frame
from deepinside.core.images import read, view
from deepinside.evaluation.baselines import cam_maps, center_box, whole_image
from deepinside.networks.classifier import Classifier
from helpers import NAMES


def test_center_box_has_half_the_area_in_the_middle():
    box = center_box(640, 300)
    assert box.area == pytest.approx(640 * 300 / 2)
    assert (box.x0 + box.x1, box.y0 + box.y1) == pytest.approx((640, 300))
    assert box.width / box.height == pytest.approx(640 / 300)


def test_the_whole_image_is_a_box():
    assert whole_image(640, 300).as_tuple() == (0, 0, 640, 300)


def test_grad_cam_is_cam_for_average_pooling_and_one_linear_layer(colors, tree):
    photo = read(tree / "0.png")
    image = view(photo, Frame.whole(64, 48, width=32, height=32))
    network = colors.network.model
    with torch.no_grad():
        features = network.rectify(network.features(image))
    maps = cam_maps(colors, colors.last_layer(), image.expand(3, -1, -1, -1), range(3))["grad_cam"]
    for target, found in enumerate(maps):
        cam = (network.scores.weight[target, :, None, None] * features[0]).sum(0).clamp(min=0).detach().numpy()
        span = cam.max() - cam.min()
        assert np.allclose(found, (cam - cam.min()) / span if span > 0 else 0, atol=1e-5)


def test_both_maps_are_the_public_ones_from_0_to_1(lite0, photos):
    _, image = lite0.whole(read(photos / "cat.jpg"))
    image = image[:, :, ::2, ::2].contiguous()
    maps = cam_maps(lite0, lite0.last_layer(), torch.cat([image, image.flip(3)]), [281, 282])
    for name, method in (("grad_cam", deepinside.grad_cam), ("layer_cam", deepinside.layer_cam)):
        for found, shown, target in zip(maps[name], (image, image.flip(3)), (281, 282), strict=True):
            expected = method(lite0, shown, target)[0].numpy()
            assert (found.min(), found.max()) == (0, 1)
            assert np.abs(found - (expected - expected.min()) / np.ptp(expected)).max() < 1e-4


def test_a_map_of_a_transformer_is_one_of_its_tokens():
    """The scores are read of the class token alone, so that the last block's other tokens have no gradient."""
    torch.manual_seed(0)
    network = timm.create_model("vit_tiny_patch16_224", img_size=64, depth=2, embed_dim=24, num_classes=5)
    classifier = Classifier(network, size=64)
    maps = cam_maps(classifier, classifier.last_layer(), torch.rand(1, 3, 64, 64), [3])
    assert classifier.last_layer() == "model.blocks.0"
    assert all(map[0].max() == 1 for map in maps.values())


def test_a_network_without_a_feature_map_has_no_cam():
    flat = Classifier(nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 3)), labels=NAMES, size=32)
    assert flat.last_layer() is None
