"""The sheet of an audit: what is on it, and that it can be drawn."""

import numpy as np
import pytest
from PIL import Image

from deepinside.archive.audit import audit
from deepinside.archive.audit_sheet import CLUSTERS, PHOTOS, UNRAISED, audit_sheet
from deepinside.archive.evidence import evidence_of
from deepinside.core.errors import DeepInsideError
from deepinside.explanations.sheets import save
from planted import NAMES, natural, spots, write_run


@pytest.fixture
def run(tmp_path):
    random = np.random.default_rng(0)
    corner = spots(random.normal(3, 0.5, (12, 2)), 2.5)
    maps = {index: natural(random, 20) for index in range(6)}
    return write_run(tmp_path / "run", maps | {6: np.concatenate([corner, natural(random, 8)])})


def headings(figure):
    return [part.get_suptitle() for part in figure.subfigs]


def test_the_sheet_shows_the_class_that_is_raised_and_its_corner(run, tmp_path):
    found = audit(evidence_of(run))
    figure = audit_sheet(found)
    (heading,) = headings(figure)
    assert heading.startswith(f"{NAMES[6]}: 60% of its photos are decided in the top left")
    mean = figure.subfigs[0].axes[1].images[0].get_array()
    assert np.unravel_index(mean.argmax(), mean.shape) <= (8, 8)
    with Image.open(save(figure, tmp_path / "audit.png")) as image:
        assert image.width == (2 + PHOTOS) * 225


def test_without_a_fault_the_oddest_classes_are_shown_as_not_raised(run):
    found = [each for each in audit(evidence_of(run)) if not each.is_raised]
    told = headings(audit_sheet(found))
    assert len(told) == UNRAISED
    assert all(heading.endswith("(not raised)") for heading in told)


def test_photos_that_are_gone_do_not_stop_the_sheet(run, tmp_path):
    found = audit(evidence_of(run))
    for path in (tmp_path / "photos").iterdir():
        path.unlink()
    assert len(audit_sheet(found).subfigs[0].axes) <= CLUSTERS * (2 + PHOTOS)


def test_a_sheet_of_nothing_is_refused():
    with pytest.raises(DeepInsideError, match="enough photos"):
        audit_sheet([])
