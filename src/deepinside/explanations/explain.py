"""The one path from a photo to what the network saw in it: the command, the evaluation and the reports all call it.

photo -> frame -> what the network is shown -> scores -> gradients -> maps -> cuts -> masks and boxes.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float, Int
from PIL import Image
from PIL.Image import Resampling
from torch import Tensor
from torch.nn.functional import interpolate

from deepinside.core.errors import DeepInsideError
from deepinside.core.geometry import Frame
from deepinside.core.images import Photo, as_photo, read, view
from deepinside.core.results import Detection, Explanation, Segmentation
from deepinside.core.threads import in_order
from deepinside.cut.continuity import continuity_edges, feature_kernel, lab, resize_channels, seed_map
from deepinside.explanations.presets import DEFAULT, Best, Paper, by_color, by_features, is_flat, whole_view
from deepinside.explanations.presets import preset as preset_named
from deepinside.gradients.grids import as_grid
from deepinside.gradients.probe import IMAGE, Choice, Look, borrowed, look
from deepinside.gradients.saliency import largest_magnitude, put_back, ten_crops
from deepinside.networks.classifier import Classifier
from deepinside.networks.layers import Stages

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

EVEN = 1e-2  # how far a gradient may vary over places, relative to its size, and still count as the same everywhere

Wanted = Sequence[int | str] | int | str | None


@dataclass(frozen=True)
class Outcome:
    """What became of one photo file: its explanation, or the reason why there is none."""

    path: Path
    photo: Photo | None = None
    explanation: Explanation | None = None
    error: DeepInsideError | None = None


def explain(
    classifier: Classifier,
    photo: Photo | Image.Image | ArrayLike | Tensor | str | os.PathLike[str],
    targets: Wanted = None,
    *,
    top: int = 5,
    preset: str = DEFAULT,
    also: Sequence[int] = (),
    boxes: bool = True,
    layer: str | None = None,
    rule: str = "gradient",
) -> Explanation:
    """What the classifier saw in a photo: its likeliest classes, each with saliency, mask and box in photo pixels.

    Args:
        classifier: from `load` or `Classifier(...)`.
        photo: a `Photo`, a path, a Pillow image, uint8 RGB (height, width, 3) or a float tensor (3, height, width).
        targets: the classes to explain, by index, WordNet id or name; by default the `top` likeliest.
        top: how many of the likeliest classes, at most as many as there are.
        preset: the recipe of maps and cuts: `"best"` is ours, `"paper"` the paper's own (Sect. 3.1 and 3.2).
        also: indices of classes to explain besides, after the others, those among them left out.
        boxes: whether to segment; without, the result carries saliency alone.
        layer: for the paper's preset, where the gradient is taken in place of the image.
        rule: for the paper's preset, how the signal passes rectifiers: `"gradient"`, `"deconvnet"` or `"guided"`.

    A class whose score depends on no place in particular gets the whole view as its box, beside others; alone it is
    an error. Raises `DeepInsideError` for that, a photo that cannot be read, unknown classes, or scores that are not
    finite.
    """
    recipe = preset_named(preset)
    photo = as_photo(photo)
    choice = _choice(classifier, targets, top, also)
    if isinstance(recipe, Paper):
        seen = _see_as_the_paper(classifier, photo, choice, recipe, layer, rule)
    elif layer is not None or rule != "gradient":
        raise DeepInsideError(f"expected preset 'paper' for a layer or a rule of one's own, got {preset!r}")
    else:
        seen = _see_best(classifier, photo, choice, recipe)
    _check_labels(classifier, len(seen.logits))
    probabilities = seen.logits.softmax(dim=0)
    others = not all(is_flat(map) for map in seen.maps)
    found = tuple(
        Detection(
            index=index,
            label=classifier.labels.name(index),
            wnid=classifier.labels.wnid(index),
            score=seen.logits[index].item(),
            probability=probabilities[index].item(),
            frame=seen.frame,
            map=map,
            segmentation=_segmentation(seen, map, others) if boxes else None,
        )
        for index, map in zip(seen.classes, seen.maps, strict=True)
    )
    return Explanation(photo.name, photo.width, photo.height, classifier.name, preset, found)


def explain_each(
    classifier: Classifier,
    paths: Iterable[Path],
    targets: Wanted = None,
    *,
    top: int = 5,
    preset: str = DEFAULT,
    boxes: bool = True,
    layer: str | None = None,
    rule: str = "gradient",
) -> Iterator[Outcome]:
    """`explain` for every file, in order; a photo that fails gives its reason and the run goes on.

    Several photos are read and explained at once, each on a thread of its own, where a context of the caller's thread,
    such as `torch.autocast`, does not reach; a photo alone stays in the caller's. Rounding depends on the number of
    threads: in the fifth digit, maps may differ from those of a photo alone, and a box now and then with them.
    """

    def outcome(path: Path) -> Outcome:
        try:
            photo = read(path)
            explanation = explain(
                classifier, photo, targets, top=top, preset=preset, boxes=boxes, layer=layer, rule=rule
            )
        except DeepInsideError as error:
            return Outcome(path, error=error)
        return Outcome(path, photo, explanation)

    return in_order(outcome, paths)


@dataclass(frozen=True)
class _Seen:
    """What one look into the network gave: mean logits, the classes to explain, and for each its map and segmenter."""

    logits: Float[Tensor, " classes"]
    classes: list[int]
    frame: Frame  # of the maps
    maps: list[Float[np.ndarray, "_ _"]]
    segment: Callable[[Float[np.ndarray, "_ _"]], Segmentation]


def _see_as_the_paper(
    classifier: Classifier, photo: Photo, choice: Choice, recipe: Paper, layer: str | None, rule: str
) -> _Seen:
    """Ten crops of the photo's central square; for each class the average of their maps (Sect. 3.1)."""
    height, width = (round(side * recipe.enlarge) for side in classifier.size)
    frame = Frame.center(photo.width, photo.height, width=width, height=height)
    image = view(photo, frame, classifier.resample).to(classifier.device)
    crops = ten_crops(image, classifier.size)
    with borrowed(classifier.network, crops, rule) as private:
        seen = look(private, crops, choice, (layer or IMAGE,), rule)
    maps = put_back(_maps_of_crops(seen.gradients[0], classifier.size), (height, width)).cpu().numpy()
    pixels = _pixels(image)
    return _Seen(
        seen.logits.mean(dim=0), seen.classes[0].tolist(), frame, list(maps), lambda map: by_color(pixels, map, recipe)
    )


