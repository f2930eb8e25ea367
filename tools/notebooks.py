"""Run the notebooks of notebooks/, and check that what is committed of them is whole and as it was run.

    python tools/notebooks.py            # run all, and say what is wrong with any
    python tools/notebooks.py --write    # run all, and write what their cells show into them

Either takes the paths of some notebooks as well.

They run offline. `timm.create_model(..., pretrained=True)` finds its weights in a cache of the Hugging Face hub that is
made of the embedded ones, and `%pip install` what is installed, so that the cells read as on anybody's machine.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

Notebook = dict[str, Any]  # as its file has it

REPOSITORY = Path(__file__).parents[1]
FOLDER = REPOSITORY / "notebooks"
COUNTS = {"first-look.ipynb": 5}  # how many code cells a notebook has to have
MOST_BYTES = 1_500_000
SECONDS = 600  # that a cell may take
PUBLISHED = "tf_efficientnet_lite0.in1k"  # what timm calls the weights that are embedded as lite0
REVISION = "0" * 40  # in place of a commit of the hub
# No index and nobody's settings: whatever a cell needs is installed.
OFFLINE = {
    "HF_HUB_OFFLINE": "1",
    "JUPYTER_PREFER_ENV_PATH": "1",
    "PIP_CONFIG_FILE": os.devnull,
    "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    "PIP_NO_INDEX": "1",
    "PIP_ROOT_USER_ACTION": "ignore",
}
# The repository may lie anywhere, so its own folder counts beside the usual ones.
_ROOTS = "|".join([re.escape(f"{REPOSITORY}/"), "/(?:home|opt|private|root|tmp|usr|Users|var|work)/", r"[A-Z]:\\"])
_OF_A_MACHINE = re.compile(rf"(?:{_ROOTS})[^\s<>\"']*|\b0x[0-9a-f]{{6,}}")
_PICTURE = re.compile(r"data:image/\w+;base64,[A-Za-z0-9+/=]+")


def code(notebook: Notebook) -> list[dict[str, Any]]:
    """The code cells."""
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def source(cell: Mapping[str, Any]) -> str:
    """The text of a cell, which a file has as one string or as lines."""
    return "".join(cell["source"])


def digest(notebook: Notebook) -> str:
    """Sixteen digits that change with the source of any code cell.

    >>> one, other = ({"cells": [{"cell_type": "code", "source": text}]} for text in (["a", "b"], "ab"))
    >>> digest(one) == digest(other) != digest({"cells": []})
    True
    """
    return sha256("\0".join(map(source, code(notebook))).encode()).hexdigest()[:16]


def cleaned(notebook: Notebook) -> Notebook:
    """A notebook that was run, without what another run would change, and with the digest of what was run.

    What `%pip` prints is about a machine, so it is left out.
    """
    cells = []
    for cell in notebook["cells"]:
        kept = {**cell, "metadata": {}}
        if cell["cell_type"] == "code":
            kept["outputs"] = [] if source(cell).startswith("%pip") else _joined(map(_once, cell["outputs"]))
        cells.append(kept)
    metadata = {
        "deepinside": {"run": digest(notebook)},
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"file_extension": ".py", "mimetype": "text/x-python", "name": "python"},
    }
    return {**notebook, "cells": cells, "metadata": metadata}


def _once(output: dict[str, Any]) -> dict[str, Any]:
    """An output whose picture is there once: Pillow's are PNG, which notebooks show, and JPEG as well."""
    data = output.get("data", {})
    return {**output, "data": {k: v for k, v in data.items() if k != "image/jpeg"}} if "image/png" in data else output


