"""What is printed of results, word by word."""

from pathlib import Path

import numpy as np
import pytest

from deepinside import cli_text
from deepinside.core.errors import DeepInsideError
from deepinside.core.geometry import Frame
from deepinside.core.results import NOTHING_SAID, Detection, Explanation, Segmentation
from deepinside.explanations.by_color import Paper
from deepinside.explanations.by_features import Best
from deepinside.explanations.results import Reconstruction
from deepinside.networks.layers import Layer


def explanation(about=NOTHING_SAID):
    """A tabby, another tabby below it, and a class with a long name."""
    frame = Frame.whole(40, 40, width=4, height=4)
    places = [
        (281, "tabby", 0.756, 1, 0.9),
        (281, "tabby", 0.756, 3, 0.4),
        (7, "a cock of the rock, " * 2, 0.1, 1, None),
    ]
    objects = []
    for index, label, probability, row, confidence in places:
        mask = np.zeros((4, 4), bool)
        mask[row, 1:4] = True
        found = Segmentation(frame, mask, mask, ~mask, 0.0, confidence=confidence)
        objects.append(Detection(index, label, None, 9.0, probability, frame, np.ones((4, 4), np.float32), found))
    return Explanation("tom.jpg", 40, 40, "lite0", "any", tuple(objects), about=about)


@pytest.mark.parametrize(("localizer", "told"), [
    (Best(), ""), (Paper(rule="guided"), "  (probabilities: mean logits of ten crops)"),
])  # fmt: skip
def test_a_photo_says_what_its_probabilities_are_of_unless_it_is_the_photo(localizer, told):
    seen = explanation(localizer.about)
    assert list(cli_text.boxes_text(Path("tom.jpg"), seen)) == [
        f"tom.jpg  40 x 40{told}",
        "   75.6%  tabby                                    box    10    10    40    20",
        "            object 2                               box    10    30    40    40",
        "   10.0%  a cock of the rock, a cock of the rock,  box    10    10    40    20",
    ]
    assert cli_text.classes_text(Path("tom.jpg"), seen) == (
        f"tom.jpg  tabby 75.6%, a cock of the rock, a cock of the rock,  10.0%{told}"
    )


def test_a_rule_tells_what_it_acted_on_or_why_it_could_not():
    def seen(rule, rectifiers, others):
        frame = Frame.whole(4, 4, width=4, height=4)
        return Reconstruction("tabby", rule, 1.0, frame, np.zeros((3, 4, 4), np.float32), rectifiers, others)

    assert cli_text.rule_text(seen("gradient", {}, {"silu": 2})) == "back-propagation as it is"
    assert cli_text.rule_text(seen("guided", {"relu": 2, "relu6": 3}, {})) == "acted on 5 rectifiers"
    assert cli_text.rule_text(seen("guided", {"relu": 2}, {"silu": 4})) == (
        "acted on 2 rectifiers; plain gradient at 4 silu"
    )
    assert cli_text.rule_text(DeepInsideError("no rectifiers")) == "no rectifiers"


def test_layers_are_aligned_and_only_some_have_a_grid():
    layers = [Layer("a", "Conv2d", (6, 8, 8), (8, 8)), Layer("scores", "Linear", (5,), None)]
    first, second = cli_text.layers_text(layers)
    assert first.split() == ["a", "Conv2d", "6", "x", "8", "x", "8", "grid", "8", "x", "8"]
    assert first.index("Conv2d") == second.index("Linear")
    assert second.endswith("5")
    assert list(cli_text.layers_text([])) == []
