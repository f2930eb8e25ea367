"""Ranges of constants, and constants by name, on dataclasses of every type that can be given as text."""

import math
from dataclasses import dataclass, field

import numpy as np
import pytest

from deepinside.core.constants import (
    COUNT,
    POSITIVE,
    SHARE,
    Range,
    changed,
    check_ranges,
    differences,
    expression,
    kinds_of,
)
from deepinside.core.errors import DeepInsideError


@dataclass(frozen=True)
class Inner:
    share: float = 0.5
    least: float = 0.1

    def __post_init__(self):
        check_ranges(self, {"share": SHARE})
        if self.least > self.share:
            raise DeepInsideError("expected least to be at most share")


@dataclass(frozen=True)
class Outer:
    name: str
    count: int = 3
    title: str = "a"
    layer: str | None = None
    sizes: tuple[float, ...] = (1.0, 2.0)
    others: dict[str, int] = field(default_factory=dict)  # of no type that can be given as text
    inner: Inner = field(default_factory=Inner)


OUTER = Outer("x")


def test_constants_are_fields_with_a_default_of_a_type_that_text_can_give():
    assert kinds_of(OUTER) == {
        "count": int, "title": str, "layer": str | None, "sizes": tuple[float, ...], "inner.share": float,
        "inner.least": float,
    }  # fmt: skip


@pytest.mark.parametrize(("name", "given", "expected"), [
    ("count", "7", 7), ("count", 7, 7), ("count", np.int64(7), 7), ("title", "", ""), ("title", "b=c", "b=c"),
    ("layer", "a.1", "a.1"), ("layer", "", None), ("layer", None, None),
    ("sizes", "1,1.5", (1.0, 1.5)), ("sizes", "(2.0,)", (2.0,)), ("sizes", [1, 2], (1.0, 2.0)), ("sizes", "", ()),
    ("inner.share", "1e-1", 0.1), ("inner.share", 1, 1.0), ("inner.share", np.float32(0.25), 0.25),
])  # fmt: skip
def test_values_are_read_as_the_type_of_the_field(name, given, expected):
    outer = changed(OUTER, {name: given}, "outer")
    value = getattr(outer.inner, name[6:]) if name.startswith("inner.") else getattr(outer, name)
    assert (value, type(value)) == (expected, type(expected))
    assert repr(changed(OUTER, {name: str(given) if given is not None else ""}, "outer")) == repr(outer)


@pytest.mark.parametrize(("name", "given"), [
    ("count", "2.0"), ("count", 2.0), ("count", True), ("count", "x"), ("count", None), ("count", 10**12),
    ("title", 3), ("title", None), ("layer", 3), ("sizes", 3), ("sizes", "1,x"), ("sizes", [1, None]),
    ("inner.share", "x"), ("inner.share", True), ("inner.share", None), ("inner.share", math.nan),
    ("inner.share", "inf"), ("inner.share", 10**400), ("inner.share", 1j),
])  # fmt: skip
def test_values_of_another_type_are_errors_of_one_line(name, given):
    with pytest.raises(DeepInsideError, match=f"expected {name} to be .*, got ") as error:
        changed(OUTER, {name: given}, "outer")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["name", "others", "inner", "inner.", "inner.shar", "share.inner", "", "count.real"])
def test_unknown_names_get_the_nearest(name):
    with pytest.raises(DeepInsideError, match=r"expected a constant of outer, got .*; did you mean "):
        changed(OUTER, {name: "1"}, "outer")


def test_constants_that_depend_on_each_other_are_changed_at_once():
    assert changed(OUTER, {"inner.least": 0.8, "inner.share": 0.9}, "outer").inner == Inner(0.9, 0.8)
    with pytest.raises(DeepInsideError, match="at most share"):
        changed(OUTER, {"inner.least": 0.8}, "outer")


def test_differences_lead_from_one_to_the_other():
    other = Outer("x", count=4, layer="a", inner=Inner(0.7))
    found = differences(other, OUTER)
    assert found == {"count": 4, "layer": "a", "inner.share": 0.7}
    assert changed(OUTER, found, "outer") == other
    assert differences(OUTER, OUTER) == {}


def test_an_expression_builds_the_value():
    other = Outer("it's", sizes=(10 / 7,), inner=Inner(share=np.float64(0.7)))
    text = expression(other, lambda kind: kind.__name__)
    assert text == """Outer(name="it's", sizes=(1.4285714285714286,), inner=Inner(share=0.7))"""
    assert eval(text) == other


@pytest.mark.parametrize(("allowed", "inside", "outside", "told"), [
    (Range(), (0, 1e300), (-1e-9, math.inf, math.nan), "0 or more"),
    (POSITIVE, (1e-300,), (0, -1, math.inf, math.nan), "a number above 0"),
    (COUNT, (1, 5), (0, -1), "1 or more"),
    (SHARE, (0, 0.5, 1), (-0.1, 1.1, math.nan), "between 0 and 1"),
    (Range(most=1, above=True, below=True), (0.5,), (0, 1, math.nan), "above 0 and below 1"),
    (Range(most=9, above=True), (9,), (0, 9.1), "above 0 and at most 9"),
    (Range(2, 9, below=True), (2,), (9, 1), "2 or more and below 9"),
])  # fmt: skip
def test_a_range_holds_what_it_says(allowed, inside, outside, told):
    assert all(map(allowed.holds, inside))
    assert not any(map(allowed.holds, outside))
    assert str(allowed) == told


def test_numbers_of_tuples_are_checked_and_text_is_not():
    check_ranges(OUTER, {"sizes": POSITIVE})
    with pytest.raises(DeepInsideError, match=r"Outer: expected sizes to be a number above 0, got 0\.0"):
        check_ranges(Outer("x", sizes=(1.0, 0.0)), {"sizes": POSITIVE})
    with pytest.raises(DeepInsideError, match="Outer: expected count to be 0 or more, got -1"):
        check_ranges(Outer("x", count=-1), {})
