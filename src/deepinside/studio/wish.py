"""What a person asks of a photo: a value that is a link, a command and a piece of Python as well."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from urllib.parse import parse_qsl, urlencode

from deepinside.core.errors import DeepInsideError
from deepinside.explanations.presets import (
    DEFAULT,
    AnyLocalizer,
    constants_of,
    for_seeing,
    imports_of,
    localizer_of,
    python_of,
    with_constants,
)
from deepinside.networks.classifier import Classifier

SET = "set."  # before the name of a constant in a link


@dataclass(frozen=True)
class Wish:
    """A photo, by its id, and how to look at it. `target` is the index of a class, None for the likeliest."""

    photo: str
    model: str
    preset: str = DEFAULT
    constants: tuple[tuple[str, str], ...] = ()
    target: int | None = None

    @cached_property
    def localizer(self) -> AnyLocalizer:
        """The preset with its constants. Raises `DeepInsideError` for unknown ones."""
        return with_constants(self.preset, dict(self.constants))

    @property
    def seeing(self) -> Wish:
        """The wish without what changes outlines alone: what it shows of the map is the same."""
        left = constants_of(for_seeing(self.localizer))
        return replace(self, constants=tuple((name, str(value)) for name, value in left.items()))

    @property
    def query(self) -> str:
        """The same as the query of a link.

        >>> Wish("cat", "lite0", "paper", (("foreground_quantile", "0.9"),), 7).query
        'photo=cat&model=lite0&preset=paper&set.foreground_quantile=0.9&target=7'
        """
        pairs = [("photo", self.photo), ("model", self.model), ("preset", self.preset)]
        pairs += [(SET + name, value) for name, value in self.constants]
        pairs += [] if self.target is None else [("target", str(self.target))]
        return urlencode(pairs)

    @classmethod
    def read(cls, query: str | Mapping[str, str]) -> Wish:
        """The wish of a link. Raises `DeepInsideError` for one that lacks a photo or a model, or names no class.

        >>> Wish.read("photo=cat&model=lite0&target=7")
        Wish(photo='cat', model='lite0', preset='best', constants=(), target=7)
        """
        given = dict(parse_qsl(query, keep_blank_values=True) if isinstance(query, str) else query.items())
        try:
            constants = tuple((name[len(SET) :], text) for name, text in given.items() if name.startswith(SET))
            target = int(given["target"]) if "target" in given else None
            return cls(given["photo"], given["model"], given.get("preset", DEFAULT), constants, target)
        except (KeyError, ValueError):
            raise DeepInsideError("expected a link with a photo and a model, got another; open the page anew") from None


def command_of(wish: Wish, classifier: Classifier, name: str) -> str:
    """The command that gives the same result, for a photo file of that name."""
    words = ["deepinside", "localize", _file(name), "--model", wish.model]
    words += ["--top", "1"] if wish.target is None else ["--target", _class(classifier, wish.target)]
    words += [] if wish.preset == DEFAULT else ["--preset", wish.preset]
    words += [word for constant in wish.constants for word in ("--set", "=".join(constant))]
    return shlex.join(words)


def program_of(wish: Wish, classifier: Classifier, name: str) -> str:
    """The lines of Python that give the same result, for a photo file of that name."""
    preset = python_of(wish.localizer)
    target = "top=1" if wish.target is None else f"targets={_target(classifier, wish.target)!r}"
    how = "" if wish.localizer == localizer_of(DEFAULT) else f", preset={preset}"
    return "\n".join(
        [
            *dict.fromkeys(["import deepinside as di", *imports_of(wish.localizer)]),
            "",
            f"classifier = di.load({wish.model!r})",
            f"explanation = di.explain(classifier, {name!r}, {target}{how})",
            "print([(each.label, each.probability, each.box) for each in explanation.objects])",
        ]
    )


def _file(name: str) -> str:
    """A file of this folder, which no command takes for an option."""
    return f"./{name}" if name.startswith("-") else name


def _class(classifier: Classifier, index: int) -> str:
    """A class as a word of a command: its name, or its index where the name could be read as something else.

    Where classes are called by numbers, so that the index is read as the name of another one, its name all the same.
    """
    name, find = classifier.labels.name(index), classifier.labels.find
    return name if _is_plain(classifier, name, index) or find(str(index)) != index else str(index)


def _target(classifier: Classifier, index: int) -> str | int:
    """A class in Python: its name, or its index where the name could be read as another class."""
    name = classifier.labels.name(index)
    return name if _is_plain(classifier, name, index) else index


def _is_plain(classifier: Classifier, name: str, index: int) -> bool:
    try:
        is_found = classifier.labels.reading(name) is None and classifier.labels.find(name) == index
    except DeepInsideError:
        return False
    return is_found and not name.startswith("-")


def drawing_command(model: str, classifier: Classifier, index: int, preset: str, seeds: range) -> str:
    """The command that makes the same class images, one for each seed."""
    words = ["deepinside", "class-image", _class(classifier, index), "--model", model, "--preset", preset]
    words += ["--seed", str(seeds.start), "--facets", str(len(seeds))]
    return shlex.join(words)


def drawing_program(model: str, classifier: Classifier, index: int, preset: str, seeds: range) -> str:
    """The lines of Python that make the same class images."""
    how = f"{_target(classifier, index)!r}, preset={preset!r}, seed=seed"
    return "\n".join(
        [
            "import deepinside as di",
            "",
            f"classifier = di.load({model!r})",
            f"images = [di.class_image(classifier, {how}) for seed in range({seeds.start}, {seeds.stop})]",
        ]
    )
