"""Look inside any image classifier: what does a class look like to it, which pixels decide, where is the object?

>>> import deepinside as di
>>> classifier = di.load("lite0")                                    # doctest: +SKIP
>>> [(d.label, d.box) for d in di.explain(classifier, "dog.jpg").objects]    # doctest: +SKIP

Names are imported when first used, so that `import deepinside` does not wait for PyTorch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from deepinside.class_images.ascent import ascend, class_image
    from deepinside.core.errors import DeepInsideError
    from deepinside.core.geometry import Box, Frame
    from deepinside.core.images import Photo, read
    from deepinside.core.labels import Labels
    from deepinside.core.results import Segmentation
    from deepinside.explanations.by_color import Paper
    from deepinside.explanations.by_features import Best
    from deepinside.explanations.contrast import contrast
    from deepinside.explanations.explain import explain, explain_each
    from deepinside.explanations.localizer import Localizer
    from deepinside.explanations.maps import gradient, saliency
    from deepinside.explanations.methods import (
        grad_cam,
        gradient_times_input,
        integrated_gradients,
        layer_cam,
        smooth_grad,
    )
    from deepinside.explanations.reconstruct import reconstruct
    from deepinside.explanations.results import Detection, Explanation
    from deepinside.gradients.attribution import Attribution
    from deepinside.gradients.targets import At, Neuron
    from deepinside.networks.classifier import Classifier
    from deepinside.networks.sources import load
    from deepinside.portable.export import to_onnx

    __version__: str

_HOMES = {
    "At": "gradients.targets",
    "Attribution": "gradients.attribution",
    "Best": "explanations.by_features",
    "Box": "core.geometry",
    "Classifier": "networks.classifier",
    "DeepInsideError": "core.errors",
    "Detection": "explanations.results",
    "Explanation": "explanations.results",
    "Frame": "core.geometry",
    "Labels": "core.labels",
    "Localizer": "explanations.localizer",
    "Neuron": "gradients.targets",
    "Paper": "explanations.by_color",
    "Photo": "core.images",
    "Reconstruction": "explanations.results",
    "Segmentation": "core.results",
    "ascend": "class_images.ascent",
    "class_image": "class_images.ascent",
    "contrast": "explanations.contrast",
    "explain": "explanations.explain",
    "explain_each": "explanations.explain",
    "grad_cam": "explanations.methods",
    "gradient": "explanations.maps",
    "gradient_times_input": "explanations.methods",
    "integrated_gradients": "explanations.methods",
    "layer_cam": "explanations.methods",
    "load": "networks.sources",
    "read": "core.images",
    "reconstruct": "explanations.reconstruct",
    "saliency": "explanations.maps",
    "smooth_grad": "explanations.methods",
    "to_onnx": "portable.export",
}

__all__ = [
    "At",
    "Attribution",
    "Best",
    "Box",
    "Classifier",
    "DeepInsideError",
    "Detection",
    "Explanation",
    "Frame",
    "Labels",
    "Localizer",
    "Neuron",
    "Paper",
    "Photo",
    "Reconstruction",
    "Segmentation",
    "ascend",
    "class_image",
    "contrast",
    "explain",
    "explain_each",
    "grad_cam",
    "gradient",
    "gradient_times_input",
    "integrated_gradients",
    "layer_cam",
    "load",
    "read",
    "reconstruct",
    "saliency",
    "smooth_grad",
    "to_onnx",
]


def __getattr__(name: str) -> object:
    if name == "__version__":
        from importlib.metadata import version  # slow to import

        return version("deepinside")
    if name not in _HOMES:
        raise AttributeError(f"module 'deepinside' has no attribute {name!r}")
    return getattr(import_module(f"deepinside.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, "__version__"})
