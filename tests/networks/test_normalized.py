"""Normalization as the first layer, channel by channel or pixel by pixel."""

import pytest
import torch
from torch import nn

from deepinside.networks.classifier import Classifier
from deepinside.networks.normalized import Normalized


class Flattened(nn.Module):
    def __init__(self, classes=4):
        super().__init__()
        self.head = nn.Linear(3 * 8 * 8, classes)

    def forward(self, images):
        return self.head(images.flatten(1))


def test_normalization_is_the_first_layer():
    module = Flattened()
    classifier = Classifier(module, size=8, mean=(0.1, 0.2, 0.3), std=(0.5, 1.0, 2.0))
    images = torch.rand(2, 3, 8, 8)
    by_hand = images.clone()
    for channel, (mean, std) in enumerate(((0.1, 0.5), (0.2, 1.0), (0.3, 2.0))):
        by_hand[:, channel] = (images[:, channel] - mean) / std
    assert torch.allclose(classifier.network(images), module(by_hand))


def test_a_mean_image_is_subtracted_pixel_by_pixel():
    mean = torch.rand(3, 8, 8)
    images = torch.rand(2, 3, 8, 8)
    network = Normalized(nn.Identity(), mean, (0.5, 0.25, 1.0))
    out = network(images)
    for channel, std in enumerate((0.5, 0.25, 1.0)):
        assert torch.allclose(out[:, channel], (images[:, channel] - mean[channel]) / std)


@pytest.mark.parametrize("precision", [torch.float16, torch.bfloat16, torch.float64])
def test_it_normalizes_in_the_images_precision_and_the_model_computes_in_its_own(precision):
    model = nn.Conv2d(3, 2, 1).to(precision)
    network = Normalized(model, (0.1, 0.2, 0.3), (0.5, 0.25, 1.0))
    images = torch.rand(1, 3, 2, 2)
    by_hand = (images - torch.tensor([0.1, 0.2, 0.3]).view(3, 1, 1)) / torch.tensor([0.5, 0.25, 1.0]).view(3, 1, 1)
    assert torch.equal(network(images), model(by_hand.to(precision)))
