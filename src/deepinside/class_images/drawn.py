"""A class image in its file: what it shows, what it was made with, and the score that it reached.

All that is text in the metadata of the PNG, so that a picture says where it comes from, and a run knows its pictures.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from importlib.metadata import version
from math import isfinite
from pathlib import Path

from deepinside.class_images.picture_files import read_facts
from deepinside.class_images.recipes import adjusted
from deepinside.core import html
from deepinside.core.errors import DeepInsideError
from deepinside.core.escape import terminal, xml
from deepinside.core.files import shortened
from deepinside.core.images import read
from deepinside.gradients.targets import Target
from deepinside.networks.classifier import Classifier

LONGEST_STEM = 200  # bytes of a file's name before its tag and its ending
SCORE_DIGITS = 4  # after the decimal point of a score, in files and everywhere else


@dataclass(frozen=True)
class Settings:
    """How pictures are made."""

    preset: str = "canonical"
    steps: int | None = None  # None for the preset's
    seed: int = 0
    posterior: bool | None = None  # None for the preset's
    like: tuple[Path, ...] = ()  # photos whose features they shall have


@dataclass(frozen=True)
class Provenance:
    """What a picture was made with; two pictures of one target with the same provenance are the same picture."""

    model: str  # of several, all names
    preset: str
    steps: int
    seed: int
    posterior: bool
    size: tuple[int, int]  # height and width, in pixels
    weights: str = ""  # their digest
    version: str = ""  # of this package, whose presets may change
    like: str = ""  # a digest of the photos whose features it has

    @classmethod
    def of(cls, classifiers: Sequence[Classifier], settings: Settings) -> Provenance:
        """What the settings mean for classifiers, of which the first gives the size.

        Raises `DeepInsideError` for settings that make no sense, and for a photo that cannot be read.
        """
        recipe = adjusted(settings.preset, settings.steps, settings.posterior)
        return cls.by(classifiers, replace(settings, steps=recipe.steps, posterior=recipe.posterior))

    @classmethod
    def by(cls, classifiers: Sequence[Classifier], settings: Settings) -> Provenance:
        """The same of complete settings, where the preset may be another program's."""
        name = one_line(" + ".join(each.name for each in classifiers))
        weights = " + ".join(each.digest() for each in classifiers)
        assert settings.steps is not None
        return cls(
            name,
            settings.preset,
            settings.steps,
            settings.seed,
            bool(settings.posterior),
            classifiers[0].size,
            weights,
            version("deepinside"),
            _digest(settings.like),
        )


@dataclass(frozen=True, repr=False)
class Drawn:
    """A picture in its file: what it shows, what it was made with, and the score that it reached.

    In a notebook, it shows the picture.
    """

    path: Path
    name: str
    score: float  # of the picture as its file has it, to `SCORE_DIGITS` decimals
    provenance: Provenance
    index: int | None = None  # of a class; None for a neuron
    wnid: str | None = None
    like: Sequence[Path] = ()  # the photos it was drawn to; the file has their digest alone

    @classmethod
    def of(cls, classifier: Classifier, target: Target, path: Path, score: float, provenance: Provenance) -> Drawn:
        """What a new picture of a target says of itself."""
        index = target if isinstance(target, int) else None
        wnid = classifier.labels.wnid(index) if index is not None else None
        return cls(path, one_line(name_of(classifier, target)), round(score, SCORE_DIGITS), provenance, index, wnid)

    @property
    def facts(self) -> dict[str, str]:
        """The same as text, for the metadata of the file; `read_drawn` turns it into values again."""
        made = self.provenance
        facts = {"class": self.name, "score": f"{self.score:.{SCORE_DIGITS}f}", "model": made.model}
        facts |= {"preset": made.preset, "steps": str(made.steps), "seed": str(made.seed)}
        facts |= {"ascended": "posterior" if made.posterior else "score", "size": f"{made.size[1]} x {made.size[0]}"}
        facts |= {"weights": made.weights, "version": made.version}
        if made.like:
            facts["like"] = made.like
        if self.index is not None:
            facts |= {"index": str(self.index), "wnid": self.wnid or ""}
        return facts

    def __repr__(self) -> str:
        return f"Drawn({terminal(self.name)!r}, {self._about}, {terminal(str(self.path))!r})"

    def _repr_html_(self) -> str:
        try:
            picture = html.picture(read(self.path).image, f"class image of {self.name}", self._about)
        except DeepInsideError as error:
            picture = html.small(f"without its picture: {error}")
        return html.page(html.heading(self.name), picture)

    @property
    def _about(self) -> str:
        made = self.provenance
        how = f"preset {made.preset}, {made.steps} steps, seed {made.seed}"
        return f"score {self.score:.2f}, {made.model}, {how}, {made.size[1]} x {made.size[0]} pixels"


def read_drawn(path: Path) -> Drawn | None:
    """The picture in a file, or None where there is none that is complete and says how it was made."""
    facts = read_facts(path)
    try:
        width, height = map(int, facts["size"].split(" x "))
        steps, seed, posterior = int(facts["steps"]), int(facts["seed"]), facts["ascended"] == "posterior"
        rest = [facts.get(name, "") for name in ("weights", "version", "like")]
        made = Provenance(facts["model"], facts["preset"], steps, seed, posterior, (height, width), *rest)
        index = int(facts["index"]) if "index" in facts else None
        return Drawn(path, facts["class"], _score(facts["score"]), made, index, facts.get("wnid") or None)
    except (KeyError, ValueError):
        return None


def _score(text: str) -> float:
    score = float(text)
    if not isfinite(score):
        raise ValueError("a score that is not finite is nobody's")
    return score


def stem(classifier: Classifier, target: Target) -> str:
    """The file's name without its ending.

    >>> from torch import nn
    >>> stem(Classifier(nn.Identity(), labels=["tabby cat", "sea lion"]), 1)
    '0001-sea-lion'
    """
    slug = re.sub(r"[^a-z0-9]+", "-", name_of(classifier, target).lower()).strip("-")
    return shortened(f"{target:04d}-{slug}".rstrip("-") if isinstance(target, int) else slug, LONGEST_STEM)


def one_line(text: str) -> str:
    """Text as a file's metadata can hold it."""
    return xml(terminal(text))


def name_of(classifier: Classifier, target: Target) -> str:
    """The name of a class, or how a neuron is written."""
    return classifier.labels.name(target) if isinstance(target, int) else str(target)


def _digest(photos: Sequence[Path]) -> str:
    """Sixteen digits that change with any photo or their order; empty for no photos."""
    whole = sha256()
    for path in photos:
        whole.update(sha256(read(path).image.tobytes()).digest())
    return whole.hexdigest()[:16] if photos else ""
