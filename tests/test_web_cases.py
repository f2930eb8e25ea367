"""The answers that the page is tested against are those that the library gives today."""

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from web_cases import cut_cases, resize_cases

from deepinside.explanations.by_features import Best

CASES = Path(__file__).parents[1] / "web" / "tests" / "cases.json"
STALE = "python tools/web_cases.py --out web/tests/cases.json"


@pytest.fixture(scope="module")
def kept():
    return json.loads(CASES.read_text())


def told(value):
    """As it stands in a file."""
    return json.loads(json.dumps(value))


def test_constants(kept):
    assert kept["constants"] == told(asdict(Best())), STALE
    assert kept["draws"] == np.random.default_rng(0).random(Best().outline.components).tolist()


def test_masks_and_energies(kept):
    found = list(cut_cases(np.random.default_rng(7)))  # the seed of the file, which begins with them
    assert [each["mask"] for each in kept["cuts"]] == [told(each["mask"]) for each in found], STALE
    assert [each["energy"] for each in kept["cuts"]] == pytest.approx([each["energy"] for each in found], rel=1e-9)


def test_resized_pictures(kept):
    assert kept["resizes"] == told(list(resize_cases())), STALE
