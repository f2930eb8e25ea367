"""The one path from a photo to what the network saw in it: the command, the evaluation and the sheets all take it.

photo -> views -> scores, gradients and maps, for several photos at a time -> cuts -> masks and boxes in the photo.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from pathlib import Path
from time import perf_counter
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, SupportsIndex

from jaxtyping import Float
from PIL import Image
from torch import Tensor, nn

from deepinside.core.errors import DeepInsideError, named
from deepinside.core.images import Photo, as_photo, pixel_count
from deepinside.core.results import Prediction, Saliency, Segmentation
from deepinside.core.threads import in_batches
from deepinside.explanations.localizer import Choice, Seen, Views, is_flat, whole_view
from deepinside.explanations.originals import Original, file_of, kept
from deepinside.explanations.presets import DEFAULT, AnyLocalizer, localizer_of, name_of
from deepinside.explanations.results import Detection, Explanation
from deepinside.gradients.targets import listed
from deepinside.networks.classifier import Classifier, as_classifier

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

# Photos that go through the network together: beyond this, a thread's throughput no longer grows but memory does.
BATCH = 4
MOST_PIXELS = 400_000_000  # of all photos in memory, of 4 bytes each; one photo alone may have 179 million
# Classes of one photo, each with a map and a mask: with more, and several photos at once, they would fill the memory.
MOST_CLASSES, FEW_CLASSES = 1000, 50
PREDICTIONS = 5  # likeliest classes of a photo that an explanation tells, as in ILSVRC's top-5 error
# Which objects of each class are kept -> at most how many; None for all that the localizer finds.
OBJECTS: Mapping[str, int | None] = MappingProxyType({"one": 1, "all": None})


@dataclass(frozen=True)
class Outcome:
    """What became of one photo: its explanation, or the reason why there is none.

    `path` is that of its file, None for a photo in memory. `seconds` is its share in the time that its batch took.
    """

    path: Path | None
    photo: Photo | None = None
    explanation: Explanation | None = None
    error: DeepInsideError | None = None
    seconds: float = 0.0


def explain(
    classifier: Classifier | nn.Module,
    photo: Photo | Image.Image | ArrayLike | Tensor | str | os.PathLike[str],
    targets: SupportsIndex | str | Sequence[SupportsIndex | str] | None = None,
    *,
    top: int = 5,
    preset: str | AnyLocalizer = DEFAULT,
    boxes: bool = True,
    objects: str = "all",
) -> Explanation:
    """What the classifier saw in a photo: its likeliest classes, each with saliency and objects in photo pixels.

    Args:
        classifier: from `load` or `Classifier(...)`, or a network of timm or transformers, which say what pixels it
            takes.
        photo: a `Photo`, a path, a Pillow image, uint8 RGB (height, width, 3) or a float tensor (3, height, width).
        targets: the classes to explain, by index, WordNet id or name; by default the `top` likeliest. At most
            `MOST_CLASSES` of them.
        top: how many of the likeliest classes, at most as many as there are.
        preset: how objects are found, a localizer or its name: `"best"` is ours, `"paper"` the paper's own (Sect. 3.1
            and 3.2), and `Paper(layer=..., rule=...)` the paper's with maps of another layer or rectifier rule.
        boxes: whether to segment; without, the result carries saliency alone, once for each class.
        objects: which objects of a class: `"all"`, one after the other and the surest first, or `"one"`, the surest.

    A class whose score depends on no position in particular gets the whole view as its box if other classes do not;
    otherwise it is an error. Raises `DeepInsideError` for that, a photo that cannot be read, unknown classes, presets
    or choices of objects, or scores that are not finite.
    """
    classifier = as_classifier(classifier)
    localizer, most = localizer_of(preset), most_objects(objects, boxes)
    return explained(classifier, photo, choice_of(classifier, targets, top), localizer, most)[1]


def explained(
    classifier: Classifier, source: Any, choice: Choice, localizer: AnyLocalizer, most: int | None = None
) -> tuple[Photo, Explanation]:
    """A photo, and its explanation for classes that are chosen once the network has been asked.

    `source` and errors are as in `explain`; at most `most` objects of a class are segmented, all where it is None.
    """
    photo = as_photo(source)
    (seen,) = localizer.see(classifier, [localizer.views(classifier, photo)], [choice], most)
    return photo, explanation_of(classifier, localizer, photo, seen, most, file_of(source))


def explain_each(
    classifier: Classifier | nn.Module,
    photos: Iterable[Any],
    targets: SupportsIndex | str | Sequence[SupportsIndex | str] | None = None,
    *,
    top: int = 5,
    preset: str | AnyLocalizer = DEFAULT,
    boxes: bool = True,
    objects: str = "all",
) -> Iterator[Outcome]:
    """`explain` for every photo, in order; one that fails gives its reason and the run goes on.

    Args:
        classifier: as in `explain`.
        photos: each as `explain` takes it, or a batch as a tensor (photos, channels, height, width) in [0, 1], as a
            `DataLoader` yields it; or a pair of a photo and its targets, or of a batch and one target for each photo.
        targets: of all photos that bring none of their own.
        top: as in `explain`, and so are the others.
        preset: how objects are found.
        boxes: whether to segment.
        objects: which objects of a class.

    Photos go through the network in batches of up to `BATCH`, and several batches at once, each on a thread of its own,
    which a context of the caller's thread, such as `torch.autocast`, does not reach; a single photo stays in the
    caller's thread. Rounding depends on the number of threads and on the photos of a batch: maps may differ from those
    of a photo alone in the fifth digit, and now and then a box with them.
    """
    classifier = as_classifier(classifier)
    localizer, most = localizer_of(preset), most_objects(objects, boxes)
    choice = choice_of(classifier, targets, top)
    is_few = (top if targets is None else len(listed(targets))) <= FEW_CLASSES
    wanted = ((photo, choice if own is None else choice_of(classifier, own)) for photo, own in with_targets(photos))
    return explain_chosen(classifier, wanted, localizer, most, is_few)


def with_targets(photos: Iterable[Any]) -> Iterator[tuple[Any, Any]]:
    """Photos one by one, each with its targets, or None where it brings none.

    >>> list(with_targets(["a.jpg", ("b.jpg", "cat")]))
    [('a.jpg', None), ('b.jpg', 'cat')]
    """
    for item in photos:
        is_pair = isinstance(item, (tuple, list)) and len(item) == 2
        photo, targets = item if is_pair else (item, None)
        if not isinstance(photo, Tensor) or photo.ndim != 4:
            yield photo, targets
            continue
        each = [None] * len(photo) if targets is None else listed(targets)
        if len(each) != len(photo):
            raise DeepInsideError(f"expected one target for each of {len(photo)} photos of a batch, got {len(each)}")
        yield from zip(photo, each, strict=True)


def explain_chosen(
    classifier: Classifier,
    wanted: Iterable[tuple[Any, Choice]],
    localizer: AnyLocalizer,
    most: int | None,
    is_few: bool = True,
) -> Iterator[Outcome]:
    """As `explain_each`, with a choice of classes for every photo; one by one where those are not a few."""
    work = partial(_outcomes, classifier, localizer, most)
    if not is_few:
        return chain.from_iterable(map(work, ([each] for each in wanted)))
    return in_batches(work, wanted, BATCH, lambda each: _pixels(each[0]), MOST_PIXELS)


def _pixels(source: Any) -> int:
    """How many pixels a photo takes once it is read; those in memory are there already."""
    return pixel_count(source) if isinstance(source, (str, os.PathLike)) else 0


def most_objects(objects: str, boxes: bool = True) -> int | None:
    """At most how many objects of a class are segmented; None for all. Raises `DeepInsideError` for an unknown value.

    >>> most_objects("one"), most_objects("all"), most_objects("all", boxes=False)
    (1, None, 0)
    """
    most = named(objects, OBJECTS, "a choice of objects")
    return most if boxes else 0


def choice_of(
    classifier: Classifier,
    targets: SupportsIndex | str | Sequence[SupportsIndex | str] | None = None,
    top: int = 5,
) -> Choice:
    """The classes asked for, or the `top` likeliest. Raises `DeepInsideError` for unknown ones, and for none."""
    if targets is None and top < 1:
        raise DeepInsideError(f"expected at least one class to explain, got top={top}")
    named = [] if targets is None else listed(targets)
    if targets is not None and not named:
        raise DeepInsideError("expected at least one target class, got none; leave targets out for the likeliest")
    wanted = list(dict.fromkeys(classifier.labels.find(target) for target in named))

    def choose(logits: Float[Tensor, " classes"]) -> list[int]:
        chosen = wanted or logits.topk(min(top, len(logits))).indices.tolist()
        if len(chosen) > MOST_CLASSES:
            raise DeepInsideError(
                f"expected at most {MOST_CLASSES} classes of a photo at once, got {len(chosen)}; explain them in parts"
            )
        return chosen

    return choose


def see_each(
    classifier: Classifier,
    localizer: AnyLocalizer,
    views: Sequence[Views | DeepInsideError],
    choices: Sequence[Choice],
    most: int | None = None,
) -> list[Seen | DeepInsideError]:
    """What the network says of each photo of a batch; a photo that fails does not take the others with it.

    A reason in place of the views of a photo stays where it is.
    """
    asked = [(view, choice) for view, choice in zip(views, choices, strict=True) if isinstance(view, Views)]
    said = iter(_see_together(classifier, localizer, asked, most))
    return [next(said) if isinstance(view, Views) else view for view in views]


def _see_together(
    classifier: Classifier, localizer: AnyLocalizer, asked: Sequence[tuple[Views, Choice]], most: int | None
) -> list[Seen | DeepInsideError]:
    if not asked:
        return []
    try:
        return list(localizer.see(classifier, [view for view, _ in asked], [choice for _, choice in asked], most))
    except DeepInsideError as error:
        if len(asked) == 1:
            return [error]
    return [_see_together(classifier, localizer, [one], most)[0] for one in asked]


def detections(
    classifier: Classifier, localizer: AnyLocalizer, seen: Seen, most: int | None = None, original: Original = None
) -> tuple[Detection, ...]:
    """The objects of every class chosen, in the order of the classes, the surest object of a class first.

    At most `most` of each class, all where it is None; with 0, saliency alone, once for each class. `original` is the
    photo that they are shown in.

    Raises `DeepInsideError` where labels and network disagree about the number of classes.
    """
    classifier.check_labels(len(seen.logits))
    probabilities = classifier.posterior(seen.logits)
    others = not all(is_flat(map) for map in seen.maps)
    return tuple(
        Detection(
            index=index,
            label=classifier.labels.name(index),
            wnid=classifier.labels.wnid(index),
            score=seen.logits[index].item(),
            probability=probabilities[index].item(),
            **(own or Saliency(seen.frame, seen.maps[k]))._asdict(),
            segmentation=segmentation,
            whole=Saliency(seen.frame, seen.maps[k]) if own else None,
            photo=original,
        )
        for k, index in enumerate(seen.classes)
        for segmentation in ((None,) if most == 0 else segmentations(localizer, seen, k, others)[:most])
        for own in [segmentation.own if segmentation else None]
    )


def segmentations(localizer: AnyLocalizer, seen: Seen, k: int, others: bool) -> tuple[Segmentation, ...]:
    """The objects of the k-th class, the surest first; if it points nowhere but `others` do not, the whole view."""
    return (whole_view(seen.frame),) if others and is_flat(seen.maps[k]) else localizer.segment(seen, k)


def explanation_of(
    classifier: Classifier,
    localizer: AnyLocalizer,
    photo: Photo,
    seen: Seen,
    most: int | None = None,
    path: Path | None = None,
) -> Explanation:
    """The explanation of a photo that was seen, at most `most` objects of each class; `path` is that of its file.

    The localizer may differ from the one that saw it in what `segment` alone reads, so that an outline can be tried
    again without the network. Raises `DeepInsideError` as `detections` does.
    """
    original = kept(photo, path)
    found = detections(classifier, localizer, seen, most, original)
    link = classifier.link(len(seen.logits))
    probabilities = classifier.posterior(seen.logits)
    likeliest = seen.logits.topk(min(PREDICTIONS, len(seen.logits))).indices.tolist()
    name, values = classifier.labels.name, seen.logits
    predictions = tuple(Prediction(i, name(i), values[i].item(), probabilities[i].item()) for i in likeliest)
    return Explanation(
        photo.name,
        photo.width,
        photo.height,
        classifier.name,
        name_of(localizer),
        found,
        link,
        localizer.about,
        predictions,
        photo=original,
    )


def _outcomes(
    classifier: Classifier, localizer: AnyLocalizer, most: int | None, wanted: Sequence[tuple[Any, Choice]]
) -> list[Outcome]:
    """A batch of photos, from reading to masks."""
    began = perf_counter()
    shown = [show(classifier, localizer, source) for source, _ in wanted]
    said = see_each(classifier, localizer, shown, [choice for _, choice in wanted], most)
    outcomes = [
        outcome_of(classifier, localizer, file_of(source), views, seen, most)
        for (source, _), views, seen in zip(wanted, shown, said, strict=True)
    ]
    share = (perf_counter() - began) / len(wanted)
    return [replace(outcome, seconds=share) for outcome in outcomes]


def show(classifier: Classifier, localizer: AnyLocalizer, source: Any) -> Views | DeepInsideError:
    """The first stage: what the network is shown of a photo, as `explain` takes it, or why it cannot be read."""
    try:
        photo = as_photo(source)
    except DeepInsideError as error:
        return error
    return views_or_reason(classifier, localizer, photo)


def outcome_of(
    classifier: Classifier,
    localizer: AnyLocalizer,
    path: Path | None,
    shown: Views | DeepInsideError,
    seen: Seen | DeepInsideError,
    most: int | None,
) -> Outcome:
    """The third stage: the masks and boxes of a photo, or the reason why there are none."""
    try:
        if isinstance(seen, DeepInsideError):
            raise seen
        assert isinstance(shown, Views)
        return Outcome(path, shown.photo, explanation_of(classifier, localizer, shown.photo, seen, most, path))
    except DeepInsideError as error:
        return Outcome(path, error=error)


def views_or_reason(classifier: Classifier, localizer: AnyLocalizer, photo: Photo) -> Views | DeepInsideError:
    """What the network is shown of a photo, or why it cannot be, such as a band that the photo lacks."""
    try:
        return localizer.views(classifier, photo)
    except DeepInsideError as error:
        return error
