"""Are class images recognized by networks that they were not made with? For the paper's recipe, ours, and Lucent's.

Each picture is read from its PNG file, rounded to 8 bits, and each judge resizes it as it resizes any photo. That the
model itself recognizes its pictures says little: it recognizes the paper's, too, which look like noise.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.util import find_spec
from itertools import groupby
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import torch
from torch import nn

from deepinside.class_images.drawn import Drawn, Settings
from deepinside.class_images.gallery import Gallery
from deepinside.class_images.recipes import PRESETS
from deepinside.core.errors import DeepInsideError, nearest, writing
from deepinside.core.files import atomic_write
from deepinside.core.images import read
from deepinside.core.progress import Progress
from deepinside.core.terminal import literal
from deepinside.evaluation.appearance import Appearance, appearance, pictures_in
from deepinside.evaluation.lucent import LUCENT, drawn_by_lucent
from deepinside.evaluation.metrics import Estimate
from deepinside.gradients.private import borrowed, original_of
from deepinside.gradients.probe import read_logits
from deepinside.networks.classifier import Classifier

if TYPE_CHECKING:
    from rich.table import Table

METHODS = (*PRESETS, LUCENT)


@dataclass(frozen=True)
class Recognition:
    """How many of the `n` pictures of a method one network recognizes: shares with their 95% Wilson intervals."""

    method: str
    judge: str
    family: str  # of the judge, see `family`
    n: int
    top1: Estimate
    top5: Estimate


def spread(count: int, classes: int, first: int = 0) -> list[int]:
    """The indices of `count` classes, evenly spread over all from the first on.

    Raises `DeepInsideError` where there are not so many, and for a first one beyond the step from one to the next.

    >>> spread(4, 1000), spread(4, 1000, first=7)
    ([0, 250, 500, 750], [7, 257, 507, 757])
    """
    if not 1 <= count <= classes:
        raise DeepInsideError(f"expected between 1 and {classes} classes, as many as the model has, got {count}")
    step = classes // count
    if not 0 <= first < step:
        raise DeepInsideError(f"expected a first class from 0 to {step - 1}, for {count} of {classes}, got {first}")
    return [number * classes // count + first for number in range(count)]


def recognize(judge: Classifier, pictures: Sequence[Path], classes: Sequence[int]) -> list[int]:
    """For each picture, how many classes the judge finds likelier than the picture's own: 0 means recognized.

    Raises `DeepInsideError` for a judge that does not have the class.
    """
    ranks = []
    with torch.no_grad():
        for path, index in zip(pictures, classes, strict=True):
            _, shown = judge.whole(read(path))
            with borrowed(judge.fast, shown) as private:
                logits = read_logits(private, shown)[0]
            if index >= len(logits):
                raise DeepInsideError(f"expected a judge with class {index}, but {judge.name} has {len(logits)}")
            ranks.append(int((logits > logits[index]).sum()))
    return ranks


def recognition(method: str, judge: str, family: str, ranks: Sequence[int]) -> Recognition:
    """The shares of ranks below 1 and below 5.

    >>> recognition("canonical", "lite1", "EfficientNet", [0, 0, 3, 9]).top5.value
    0.75
    """
    hits = [sum(rank < top for rank in ranks) for top in (1, 5)]
    return Recognition(method, judge, family, len(ranks), *(wilson(hit, len(ranks)) for hit in hits))


def family(classifier: Classifier) -> str:
    """What a network is an example of: the name of its module's class, or in a `Sequential`, of its largest part's.

    >>> from torch import nn
    >>> family(Classifier(nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 2))))
    'Linear'
    """
    network = original_of(classifier.fast)
    network = getattr(network, "model", network)
    while isinstance(network, nn.Sequential) and len(network):
        network = max(network, key=lambda part: sum(each.numel() for each in part.parameters()))
    return type(network).__name__


def wilson(hits: int, n: int) -> Estimate:
    """A share with Wilson's 95% interval, which also holds near 0 and 1, where a bootstrap's has no width.

    >>> [round(x, 3) for x in wilson(10, 10)]
    [1.0, 0.722, 1.0]
    """
    z = 1.959964  # the normal distribution's 97.5% quantile
    share = hits / n
    middle = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * math.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    return Estimate(share, max(middle - half, 0.0), min(middle + half, 1.0))


def drawn_by(
    method: str, makers: Sequence[Classifier], classes: Sequence[int], folder: Path, settings: Settings
) -> Iterator[Progress | Drawn]:
    """Make the pictures of one method in `folder/method`; those of an earlier run with the same settings are kept."""
    if method == LUCENT:
        return drawn_by_lucent(makers[0], classes, folder / LUCENT, settings)
    model, *others = makers
    settings = replace(settings, preset=method)
    return Gallery(model, folder / method, settings, resume=True, others=tuple(others)).draw(classes)


def check_methods(methods: Sequence[str], one_maker: bool = True) -> tuple[list[str], list[str]]:
    """The methods that can run here, and a line about each that cannot. Raises `DeepInsideError` for unknown ones.

    Lucent makes pictures with one network only.
    """
    for method in methods:
        if method not in METHODS:
            known = ", ".join(METHODS)
            raise DeepInsideError(f"expected methods of {known}, got {method!r}; {nearest(method, METHODS)}")
    reason = ""
    if not one_maker:
        reason = "it makes pictures with one network only"
    elif not find_spec("lucent"):
        reason = "to have it: pip install 'deepinside[lucent]'"
    if LUCENT in methods and reason:
        return [method for method in methods if method != LUCENT], [f"Lucent is left out; {reason}"]
    return list(methods), []


def judged(
    makers: Sequence[Classifier],
    judges: Sequence[Classifier],
    methods: Sequence[str],
    classes: Sequence[int],
    settings: Settings,
    folder: Path | None = None,
) -> Iterator[Progress | Recognition | Appearance]:
    """Make the class images of each method, and count how many of them their makers and each judge recognize.

    Args:
        makers: the network that the pictures are made with, or several that make them together.
        judges: networks with the same classes.
        methods: of `METHODS`, as `check_methods` gives them.
        classes: what to make pictures of, by index.
        settings: steps and seed; without steps, each preset takes its own, and Lucent as many as `canonical`.
        folder: where the pictures are kept, and those of an earlier run are found; None to keep none.

    Yields the progress of each method under its name, then a `Recognition` for each maker and judge, and the
    `Appearance` of the pictures.
    """
    names = [maker.name for maker in makers]  # who judge their own pictures anyway
    with TemporaryDirectory() as passing:
        for method in methods:
            pictures: list[Path] = []
            for event in drawn_by(method, makers, classes, folder or Path(passing), settings):
                if isinstance(event, Progress):
                    yield replace(event, what=method)
                else:
                    pictures.append(event.path)
            for judge in by_family([*makers, *(each for each in judges if each.name not in names)]):
                yield recognition(method, judge.name, family(judge), recognize(judge, pictures, classes))
            yield appearance(method, pictures_in(pictures, makers[0].size))


def by_family(networks: Sequence[Classifier]) -> list[Classifier]:
    """The first network, the others of its family, and the other families in the order of their first."""
    families = list(dict.fromkeys(map(family, networks)))
    return sorted(networks, key=lambda each: families.index(family(each)))


def classes_of_all(model: Classifier, judges: Sequence[Classifier]) -> int:
    """The number of classes, which the model and the judges have in common.

    Raises `DeepInsideError` for a judge with other names, or another order of them, and for a model without names.
    """
    for judge in judges:
        model.check_same_classes(judge)
    if not len(model.labels):
        raise DeepInsideError(f"expected a model with class names, so that judges can be compared, got {model.name}")
    return len(model.labels)


def table(makers: Sequence[str], rows: Sequence[Recognition]) -> Table:
    """The judges of each method, one below the other, in 80 columns."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    count = rows[0].n if rows else 0
    names = " and ".join(Path(maker).name for maker in makers)
    heading = literal(f"class images of {names}, {count} classes")
    result = Table(title=heading, title_justify="left", box=SIMPLE_HEAD)
    for title in ("method", "judge"):
        result.add_column(title, no_wrap=title == "method", overflow="fold")
    for title in ("top-1", "top-5"):
        result.add_column(title, justify="right", no_wrap=True)
    for method, own in groupby(rows, key=lambda row: row.method):
        result.add_row(method, "", "", "")
        for row in own:
            judge = Path(row.judge).name + (" (itself)" if row.judge in makers else "")
            result.add_row(literal(f"  {row.family}"), literal(judge), _percent(row.top1), _percent(row.top5))
    return result


