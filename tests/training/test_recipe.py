"""Recipes by name, with numbers changed."""

import pytest

from deepinside.core.errors import DeepInsideError
from deepinside.training.recipe import MODERN, PAPER, recipe


def test_a_recipe_is_had_by_name_with_some_numbers_changed():
    assert recipe("paper") == PAPER
    changed = recipe("modern", epochs=2, learning_rate=0.5)
    assert (changed.epochs, changed.learning_rate, changed.batch) == (2, 0.5, MODERN.batch)


@pytest.mark.parametrize(("arguments", "message"), [
    ({"name": "papre"}, "did you mean paper"), ({"name": "paper", "epochs": 0}, "positive number"),
    ({"name": "paper", "learning_rate": -0.1}, "positive number"),
])  # fmt: skip
def test_what_makes_no_recipe_is_refused(arguments, message):
    with pytest.raises(DeepInsideError, match=message):
        recipe(**arguments)
