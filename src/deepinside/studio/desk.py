"""What the page asks of the library: networks, photos that people have brought, and looks at them, shared in batches.

A photo is known by an id that nobody can guess, and everything about it is asked for by that id, so that nobody gets
another's photo. Photos stay as they came, encoded, and are decoded for a look. Nothing is written to a disk.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from io import BytesIO
from pathlib import Path
from secrets import token_urlsafe
from threading import Lock

from deepinside.class_images.references import best_photos
from deepinside.core.errors import DeepInsideError
from deepinside.core.examples import packaged_examples
from deepinside.core.images import Photo, find_photos, pixel_count, read, read_bytes
from deepinside.core.threads import in_batches
from deepinside.explanations.explain import BATCH, choice_of, explanation_of, see_each, show
from deepinside.explanations.localizer import Seen
from deepinside.explanations.presets import AnyLocalizer, for_seeing
from deepinside.explanations.results import Explanation
from deepinside.networks.classifier import Classifier
from deepinside.networks.sources import load
from deepinside.studio.batches import Batches
from deepinside.studio.shelf import Shelf
from deepinside.studio.wish import Wish

MOST_BYTES = 32 * 2**20  # of a photo file
MOST_PIXELS = 64_000_000  # of a photo, told by its header before it is decoded
KEPT_FILES, KEPT_LOOKS = 2**29, 2**30  # bytes of all photo files, and of all looks, that are kept at a time
LOOK = 8 * 2**20  # bytes of a look without its photo: maps, features and masks
TOGETHER = 4 * BATCH  # photos of several people that are looked at together, at most
MOST_EXAMPLES, MOST_EXCITING = 2000, 6  # of a folder, and of those, for a class
GONE = "this photo is not kept any more; open it again"


@dataclass(frozen=True, eq=False)
class Look:
    """What a network sees of one class in a photo, which can be segmented again under other constants."""

    photo: Photo
    seen: Seen
    explanation: Explanation


@dataclass(frozen=True)
class _Kind:
    """What has to be equal for photos to go through a network together."""

    model: str
    localizer: AnyLocalizer


class Desk:
    """The library, as the page uses it; one for all people.

    Args:
        models: the networks that people may choose from, as `load` takes them; the first one is the default.
        examples: photo files that anybody may open, by their names.
        device: where networks run.
    """

    def __init__(
        self, models: Sequence[str] = ("lite0",), examples: Mapping[str, Path] | None = None, device: str | None = None
    ):
        self.models, self.device = tuple(models), device
        self.examples = dict(packaged_examples() if examples is None else examples)
        self._classifiers: dict[str, Classifier] = {}
        self._loading, self._exciting_lock = Lock(), Lock()
        self._exciting: dict[str, list[list[Path]]] = {}
        self._files: Shelf[str, tuple[bytes, str]] = Shelf(KEPT_FILES)
        self._looks: Shelf[tuple[str, _Kind, int | None], Look] = Shelf(KEPT_LOOKS)
        self._batches: Batches[_Kind, tuple[Photo, int | None], Look] = Batches(self._looked, TOGETHER)

    def classifier(self, model: str) -> Classifier:
        """The network of that name. Raises `DeepInsideError` for one that people may not choose."""
        if model not in self.models:
            raise DeepInsideError(f"expected a network of this page ({', '.join(self.models)}), got {model!r}")
        with self._loading:
            if model not in self._classifiers:
                classifier = load(model)
                self._classifiers[model] = classifier.to(self.device) if self.device else classifier
            return self._classifiers[model]

    def exciting(self, model: str, index: int) -> list[Path]:
        """The examples that excite a class of a network most, the strongest first; none where there are no examples.

        All examples go through the network once, for all classes.
        """
        classifier, photos = self.classifier(model), list(self.examples.values())
        with self._exciting_lock:
            if photos and model not in self._exciting:
                classes = range(len(classifier.labels))
                self._exciting[model] = best_photos(classifier, classes, photos, MOST_EXCITING)
        return self._exciting[model][index] if photos else []

    def warm_up(self) -> None:
        """Look at an example, so that nobody waits for what is compiled and loaded once."""
        for name in list(self.examples)[:1]:
            with suppress(DeepInsideError):
                self.look(Wish(name, self.models[0]))

    def keep(self, content: bytes, name: str) -> str:
        """Keep a photo file that somebody brings, and return its id.

        Raises `DeepInsideError` for one that is too large, in bytes or in pixels, or no photo.
        """
        check_bytes(len(content), name)
        pixels = pixel_count(BytesIO(content))
        if pixels > MOST_PIXELS:
            raise DeepInsideError(
                f"{name}: expected a photo of at most {MOST_PIXELS // 10**6} million pixels, got one of "
                f"{pixels // 10**6} million; make it smaller"
            )
        read_bytes(content, name)
        id = token_urlsafe(16)
        self._files.put(id, (content, name), len(content))
        return id

    def name(self, id: str) -> str:
        """The file name of a photo. Raises `DeepInsideError` as `photo`."""
        return id if id in self.examples else self._file(id)[1]

    def photo(self, id: str) -> Photo:
        """A photo by its id, or an example by its name. Raises `DeepInsideError` for one that is not kept any more."""
        if id in self.examples:
            return replace(read(self.examples[id]), name=id)
        return read_bytes(*self._file(id))

    def look(self, wish: Wish) -> Look:
        """What the network sees of the class in the photo, whatever the outline is made by; others' photos go with it.

        Raises `DeepInsideError` as `explain` does, and as `photo`.
        """
        kind = _Kind(wish.model, for_seeing(wish.localizer))
        key = (wish.photo, kind, wish.target)
        look = self._looks.get(key)
        if look is None:
            self.classifier(wish.model)
            look = self._batches.ask(kind, (self.photo(wish.photo), wish.target))
            size = LOOK + 3 * look.photo.width * look.photo.height
            self._looks.put(key, look, size)
            self._looks.put((wish.photo, kind, look.explanation.objects[0].index), look, size)
        return look

    def explanation(self, wish: Wish) -> Explanation:
        """The objects of the class in the photo, as the constants of the wish outline them. Raises as `look`."""
        look = self.look(wish)
        if wish.localizer == for_seeing(wish.localizer):
            return look.explanation
        return explanation_of(self.classifier(wish.model), wish.localizer, look.photo, look.seen)

    def _file(self, id: str) -> tuple[bytes, str]:
        found = self._files.get(id)
        if found is None:
            raise DeepInsideError(GONE)
        return found

    def _looked(self, kind: _Kind, asked: list[tuple[Photo, int | None]]) -> Iterator[Look | DeepInsideError]:
        """Photos of one kind, several at a time on threads of their own, as `explain_each` has them."""
        work = partial(_together, self.classifier(kind.model), kind.localizer)
        return in_batches(work, asked, BATCH)


def _together(
    classifier: Classifier, localizer: AnyLocalizer, asked: Sequence[tuple[Photo, int | None]]
) -> list[Look | DeepInsideError]:
    views = [show(classifier, localizer, photo) for photo, _ in asked]
    choices = [choice_of(classifier, target, top=1) for _, target in asked]
    said = see_each(classifier, localizer, views, choices)
    return [_look(classifier, localizer, photo, seen) for (photo, _), seen in zip(asked, said, strict=True)]


def _look(
    classifier: Classifier, localizer: AnyLocalizer, photo: Photo, seen: Seen | DeepInsideError
) -> Look | DeepInsideError:
    if isinstance(seen, DeepInsideError):
        return seen
    try:
        return Look(photo, seen, explanation_of(classifier, localizer, photo, seen))
    except DeepInsideError as error:
        return error


def check_bytes(count: int, name: str) -> None:
    """Raise `DeepInsideError` for a photo file that is too large."""
    if count > MOST_BYTES:
        raise DeepInsideError(f"{name}: expected a photo of at most {MOST_BYTES >> 20} MB, got a larger file")


def examples_of(folder: Path, most: int = MOST_EXAMPLES) -> dict[str, Path]:
    """The first photos of a folder that can be read, by their names in it.

    Raises `DeepInsideError` for a folder without photos.
    """
    found = find_photos([folder])[:most]
    return {name.as_posix(): path for path, name in found if pixel_count(path)}
