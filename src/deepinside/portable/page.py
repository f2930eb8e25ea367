"""A page that shows an exported file: a folder for any static host, with everything that it needs in it.

What the browser runs is built from `web/` by `make web`, and comes with the package.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

from deepinside.core.errors import DeepInsideError, check_writable_folder, writing
from deepinside.core.examples import packaged_examples
from deepinside.core.files import atomic_write

BUILT = Path(str(files("deepinside.portable"))) / "page"
ENTRY = "index.html"
MODEL, SETTINGS = "model.onnx", "page.json"
EXAMPLE = "cat.jpg"  # of those that come with the package


def check_page(folder: Path) -> None:
    """Raise `DeepInsideError`, before minutes of work, where no page could be written."""
    if not (BUILT / ENTRY).is_file():
        raise DeepInsideError(
            "expected the built page in the package, got none, as in a copy of the sources; run `make web` there, "
            "which needs Node, or install deepinside as a wheel"
        )
    check_writable_folder(folder)


def write_page(model: Path, folder: Path, title: str, example: Path | None = None) -> Path:
    """Write the folder of a page, and return its entry.

    Args:
        model: a file that `to_onnx` has written.
        folder: where to; files of an earlier page are replaced, and others stay.
        title: what the page calls the network.
        example: the photo that opens by itself; by default one that comes with the package.

    Raises `DeepInsideError` where the page is not built, or the folder cannot be written.
    """
    check_page(folder)
    example = example or packaged_examples()[EXAMPLE]
    shown = f"example{example.suffix.lower()}"
    settings = {"model": MODEL, "example": shown, "title": title}
    with writing(folder, "a page"):
        for source, name in (*_built(), (model, Path(MODEL)), (example, Path(shown))):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            with atomic_write(folder / name) as part:
                shutil.copyfile(source, part)
        with atomic_write(folder / SETTINGS) as part:
            part.write_text(json.dumps(settings, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    return folder / ENTRY


def _built() -> Iterator[tuple[Path, Path]]:
    """The files of the page as it was built, and their names; the entry last, since it is what refers to the others."""
    found = sorted((path for path in BUILT.rglob("*") if path.is_file()), key=lambda path: path == BUILT / ENTRY)
    return ((path, path.relative_to(BUILT)) for path in found)