def _joined(outputs: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Outputs with one piece of what is printed in one go: it comes in pieces, another number of them in each run."""
    joined: list[dict[str, Any]] = []
    for output in outputs:
        name = output.get("name")
        if name and joined and joined[-1].get("name") == name:
            joined[-1] = {**output, "text": [*joined[-1]["text"], *output["text"]]}
        else:
            joined.append(output)
    return joined


def complaints(notebook: Notebook) -> Iterator[str]:
    """One line for everything that is wrong with a notebook as it was run."""
    cells = code(notebook)
    if [cell["execution_count"] for cell in cells] != list(range(1, len(cells) + 1)):
        yield "expected all cells run once and in order"
    if not cells or not cells[-1]["outputs"]:
        yield "expected something to look at below its last cell"
    if notebook["metadata"].get("deepinside", {}).get("run") != digest(notebook):
        yield "a cell was changed after it was run"
    if any(cell["metadata"] for cell in notebook["cells"]):
        yield "expected cells without metadata, such as the times at which they ran"
    for number, cell in enumerate(cells, start=1):
        for output in cell["outputs"]:
            yield from (f"cell {number} {wrong}" for wrong in _wrong(output))


def _wrong(output: Mapping[str, Any]) -> Iterator[str]:
    if output["output_type"] == "error":
        yield f"raises {output['ename']}: {output['evalue']}"
    if output.get("name") == "stderr":
        yield f"warns: {' '.join(''.join(output['text']).split())[:200]}"
    told = _PICTURE.sub("", "\n".join(_texts(output)))
    yield from (f"tells of a machine: {found[0]}" for found in _OF_A_MACHINE.finditer(told))


def _texts(output: Mapping[str, Any]) -> Iterator[str]:
    """Whatever text an output shows; pictures are none."""
    yield "".join(output.get("text", ""))
    yield from ("".join(value) for kind, value in output.get("data", {}).items() if kind.startswith("text/"))


def complaints_of_file(path: Path) -> Iterator[str]:
    """One line for everything that is wrong with a notebook as it is committed."""
    notebook = json.loads(path.read_text())
    yield from complaints(notebook)
    wanted = COUNTS.get(path.name, len(code(notebook)))
    if len(code(notebook)) != wanted:
        yield f"expected {wanted} code cells, got {len(code(notebook))}"
    if path.stat().st_size > MOST_BYTES:
        yield f"expected at most {MOST_BYTES:,} bytes, got {path.stat().st_size:,}"


def kinds(notebook: Notebook) -> list[list[list[str]]]:
    """What kinds of things each code cell shows: types of media, and where it prints."""
    return [
        [sorted(output.get("data", {})) or [output.get("name", "error")] for output in cell["outputs"]]
        for cell in code(notebook)
    ]


def run(path: Path, home: Path) -> Notebook:
    """A notebook after its cells were run in a process of its own, in its folder, also those after one that fails.

    The process is talked to through sockets in `home`, since it warns of TCP.
    """
    import nbformat
    from nbclient import NotebookClient
    from traitlets.config import Config

    notebook = nbformat.read(path, as_version=4)
    resources = {"metadata": {"path": str(path.parent)}}
    config = Config(KernelManager={"transport": "ipc", "ip": str(home / "kernel")})
    options: dict[str, Any] = {"timeout": SECONDS, "startup_timeout": SECONDS, "config": config}
    NotebookClient(notebook, resources=resources, allow_errors=True, **options).execute()
    nbformat.validate(notebook)
    again: Notebook = json.loads(nbformat.writes(notebook))
    return cleaned(again)


def write(path: Path, notebook: Notebook) -> None:
    """Write a notebook as Jupyter does, so that saving it there gives a small difference."""
    path.write_text(json.dumps(notebook, ensure_ascii=False, indent=1, sort_keys=True) + "\n")


def fill_hub(home: Path) -> None:
    """Put the embedded weights of lite0 where the Hugging Face hub's own library keeps what it has downloaded."""
    import timm
    from safetensors.torch import save_file

    import deepinside

    state = deepinside.load("lite0").network.model.state_dict()
    repository = home / "hub" / f"models--{timm.get_pretrained_cfg(PUBLISHED).hf_hub_id.replace('/', '--')}"
    snapshot = repository / "snapshots" / REVISION
    snapshot.mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(REVISION)
    save_file(state, snapshot / "model.safetensors")


def main() -> int:
    """Run and check, or run and write; the exit status is 1 if anything is wrong."""
    options, is_writing = sys.argv[1:], "--write" in sys.argv[1:]
    paths = [Path(each).resolve() for each in options if each != "--write"] or sorted(FOLDER.glob("*.ipynb"))
    found: list[str] = []
    with TemporaryDirectory() as home:
        fill_hub(Path(home))
        os.environ.update(OFFLINE, HF_HOME=home, IPYTHONDIR=f"{home}/ipython")
        for path in paths:
            began = perf_counter()
            new = run(path, Path(home))
            print(f"{path.name} ran in {perf_counter() - began:.0f} s", flush=True)
            found += [f"{path.name}: {wrong}" for wrong in complaints(new)]
            if is_writing:
                write(path, new)
            elif kinds(new) != kinds(json.loads(path.read_text())):
                found.append(f"{path.name}: shows other things than are committed; run tools/notebooks.py --write")
            found += [f"{path.name}, as committed: {wrong}" for wrong in complaints_of_file(path)]
    print("\n".join(found) or f"{len(paths)} notebooks run without a warning, and are committed as they run")
    return bool(found) or not paths


if __name__ == "__main__":
    sys.exit(main())
