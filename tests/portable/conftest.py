import logging
from dataclasses import dataclass

import numpy as np
import onnx
import pytest
from PIL import Image

from deepinside.networks.classifier import Classifier
from deepinside.portable.about import read_about
from deepinside.portable.check import opened, run
from deepinside.portable.export import to_onnx
from portable.networks import Small, Tiny, Tokens, seeded


@dataclass
class File:
    path: object
    said: dict
    session: object
    agreement: object

    def __call__(self, images, classes=None):
        return run(self.session, self.said, images, classes)


@pytest.fixture(autouse=True, scope="session")
def quiet():
    """Without what PyTorch says of every step of a trace, which pytest would keep, and which takes most of the time."""
    logging.disable(logging.DEBUG)
    yield
    logging.disable(logging.NOTSET)


@pytest.fixture(scope="session")
def noise(tmp_path_factory):
    """Two photos."""
    folder = tmp_path_factory.mktemp("noise")
    random = np.random.default_rng(1)
    for name in ("a.png", "b.png"):
        Image.fromarray(random.integers(0, 255, (12, 10, 3), np.uint8)).resize((80, 96), 3).save(folder / name)
    return sorted(folder.glob("*.png"))


@pytest.fixture(scope="session")
def small():
    return Classifier(seeded(Small), labels=list("abcdef"), size=128, name="small")


@pytest.fixture(scope="session")
def tiny():
    return Classifier(seeded(Tiny), size=32, name="tiny")


@pytest.fixture(scope="session")
def tokens():
    return Classifier(seeded(Tokens), size=64, name="tokens", probabilities="sigmoid")


@pytest.fixture(scope="session")
def export(tmp_path_factory, noise):
    """Exports a classifier, with the options of `to_onnx`."""

    def exported(classifier, **options):
        path = tmp_path_factory.mktemp("onnx") / "network.onnx"
        agreement = to_onnx(classifier, path, photos=noise, **options)
        return File(path, read_about(onnx.load(path)), opened(path), agreement)

    return exported


@pytest.fixture(scope="session")
def small_file(small, export):
    return export(small)


@pytest.fixture(scope="session")
def tiny_file(tiny, export):
    return export(tiny)


@pytest.fixture(scope="session")
def tokens_file(tokens, export):
    return export(tokens)
