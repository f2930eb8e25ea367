"""Whether a release would work: build the packages, look at them, install the wheel elsewhere and try it.

    python tools/release_check.py build/release
    python tools/release_check.py build/release --from-index

The environment that the wheel goes into is empty but for what the wheel says it requires, without extras. By default,
these packages are linked from the environment that runs this file, so that PyTorch is not installed twice;
`--from-index` lets pip install them as a user would get them. Neither the source tree nor its tests are in reach.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from collections.abc import Callable, Iterable, Iterator
from email import message_from_bytes
from importlib import metadata
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
PACKAGE = REPOSITORY / "src" / "deepinside"
# What the sdist may contain besides src/: hatchling adds the first ones by itself.
BESIDE_SOURCE = {"PKG-INFO", "pyproject.toml", ".gitignore", "LICENSE", "README.md", "CHANGELOG.md", "CITATION.cff"}
MOST_BYTES = 12_000_000  # of either package: most of it is the ONNX Runtime of the page; there are no weights in them

# Runs in the new environment, outside of the repository, on a photo that it makes; COMMANDS then use the photo.
SMOKE = """
import sys
from pathlib import Path

import numpy as np
from PIL import Image

import deepinside as di

assert Path(di.__file__).is_relative_to(Path(sys.prefix)), di.__file__
assert di.__version__ == sys.argv[1], di.__version__
rows, columns = np.mgrid[:120, :160]
disc = ((rows - 60) ** 2 + (columns - 90) ** 2 < 40**2)[..., None]
Image.fromarray(np.where(disc, (255, 140, 0), (40, 60, 40)).astype(np.uint8)).save("orange.png")
classifier = di.load("lite0")
print(di.explain(classifier, "orange.png", "orange", boxes=False).objects[0].saliency.shape)
print(tuple(di.class_image(classifier, ["lemon"], steps=1, preset="paper").shape))
"""
COMMANDS = (["--version"], ["models"], ["localize", "orange.png", "--top", "1", "--export", "coco"])


def run(*command: str | Path, cwd: Path | None = None) -> str:
    """What a command prints. Ends the program with all of it where the command fails."""
    isolated = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(command, cwd=cwd, env=isolated, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode:
        sys.exit(f"{done.stdout}\n{' '.join(map(str, command))} failed")
    return done.stdout


def contents(package: Path) -> dict[str, int]:
    """The files of a wheel or an sdist, without the sdist's own folder, and their sizes in bytes."""
    if package.suffix == ".whl":
        with zipfile.ZipFile(package) as wheel:
            return {entry.filename: entry.file_size for entry in wheel.infolist()}
    with tarfile.open(package) as sdist:
        return {each.name.partition("/")[2]: each.size for each in sdist.getmembers() if each.isfile()}


def complaints(sdist: Path, wheel: Path) -> Iterator[str]:
    """One line for everything that is wrong with the contents of the packages."""
    source = {str(path.relative_to(PACKAGE.parent)) for path in PACKAGE.rglob("*") if path.is_file()}
    source = {name for name in source if "__pycache__" not in name}
    in_wheel = {name for name in contents(wheel) if ".dist-info/" not in name}
    in_sdist = {name for name in contents(sdist) if name not in BESIDE_SOURCE}
    expected = {"wheel": (in_wheel, source), "sdist": (in_sdist, {f"src/{name}" for name in source})}
    for name, (got, wanted) in expected.items():
        yield from (f"the {name} lacks {file}" for file in sorted(wanted - got))
        yield from (f"the {name} has {file}, which is no part of the package" for file in sorted(got - wanted))
    for package in (sdist, wheel):
        if package.stat().st_size > MOST_BYTES:
            yield f"{package.name}: expected at most {MOST_BYTES:,} bytes, got {package.stat().st_size:,}"


def required(lines: Iterable[str], requires: Callable[[str], Iterable[str] | None] = metadata.requires) -> set[str]:
    """The distributions that lines of requirements name, what these require, and so on, as normalized names.

    >>> told = {"a": ["B_E>=1", "c; extra == 'd'"], "b-e": ["a", "f ; python_version > '3'"], "f": None}
    >>> sorted(required(["a"], told.get))
    ['a', 'b-e', 'f']
    """
    from packaging.requirements import Requirement

    found: set[str] = set()
    open_lines = list(lines)
    while open_lines:
        requirement = Requirement(open_lines.pop())
        name = re.sub(r"[-_.]+", "-", requirement.name).lower()
        if name not in found and (requirement.marker is None or requirement.marker.evaluate({"extra": ""})):
            found.add(name)
            open_lines += requires(name) or ()
    return found


def requirements(wheel: Path) -> list[str]:
    """What a wheel says that it requires."""
    with zipfile.ZipFile(wheel) as files:
        (name,) = (name for name in files.namelist() if name.endswith(".dist-info/METADATA"))
        return message_from_bytes(files.read(name)).get_all("Requires-Dist", [])


def link(names: Iterable[str], folder: Path) -> None:
    """Link distributions of this environment into the site-packages of another."""
    for name in names:
        found = metadata.distribution(name)
        for top in {file.parts[0] for file in found.files or () if file.parts[0] not in ("..", "__pycache__")}:
            if not (folder / top).exists():
                (folder / top).symlink_to(Path(str(found.locate_file(top))))


def installed(wheel: Path, folder: Path, from_index: bool) -> Path:
    """The Python of a new environment with the wheel and what it requires."""
    venv.create(folder, clear=True, with_pip=False)
    python = folder / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", str(python)]
    if not from_index:
        (site,) = folder.glob("lib/python*/site-packages")
        link(required(requirements(wheel)), site)
    run(*pip, "install", "--quiet", *([] if from_index else ["--no-deps"]), str(wheel))
    run(*pip, "check")
    return python


def main() -> None:
    """Check everything, and print what was built."""
    out, from_index = Path(sys.argv[1]).resolve(), "--from-index" in sys.argv[2:]
    shutil.rmtree(out, ignore_errors=True)
    run(sys.executable, "-m", "build", "--outdir", out, REPOSITORY)
    (sdist,), (wheel,) = out.glob("*.tar.gz"), out.glob("*.whl")
    run(sys.executable, "-m", "twine", "check", "--strict", sdist, wheel)
    if found := list(complaints(sdist, wheel)):
        sys.exit("\n".join(found))
    for package in (sdist, wheel):
        files = contents(package)
        print(f"{package.name}: {len(files)} files, {package.stat().st_size:,} bytes; listed in {package.name}.txt")
        lines = [f"{size:9,}  {name}" for name, size in sorted(files.items())]
        (out / f"{package.name}.txt").write_text("\n".join(lines) + "\n")
    python = installed(wheel, out / "environment", from_index)
    work = out / "work"
    work.mkdir()
    version = wheel.name.split("-")[1]
    print(run(python, "-c", SMOKE, version, cwd=work), end="")
    for command in COMMANDS:
        print(run(python.with_name("deepinside"), *command, cwd=work), end="")
    print(f"deepinside {version} can be released")


if __name__ == "__main__":
    main()
