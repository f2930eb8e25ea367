"""Where the command writes: names that say what a file shows, so that runs with other options do not overwrite it.

A run with the defaults writes `coffee.saliency.png`; whatever it has of its own is added, as in
`coffee.saliency-guided.png` or `coffee.map-timm-resnet50-tabby-2.png`, where 2 is the second class of the photo.
"""

from __future__ import annotations

import os
import re
from hashlib import sha256
from pathlib import Path

from deepinside.cli_options import Network
from deepinside.core.files import fitting

LONGEST = 60  # characters for all that differs from the defaults; beyond them, a digest tells runs apart
DIGITS = 8  # of a digest


def kind_of(what: str, network: Network, *chosen: str | None) -> str:
    """What a file shows: a sheet or a map, of which network, and every choice that is not the default.

    >>> kind_of("saliency", Network()), kind_of("map", Network("timm:resnet50"), None, "guided", "tiger cat")
    ('saliency', 'map-timm-resnet50-guided-tiger-cat')
    """
    parts = [*_network(network), *(_word(each) for each in chosen if each is not None)]
    text = "-".join(parts)
    if len(text) > LONGEST:
        text = f"{text[: LONGEST - DIGITS - 1]}-{_digest(text)}"
    return f"{what}-{text}" if text else what


def beside(folder: Path, name: Path, kind: str) -> Path:
    """Where an image of a photo goes: never the photo's own name, so that `--out .` cannot overwrite it.

    >>> beside(Path("out"), Path("cats/tom.jpg"), "map-guided").as_posix()
    'out/cats/tom.map-guided.png'
    """
    return fitting(folder / name.with_name(f"{name.stem}.{kind}.png"))


def together(folder: Path, kind: str) -> Path:
    """Where a page of several photos goes: never where an image of one does, whatever that is called.

    >>> together(Path("out"), "localize").as_posix()
    'out/localize.overview.png'
    """
    return fitting(folder / f"{kind}.overview.png")


def _network(network: Network) -> list[str]:
    parts = [] if network.model == Network().model else [_of_file(network.model) or _word(network.model)]
    return parts if network.weights is None else [*parts, _of_file(str(network.weights)) or "weights"]


def _of_file(text: str) -> str | None:
    """A word for a file or a folder, with a digest of where it is; None for anything else."""
    path, colon, name = text.rpartition(":")
    for file, function in ((text, ""), (path if colon else "", name)):
        if file and os.path.exists(file):
            word = _word("-".join(filter(None, (Path(file).stem, function))))
            return f"{word}-{_digest(os.path.abspath(file))}"
    return None


def _word(text: str) -> str:
    """A text as a part of a file name: letters, digits, dots and underscores, joined by hyphens.

    >>> _word("hf:google/vit-base"), _word("blocks.2.1:7@3,5"), _word("柴犬"), _word("2")
    ('hf-google-vit-base', 'blocks.2.1-7-3-5', '柴犬', 'class-2')
    """
    word = re.sub(r"[^\w.]+", "-", text).strip("-.") or _digest(text)
    return f"class-{word}" if word.isdigit() else word  # a number alone counts the classes of a photo


def _digest(text: str) -> str:
    return sha256(text.encode(errors="surrogatepass")).hexdigest()[:DIGITS]
