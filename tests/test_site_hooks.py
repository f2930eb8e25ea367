"""What `make docs` makes of the documents: links between pages, the commands, and a search without other hosts."""

import doctest
import os
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
import site_hooks

from deepinside.cli import app

REPOSITORY = Path(__file__).parents[1]


def test_examples():
    assert doctest.testmod(site_hooks).attempted
    assert not doctest.testmod(site_hooks).failed


@pytest.mark.parametrize(
    ("page", "link", "leads_to"),
    [
        ("archive.md", "../benchmarks/README.md#a-run", "benchmarks.md#a-run"),
        ("how-to/cluster.md", "../../benchmarks/README.md", "../benchmarks.md"),
        ("how-to/cluster.md", "../training.md", "../training.md"),
        ("benchmarks.md", "../docs/design-log.md#speed", "design-log.md#speed"),
        ("contributing.md", "docs/testing.md", "testing.md"),
        ("contributing.md", "CHANGELOG.md", "changelog.md"),
        ("archive.md", "https://example.org/README.md", "https://example.org/README.md"),
        ("archive.md", "#its-rows", "#its-rows"),
        ("index.md", "images/report.png", "images/report.png"),
        ("notebooks.md", "../notebooks/first-look.ipynb", "notebooks/first-look.md"),
        ("notebooks/first-look.md", "class-images.ipynb", "class-images.md"),
        ("notebooks/first-look.md", "../docs/methods.md#grad-cam", "../methods.md#grad-cam"),
    ],
)
def test_links_in_the_repository_are_links_on_the_site(page, link, leads_to):
    assert site_hooks.linked(f"![x]({link}) and text (in brackets)", page) == f"![x]({leads_to}) and text (in brackets)"


def test_documents_that_pages_are_made_of_exist():
    assert all((REPOSITORY / path).is_file() for path in site_hooks.OUTSIDE)


def test_every_notebook_has_a_page():
    there = {f"notebooks/{path.name}" for path in (REPOSITORY / "notebooks").glob("*.ipynb")}
    assert {path for path in site_hooks.OUTSIDE if path.endswith(".ipynb")} == there


def test_the_page_of_a_notebook_has_its_cells_and_what_they_have_shown(tmp_path):
    nbformat = pytest.importorskip("nbformat")
    pytest.importorskip("nbconvert")
    new, path = nbformat.v4, tmp_path / "a.ipynb"
    shown = new.new_output("display_data", {"image/png": "iVBORw0K", "text/plain": "<picture>"})
    cell = new.new_code_cell("1 < 2", outputs=[new.new_output("stream", text="yes\n"), shown])
    cells = [new.new_markdown_cell("# Title\n\nText."), cell]
    nbformat.write(new.new_notebook(cells=cells, metadata={"language_info": {"name": "python"}}), path)
    text, pictures = site_hooks.notebook_page(path)
    assert text.startswith('# Title\n\n<p><a href="a.ipynb" download>')
    assert "Text." in text
    assert "```python\n1 < 2\n```" in text
    assert re.search(r"^    yes$", text, re.MULTILINE)
    ((name, content),) = pictures.items()
    assert f"![{site_hooks.ALT}]({name})" in text
    assert content == b"\x89PNG\r\n"


def test_every_command_is_in_the_reference():
    written = site_hooks.commands()
    names = [info.name or info.callback.__name__ for info in app.registered_commands]
    assert re.findall(r"^## `(.*)`$", written, re.MULTILINE) == names
    assert "--min-probability" in written


@pytest.mark.parametrize(
    ("url", "script"), [("index.html", "search-from-disk.js"), ("a/b.html", "../search-from-disk.js")]
)
def test_search_fetches_no_script_from_another_host(url, script):
    theirs = '<script src="https://unpkg.com/iframe-worker/shim"></script>'
    ours = site_hooks.on_post_page(theirs, SimpleNamespace(url=url), None)
    assert ours == f'<script src="{script}"></script>'
    assert (REPOSITORY / "docs" / os.path.basename(script)).is_file()
    assert "https" not in site_hooks.on_post_template(theirs, "404.html", None)
