"""Class images as files: one PNG a picture that says how it was made, resumed where a run was stopped.

A picture's text metadata holds the settings it was made with; a resumed run makes only what is not there with the same
settings. Pictures are made in the same batches whether or not some are there, since batch sizes change roundings.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor, nn

from deepinside.class_images.ascent import Ascent, Target, adjusted, ascend, batches, score_of
from deepinside.class_images.contact_sheet import contact_sheet, save_sheet
from deepinside.class_images.picture_files import is_drawn, read_facts, write_animation, write_picture
from deepinside.core.errors import DeepInsideError
from deepinside.core.images import read
from deepinside.core.terminal import bar
from deepinside.gradients.probe import borrowed, find_layer, look_at
from deepinside.gradients.targets import Score
from deepinside.networks.classifier import Classifier

# The classes of the paper's Figure 1, in its order, by their usual names in ImageNet's list.
FIGURE_1 = (
    "dumbbell", "cup", "dalmatian", "bell pepper", "lemon", "Siberian husky",
    "washer", "computer keyboard", "kit fox", "goose", "ostrich", "limousine",
)  # fmt: skip
ANIMATIONS = ("gif", "webp")
# An ascent whose score ends below this share of the others' median is stuck at a lesser peak: it gets another start.
STUCK = 0.75
ANOTHER = 1  # added to the seed for it
FRAME_EVERY = 4  # steps from one frame of an animation to the next


@dataclass(frozen=True)
class Settings:
    """How pictures are made; `facts` of it go into every picture's metadata."""

    preset: str = "canonical"
    steps: int | None = None
    seed: int = 0
    posterior: bool | None = None

    def facts(self, classifier: Classifier) -> dict[str, str]:
        """What two pictures of one target must have in common to be the same picture."""
        recipe = adjusted(self.preset, self.steps, self.posterior)
        return {
            "model": classifier.name,
            "preset": self.preset,
            "steps": str(recipe.steps),
            "seed": str(self.seed),
            "ascended": "posterior" if recipe.posterior else "score",
            "size": "{1} x {0}".format(*classifier.size),
        }


@dataclass(frozen=True)
class Drawn:
    """A picture in its file."""

    path: Path
    name: str
    facts: Mapping[str, str]


@dataclass(frozen=True)
class Progress:
    """How far a run is: steps of all pictures together, and the pictures that are new in their files."""

    step: int
    steps: int
    drawn: tuple[Drawn, ...] = ()


def draw(
    classifier: Classifier,
    targets: Sequence[Target],
    folder: Path,
    settings: Settings,
    *,
    tag: str = "",
    resume: bool = False,
    animate: str | None = None,
    restart: bool = False,
) -> Iterator[Progress]:
    """Make a picture of each target and write it into the folder, telling how far it is at every step.

    Args:
        classifier: whose network is asked, at its own size.
        targets: classes and neurons.
        folder: where `0151-chihuahua.png` and the like go.
        settings: preset, steps and seed.
        tag: added to the names of the files.
        resume: leave alone what is there with the same settings.
        animate: also write the ascent, as `"gif"` or `"webp"`.
        restart: at last, ascend to classes whose score stayed far below the others' from another start, and keep the
            picture with the higher score.

    Raises `DeepInsideError` as `class_image` does, and for a place that cannot be written.
    """
    facts = settings.facts(classifier)
    check_layers(classifier.network, [target for target in targets if callable(target)])
    parts = list(batches(targets))
    done, whole = 0, int(facts["steps"]) * len(parts)
    for part in parts:
        paths = [folder / f"{stem(classifier, target)}{tag}.png" for target in part]
        there = [resume and is_drawn(path, facts) for path in paths]
        if not all(there):
            last, frames = None, []
            for last in _ascents(classifier, part, settings):
                if animate and (last.done or last.step % FRAME_EVERY == 1):
                    frames.append(last.images)
                yield Progress(done + last.step, whole)
            assert last is not None
            _write(classifier, part, last.images, paths, there, facts, frames, animate)
        done += int(facts["steps"])
        names = [_name(classifier, target) for target in part]
        drawn = (Drawn(path, name, read_facts(path)) for path, name in zip(paths, names, strict=True))
        yield Progress(done, whole, tuple(drawn))
    if restart and adjusted(settings.preset, settings.steps, settings.posterior).random:
        paths = [folder / f"{stem(classifier, target)}{tag}.png" for target in targets]
        yield from _start_again(classifier, targets, paths, settings, done)


