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
from deepinside.explanations.reconstruct import Reconstruction
from deepinside.networks.layers import Layer


def explanation(about=NOTHING_SAID):
    mask = np.zeros((4, 4), bool)
    mask[1:3, 1:4] = True
    frame = Frame.whole(40, 40, width=4, height=4)
    found = Segmentation(frame, mask, mask, ~mask, 0.0)
    seen = Detection(281, "tabby", None, 9.0, 0.756, frame, np.ones((4, 4), np.float32), found)
    return Explanation("tom.jpg", 40, 40, "lite0", "any", (seen, seen), about=about)


@pytest.mark.parametrize(("localizer", "told"), [
    (Best(), ""), (Paper(rule="guided"), "  (probabilities: mean logits of ten crops)"),
])  # fmt: skip
def test_a_photo_says_what_its_probabilities_are_of_unless_it_is_the_photo(localizer, told):
    line = "  75.6%  tabby                            box    10    10    40    30"
    seen = explanation(localizer.about)
    assert list(cli_text.boxes_text(Path("tom.jpg"), seen)) == [f"tom.jpg  40 x 40{told}", f" {line}", f" {line}"]
    assert cli_text.classes_text(Path("tom.jpg"), seen) == f"tom.jpg  tabby 75.6%, tabby 75.6%{told}"


def test_boxes_as_values():
    told = cli_text.boxes_json(Path("tom.jpg"), explanation())
    assert told.keys() == {"path", "width", "height", "objects"}
    assert told["objects"][0] == {"index": 281, "label": "tabby", "probability": 0.756, "box": (10, 10, 40, 30)}


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
