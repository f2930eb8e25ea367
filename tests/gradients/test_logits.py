from collections import namedtuple
from types import SimpleNamespace

import pytest
import torch

from deepinside.core.errors import DeepInsideError
from deepinside.gradients.logits import logits_of

LOGITS = torch.arange(6.0).view(2, 3)


@pytest.mark.parametrize("output", [
    LOGITS, (LOGITS, "rest"), [LOGITS], {"logits": LOGITS}, {"aux": "x", "logits": LOGITS}, {"out": LOGITS},
    SimpleNamespace(logits=LOGITS), namedtuple("Outputs", "logits aux")(LOGITS, None),
])  # fmt: skip
def test_logits_are_unwrapped(output):
    assert logits_of(output, 2) is LOGITS


@pytest.mark.parametrize(("output", "message"), [
    (LOGITS[0], "got \\(3,\\)"),
    (torch.zeros(2, 3, 4), "got \\(2, 3, 4\\)"),
    (torch.zeros(5, 3), "\\(2, classes\\), got \\(5, 3\\)"),
    (None, "got NoneType"),
    ((), "got tuple"),
    (LOGITS * float("nan"), "finite"),
    (LOGITS / 0, "finite"),
])  # fmt: skip
def test_outputs_that_are_no_logits_are_named(output, message):
    with pytest.raises(DeepInsideError, match=message):
        logits_of(output, 2)
