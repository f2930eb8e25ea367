"""Are class images recognized by networks that never saw them made? The paper's pictures, ours, and Lucent's.

Each picture goes through its PNG file, rounded to 8 bits, and each judge resizes it as it would resize any photo. That
the model itself recognizes its pictures says little: the paper's noise passes that, too.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING
from warnings import catch_warnings, simplefilter

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from deepinside.class_images.ascent import PRESETS, adjusted, batches
from deepinside.class_images.gallery import Drawn, Progress, Settings, draw, stem
from deepinside.class_images.picture_files import is_drawn, read_facts, write_picture
from deepinside.core.errors import DeepInsideError, nearest, writing
from deepinside.core.images import read
from deepinside.core.terminal import bar, print_whole
from deepinside.evaluation.metrics import Estimate
from deepinside.gradients.logits import logits_of
from deepinside.gradients.probe import borrowed, frozen
from deepinside.networks.classifier import Classifier

if TYPE_CHECKING:
    from rich.table import Table

LUCENT = "lucent"
METHODS = (*PRESETS, LUCENT)


@dataclass(frozen=True)
class Recognition:
    """How many of `n` pictures one network recognizes: shares with their 95% Wilson intervals."""

    method: str
    judge: str
    n: int
    top1: Estimate
    top5: Estimate


def spread(count: int, classes: int) -> list[int]:
    """So many classes, evenly over all of them. Raises `DeepInsideError` where there are not so many.

    >>> spread(4, 1000)
    [0, 250, 500, 750]
    """
    if not 1 <= count <= classes:
        raise DeepInsideError(f"expected between 1 and {classes} classes, as many as the model has, got {count}")
    return [number * classes // count for number in range(count)]


def recognize(judge: Classifier, pictures: Sequence[Path], classes: Sequence[int]) -> list[int]:
    """For each picture, how many classes the judge finds likelier than its own: 0 is recognized."""
    ranks = []
    with torch.no_grad():
        for path, index in zip(pictures, classes, strict=True):
            _, shown = judge.whole(read(path))
            with borrowed(judge.network, shown) as private:
                logits = logits_of(private(shown), 1)[0]
            if index >= len(logits):
                raise DeepInsideError(f"expected a judge with class {index}, but {judge.name} has {len(logits)}")
            ranks.append(int((logits > logits[index]).sum()))
    return ranks


def recognition(method: str, judge: str, ranks: Sequence[int]) -> Recognition:
    """Ranks as shares.

    >>> recognition("canonical", "lite1", [0, 0, 3, 9]).top5.value
    0.75
    """
    hits = [sum(rank < top for rank in ranks) for top in (1, 5)]
    return Recognition(method, judge, len(ranks), *(wilson(hit, len(ranks)) for hit in hits))


def wilson(hits: int, n: int) -> Estimate:
    """A share with Wilson's 95% interval, which is right near 0 and 1, too, where a bootstrap has none.

    >>> [round(x, 3) for x in wilson(10, 10)]
    [1.0, 0.722, 1.0]
    """
    z = 1.959964  # the normal distribution's 97.5% quantile
    share = hits / n
    middle = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * math.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    return Estimate(share, max(middle - half, 0.0), min(middle + half, 1.0))


def drawn_by(
    method: str, model: Classifier, classes: Sequence[int], folder: Path, settings: Settings
) -> Iterator[Progress]:
    """The pictures of one method in `folder/method`, where those of an earlier run with the same settings stay."""
    if method == LUCENT:
        return _drawn_by_lucent(model, classes, folder / LUCENT, settings)
    return draw(model, classes, folder / method, settings, resume=True, restart=True)


def check_methods(methods: Sequence[str]) -> tuple[list[str], list[str]]:
    """The methods that can run here, and a line for each that cannot. Raises `DeepInsideError` for unknown ones."""
    for method in methods:
        if method not in METHODS:
            known = ", ".join(METHODS)
            raise DeepInsideError(f"expected methods of {known}, got {method!r}; {nearest(method, METHODS)}")
    if LUCENT in methods and not find_spec("lucent"):
        note = "Lucent is left out; to have it: pip install 'deepinside[lucent]'"
        return [method for method in methods if method != LUCENT], [note]
    return list(methods), []


def lucent_images(
    model: Classifier, classes: Sequence[int], steps: int, seed: int
) -> Float[Tensor, "k 3 height width"]:
    """Lucent's defaults: its Fourier parametrization, decorrelated colors, transforms and Adam, on our network.

    Its own normalization is left out, since the network has it as its first layer. It draws with NumPy's and PyTorch's
    global generators, which are left as they were; what it hooks is a private copy.
    """
    if model.size[0] != model.size[1]:
        raise DeepInsideError(f"Lucent's defaults are for square pictures, got {model.size}")
    with catch_warnings(), _own_randomness(seed), torch.inference_mode(False), torch.enable_grad():
        simplefilter("ignore")  # Lucent's libraries warn of each other when imported
        from lucent.optvis import objectives, param, render

        rendered = render.render_vis(
            frozen(model.network),
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
    """The global generators begin at the seed in this block, and go on afterwards as if it had not been."""
    state = np.random.get_state()  # noqa: NPY002 (the one that Lucent draws with)
    np.random.seed(seed)  # noqa: NPY002
    try:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            yield
    finally:
        np.random.set_state(state)  # noqa: NPY002


def _drawn_by_lucent(model: Classifier, classes: Sequence[int], folder: Path, settings: Settings) -> Iterator[Progress]:
    steps = adjusted("canonical", settings.steps, None).steps
    facts = {"model": model.name, "preset": LUCENT, "steps": str(steps), "seed": str(settings.seed)}
    parts = list(batches(classes))
    for number, part in enumerate(parts):
        paths = [folder / f"{stem(model, index)}.png" for index in part]
        if not all(is_drawn(path, facts) for path in paths):
            images = lucent_images(model, [int(index) for index in part], steps, settings.seed)  # type: ignore[arg-type]
            for path, image in zip(paths, images, strict=True):
                write_picture(image, path, facts)
        names = [model.labels.name(int(index)) for index in part]  # type: ignore[arg-type]
        drawn = tuple(Drawn(path, name, read_facts(path)) for path, name in zip(paths, names, strict=True))
        yield Progress((number + 1) * steps, len(parts) * steps, drawn)


def judged(
    model: Classifier,
    judges: Sequence[Classifier],
    classes: Sequence[int],
    methods: Sequence[str],
    settings: Settings,
    folder: Path,
) -> Iterator[tuple[str, Progress | Recognition]]:
    """Method by method: first how far the pictures are, then how the model itself and each judge recognize them."""
    for method in methods:
        own = Settings(method, settings.steps, settings.seed) if method in PRESETS else settings
        pictures: dict[Path, Drawn] = {}  # in the order of the classes; a picture drawn again keeps its place
        for progress in drawn_by(method, model, classes, folder, own):
            pictures |= {drawn.path: drawn for drawn in progress.drawn}
            yield method, progress
        for judge in (model, *judges):
            yield method, recognition(method, judge.name, recognize(judge, list(pictures), classes))


def evaluate_class_images_command(
    model: Classifier,
    judges: Sequence[Classifier],
    methods: Sequence[str],
    *,
    classes: int,
    settings: Settings,
    folder: Path | None,
    json_file: Path | None,
) -> list[Recognition]:
    """The command `evaluate-class-images`: draw, judge, print the table, write the figures.

    Args:
        model: what the pictures are made with.
        judges: networks with the same classes.
        methods: of `METHODS`.
        classes: how many, evenly spread.
        settings: steps and seed; by default each preset's own steps, and as many for Lucent as for `canonical`.
        folder: where the pictures stay, and where those of an earlier run are found; by default nowhere.
        json_file: where to write the figures.
    """
    possible, notes = check_methods(methods)
    chosen = spread(classes, _count(model, judges))
    rows = []
    with TemporaryDirectory() as passing, bar("class images") as advance:
        for method, news in judged(model, judges, chosen, possible, settings, folder or Path(passing)):
            if isinstance(news, Progress):
                advance(news.step, news.steps, method)
            else:
                rows.append(news)
    print_whole(table(model.name, rows))
    print("In percent of the classes, with 95% intervals, after rounding to 8-bit PNG.")
    for note in notes:
        print(note)
    if json_file:
        write_json(model.name, rows, json_file)
        print(f"  -> {json_file}")
    return rows


def table(model: str, rows: Sequence[Recognition]) -> Table:
    """One row a method and judge."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    count = rows[0].n if rows else 0
    result = Table(title=f"class images of {model}, {count} classes", title_justify="left", box=SIMPLE_HEAD)
    for title in ("method", "judge"):
        result.add_column(title, no_wrap=True)
    for title in ("top-1", "top-5"):
        result.add_column(title, justify="right", no_wrap=True)
    for row in rows:
        judge = f"{row.judge} (itself)" if row.judge == model else row.judge
        result.add_row(row.method, judge, _percent(row.top1), _percent(row.top5))
    return result


