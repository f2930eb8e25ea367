"""The photos that come with the package, for whoever has none at hand."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path


def packaged_examples() -> dict[str, Path]:
    """The photos, by name.

    >>> list(packaged_examples())
    ['cat.jpg', 'coffee.jpg', 'rocket.jpg']
    """
    folder = Path(str(files("deepinside"))) / "examples"
    return {path.name: path for path in sorted(folder.glob("*.jpg"))}
