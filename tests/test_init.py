import importlib

import pytest

import deepinside


def test_exported_names_are_the_public_surface():
    assert deepinside.__all__ == [
        "At", "Attribution", "Best", "Box", "Classifier", "DeepInsideError", "Detection", "Explanation", "Frame",
        "Labels", "Localizer", "Neuron", "Paper", "Photo", "Reconstruction", "Segmentation", "ascend", "class_image",
        "contrast", "explain", "explain_each", "grad_cam", "gradient", "gradient_times_input", "integrated_gradients",
        "layer_cam", "load", "read", "reconstruct", "saliency", "smooth_grad", "to_onnx",
    ]  # fmt: skip


@pytest.mark.parametrize("name", deepinside.__all__)
def test_each_name_is_what_its_home_defines(name):
    home = importlib.import_module(f"deepinside.{deepinside._HOMES[name]}")
    assert getattr(deepinside, name) is getattr(home, name)
    assert getattr(deepinside, name).__doc__


def test_functions_are_not_shadowed_by_the_modules_of_their_names():
    import deepinside.explanations.explain
    import deepinside.gradients.saliency

    assert callable(deepinside.explain)
    assert callable(deepinside.saliency)


def test_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = deepinside.nothing


def test_the_version_is_the_installed_one():
    from importlib.metadata import version

    assert deepinside.__version__ == version("deepinside")
    assert "__version__" in dir(deepinside)
