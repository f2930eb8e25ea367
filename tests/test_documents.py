"""The documents: links lead somewhere, examples run, commands exist, and every public name is in the reference."""

import os
import re
import shlex
from functools import cache
from pathlib import Path

import pytest
import typer

import deepinside
from deepinside.cli import app

REPOSITORY = Path(__file__).parents[1]
PAGES = sorted((REPOSITORY / "docs").rglob("*.md"))
DOCUMENTS = [
    *(REPOSITORY / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "benchmarks/README.md")),
    *PAGES,
]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")
WITH_EXAMPLES = [path for path in PAGES if path.parent.name == "how-to" or path.stem in ("index", "paper")]
WITH_EXAMPLES.append(REPOSITORY / "README.md")


def name_of(path):
    return str(path.relative_to(REPOSITORY))


def blocks(path, language):
    return [body for kind, body in FENCE.findall(path.read_text()) if kind == language]


@cache
def anchors(path):
    """The anchors that GitHub makes of headings: lower case, without punctuation, a hyphen for each space."""
    headings = re.findall(r"^#+ (.*)$", FENCE.sub("", path.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)
def test_every_link_leads_to_a_file_and_a_heading(path):
    for link in LINK.findall(FENCE.sub("", path.read_text())):
        if "://" in link:
            continue
        file, _, anchor = link.partition("#")
        target = path.parent / file if file else path
        assert target.exists(), link
        assert not anchor or anchor in anchors(target.resolve()), link


def test_there_are_pages_with_examples():
    assert sum(bool(blocks(path, "python")) for path in WITH_EXAMPLES) >= 6


@pytest.mark.parametrize("path", [path for path in WITH_EXAMPLES if blocks(path, "python")], ids=name_of)
def test_examples_run_one_after_the_other(path, tmp_path, monkeypatch):
    os.symlink(REPOSITORY / "photos", tmp_path / "photos")
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "example"}
    for number, block in enumerate(blocks(path, "python")):
        exec(compile(block, f"{path.name}, block {number + 1}", "exec"), names)


def documented_commands():
    for path in PAGES:
        for line in re.sub(r"\\\n +", "", "".join(blocks(path, ""))).splitlines():
            if line.startswith("deepinside "):
                yield pytest.param(re.split(r" {3,}", line)[0], id=f"{path.stem}: {line[:60]}")


@pytest.mark.parametrize("line", [*documented_commands()])
def test_documented_commands_are_understood(line):
    """Their names, options and numbers of arguments: nothing is run."""
    _, name, *arguments = shlex.split(line.replace("...", ""))
    command = typer.main.get_command(app).commands[name]
    with command.make_context(name, arguments):
        pass


@pytest.mark.parametrize("name", deepinside.__all__)
def test_every_public_name_is_in_the_reference(name):
    entry = f"\n::: {getattr(deepinside, name).__module__}.{name}\n"
    assert sum(entry in path.read_text() for path in (REPOSITORY / "docs" / "reference").glob("*.md")) == 1
