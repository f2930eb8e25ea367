"""The release check: what it makes of packages that were built wrongly, and what an empty environment gets."""

import doctest
import io
import tarfile
import tomllib
import zipfile
from importlib import metadata
from pathlib import Path

import pytest
import release_check
import yaml

REPOSITORY = Path(__file__).parents[1]
SOURCE = {
    str(path.relative_to(REPOSITORY / "src")): path.read_bytes()
    for path in (REPOSITORY / "src" / "deepinside").rglob("*")
    if path.is_file() and "__pycache__" not in path.parts
}
METADATA = b"""Metadata-Version: 2.4
Name: deepinside
Requires-Dist: numpy>=1
Requires-Dist: x; extra == 'dev'

Requires-Dist: no
"""


def wheel(folder, files):
    path = folder / "deepinside-0.1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as out:
        for name, content in {**files, "deepinside-0.1.0.dist-info/METADATA": METADATA}.items():
            out.writestr(name, content)
    return path


def sdist(folder, files):
    path = folder / "deepinside-0.1.0.tar.gz"
    with tarfile.open(path, "w:gz") as out:
        for name, content in files.items():
            entry = tarfile.TarInfo(f"deepinside-0.1.0/{name}")
            entry.size = len(content)
            out.addfile(entry, io.BytesIO(content))
    return path


IN_SDIST = {f"src/{name}": content for name, content in SOURCE.items()} | {"PKG-INFO": METADATA, "README.md": b"x"}


def test_right_packages_have_no_complaints(tmp_path):
    assert list(release_check.complaints(sdist(tmp_path, IN_SDIST), wheel(tmp_path, SOURCE))) == []


def test_what_is_missing_or_too_much_is_named(tmp_path):
    without = {name: content for name, content in SOURCE.items() if name != "deepinside/py.typed"}
    told = list(
        release_check.complaints(
            sdist(tmp_path, IN_SDIST | {"docs/images/cat.png": b"x"}), wheel(tmp_path, without | {"tests/a.py": b""})
        )
    )
    assert told == [
        "the wheel lacks deepinside/py.typed",
        "the wheel has tests/a.py, which is no part of the package",
        "the sdist has docs/images/cat.png, which is no part of the package",
    ]


def test_a_package_is_not_large(tmp_path, monkeypatch):
    monkeypatch.setattr(release_check, "MOST_BYTES", 1000)
    told = list(release_check.complaints(sdist(tmp_path, IN_SDIST), wheel(tmp_path, SOURCE)))
    assert [each.partition(":")[0] for each in told] == ["deepinside-0.1.0.tar.gz", "deepinside-0.1.0-py3-none-any.whl"]


def test_requirements_are_those_of_the_wheel(tmp_path):
    assert release_check.requirements(wheel(tmp_path, {})) == ["numpy>=1", "x; extra == 'dev'"]
    assert release_check.required(release_check.requirements(wheel(tmp_path, {}))) == {"numpy"}
    assert doctest.testmod(release_check).attempted
    assert not doctest.testmod(release_check).failed


def test_an_environment_gets_links_to_whole_packages(tmp_path):
    release_check.link(["scikit-learn", "pillow"], tmp_path)
    assert {"sklearn", "PIL"} <= {path.name for path in tmp_path.iterdir()}
    assert (tmp_path / "sklearn" / "__init__.py").is_file()
    assert list(metadata.distributions(name="pillow", path=[str(tmp_path)]))


def test_a_command_that_fails_ends_the_program_with_what_it_printed():
    with pytest.raises(SystemExit, match=r"(?s)a reason.*failed"):
        release_check.run("sh", "-c", "echo a reason; exit 3")
    assert release_check.run("echo", "well") == "well\n"


def test_the_citation_is_of_this_version():
    citation = yaml.safe_load((REPOSITORY / "CITATION.cff").read_text())
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    assert citation["version"] == project["version"]
    assert citation["license"] == project["license"]
    assert (citation["cff-version"], citation["type"]) == ("1.2.0", "software")
    assert all("name" in author or "family-names" in author for author in citation["authors"])