def as_json(makers: Sequence[str], rows: Sequence[Recognition], looks: Sequence[Appearance] = ()) -> dict[str, object]:
    """The figures as fractions: `methods` -> method -> judge -> `top1` and `top5`, each with its interval.

    Besides, `appearance` -> method or `"photos"` -> `grain`, `contrast` and `colorfulness`.
    """
    methods: dict[str, dict[str, Mapping[str, object]]] = {}
    for row in rows:
        methods.setdefault(row.method, {})[row.judge] = {
            "family": row.family,
            "top1": row.top1.value,
            "top1_interval": [row.top1.low, row.top1.high],
            "top5": row.top5.value,
            "top5_interval": [row.top5.low, row.top5.high],
        }
    figures = {each.of: {name: value for name, value in asdict(each).items() if name != "of"} for each in looks}
    return {"model": " + ".join(makers), "classes": rows[0].n if rows else 0, "methods": methods, "appearance": figures}


def write_json(makers: Sequence[str], rows: Sequence[Recognition], looks: Sequence[Appearance], path: Path) -> Path:
    """Write `as_json`. Raises `DeepInsideError` where that cannot be done."""
    with writing(path, "a file"), atomic_write(path) as part:
        part.write_text(json.dumps(as_json(makers, rows, looks), indent=1) + "\n", encoding="utf-8")
    return path


def _percent(figure: Estimate) -> str:
    return f"{100 * figure.value:.1f} ({100 * figure.low:.0f} to {100 * figure.high:.0f})"
