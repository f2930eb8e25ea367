"""What commands share: the network that they load, progress, photos that fail, and what is told of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from deepinside import cli_options as groups
from deepinside.cli_streams import complain, remark, say, say_json
from deepinside.core.errors import DeepInsideError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from deepinside.archive.stages import Answer
    from deepinside.core.images import Photo
    from deepinside.explanations.explain import Outcome
    from deepinside.explanations.presets import AnyLocalizer
    from deepinside.explanations.results import Explanation
    from deepinside.networks.classifier import Classifier

Item = TypeVar("Item")
Result = TypeVar("Result")


class Tally:
    """Photos one after the other: those that fail are told and counted, and the others go on."""

    def __init__(self, as_json: bool = False):
        self.as_json = as_json
        self.failures = 0
        self.lacks_glyphs = False

    @property
    def status(self) -> int:
        """The exit status: 1 where a photo failed."""
        return 1 if self.failures else 0

    def explained(self, outcomes: Iterable[Outcome]) -> Iterator[tuple[Path, Photo, Explanation]]:
        """The photos that could be explained."""
        for outcome in outcomes:
            assert outcome.path is not None  # a command's photos are files
            if outcome.photo is None or outcome.explanation is None:
                self._tell(outcome.path, outcome.error)
                continue
            tell_notes(outcome.photo)
            yield outcome.path, outcome.photo, outcome.explanation

    def told(self, answer: Answer) -> None:
        """What is worth knowing about a photo of a run."""
        complain(*(f"{answer.path}: {note}" for note in answer.notes))
        if answer.error:
            self._tell(answer.path, answer.error)

    def seen(self, paths: Iterable[Path], look: Callable[[Photo], Result]) -> Iterator[tuple[Path, Photo, Result]]:
        """What a look at each photo gives, where it gives anything."""
        from deepinside.core.images import read

        for path in paths:
            try:
                photo = read(path)
                tell_notes(photo)
                found = look(photo)
            except DeepInsideError as error:
                self._tell(path, error)
                continue
            yield path, photo, found

    def saved(self, figure: Figure, path: Path, *names: str) -> None:
        """Save a sheet with names on it. That some cannot be drawn is told once."""
        from deepinside.explanations import sheets

        tell(sheets.save(figure, path), self.as_json)
        self.lacks_glyphs = self.lacks_glyphs or tell_glyphs(names)

    def _tell(self, path: Path, error: DeepInsideError | str | None) -> None:
        self.failures += 1
        if self.as_json:
            say_json({"path": str(path), "error": str(error)})
        else:
            complain(error if str(error).startswith(f"{path}: ") else f"{path}: {error}")


def loaded(network: groups.Network) -> Classifier:
    """The classifier of a command; what is worth knowing about it goes to standard error."""
    classifier = network.load()
    complain(*classifier.notes)
    return classifier


def loaded_beside(network: groups.Network, names: Sequence[str] | None) -> list[Classifier]:
    """Further classifiers of a command, on the device of its own."""
    return [loaded(groups.Network(name, device=network.device)) for name in names or ()]


def ready(
    network: groups.Network,
    classes: Sequence[str] | None = None,
    *,
    layer: str | None = None,
    rule: str = "gradient",
    neuron: str | None = None,
) -> tuple[Classifier, list[int] | None]:
    """The classifier and the classes asked for, once it is known that the network has all that is asked of it."""
    from deepinside.explanations.trial import try_out
    from deepinside.gradients.targets import read_neuron

    classifier = loaded(network)
    targets = classes_of(classifier, classes)
    try_out(classifier, targets or (), layer=layer, rule=rule, neuron=read_neuron(neuron) if neuron else None)
    return classifier, targets


def ready_for(
    network: groups.Network, localizer: AnyLocalizer, classes: Sequence[str] | None = None
) -> tuple[Classifier, list[int] | None]:
    """The same for what a localizer asks of the network."""
    layer, rule = getattr(localizer, "layer", None), getattr(localizer, "rule", "gradient")
    return ready(network, classes, layer=layer, rule=rule)


def classes_of(classifier: Classifier, names: Sequence[str] | None) -> list[int] | None:
    """The indices of the classes with these names; None where no names are given. Tells how it read ambiguous ones."""
    if not names:
        return None
    targets = [classifier.labels.find(name) for name in names]
    complain(*filter(None, map(classifier.labels.reading, names)))
    return targets


def progress(items: Sequence[Item]) -> Iterable[Item]:
    """Iterate over photos with a progress bar on standard error, if that is a terminal."""
    from deepinside.core.terminal import track

    return track(items, len(items), "photos")


def shown(events: Iterable[object]) -> Iterator[Any]:
    """The events but for the progress, which is drawn as a bar on standard error, if that is a terminal."""
    from deepinside.core.progress import Progress
    from deepinside.core.terminal import bar

    with ExitStack() as stack:
        advance = None
        for event in events:
            if not isinstance(event, Progress):
                yield event
                continue
            advance = advance or stack.enter_context(bar(event.what))
            advance(event.done, event.total, event.what)


def tell_notes(photo: Photo) -> None:
    """What is worth knowing about how a photo was read."""
    complain(*(f"{photo.name}: {note}" for note in photo.notes))


def tell_glyphs(names: Iterable[str]) -> bool:
    """Whether some names cannot be drawn; tells it."""
    from deepinside.core.fonts import missing

    if lacking := missing("".join(names)):
        complain(f"no font of this machine has {lacking[:20]!r}, so sheets show code points; a Noto font may have them")
    return bool(lacking)


def tell(path: Path, as_json: bool = False) -> None:
    """Say which file was written; to whoever reads JSON, on standard error."""
    (remark if as_json else say)(f"  -> {path}")
