"""Image-specific class saliency (paper, Sect. 3.1): which pixels' change would move the class score most.

`gradient` is w = dS_c/dI, one back-propagation pass from the unnormalized score S_c to the image, and `saliency` is
M_ij = max_c |w_ijc|. `ten_crops` and `put_back` are the sub-images of the paper's Figure 2 and their way back.

Images are RGB in [0, 1], (batch, 3, height, width); networks return logits, (batch, classes).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from deepinside.errors import DeepInsideError
from deepinside.probe import borrowed, look

Targets = int | Sequence[int] | Tensor

# Images that go through the network at a time: beyond this, CPU throughput no longer grows but memory does.
CHUNK = 16


def saliency(
    network: nn.Module, images: Float[Tensor, "batch 3 height width"], targets: Targets
) -> Float[Tensor, "batch *targets height width"]:
    """The saliency map of each image: the largest magnitude of dS_c/dI over the color channels.

    Args:
        network: any module that maps images to logits. It is left exactly as it was.
        images: RGB in [0, 1].
        targets: the class to explain: one for all images, one for each image (batch,), or several for each
            image (batch, k), for which the network still runs forward only once.

    Returns:
        One map an image, (batch, height, width), or (batch, k, height, width) for several targets; never
        negative, in logits per unit of color.

    Raises:
        DeepInsideError: targets that do not fit, outputs that are no logits, or scores that are not finite.

    >>> network = nn.Sequential(nn.Flatten(), nn.Linear(3 * 4 * 4, 10))
    >>> saliency(network, torch.rand(2, 3, 4, 4), targets=7).shape
    torch.Size([2, 4, 4])
    """
    return largest_magnitude(gradient(network, images, targets))


def gradient(
    network: nn.Module, images: Float[Tensor, "batch 3 height width"], targets: Targets
) -> Float[Tensor, "batch *targets 3 height width"]:
    """dS_c/dI with its sign: arguments and errors as `saliency`, with the color channels kept."""
    _check_images(images)
    classes, several = _class_table(targets, len(images))
    with borrowed(network, images) as private:
        maps = [
            look(private, some_images, some_classes).gradients[0]
            for some_images, some_classes in zip(images.split(CHUNK), classes.split(CHUNK), strict=True)
        ]
    stacked = torch.cat(maps)
    return stacked if several else stacked[:, 0]


def largest_magnitude(
    gradients: Float[Tensor, "*batch channels height width"],
) -> Float[Tensor, "*batch height width"]:
    """M_ij = max_c |w_ijc|: the paper's single map of a gradient with channels.

    >>> largest_magnitude(torch.tensor([[[1.0]], [[-3.0]], [[2.0]]]))
    tensor([[3.]])
    """
    return gradients.abs().amax(dim=-3)


def ten_crops(
    image: Float[Tensor, "1 3 height width"], size: tuple[int, int]
) -> Float[Tensor, "10 3 crop_height crop_width"]:
    """The four corners and the center of the image, then the mirror images of these five."""
    height, width = size
    crops = [image[0, :, y : y + height, x : x + width] for y, x in _corners(image.shape[-2:], size)]
    five = torch.stack(crops)
    return torch.cat([five, five.flip(-1)])


def put_back(
    maps: Float[Tensor, "10 *k crop_height crop_width"], size: tuple[int, int]
) -> Float[Tensor, "*k height width"]:
    """The average of ten crops' maps, each laid where its crop came from, mirrored ones turned round first.

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


def _check_images(images: Tensor) -> None:
    if images.ndim != 4 or not images.is_floating_point() or not images.numel():
        raise DeepInsideError(
            "expected float images of shape (batch, 3, height, width), RGB in [0, 1]; got "
            f"{images.dtype} {tuple(images.shape)}"
        )


def _class_table(targets: Targets, batch: int) -> tuple[Int[Tensor, "batch k"], bool]:
    """Targets in any accepted form -> (batch, k), and whether the caller asked for several an image."""
    table = torch.as_tensor(targets)
    if table.is_floating_point() or table.dtype == torch.bool:
        raise DeepInsideError(f"expected class numbers as targets, got values of type {table.dtype}")
    if table.ndim == 0:
        table = table.expand(batch)
    if table.ndim not in (1, 2) or len(table) != batch:
        raise DeepInsideError(
            f"expected one target for all {batch} images, one for each ({batch},) or several for each "
            f"({batch}, k); got {tuple(table.shape)}"
        )
    return (table.long(), True) if table.ndim == 2 else (table.long()[:, None], False)
