"""Planted faults are raised and come first, and classes without one are not raised."""

import numpy as np
import pytest

from deepinside.archive import audit as module
from deepinside.archive.audit import FEWEST, LEAST, VIEWS, audit
from planted import classes, evidence, judged_of, natural, spots


@pytest.fixture
def random():
    return np.random.default_rng(0)


def with_corner(random, share, photos=40):
    count = round(share * photos)
    corner = spots(random.normal(3, 0.5, (count, 2)), 2.5)
    return np.concatenate([corner, natural(random, photos - count)])


def raised(found):
    return [each.evidence.index for each in found if each.is_raised]


@pytest.mark.parametrize("share", [0.3, 0.6, 1.0])
def test_a_mark_in_a_corner_is_raised_with_its_share_and_its_photos(random, share):
    maps = with_corner(random, share)
    found = audit([*classes(random, 19), evidence(19, maps)])
    assert raised(found) == [19] == [found[0].evidence.index]
    first = found[0].clusters[0]
    assert first.share == pytest.approx(share, abs=0.06)
    assert set(first.photos[:6]) <= set(range(round(share * 40))), "the most typical ones carry the mark"
    assert first.mean[:8, :8].sum() > 0.8 * first.mean.sum()
    assert first.mean.sum() == pytest.approx(1)


def test_a_watermark_at_any_place_is_raised_by_its_extent(random):
    anywhere = spots(random.uniform(3, 29, (24, 2)), 2.5)
    found = audit([*classes(random, 19), evidence(19, np.concatenate([anywhere, natural(random, 16)]))])
    assert raised(found) == [19]
    assert (found[0].view, found[0].clusters[0].share) == ("extent", pytest.approx(0.6, abs=0.06))


@pytest.mark.parametrize("count", [5, 20, 100])
def test_without_a_fault_nothing_is_raised(random, count):
    assert raised(audit(classes(random, count, photos=20))) == []


def test_classes_with_places_of_their_own_are_usual(random):
    """Each class has its objects somewhere else, so that none is an exception."""
    own = [evidence(k, spots(random.normal(random.uniform(8, 24, 2), 3, (40, 2)), 6)) for k in range(20)]
    assert raised(audit(own)) == []


def test_the_order_of_classes_and_photos_does_not_matter(random):
    given = [*classes(random, 8), evidence(8, with_corner(random, 0.5))]
    other = [evidence(each.index, each.maps[random.permutation(40)]) for each in reversed(given)]
    told = [
        [(each.evidence.index, each.view, each.oddness, [x.share for x in each.clusters]) for each in audit(asked)]
        for asked in (given, other)
    ]
    assert told[0] == told[1]


def test_few_photos_are_not_judged_and_come_last(random):
    found = audit([evidence(9, with_corner(random, 1.0, LEAST - 1)), *classes(random, 6, LEAST)])
    assert (found[-1].evidence.index, found[-1].oddness, found[-1].clusters) == (9, None, ())
    assert raised(found) == []


def test_few_classes_tell_nobody_what_is_usual(random):
    for count in range(FEWEST - 1):
        found = audit([evidence(9, with_corner(random, 0.6)), *classes(random, count)])
        assert raised(found) == []
        assert len(found) == count + 1
    assert audit([]) == []


def test_the_rare_level_is_a_weighted_quantile(random):
    """By brute force: each class counts alike, however many photos of it there are."""
    many, few = random.random((300, 4)), random.random((30, 4))
    mean = random.random(4)
    level = module._rare([many, few], mean)
    alike = np.concatenate([many @ mean, np.repeat(few @ mean, 10)])
    assert level == np.quantile(alike, 0.99, method="inverted_cdf")


def test_views_are_distributions_and_do_not_depend_on_brightness(random):
    maps = natural(random, 5)
    for view in VIEWS.values():
        assert view(maps).sum(axis=1) == pytest.approx(1)
        assert view(maps // 2 * 2) == pytest.approx(view(maps // 2))


def test_outside_is_the_mean_over_photos_with_boxes(random):
    (judged,) = audit([evidence(0, natural(random, 12))])
    assert judged.outside is None
    judged.evidence.outside[:2] = 0.2, 0.6
    assert judged_of([judged], 0).outside == pytest.approx(0.4)
