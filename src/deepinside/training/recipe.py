"""How to train: the paper's recipe, as far as it is known, and a shorter modern one. Plain values.

The paper says: zero-centered images, trained like Krizhevsky et al. 2012 with extra jittering. The rest of `PAPER` is
what was usual then: momentum 0.9, weight decay 5e-4, a learning rate of 0.01 divided by ten whenever validation stalls,
Gaussian weights with a standard deviation of 0.01 on colors from 0 to 255. `MODERN` is more accurate after fewer epochs
on small data sets.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from deepinside.core.errors import DeepInsideError, named
from deepinside.training.augment import Augmentation


@dataclass(frozen=True)
class Recipe:
    """Everything about training but the network and the data.

    >>> recipe("paper", epochs=3).epochs
    3
    """

    name: str
    optimizer: str = "sgd"  # or adamw
    schedule: str = "plateau"  # or one-cycle
    learning_rate: float = 0.01  # the first one, or the highest of a cycle
    momentum: float = 0.9  # of sgd
    weight_decay: float = 5e-4  # of weights but not of biases
    batch: int = 128  # pictures per step, all processes together
    epochs: int = 90
    patience: int = 5  # epochs without a better validation error before the learning rate is divided by ten
    initialization: str = "gaussian"  # how weights are drawn: gaussian (0.01) or he
    std: float = 1 / 255  # what zero-centered colors are divided by, on the scale of [0, 1]
    label_smoothing: float = 0.0  # the share of the probability that is spread over all classes
    clip_norm: float | None = None  # the largest norm of the gradient
    augmentation: Augmentation = field(default_factory=Augmentation)


PAPER = Recipe("paper")
MODERN = Recipe(
    "modern",
    optimizer="adamw",
    schedule="one-cycle",
    learning_rate=5e-4,
    weight_decay=0.05,
    epochs=40,
    initialization="he",
    std=0.25,
    label_smoothing=0.1,
    clip_norm=5.0,
    augmentation=Augmentation(smallest=0.5, aspect=4 / 3, lighting=0.0, jitter=0.2, zeroed=0.25),
)
RECIPES = {recipe.name: recipe for recipe in (PAPER, MODERN)}


def recipe(
    name: str, *, epochs: int | None = None, batch: int | None = None, learning_rate: float | None = None
) -> Recipe:
    """A recipe by its name, with some of its numbers changed.

    Raises `DeepInsideError` for an unknown name, and for numbers that are not positive.
    """
    chosen = named(name, RECIPES, "a recipe")
    asked = {"epochs": epochs, "batch": batch, "learning_rate": learning_rate}
    changes = {key: value for key, value in asked.items() if value is not None}
    if any(value <= 0 for value in changes.values()):
        raise DeepInsideError(f"expected a positive number of epochs, batch and learning rate, got {changes}")
    return replace(chosen, **changes)  # type: ignore[arg-type]
