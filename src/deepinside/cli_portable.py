"""The command that takes a network to programs and places without Python: `export-onnx`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from deepinside import cli_options as groups
from deepinside.cli_options import options
from deepinside.cli_shell import loaded
from deepinside.cli_streams import say
from deepinside.core.errors import DeepInsideError, check_writable


@options
def export_onnx(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where to write, such as lite0.onnx.")],
    network: groups.Network,
    rule: groups.Rule = "gradient",
    half: Annotated[bool, typer.Option("--half", help="Weights of 16 bits: half the size.")] = False,
    int8: Annotated[bool, typer.Option("--int8", help="Weights of 8 bits: a quarter of the size.")] = False,
    uint8: Annotated[
        bool, typer.Option("--uint8", help="Take pictures as bytes, (batch, height, width, 3), in place of floats.")
    ] = False,
    photos: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="PHOTO_OR_FOLDER",
            help="Photos to check the file with; may be repeated. The first is the example of the page.",
            show_default="three of the package",
        ),
    ] = None,
    page: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Also a page that shows the file, for any static host; needs no server."),
    ] = None,
) -> None:
    """One file that gives scores and saliency without Python, checked against PyTorch; and a page that shows it."""
    if half and int8:
        raise DeepInsideError("expected --half or --int8, got both; leave one of them out")
    from deepinside.core.images import find_photos
    from deepinside.portable.export import check_extra, to_onnx
    from deepinside.portable.page import check_page, write_page

    check_extra()
    check_writable(file)
    if page:
        check_page(page)
    shown = [path for path, _ in find_photos(photos)] if photos else None
    classifier = loaded(network)
    weights = "float16" if half else "int8" if int8 else "float32"
    agreement = to_onnx(
        classifier, file, rule=rule, weights=weights, pixels="uint8" if uint8 else "float32", photos=shown
    )
    say(*agreement.lines(), f"  -> {file} ({file.stat().st_size / 1e6:.1f} MB)")
    if page:
        say(*_page_lines(write_page(file, page, classifier.name, shown[0] if shown else None), page))


def _page_lines(entry: Path, folder: Path) -> Sequence[str]:
    return (f"  -> {entry}", f"To look at it: python -m http.server --directory {folder}")