def _maps_of_crops(
    gradients: Float[Tensor, "crops k ..."], size: tuple[int, int]
) -> Float[Tensor, "crops k height width"]:
    """The largest magnitude over channels; a layer's coarser grid is interpolated to the crop's pixels."""
    maps = largest_magnitude(as_grid(gradients.flatten(0, 1), size))
    if maps.shape[1:] != size:
        maps = interpolate(maps[:, None].float(), size, mode="bilinear", align_corners=False)[:, 0]
    return maps.reshape(*gradients.shape[:2], *size)


def _see_best(classifier: Classifier, photo: Photo, choice: Choice, recipe: Best) -> _Seen:
    """The whole photo at each size; for each class the maps of two layers at each size, as one seed."""
    how, (height, width) = recipe.continuity, classifier.size
    sizes = [_multiple_of_32(classifier.size, scale) for scale in recipe.scales]
    stages = classifier.stages(sizes[-1])
    looks: list[Look] = []
    images = [
        view(photo, Frame.whole(photo.width, photo.height, width=wide, height=high), classifier.resample)
        for high, wide in (sizes if stages.any_size else sizes[:1])
    ]
    with borrowed(classifier.network, images[0].to(classifier.device)) as private:
        for image in images:
            classes = looks[0].classes if looks else choice
            reads = () if looks else stages.features()
            looks.append(look(private, image.to(classifier.device), classes, stages.slopes() or (IMAGE,), reads=reads))
    cells = (round(height / how.cell), round(width / how.cell))
    nodes = (round(height / how.node), round(width / how.node))
    frame = Frame.whole(photo.width, photo.height, width=cells[1], height=cells[0])
    small = _pixels(view(photo, frame, Resampling.BOX))
    features = _features(looks[0], stages, classifier.size)
    kernel = feature_kernel(features or [torch.from_numpy(lab(small)).permute(2, 0, 1)], nodes, how)
    fine = resize_channels(features[0], cells).permute(1, 2, 0).numpy() if features else None
    edges = continuity_edges(small, fine, how.edge)
    explained = looks[0].classes[0].tolist()
    seeds = [
        seed_map([map for seen in looks for map in _layer_maps(seen, stages, k, classifier.size)], cells, how)
        for k in range(len(explained))
    ]
    return _Seen(
        looks[0].logits[0],
        explained,
        frame,
        seeds,
        lambda seed: by_features(seed, kernel, nodes, edges, how),
    )


