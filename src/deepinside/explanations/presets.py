"""The localizers by name. A new one is a file beside this one, and a line in this table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, Field, fields, is_dataclass, replace
from typing import Any, TypeAlias

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
    return named(preset, {**PRESETS, **OTHERS}, "a preset") if isinstance(preset, str) else preset


def name_of(localizer: AnyLocalizer) -> str:
    """What to call a localizer in tables and captions: its name as a preset, or what it is.

    >>> name_of(Paper()), name_of(Paper(rule="guided"))
    ('paper', "Paper(rule='guided')")
    """
    for name, preset in {**PRESETS, **OTHERS}.items():
        if localizer == preset:
            return name
    return _changes(localizer)


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
        raise DeepInsideError(f"expected preset 'paper' for a layer or a rule of one's own, got {preset!r}")
    return replace(localizer, layer=layer, rule=rule)


def _changes(localizer: AnyLocalizer) -> str:
    """A dataclass with the fields that differ from its defaults; of any other object its class."""
    kind = type(localizer).__name__
    if not is_dataclass(localizer):
        return kind
    values = {field.name: getattr(localizer, field.name) for field in fields(localizer)}
    defaults = {field.name: _default(field) for field in fields(localizer)}
    changed = [f"{name}={value!r}" for name, value in values.items() if value != defaults[name]]
    return f"{kind}({', '.join(changed)})"


def _default(field: Field[Any]) -> object:
    return field.default if field.default_factory is MISSING else field.default_factory()
