"""Class images as files: one PNG per picture that says how it was made, and runs that can be interrupted and resumed.

A picture's text metadata holds what it was made with: the settings, a digest of the weights, and this package's
version. A resumed run makes only the pictures that are not there with the same facts, but optimizes the same batches,
since rounding depends on the size of a batch. So it ends with the same bits as a run that was not interrupted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from jaxtyping import Float
from PIL import Image
from torch import Tensor, nn

from deepinside.class_images.ascent import Ascent, ascend, check_together
from deepinside.class_images.contact_sheet import contact_sheet
from deepinside.class_images.drawn import Drawn, Provenance, Settings, name_of, one_line, read_drawn, stem
from deepinside.class_images.objectives import batches, score_of
from deepinside.class_images.picture_files import write_animation, write_picture
from deepinside.class_images.recipes import adjusted
from deepinside.class_images.references import best_photos, in_view
from deepinside.core.errors import DeepInsideError, check_writable_folder
from deepinside.core.files import clear_leftovers
from deepinside.core.images import read, save_png
from deepinside.core.progress import Progress
from deepinside.gradients.private import borrowed, original_of
from deepinside.gradients.probe import look_at
from deepinside.gradients.running import find_layer
from deepinside.gradients.targets import Score, Target
from deepinside.networks.classifier import Classifier

# The classes of the paper's Figure 1, in its order, by their usual names in ImageNet's list.
FIGURE_1 = (
    "dumbbell", "cup", "dalmatian", "bell pepper", "lemon", "Siberian husky",
    "washer", "computer keyboard", "kit fox", "goose", "ostrich", "limousine",
)  # fmt: skip
ANIMATIONS = ("gif", "webp")
FRAME_EVERY = 4  # steps from one frame of an animation to the next


@dataclass(frozen=True)
class Gallery:
    """A folder of pictures of what the classes and neurons of a network look like.

    Args:
        classifier: the network, for which pictures are made at its own size.
        folder: where `0151-chihuahua.png` and the like are written.
        settings: how the pictures are made.
        tag: added to the names of the files.
        resume: whether to keep the pictures that are there with the same provenance.
        animate: the format of an animation of each ascent, `"gif"` or `"webp"`, or None for none.
        others: networks with the same classes, to which the pictures shall show them, too.

    Raises `DeepInsideError` for an unknown format or preset, and for settings out of range.
    """

    classifier: Classifier
    folder: Path
    settings: Settings = field(default_factory=Settings)
    tag: str = ""
    resume: bool = False
    animate: str | None = None
    others: tuple[Classifier, ...] = ()

    def __post_init__(self) -> None:
        if self.animate is not None and self.animate not in ANIMATIONS:
            raise DeepInsideError(f"expected an animation as {' or '.join(ANIMATIONS)}, got {self.animate!r}")
        adjusted(self.settings.preset, self.settings.steps, self.settings.posterior)

    @property
    def provenance(self) -> Provenance:
        """What the pictures are made with."""
        return Provenance.of(self._classifiers, self.settings)

    @property
    def _classifiers(self) -> tuple[Classifier, ...]:
        return (self.classifier, *self.others)

    def path(self, target: Target) -> Path:
        """The file of a target's picture."""
        return self.folder / f"{stem(self.classifier, target)}{self.tag}.png"

    def draw(self, targets: Sequence[Target]) -> Iterator[Progress | Drawn]:
        """Make a picture of each target and write it into the folder.

        Yields the progress, in steps of all batches together, and each picture once it is in its file. Raises
        `DeepInsideError` as `class_image` does, for targets whose files would have the same name, and, before the first
        picture, for a folder that cannot be written.
        """
        check_together(self._classifiers, targets)
        check_layers(self.classifier.fast, [target for target in targets if callable(target)])
        self._check_names(targets)
        check_writable_folder(self.folder)
        clear_leftovers(self.folder)
        made = self.provenance
        liked = self._photos(targets)
        parts, steps = list(batches(targets)), made.steps
        for number, part in enumerate(parts):
            there = self._there(part, made)
            if any(self.path(target) not in there for target in part):
                frames: list[Tensor] = []
                for last in self._ascents(part, liked):
                    if self.animate and (last.done or last.step % FRAME_EVERY == 1):
                        frames.append(last.images)
                    yield Progress("class images", number * steps + last.step, len(parts) * steps)
                there |= self._write(part, last.images, frames, there, made)
            yield Progress("class images", (number + 1) * steps, len(parts) * steps)
            for path in map(self.path, part):
                yield replace(there[path], like=liked.get(path, ()))

    def _photos(self, targets: Sequence[Target]) -> dict[Path, Sequence[Path]]:
        """The photos that each picture is drawn to, by the picture's file; none without `like`."""
        if not self.settings.like:
            return {}
        best = best_photos(self.classifier, targets, self.settings.like)
        return {self.path(target): tuple(photos) for target, photos in zip(targets, best, strict=True)}

    def _ascents(self, part: Sequence[Target], liked: Mapping[Path, Sequence[Path]]) -> Iterator[Ascent]:
        settings = self.settings
        return ascend(
            self._classifiers,
            part,
            preset=settings.preset,
            steps=settings.steps,
            seed=settings.seed,
            posterior=settings.posterior,
            like=[in_view(self.classifier, liked[self.path(target)]) for target in part] if liked else (),
        )

    def _check_names(self, targets: Sequence[Target]) -> None:
        names: dict[Path, str] = {}
        for target in targets:
            name, path = name_of(self.classifier, target), self.path(target)
            if names.setdefault(path, name) != name:
                raise DeepInsideError(f"{path}: expected targets with files of their own, got {names[path]} and {name}")

    def _there(self, targets: Sequence[Target], made: Provenance) -> dict[Path, Drawn]:
        """The pictures of an earlier run that need not be made again."""
        if not self.resume:
            return {}
        wanted = {self.path(target): one_line(name_of(self.classifier, target)) for target in targets}
        found = [read_drawn(path) for path in wanted]
        return {
            drawn.path: drawn
            for drawn in found
            if drawn and drawn.provenance == made and drawn.name == wanted[drawn.path] and self._is_animated(drawn.path)
        }

    def _is_animated(self, path: Path) -> bool:
        return self.animate is None or path.with_suffix(f".{self.animate}").is_file()

    def _write(
        self,
        targets: Sequence[Target],
        images: Float[Tensor, "k channels height width"],
        frames: Sequence[Float[Tensor, "k channels height width"]],
        there: Mapping[Path, Drawn],
        made: Provenance,
    ) -> dict[Path, Drawn]:
        """Write the pictures and animations of a batch, but for those that are there."""
        written: dict[Path, Drawn] = {}
        scores = final_scores(self.classifier, targets, images)
        for row, (target, score) in enumerate(zip(targets, scores, strict=True)):
            path = self.path(target)
            if path in there:
                continue
            if self.animate:
                write_animation([frame[row] for frame in frames], path.with_suffix(f".{self.animate}"))
            written[path] = Drawn.of(self.classifier, target, path, score, made)
            write_picture(images[row], path, written[path].facts)
        return written


