"""The command of the web page: `serve`."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from deepinside.cli_options import MODELS, Device, among, options
from deepinside.cli_streams import complain, say
from deepinside.core.errors import DeepInsideError


@options
def serve(
    model: Annotated[
        list[str] | None,
        typer.Option(
            metavar="MODEL",
            help="A network to choose from, the first one at first; may be repeated.",
            show_default="lite0",
            autocompletion=among(MODELS),
        ),
    ] = None,
    photos: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Photos for everybody: the examples, and those that excite a class most."),
    ] = None,
    run: Annotated[
        list[Path] | None,
        typer.Option(metavar="DIR", help="The folder of a run, to look through and to correct; may be repeated."),
    ] = None,
    host: Annotated[str, typer.Option(help="Where to serve; another one than this machine needs --auth.")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 for any free one.")] = 7860,
    auth: Annotated[
        str | None,
        typer.Option(metavar="NAME:PASSWORD", envvar="DEEPINSIDE_AUTH", help="Without them, nobody gets anything."),
    ] = None,
    device: Device = None,
) -> None:
    """A page in the browser: look inside a network with photos, classes and runs. Nothing leaves this machine."""
    if not find_spec("gradio"):
        raise DeepInsideError("the page needs an extra: pip install 'deepinside[web]'")
    from deepinside.studio.desk import Desk, examples_of
    from deepinside.studio.runs import Runs
    from deepinside.studio.serve import check
    from deepinside.studio.serve import serve as serve_page

    check(host, auth)
    runs = Runs(run or ())
    desk = Desk(model or ["lite0"], examples_of(photos) if photos else None, device)
    for name in desk.models:  # a name that is none is told now, and not to whoever chooses it
        complain(*desk.classifier(name).notes)

    def tell(address: str) -> None:
        say(f"  -> {address}", "Ctrl+C stops it.")

    serve_page(desk, runs, host, port, auth, tell)