def _layer_maps(seen: Look, stages: Stages, k: int, picture: tuple[int, int]) -> list[Float[np.ndarray, "_ _"]]:
    """For one class: the gradient's magnitude at the middle layer, and gradient times activation at the last.

    The last layer counts where its gradient is the same at every place, as before global average pooling: there the
    product is the class's evidence. A dense layer that weighs each place on its own makes no map of it.
    """
    names = stages.slopes()
    if not names:
        return [largest_magnitude(seen.gradients[0][0, k]).cpu().numpy()]
    maps = []
    if stages.middle:
        slope = as_grid(seen.gradients[names.index(stages.middle)][:, k], picture)[0]
        maps.append(slope.norm(dim=0))
    if stages.last:
        place = names.index(stages.last)
        slope = as_grid(seen.gradients[place][:, k], picture)[0]
        even = (slope - slope.mean(dim=(1, 2), keepdim=True)).norm() <= EVEN * slope.norm()
        if even or not maps:
            evidence = slope * as_grid(seen.activations[place], picture)[0]
            maps.append(evidence.sum(dim=0).clamp(min=0))
    return [map.float().cpu().numpy() for map in maps]


def _features(seen: Look, stages: Stages, picture: tuple[int, int]) -> list[Float[Tensor, "_ _ _"]]:
    """The activations that were read: of the fine and the middle layer, of those there are."""
    read = seen.activations[len(seen.activations) - len(stages.features()) :]
    return [as_grid(activation, picture)[0].float().cpu() for activation in read]


def _multiple_of_32(size: tuple[int, int], scale: float) -> tuple[int, int]:
    """A size that every stage of a network halves evenly; the network's own size stays as it is."""
    if scale == 1:
        return size
    return round(size[0] * scale / 32) * 32, round(size[1] * scale / 32) * 32


def _pixels(image: Float[Tensor, "1 3 height width"]) -> Float[np.ndarray, "height width 3"]:
    return np.ascontiguousarray(image[0].permute(1, 2, 0).cpu().numpy())


def _segmentation(seen: _Seen, map: Float[np.ndarray, "_ _"], others: bool) -> Segmentation:
    """The object; of a class that points nowhere beside others that do, the whole view, so that they are not lost."""
    return whole_view(map) if others and is_flat(map) else seen.segment(map)


def _choice(classifier: Classifier, targets: Wanted, top: int, also: Sequence[int]) -> Choice:
    """The same classes for every view of a photo: those asked for, or the likeliest of the views' mean."""
    if targets is None and top < 1:
        raise DeepInsideError(f"expected at least one class to explain, got top={top}")
    named = [targets] if isinstance(targets, (int, str)) else list(targets or ())
    if targets is not None and not named:
        raise DeepInsideError("expected at least one target class, got none; leave targets out for the likeliest")
    wanted = [classifier.labels.find(target) for target in named]

    def choose(logits: Float[Tensor, "views classes"]) -> Int[Tensor, "views k"]:
        likeliest = logits.mean(dim=0).topk(min(top, logits.shape[1])).indices.tolist()
        classes = list(dict.fromkeys([*(wanted or likeliest), *also]))
        return torch.tensor(classes, device=logits.device).expand(len(logits), -1)

    return choose


def _check_labels(classifier: Classifier, classes: int) -> None:
    if len(classifier.labels) not in (0, classes):
        raise DeepInsideError(
            f"expected as many labels as the network has classes ({classes}), got {len(classifier.labels)}"
        )
