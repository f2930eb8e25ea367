"""The localizers by name. A new one is a file beside this one, and a line in this table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, Field, fields, is_dataclass, replace
from typing import Any, TypeAlias

from deepinside.core.constants import changed, differences, expression, is_required, kinds_of
from deepinside.core.errors import DeepInsideError, named
from deepinside.explanations.by_color import Paper
from deepinside.explanations.by_features import Best
from deepinside.explanations.by_method import METHODS, ByMethod
from deepinside.explanations.localizer import Localizer
from deepinside.gradients.rectifiers import RULES

AnyLocalizer: TypeAlias = Localizer[Any]

PRESETS: Mapping[str, AnyLocalizer] = {"best": Best(), "paper": Paper()}
# The usual methods by name, for whoever asks for them: no presets of ours, which `compare` shows side by side.
OTHERS: Mapping[str, AnyLocalizer] = {name: ByMethod(name) for name in METHODS}
DEFAULT = "best"


def localizer_of(preset: str | AnyLocalizer) -> AnyLocalizer:
    """The localizer of that name, or the localizer itself. Raises `DeepInsideError` for an unknown name."""
    return named(preset, _named(), "a preset") if isinstance(preset, str) else preset


def name_of(localizer: AnyLocalizer) -> str:
    """What to call a localizer in tables and captions: its name as a preset, or what it is.

    >>> name_of(Paper()), name_of(Paper(rule="guided"))
    ('paper', "Paper(rule='guided')")
    """
    for name, preset in _named().items():
        if localizer == preset:
            return name
    return expression(localizer, _short) if is_dataclass(localizer) else type(localizer).__name__


def with_maps_of(preset: str, layer: str | None, rule: str) -> AnyLocalizer:
    """A preset whose maps are taken at a layer, under a rectifier rule: the paper's; at a layer, class-activation maps.

    Raises `DeepInsideError` for an unknown preset or rule, and for a preset without the choice.
    """
    named(rule, RULES, "a rule")
    localizer = localizer_of(preset)
    if layer is None and rule == "gradient":
        return localizer
    if isinstance(localizer, ByMethod) and rule == "gradient":
        return replace(localizer, layer=layer)
    if not isinstance(localizer, Paper):
        raise DeepInsideError(_only_paper(preset))
    return replace(localizer, layer=layer, rule=rule)


def preset_of(localizer: AnyLocalizer) -> str:
    """The name of the preset that a localizer differs from in constants at most.

    Raises `DeepInsideError` for another kind of localizer.

    >>> preset_of(Paper(rule="guided")), preset_of(ByMethod("gradcam", "features"))
    ('paper', 'gradcam')
    """
    for name, preset in _named().items():
        if type(localizer) is type(preset) and _identity(localizer) == _identity(preset):
            return name
    names = ", ".join(_named())
    raise DeepInsideError(f"expected a localizer of the kind of a preset ({names}), got {_kind(localizer)}")


def with_constants(localizer: str | AnyLocalizer, constants: Mapping[str, object]) -> AnyLocalizer:
    """A copy of a localizer with some of its constants changed.

    Args:
        localizer: the localizer, or the name of a preset.
        constants: new values by name, which for a field of a nested dataclass is the path to it. Text, as from a
            command line, is read as the type of the constant: `"1, 1.5"` for several numbers, `""` for no layer.

    Raises `DeepInsideError` for an unknown name or rule, and for a value of another type or out of its range.

    >>> name_of(with_constants("best", {"outline.smoothness": "40", "continuity.level": 1.2}))
    'Best(continuity=Continuity(level=1.2), outline=OutlineOptions(smoothness=40.0))'
    """
    localizer = localizer_of(localizer)
    if not is_dataclass(localizer):
        raise DeepInsideError(f"expected a dataclass with constants, got {_kind(localizer)}")
    if {"layer", "rule"} & constants.keys() - kinds_of(localizer).keys():
        raise DeepInsideError(_only_paper(name_of(localizer)))
    return changed(localizer, constants, name_of(localizer))


def constants_of(localizer: AnyLocalizer) -> dict[str, object]:
    """The constants whose values are not those of the localizer's preset, by the names of `with_constants`.

    `with_constants(preset_of(localizer), constants_of(localizer))` is equal to the localizer, and so it is where each
    value is text. Raises `DeepInsideError` for a localizer that differs from every preset in more than constants.

    >>> constants_of(Paper(rule="guided", foreground_quantile=0.9))
    {'rule': 'guided', 'foreground_quantile': 0.9}
    """
    preset = localizer_of(preset_of(localizer))
    found = differences(localizer, preset)
    if with_constants(preset, found) != localizer:
        raise DeepInsideError(f"expected a localizer that differs from a preset in constants, got {name_of(localizer)}")
    return found


def for_seeing(localizer: AnyLocalizer) -> AnyLocalizer:
    """The localizer with its preset's own values of what `segment` alone reads, as its class says in `SEGMENTING`.

    Localizers for which this is equal see the same of a photo, and one may segment what the other has seen.

    >>> name_of(for_seeing(Paper(layer="features.3", foreground_quantile=0.9)))
    "Paper(layer='features.3')"
    """
    names = getattr(localizer, "SEGMENTING", ())
    if not names or not is_dataclass(localizer):
        return localizer
    return replace(localizer, **{each.name: _default(each) for each in fields(localizer) if each.name in names})


def _default(field: Field[Any]) -> object:
    return field.default if field.default_factory is MISSING else field.default_factory()


def python_of(localizer: AnyLocalizer) -> str:
    """The Python expression that builds a localizer, after the lines of `imports_of`; of a preset its name in quotes.

    >>> python_of(PRESETS["best"]), python_of(Paper(foreground_quantile=0.9))
    ('"best"', 'di.Paper(foreground_quantile=0.9)')
    >>> python_of(with_constants("best", {"outline.smoothness": 40}))
    'di.Best(outline=OutlineOptions(smoothness=40.0))'
    """
    name = next((name for name, preset in _named().items() if localizer == preset), None)
    return f'"{name}"' if name else expression(localizer, _spelled)


def imports_of(localizer: AnyLocalizer) -> list[str]:
    """The lines of Python that the expression of `python_of` needs before it.

    >>> imports_of(PRESETS["best"])
    []
    >>> imports_of(with_constants("best", {"outline.smoothness": 40}))
    ['import deepinside as di', 'from deepinside.cut.outline import OutlineOptions']
    """
    if localizer in _named().values():
        return []
    kinds: list[type] = []

    def noted(kind: type) -> str:
        kinds.append(kind)
        return kind.__name__

    expression(localizer, noted)
    lines = {_import(kind) for kind in kinds}
    return sorted(lines, key=lambda line: (line != IMPORT, line))


IMPORT = "import deepinside as di"
PUBLIC = (Best, Paper)  # what `di` has a name for; a module cannot read the names of the package, which imports it


def _named() -> dict[str, AnyLocalizer]:
    return {**PRESETS, **OTHERS}


def _identity(localizer: object) -> dict[str, object]:
    """What a localizer is, whatever its constants: the fields that have no default."""
    required = filter(is_required, fields(localizer)) if is_dataclass(localizer) else ()
    return {field.name: getattr(localizer, field.name) for field in required}


def _only_paper(preset: str) -> str:
    return f"expected preset 'paper' for a layer or a rule of one's own, got {preset!r}"


def _kind(localizer: object) -> str:
    return type(localizer).__name__


def _short(kind: type) -> str:
    return kind.__name__


def _spelled(kind: type) -> str:
    return f"di.{kind.__name__}" if kind in PUBLIC else kind.__name__


def _import(kind: type) -> str:
    return IMPORT if kind in PUBLIC else f"from {kind.__module__} import {kind.__name__}"
