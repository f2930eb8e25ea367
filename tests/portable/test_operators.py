"""Every operator that is written out, against autograd in double precision."""

import pytest
import torch
from torch import nn
from torch.fx.experimental.proxy_tensor import make_fx

from deepinside.portable.operators import PlainMeans, decompositions

LAYERS = {
    "convolution": (nn.Conv2d(4, 6, 3, padding=1), (9, 7)),
    "a stride that rounds down": (nn.Conv2d(4, 6, 3, stride=2), (10, 9)),
    "a stride of each axis": (nn.Conv2d(4, 6, (3, 2), stride=(3, 2), padding=(1, 0), dilation=(2, 1)), (14, 11)),
    "groups": (nn.Conv2d(4, 8, 5, stride=2, padding=2, groups=4), (11, 12)),
    "a kernel larger than what is left": (nn.Conv2d(4, 2, 5, stride=4, padding=1), (12, 13)),
    "transposed convolution": (nn.ConvTranspose2d(4, 6, 3, stride=2, padding=1, output_padding=1, groups=2), (5, 6)),
    "along one axis": (nn.Sequential(nn.Flatten(2), nn.Conv1d(4, 3, 3, stride=2)), (4, 5)),
    "batch norm": (nn.BatchNorm2d(4), (3, 5)),
    "batch norm without weights": (nn.BatchNorm2d(4, affine=False), (3, 5)),
    "maxima": (nn.MaxPool2d(3, stride=2, padding=1), (9, 10)),
    "maxima that overlap": (nn.MaxPool2d(3, stride=1), (6, 5)),
    "maxima, rounded up": (nn.MaxPool2d(3, stride=2, ceil_mode=True), (8, 10)),
    "means": (nn.AvgPool2d(2), (8, 7)),
    "means with padding": (nn.AvgPool2d(3, stride=2, padding=1), (9, 8)),
    "means without the padding": (nn.AvgPool2d(3, stride=2, padding=1, count_include_pad=False), (9, 8)),
    "means, rounded up": (nn.AvgPool2d(3, stride=2, padding=1, ceil_mode=True), (8, 10)),
    "means by another number": (nn.AvgPool2d((2, 3), stride=1, divisor_override=5), (7, 6)),
    "means of as many": (nn.AdaptiveAvgPool2d((6, 6)), (6, 6)),
    "means of fewer": (nn.AdaptiveAvgPool2d((3, 5)), (7, 11)),
    "means of more": (nn.AdaptiveAvgPool2d((7, 9)), (4, 5)),
}


@pytest.mark.parametrize("name", LAYERS)
def test_gradients_are_those_of_autograd(name):
    layer, size = LAYERS[name]
    torch.manual_seed(3)
    layer = layer.double().eval()
    for tensor in layer.state_dict().values():
        if tensor.is_floating_point():
            tensor.copy_(torch.rand_like(tensor) + 0.5)
    image = torch.rand(2, 4, *size, dtype=torch.float64)
    signal = torch.randn_like(layer(image))

    def back(image, signal):
        pixels = image.detach().requires_grad_()
        return torch.autograd.grad(layer(pixels), pixels, signal)[0]

    for parameter in layer.parameters():
        parameter.requires_grad_(False)
    graph = make_fx(back, decomposition_table=decompositions())(image, signal)
    assert "backward" not in graph.code.replace("back(", "")
    torch.testing.assert_close(graph(image, signal), back(image, signal), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("size", [1, (1, 1), [1, 1], (2, 1)])
def test_pooling_to_one_value_is_a_mean_that_needs_no_strides(size):
    image = torch.rand(2, 4, 6, 5, dtype=torch.float64).contiguous(memory_format=torch.channels_last)

    def back(image):
        pixels = image.detach().requires_grad_()
        return torch.autograd.grad(nn.functional.adaptive_avg_pool2d(pixels, size).square().sum(), pixels)[0]

    with PlainMeans():
        graph = make_fx(back, decomposition_table=decompositions())(image)
    assert "as_strided" not in graph.code
    torch.testing.assert_close(graph(image), back(image), rtol=1e-12, atol=1e-12)
