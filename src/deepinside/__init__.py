"""Look inside any image classifier: what does a class look like to it, which pixels decide, where is the object?

>>> import deepinside as di
>>> classifier = di.load("lite0")                                    # doctest: +SKIP
>>> [(d.label, d.box) for d in di.explain(classifier, "dog.jpg").objects]    # doctest: +SKIP

Names are imported when first used, so that `import deepinside` does not wait for PyTorch.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from deepinside.attribution import Attribution
    from deepinside.class_image import ascend, class_image
    from deepinside.classifier import Classifier, load
    from deepinside.errors import DeepInsideError
    from deepinside.explain import explain, explain_each
    from deepinside.geometry import Box, Frame
    from deepinside.images import Photo, read
    from deepinside.labels import Labels
    from deepinside.reconstruct import Reconstruction, reconstruct
    from deepinside.results import Detection, Explanation, Segmentation
    from deepinside.saliency import gradient, saliency
    from deepinside.targets import At, Neuron

_HOMES = {
    "At": "targets",
    "Attribution": "attribution",
    "Box": "geometry",
    "Classifier": "classifier",
    "DeepInsideError": "errors",
    "Detection": "results",
    "Explanation": "results",
    "Frame": "geometry",
    "Labels": "labels",
    "Neuron": "targets",
    "Photo": "images",
    "Reconstruction": "reconstruct",
    "Segmentation": "results",
    "ascend": "class_image",
    "class_image": "class_image",
    "explain": "explain",
    "explain_each": "explain",
    "gradient": "saliency",
    "load": "classifier",
    "read": "images",
    "reconstruct": "reconstruct",
    "saliency": "saliency",
}

__all__ = [
    "At",
    "Attribution",
    "Box",
    "Classifier",
    "DeepInsideError",
    "Detection",
    "Explanation",
    "Frame",
    "Labels",
    "Neuron",
    "Photo",
    "Reconstruction",
    "Segmentation",
    "ascend",
    "class_image",
    "explain",
    "explain_each",
    "gradient",
    "load",
    "read",
    "reconstruct",
    "saliency",
]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'deepinside' has no attribute {name!r}")
    return getattr(import_module(f"deepinside.{_HOMES[name]}"), name)


class _Package(ModuleType):
    """Importing the module `saliency` would bind its name over the function's: the function is what users call."""

    def __setattr__(self, name: str, value: object) -> None:
        if isinstance(value, ModuleType) and _HOMES.get(name) == name:
            value = getattr(value, name)
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