def _start_again(
    classifier: Classifier, targets: Sequence[Target], paths: Sequence[Path], settings: Settings, done: int
) -> Iterator[Progress]:
    """Another start for the pictures whose score is far below the median, once; the better picture stays."""
    files = dict(zip(targets, paths, strict=True))
    facts = {target: read_facts(path) for target, path in files.items()}
    steps = int(settings.facts(classifier)["steps"])
    enough = STUCK * median(float(each["score"]) for each in facts.values())
    # Not those that an earlier run tried.
    stuck = [target for target, each in facts.items() if float(each["score"]) < enough and "starts" not in each]
    parts = list(batches(stuck)) if stuck and enough > 0 else []
    whole = done + steps * len(parts)
    for part in parts:
        for last in _ascents(classifier, part, replace(settings, seed=settings.seed + ANOTHER)):
            yield Progress(done + last.step, whole)
        for target, image, score in zip(part, last.images, final_scores(classifier, part, last.images), strict=True):
            own = {**facts[target], "starts": "2"}
            if score > float(own["score"]):
                own["score"] = f"{score:.4f}"
            else:
                image = torch.from_numpy(read(files[target]).pixels / np.float32(255)).permute(2, 0, 1)
            write_picture(image, files[target], own)
        done += steps
        drawn = (Drawn(files[target], _name(classifier, target), read_facts(files[target])) for target in part)
        yield Progress(done, whole, tuple(drawn))


def check_layers(network: nn.Module, scores: Sequence[Score]) -> None:
    """Raise `DeepInsideError` for a layer that the network does not have, before hours of work, not after."""
    modules = dict(network.named_modules())
    for score in scores:
        find_layer(modules, getattr(score, "layer", ""))


def _ascents(classifier: Classifier, part: Sequence[Target], settings: Settings) -> Iterator[Ascent]:
    return ascend(
        classifier.network,
        part,
        preset=settings.preset,
        size=classifier.size,
        steps=settings.steps,
        seed=settings.seed,
        posterior=settings.posterior,
    )


def _write(
    classifier: Classifier,
    part: Sequence[Target],
    images: Float[Tensor, "k 3 height width"],
    paths: Sequence[Path],
    there: Sequence[bool],
    facts: Mapping[str, str],
    frames: Sequence[Tensor],
    animate: str | None,
) -> None:
    scores = final_scores(classifier, part, images)
    for number, target in enumerate(part):
        if there[number]:
            continue
        own = {"class": _name(classifier, target), "score": f"{scores[number]:.4f}", **facts}
        if isinstance(target, int):
            own["index"] = str(target)
            own["wnid"] = classifier.labels.wnid(target) or ""
        if animate:
            write_animation([frame[number] for frame in frames], paths[number].with_suffix(f".{animate}"))
        write_picture(images[number], paths[number], own)


def final_scores(
    classifier: Classifier, targets: Sequence[Target], images: Float[Tensor, "k 3 height width"]
) -> list[float]:
    """The score of each picture as its file will have it, whole and rounded to 8 bits."""
    rounded = (images * 255).round() / 255
    with borrowed(classifier.network, rounded) as private:
        return [float(score) for score in look_at(private, rounded, score_of(targets)).scores[:, 0]]


