"""Class images by Lucent as it comes, the peer that ours are compared with (extra `lucent`)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from warnings import catch_warnings, simplefilter

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from deepinside.class_images.drawn import Drawn, Provenance, Settings, read_drawn, stem
from deepinside.class_images.gallery import final_scores
from deepinside.class_images.objectives import batches
from deepinside.class_images.picture_files import write_picture
from deepinside.class_images.recipes import adjusted
from deepinside.core.errors import DeepInsideError
from deepinside.core.progress import Progress
from deepinside.gradients.private import private_view
from deepinside.networks.classifier import Classifier

LUCENT = "lucent"


def drawn_by_lucent(
    model: Classifier, classes: Sequence[int], folder: Path, settings: Settings
) -> Iterator[Progress | Drawn]:
    """As `Gallery.draw`, by Lucent, with as many steps as `canonical` takes."""
    steps = adjusted("canonical", settings.steps, None).steps
    provenance = Provenance.by([model], Settings(LUCENT, steps, settings.seed))
    parts = [[int(index) for index in part] for part in batches(classes)]  # type: ignore[arg-type]
    for number, part in enumerate(parts):
        paths = [folder / f"{stem(model, index)}.png" for index in part]
        drawn = [found for path in paths if (found := read_drawn(path)) and found.provenance == provenance]
        if len(drawn) < len(part):
            images = lucent_images(model, part, steps, settings.seed)
            drawn = [
                Drawn.of(model, index, path, score, provenance)
                for index, path, score in zip(part, paths, final_scores(model, part, images), strict=True)
            ]
            for each, image in zip(drawn, images, strict=True):
                write_picture(image, each.path, each.facts)
        yield Progress(LUCENT, (number + 1) * steps, len(parts) * steps)
        yield from drawn


def lucent_images(
    model: Classifier, classes: Sequence[int], steps: int, seed: int
) -> Float[Tensor, "k 3 height width"]:
    """Class images by Lucent with its defaults: Fourier parametrization, decorrelated colors, transforms, and Adam.

    Lucent's own normalization is left out, since the network has one as its first layer. Lucent draws from NumPy's and
    PyTorch's global generators, which are restored afterwards, and puts its hooks on a private copy of the network.
    """
    if model.size[0] != model.size[1]:
        raise DeepInsideError(f"Lucent's defaults are for square pictures, got {model.size}")
    with catch_warnings(), _own_randomness(seed), torch.inference_mode(False), torch.enable_grad():
        simplefilter("ignore")  # Lucent's libraries warn of each other when imported
        from lucent.optvis import objectives, param, render

        rendered = render.render_vis(
            private_view(model.fast),
            sum(objectives.channel("labels", index, batch=row) for row, index in enumerate(classes)),
            lambda: param.image(model.size[0], batch=len(classes)),
            thresholds=(steps,),
            preprocess=False,
            progress=False,
            show_image=False,
        )
    return torch.from_numpy(rendered[-1]).permute(0, 3, 1, 2).clamp(0, 1)


@contextmanager
def _own_randomness(seed: int) -> Iterator[None]:
    """Seed the global generators for the block, and restore their state afterwards."""
    state = np.random.get_state()  # noqa: NPY002 (the one that Lucent draws with)
    np.random.seed(seed)  # noqa: NPY002
    try:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            yield
    finally:
        np.random.set_state(state)  # noqa: NPY002
