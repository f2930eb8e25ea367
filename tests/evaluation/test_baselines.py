"""Class-activation maps against their closed form."""

import numpy as np
import pytest
import torch
from torch import nn

from deepinside.core.geometry import Frame
from deepinside.core.images import read, view
from deepinside.evaluation.baselines import cam_methods
from deepinside.networks.classifier import Classifier
from helpers import CAMS, NAMES


@pytest.mark.skipif(not CAMS, reason="grad-cam is not installed")
def test_grad_cam_is_cam_for_average_pooling_and_one_linear_layer(colors, tree):
    photo = read(tree / "0.png")
    image = view(photo, Frame.whole(64, 48, width=32, height=32))
    network = colors.network.model
    with torch.no_grad():
        features = network.rectify(network.features(image))
    for target in range(3):
        cam = (network.scores.weight[target, :, None, None] * features[0]).sum(0).clamp(min=0).detach().numpy()
        found = cam_methods(colors)["grad_cam"](image, target)
        span = cam.max() - cam.min()
        assert np.allclose(found, (cam - cam.min()) / span if span > 0 else 0, atol=1e-5)


def test_a_network_without_a_feature_map_has_no_cam(tree):
    flat = Classifier(nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 3)), labels=NAMES, size=32)
    assert cam_methods(flat) == {}