def stem(classifier: Classifier, target: Target) -> str:
    """The file's name without its ending.

    >>> from torch import nn
    >>> stem(Classifier(nn.Identity(), labels=["tabby cat", "sea lion"]), 1)
    '0001-sea-lion'
    """
    slug = re.sub(r"[^a-z0-9]+", "-", _name(classifier, target).lower()).strip("-")
    return f"{target:04d}-{slug}".rstrip("-") if isinstance(target, int) else slug


def _name(classifier: Classifier, target: Target) -> str:
    return classifier.labels.name(target) if isinstance(target, int) else str(target)


# ---------------------------------------------------------------------------------------------------------- the command

SHEET = "class-images.png"
# Up to so many pictures, a sheet shows them at their own size, and beyond that as thumbnails.
LARGE_UP_TO, LARGE, SMALL = 40, 224, 96


def class_images_command(
    classifier: Classifier,
    targets: Sequence[Target],
    folder: Path,
    settings: Settings,
    *,
    facets: int = 1,
    gallery: bool = False,
    animate: str | None = None,
) -> list[Drawn]:
    """The command `class-image`: draw, tell each picture, and lay out the sheet.

    Args:
        classifier, folder, settings, animate: as for `draw`.
        targets: what to draw; nothing for the classes of the paper's Figure 1, or all classes of a gallery.
        facets: how many pictures of each, from as many seeds, which then stand in the files' names.
        gallery: whether to draw all classes, from where an earlier run was stopped.
    """
    if animate is not None and animate not in ANIMATIONS:
        raise DeepInsideError(f"expected an animation as {' or '.join(ANIMATIONS)}, got {animate!r}")
    if gallery and targets:
        raise DeepInsideError("expected either a gallery of all classes or some classes, got both")
    chosen = targets or (every_class(classifier) if gallery else figure_1(classifier))
    by_seed: list[list[Drawn]] = []
    with bar("class images") as advance:
        for seed in range(settings.seed, settings.seed + facets):
            one, tag = replace(settings, seed=seed), f"-seed-{seed}" if facets > 1 else ""
            pictures: dict[Path, Drawn] = {}  # a picture drawn again keeps its place
            for progress in draw(
                classifier, chosen, folder, one, tag=tag, resume=gallery, animate=animate, restart=gallery
            ):
                done = len(by_seed) * len(chosen) + len(pictures)
                steps = progress.step + len(by_seed) * progress.steps
                advance(steps, facets * progress.steps, f"{done} of {facets * len(chosen)} pictures")
                pictures |= {drawn.path: drawn for drawn in progress.drawn}
                for drawn in progress.drawn:
                    print(f"  {drawn.facts['score']:>9}  {drawn.name:<32} -> {drawn.path}", flush=True)
            by_seed.append(list(pictures.values()))
    side_by_side = [drawn for same in zip(*by_seed, strict=True) for drawn in same]
    print(f"  -> {save_sheet(sheet(side_by_side), folder / SHEET)}")
    return side_by_side


def sheet(pictures: Sequence[Drawn]) -> Image.Image:
    """The pictures of some files with their names, as in the paper's Figure 1."""
    side = LARGE if len(pictures) <= LARGE_UP_TO else SMALL
    return contact_sheet([read(drawn.path).image for drawn in pictures], [drawn.name for drawn in pictures], side=side)


def figure_1(classifier: Classifier) -> list[int]:
    """The twelve classes of the paper's Figure 1. Raises `DeepInsideError` where the network has others."""
    try:
        return [classifier.labels.find(name) for name in FIGURE_1]
    except DeepInsideError:
        raise DeepInsideError(
            f"expected the names of classes, since {classifier.name} does not have those of the paper's Figure 1"
        ) from None


def every_class(classifier: Classifier) -> list[int]:
    """All classes, by their labels. Raises `DeepInsideError` where the classes have no names."""
    if not len(classifier.labels):
        raise DeepInsideError(f"expected a model with class names for a gallery, got {classifier.name}; give --labels")
    return list(range(len(classifier.labels)))