def check_layers(network: nn.Module, scores: Sequence[Score]) -> None:
    """Raise `DeepInsideError` for a layer that the network does not have, before hours of work and not after."""
    modules = dict(original_of(network).named_modules())
    for score in scores:
        find_layer(modules, getattr(score, "layer", ""))


def final_scores(
    classifier: Classifier, targets: Sequence[Target], images: Float[Tensor, "k channels height width"]
) -> list[float]:
    """The score of each picture as its file will have it: the whole picture, rounded to 8 bits."""
    rounded = (images.to(classifier.device) * 255).round() / 255
    with borrowed(classifier.fast, rounded) as private:
        return [float(score) for score in look_at(private, rounded, score_of(targets, classifier.size)).scores[:, 0]]


# ------------------------------------------------------------------------------------------------- facets and the sheet

SHEET = "class-images.png"
# Up to so many pictures, a sheet shows them at their own size, and beyond that as thumbnails.
LARGE_UP_TO, LARGE, SMALL = 40, 224, 96
BESIDE = 5  # photos beside a picture that was drawn to them


@dataclass(frozen=True)
class Sheet:
    """The contact sheet of a finished run: its file, and the pictures on it in their order.

    Each picture that was drawn to photos is followed by the first of them.
    """

    path: Path
    pictures: tuple[Drawn, ...]


def draw_facets(gallery: Gallery, targets: Sequence[Target], facets: int = 1) -> Iterator[Progress | Drawn | Sheet]:
    """Draw every target from several seeds, and lay out all pictures on one sheet, facets of a target side by side.

    Args:
        gallery: where and how to draw. With several facets, the seed is added to the names of the files.
        targets: what to draw.
        facets: how many pictures of each target, from as many consecutive seeds.

    Yields the progress over all facets, each picture as `Gallery.draw` does, and at last the `Sheet`.
    """
    first = gallery.settings.seed
    by_seed: list[list[Drawn]] = []
    for number in range(facets):
        settings = replace(gallery.settings, seed=first + number)
        one = replace(gallery, settings=settings, tag=f"-seed-{settings.seed}" if facets > 1 else gallery.tag)
        pictures: list[Drawn] = []
        for event in one.draw(targets):
            if isinstance(event, Progress):
                what = f"{number * len(targets) + len(pictures)} of {facets * len(targets)} pictures"
                yield Progress(what, number * event.total + event.done, facets * event.total)
            else:
                pictures.append(event)
                yield event
        by_seed.append(pictures)
    side_by_side = tuple(drawn for same in zip(*by_seed, strict=True) for drawn in same)
    yield Sheet(save_png(sheet(side_by_side), gallery.folder / SHEET), side_by_side)


def sheet(pictures: Sequence[Drawn]) -> Image.Image:
    """The pictures of some files with their names, as in the paper's Figure 1; those with photos in a row with them."""
    shown: list[tuple[Path | None, str]] = [(drawn.path, drawn.name) for drawn in pictures]
    columns = None
    if any(drawn.like for drawn in pictures):
        columns = 1 + min(BESIDE, max(len(drawn.like) for drawn in pictures))
        shown = [each for drawn in pictures for each in _row(drawn, columns)]
    side = LARGE if len(pictures) <= LARGE_UP_TO else SMALL
    images = [read(path).image if path else Image.new("RGB", (side, side), "white") for path, _ in shown]
    return contact_sheet(images, [caption for _, caption in shown], side=side, columns=columns)


def _row(drawn: Drawn, columns: int) -> list[tuple[Path | None, str]]:
    """A picture and the first of its photos, by their files' names, and blanks up to so many."""
    photos = [(path, path.name) for path in drawn.like[: columns - 1]]
    return [(drawn.path, drawn.name), *photos, *[(None, "")] * (columns - 1 - len(photos))]


def chosen(classifier: Classifier, targets: Sequence[Target], every: bool = False) -> Sequence[Target]:
    """The targets; where there are none, all classes (`every`) or those of the paper's Figure 1.

    Raises `DeepInsideError` for targets besides all classes, and for a network whose classes have no names.
    """
    if every and targets:
        raise DeepInsideError("expected either a gallery of all classes or some classes, got both")
    return targets or (every_class(classifier) if every else figure_1(classifier))


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