def as_json(model: str, rows: Sequence[Recognition]) -> dict[str, object]:
    """The figures as fractions: `methods` -> `judges` -> `top1`, `top5`, each with its interval."""
    methods: dict[str, dict[str, Mapping[str, object]]] = {}
    for row in rows:
        methods.setdefault(row.method, {})[row.judge] = {
            "top1": row.top1.value,
            "top1_interval": [row.top1.low, row.top1.high],
            "top5": row.top5.value,
            "top5_interval": [row.top5.low, row.top5.high],
        }
    return {"model": model, "classes": rows[0].n if rows else 0, "methods": methods}


def write_json(model: str, rows: Sequence[Recognition], path: Path) -> Path:
    """Write `as_json`. Raises `DeepInsideError` where that cannot be done."""
    with writing(path, "a file"):
        path.write_text(json.dumps(as_json(model, rows), indent=1) + "\n", encoding="utf-8")
    return path


def _count(model: Classifier, judges: Sequence[Classifier]) -> int:
    """How many classes all have in common; the same names in the same order, or nothing can be compared."""
    for judge in judges:
        if len(judge.labels) and judge.labels.synonyms != model.labels.synonyms:
            raise DeepInsideError(f"expected judges with the classes of {model.name}, but {judge.name} has others")
    if not len(model.labels):
        raise DeepInsideError(f"expected a model with class names, so that judges can be compared, got {model.name}")
    return len(model.labels)


def _percent(figure: Estimate) -> str:
    return f"{100 * figure.value:.1f} ({100 * figure.low:.1f} to {100 * figure.high:.1f})"
