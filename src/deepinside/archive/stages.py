"""What a run does with every photo, in the three stages that its engines share: show, see, answer.

`answers_here` goes through them in this process, on as many threads as PyTorch uses; `on_ray` on other processes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from jaxtyping import Float
from torch import Tensor

from deepinside.archive.records import rows_of
from deepinside.archive.rows import Row
from deepinside.archive.wanted import Wanted
from deepinside.explanations.explain import FEW_CLASSES, Outcome, explain_chosen
from deepinside.explanations.localizer import Choice
from deepinside.explanations.presets import AnyLocalizer
from deepinside.networks.classifier import Classifier


@dataclass(frozen=True)
class Asked:
    """What is asked of every photo.

    Attributes:
        localizer: finds the objects.
        most: of a class; None for all that there are.
        least: the probability, in [0, 1], of a class that is looked for in a photo without labels.
        top: so many of the likeliest classes are looked for in any case.
    """

    localizer: AnyLocalizer
    most: int | None
    least: float
    top: int

    def choice(self, classifier: Classifier, given: Sequence[int]) -> Choice:
        """How to choose the classes of a photo that was given some, or none."""
        return partial(_chosen, classifier, given, self.least, self.top)

    def is_few(self, photos: Sequence[Wanted]) -> bool:
        """Whether no photo has so many classes that it has to be alone in a batch."""
        return all(len(each.classes) + self.top <= FEW_CLASSES for each in photos)

    def answer(self, wanted: Wanted, outcome: Outcome) -> Answer:
        """The rows of a photo."""
        notes = outcome.photo.notes if outcome.photo else ()
        return Answer(wanted.path, rows_of(wanted, outcome, self.least, self.top), notes)


@dataclass(frozen=True)
class Answer:
    """The rows of a photo file, and what is worth knowing about how it was read."""

    path: Path
    rows: list[Row]
    notes: tuple[str, ...] = ()

    @property
    def error(self) -> str | None:
        """Why there is no answer."""
        reason: str | None = self.rows[0].get("error")
        return reason


def answers_here(classifier: Classifier, photos: Sequence[Wanted], asked: Asked) -> Iterator[Answer]:
    """The answers in this process, in order."""
    choices = ((each.path, asked.choice(classifier, each.classes)) for each in photos)
    outcomes = explain_chosen(classifier, choices, asked.localizer, asked.most, asked.is_few(photos))
    return map(asked.answer, photos, outcomes)


def _chosen(
    classifier: Classifier, given: Sequence[int], least: float, top: int, logits: Float[Tensor, " classes"]
) -> list[int]:
    """The classes of a photo to look for: those given, or else the likely ones, and the `top` likeliest.

    Where there are none, the likeliest stands for what the photo shows.
    """
    likely = 0 if given else int((classifier.posterior(logits) >= least).sum())
    count = min(max(likely, top, 0 if given else 1), FEW_CLASSES)
    return list(dict.fromkeys([*given, *logits.topk(min(count, len(logits))).indices.tolist()]))
