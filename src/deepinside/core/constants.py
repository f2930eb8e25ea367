"""The constants of a recipe, fields of frozen dataclasses: their ranges, and how they are changed and read by name.

A constant is a field with a default; its name is the path to it, such as `outline.smoothness` for the field
`smoothness` of the dataclass in the field `outline`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, Field, fields, is_dataclass, replace
from functools import cache
from numbers import Integral, Real
from operator import attrgetter
from typing import Any, NamedTuple, TypeVar, get_type_hints

from deepinside.core.errors import DeepInsideError, nearest

Options = TypeVar("Options")
Reader = Callable[[object], object]

LARGEST_INTEGER = 2**31 - 1  # what compiled functions and tensors take everywhere


class Range(NamedTuple):
    """Which values a number may have, both ends included. NaN and infinities are in no range."""

    least: float = 0
    most: float = math.inf
    above: bool = False  # whether the least value itself is left out
    below: bool = False  # whether the largest value itself is left out

    def holds(self, value: float) -> bool:
        """Whether a value is in the range."""
        enough = value > self.least if self.above else value >= self.least
        return enough and (value < self.most if self.below else value <= self.most) and math.isfinite(value)

    def __str__(self) -> str:
        if math.isinf(self.most):
            return f"a number above {self.least}" if self.above else f"{self.least} or more"
        if not self.above and not self.below:
            return f"between {self.least} and {self.most}"
        least = f"above {self.least}" if self.above else f"{self.least} or more"
        return f"{least} and {'below' if self.below else 'at most'} {self.most}"


SHARE = Range(most=1)
POSITIVE = Range(above=True)
COUNT = Range(1)


def check_ranges(options: object, ranges: Mapping[str, Range]) -> None:
    """Raise `DeepInsideError` for a number of a dataclass that is out of its range; 0 or more where it has none.

    Every number of a tuple is checked as well.
    """
    for name, given in vars(options).items():
        allowed = ranges.get(name, Range())
        for value in given if isinstance(given, tuple) else (given,):
            if isinstance(value, Real) and not allowed.holds(float(value)):
                raise DeepInsideError(f"{type(options).__name__}: expected {name} to be {allowed}, got {value}")


def kinds_of(options: object) -> dict[str, Any]:
    """The type of each constant by its name; for those that can be given as text.

    >>> kinds_of(Range()), kinds_of(None)
    ({}, {})
    """
    found: dict[str, Any] = {}
    owner: Any = type(options)
    for field in _fields(options):
        value = getattr(options, field.name)
        if is_dataclass(value):
            found |= {f"{field.name}.{name}": kind for name, kind in kinds_of(value).items()}
        elif not is_required(field) and (kind := _hints(owner)[field.name]) in READERS:
            found[field.name] = kind
    return found


@cache
def _hints(kind: type) -> dict[str, Any]:
    """The type hints of a class; to read them takes a millisecond, and sliders ask for them at every step."""
    return get_type_hints(kind)


def changed(options: Options, constants: Mapping[str, object], whose: str) -> Options:
    """A copy of a dataclass with constants changed by name; text is read as the type of the constant.

    Args:
        options: the dataclass.
        constants: new values by name.
        whose: whose constants they are, for messages.

    Raises `DeepInsideError` for an unknown name, and for a value of another type or out of its range.
    """
    kinds = kinds_of(options)
    for name in constants:
        if name not in kinds:
            raise DeepInsideError(f"expected a constant of {whose}, got {name!r}; {nearest(name, kinds)}")
    values = {name: _read(name, value, kinds[name]) for name, value in constants.items()}
    found: Options = _replaced(options, values)
    return found


def differences(options: object, base: object) -> dict[str, object]:
    """The constants of `options` by name whose values are not those of `base`, another one of its type."""
    values = {name: attrgetter(name) for name in kinds_of(base)}
    return {name: value(options) for name, value in values.items() if value(options) != value(base)}


def expression(value: object, called: Callable[[type], str]) -> str:
    """A value as Python would build it: of a dataclass only the fields that differ from their defaults.

    Args:
        value: the value.
        called: how to write the name of a class.
    """
    if isinstance(value, float):
        return repr(float(value))  # NumPy's own numbers are written as calls
    if not is_dataclass(value):
        return repr(value)
    given = {field: getattr(value, field.name) for field in _fields(value)}
    changes = [f"{field.name}={expression(each, called)}" for field, each in given.items() if each != _default(field)]
    return f"{called(type(value))}({', '.join(changes)})"


def is_required(field: Field[Any]) -> bool:
    """Whether a field has no default, so that it says what a recipe is and not how it is done."""
    return field.default is MISSING and field.default_factory is MISSING


def _fields(options: object) -> tuple[Field[Any], ...]:
    if not is_dataclass(options):
        return ()
    return tuple(field for field in fields(options) if field.init)


def _default(field: Field[Any]) -> object:
    return field.default if field.default_factory is MISSING else field.default_factory()


def _replaced(options: Any, values: Mapping[str, object]) -> Any:
    """All values of one dataclass at once, since a range may depend on another constant."""
    own = {name: value for name, value in values.items() if "." not in name}
    for part in {name.partition(".")[0] for name in values if "." in name}:
        inner = {name.partition(".")[2]: value for name, value in values.items() if name.startswith(f"{part}.")}
        own[part] = _replaced(getattr(options, part), inner)
    return replace(options, **own)


def _read(name: str, value: object, kind: Any) -> object:
    expected, reader = READERS[kind]
    try:
        return reader(value)
    except (TypeError, ValueError, OverflowError):
        raise DeepInsideError(f"expected {name} to be {expected}, got {value!r}") from None


def _float(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (str, Real)):
        raise TypeError
    number = float(value)
    if not math.isfinite(number):
        raise ValueError
    return number


def _int(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, (str, Integral)):
        raise TypeError
    number = int(value)
    if abs(number) > LARGEST_INTEGER:
        raise OverflowError
    return number


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _text_or_none(value: object) -> str | None:
    return None if value is None else _text(value) or None


def _floats(value: object) -> tuple[float, ...]:
    if isinstance(value, str):
        value = [part for part in value.strip("()[] ").split(",") if part.strip()]
    if not isinstance(value, Iterable):
        raise TypeError
    return tuple(map(_float, value))


READERS: Mapping[Any, tuple[str, Reader]] = {
    float: ("a finite number", _float),
    int: ("a whole number below 2^31", _int),
    str: ("a text", _text),
    str | None: ("a text, an empty one for none", _text_or_none),
    tuple[float, ...]: ("numbers with commas between them", _floats),
}
