"""Image-specific class saliency (paper, Sect. 3.1): which pixels' change would move the class score most.

`gradient` is w = dS_c/dI, one back-propagation pass from the unnormalized score S_c to the image, and `saliency` is
M_ij = max_c |w_ijc|. `ten_crops` are the sub-images of the paper's Figure 2, and `put_back` averages their maps.

Images are RGB in [0, 1], (batch, 3, height, width); networks return logits, (batch, classes).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import SupportsIndex

import torch
from jaxtyping import Float
from torch import Tensor, nn

from deepinside.gradients.grids import as_grid
from deepinside.gradients.placement import check_placed
from deepinside.gradients.private import borrowed
from deepinside.gradients.probe import IMAGE
from deepinside.gradients.question import question_of
from deepinside.gradients.targets import Target


def saliency(
    network: nn.Module,
    images: Float[Tensor, "batch channels height width"],
    targets: Target | Sequence[SupportsIndex] | Tensor,
    *,
    layer: str | None = None,
    rule: str = "gradient",
) -> Float[Tensor, "batch *targets rows columns"]:
    """The saliency map of each image: the largest magnitude of dS_c/dI over the color channels.

    Args:
        network: any module that maps images to logits. It is left exactly as it was.
        images: RGB in [0, 1].
        targets: the class to explain: one for all images, one for each image (batch,), or several for each
            image (batch, k), for which the network still runs forward only once. Or a score: a `Neuron`, `At` a layer,
            or any function from what the network returns to one number per image, (batch,). A function of your own may
            know its images, so all of them go through the network at once.
        layer: where the gradient is taken, a name from `named_modules`; by default at the image. It needs a grid:
            maps, or tokens, of which the largest magnitude over channels is taken likewise.
        rule: how the backward pass goes through rectifiers: `"gradient"`, `"deconvnet"` or `"guided"` (Sect. 4).

    Returns:
        One map per image, (batch, height, width), or (batch, k, height, width) for several targets; never
        negative, in logits per unit of color. At a layer, (batch, rows, columns) of its own grid.

    Raises:
        DeepInsideError: a network that fails on these images, targets or layers that do not fit, layers whose
            positions are not those of the picture, outputs that are no logits, scores that are not finite, and a rule
            that cannot act on this network, since it has no rectifiers or runs them out of reach.

    >>> from deepinside import Neuron
    >>> network = nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    >>> saliency(network, torch.rand(2, 3, 8, 8), targets=5).shape
    torch.Size([2, 8, 8])
    >>> saliency(network, torch.rand(2, 3, 8, 8), Neuron("1", 4, at=(2, 3)), rule="guided").shape
    torch.Size([2, 8, 8])
    """
    gradients = gradient(network, images, targets, layer=layer, rule=rule)
    if layer is None:
        return largest_magnitude(gradients)
    leading = gradients.shape[: 2 if question_of(images, targets).are_several else 1]
    size = (images.shape[2], images.shape[3])
    check_placed(network, layer, gradients.shape[len(leading) - 1 :], images)
    maps = as_grid(gradients.flatten(0, len(leading) - 1), size)
    return largest_magnitude(maps).reshape(*leading, *maps.shape[2:])


def gradient(
    network: nn.Module,
    images: Float[Tensor, "batch channels height width"],
    targets: Target | Sequence[SupportsIndex] | Tensor,
    *,
    layer: str | None = None,
    rule: str = "gradient",
) -> Float[Tensor, "batch *targets_and_shape"]:
    """dS_c/dI with its sign: arguments and errors as `saliency`; color channels, or the layer's shape, are kept.

    >>> network = nn.Sequential(nn.Flatten(), nn.Linear(3 * 4 * 4, 10))
    >>> gradient(network, torch.rand(2, 3, 4, 4), targets=[3, 7]).shape
    torch.Size([2, 3, 4, 4])
    """
    question = question_of(images, targets)
    where = (IMAGE if layer is None else layer,)
    with borrowed(network, images, rule) as private:
        found = [question.passes(private, images[part], part, where, rule).gradients[0] for part in question.parts()]
    return question.answer(torch.cat(found))


def largest_magnitude(
    gradients: Float[Tensor, "*batch channels height width"],
) -> Float[Tensor, "*batch height width"]:
    """M_ij = max_c |w_ijc|: the paper's single map of a gradient with channels.

    >>> largest_magnitude(torch.tensor([[[1.0]], [[-3.0]], [[2.0]]]))
    tensor([[3.]])
    """
    return gradients.abs().amax(dim=-3)


def ten_crops(
    image: Float[Tensor, "1 channels height width"], size: tuple[int, int]
) -> Float[Tensor, "10 channels crop_height crop_width"]:
    """The four corners and the center of the image, then the mirror images of these five."""
    height, width = size
    crops = [image[0, :, y : y + height, x : x + width] for y, x in _corners(image.shape[-2:], size)]
    five = torch.stack(crops)
    return torch.cat([five, five.flip(-1)])


def put_back(
    maps: Float[Tensor, "10 *k crop_height crop_width"], size: tuple[int, int]
) -> Float[Tensor, "*k height width"]:
    """The average of ten crops' maps, each at the position of its crop, mirrored ones flipped back first.

    A pixel is averaged over the crops that saw it. The paper averages the ten maps without saying how they are
    aligned; this is the alignment under which a pixel's average is about that pixel.
    """
    height, width = maps.shape[-2:]
    total = maps.new_zeros(*maps.shape[1:-2], *size)
    seen = maps.new_zeros(size)
    upright = maps[:5] + maps[5:].flip(-1)
    for pair, (y, x) in zip(upright, _corners(size, (height, width)), strict=True):
        total[..., y : y + height, x : x + width] += pair
        seen[y : y + height, x : x + width] += 2
    return total / seen.clamp(min=1)


def _corners(whole: Sequence[int], crop: Sequence[int]) -> list[tuple[int, int]]:
    """Top-left pixels (y, x) of the corner crops and the center crop."""
    below, right = whole[0] - crop[0], whole[1] - crop[1]
    return [(0, 0), (0, right), (below, 0), (below, right), (below // 2, right // 2)]
