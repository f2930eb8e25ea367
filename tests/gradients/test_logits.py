from collections import namedtuple
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from deepinside.core.errors import DeepInsideError
from deepinside.gradients.logits import logits_of
from deepinside.gradients.private import private_view
from deepinside.gradients.probe import read_logits
from deepinside.gradients.saliency import saliency

LOGITS = torch.arange(6.0).view(2, 3)


@pytest.mark.parametrize("output", [
    LOGITS, (LOGITS, "rest"), [LOGITS], {"logits": LOGITS}, {"aux": "x", "logits": LOGITS}, {"out": LOGITS},
    SimpleNamespace(logits=LOGITS), namedtuple("Outputs", "logits aux")(LOGITS, None),
])  # fmt: skip
def test_logits_are_unwrapped(output):
    assert logits_of(output, 2) is LOGITS


@pytest.mark.parametrize(("output", "message"), [
    (LOGITS[0], "got \\(3,\\)"), (LOGITS.long(), "got \\(2, 3\\)"),
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


class Both(nn.Module):
    """Returns its features as well as its logits, in some form."""

    def __init__(self, form):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 16, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.head, self.form = nn.Linear(16, 5), form

    def forward(self, images):
        features = self.body(images)
        return self.form(features, self.head(features))


FORMS = {
    "features first": lambda features, logits: (features, logits),
    "logits first": lambda features, logits: (logits, features),
    "a dict": lambda features, logits: {"features": features, "out": logits},
    "a dict of other names": lambda features, logits: {"h": features, "z": logits},
    "maps": lambda features, logits: (features[:, :, None, None].expand(-1, -1, 4, 4), logits),
    "detached features": lambda features, logits: [features.detach(), logits],
    "probabilities too": lambda features, logits: (logits.softmax(1), logits),
    "probabilities last": lambda features, logits: (logits, logits.softmax(1)),
    "nested": lambda features, logits: ((features,), {"more": logits}),
    "not flattened": lambda features, logits: logits[:, :, None, None],
    "two heads": lambda features, logits: (logits, features[:, :5]),
}


@pytest.mark.parametrize("form", FORMS)
def test_logits_are_told_from_features_by_name_or_by_what_they_were_computed_from(form):
    torch.manual_seed(0)
    network, images = Both(FORMS[form]), torch.rand(2, 3, 8, 8)
    alone = Both(lambda features, logits: logits)
    alone.load_state_dict(network.state_dict())
    assert torch.equal(logits_of(network(images), 2), alone(images))
    assert torch.equal(saliency(network, images, 3), saliency(alone, images, 3))
    assert torch.equal(read_logits(private_view(network), images), alone(images))


def test_what_nothing_tells_apart_is_refused():
    with pytest.raises(DeepInsideError, match=r"several that may be them \(\(2, 3\), \(2, 4\)\)"):
        logits_of((torch.rand(2, 3), torch.rand(2, 4)), 2)


@pytest.mark.parametrize("output", [torch.tensor([0.5, 2.0]), torch.tensor([[0.5], [2.0]])])
def test_one_score_for_each_image_is_one_class(output):
    assert logits_of(output, 2).tolist() == [[0.5], [2.0]]
    assert logits_of(output[0].squeeze(), 1).tolist() == [[0.5]]
