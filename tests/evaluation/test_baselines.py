"""Class-activation maps against their closed form and the package that everybody uses; image-free boxes."""

import numpy as np
import pytest
import torch
from torch import nn

from deepinside.core.geometry import Frame
from deepinside.core.images import read, view
from deepinside.evaluation.baselines import cam_layer, cam_maps, center_box, grad_cam, layer_cam, whole_image
from deepinside.networks.classifier import Classifier
from helpers import NAMES


def test_center_box_has_half_the_area_in_the_middle():
    box = center_box(640, 300)
    assert box.area == pytest.approx(640 * 300 / 2)
    assert (box.x0 + box.x1, box.y0 + box.y1) == pytest.approx((640, 300))
    assert box.width / box.height == pytest.approx(640 / 300)


def test_the_whole_image_is_a_box():
    assert whole_image(640, 300).as_tuple() == (0, 0, 640, 300)


def test_both_maps_equal_loops():
    generator = torch.Generator().manual_seed(0)
    activations, gradients = (torch.randn(2, 4, 3, 5, generator=generator) for _ in range(2))
    for method, weight in (
        (grad_cam, lambda n, c, y, x: gradients[n, c].mean()),
        (layer_cam, lambda n, c, y, x: max(gradients[n, c, y, x], torch.tensor(0.0))),
    ):
        found = method(activations, gradients)
        for n, y, x in np.ndindex(2, 3, 5):
            total = sum(weight(n, c, y, x) * activations[n, c, y, x] for c in range(4))
            assert float(found[n, y, x]) == pytest.approx(max(float(total), 0), abs=1e-6)


def test_grad_cam_is_cam_for_average_pooling_and_one_linear_layer(colors, tree):
    photo = read(tree / "0.png")
    image = view(photo, Frame.whole(64, 48, width=32, height=32))
    network = colors.network.model
    with torch.no_grad():
        features = network.rectify(network.features(image))
    maps = cam_maps(colors, cam_layer(colors), image.expand(3, -1, -1, -1), range(3))["grad_cam"]
    for target, found in enumerate(maps):
        cam = (network.scores.weight[target, :, None, None] * features[0]).sum(0).clamp(min=0).detach().numpy()
        span = cam.max() - cam.min()
        assert np.allclose(found, (cam - cam.min()) / span if span > 0 else 0, atol=1e-5)


def test_both_maps_are_those_of_the_package_grad_cam(lite0, photos):
    package = pytest.importorskip("pytorch_grad_cam", reason="the package grad-cam is not installed")
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    _, image = lite0.whole(read(photos / "cat.jpg"))
    layer = cam_layer(lite0)
    found = cam_maps(lite0, layer, image, [281])
    network = lite0.network.eval()
    for name, kind in (("grad_cam", package.GradCAM), ("layer_cam", package.LayerCAM)):
        theirs = kind(network, [network.get_submodule(layer)])(image.clone(), [ClassifierOutputTarget(281)])[0]
        assert np.abs(found[name][0] - theirs).max() < 2e-3
        assert theirs.max() == pytest.approx(1, abs=1e-3)


def test_a_network_without_a_feature_map_has_no_cam():
    flat = Classifier(nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 3)), labels=NAMES, size=32)
    assert cam_layer(flat) is None
