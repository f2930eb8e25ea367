"""What `make docs` adds to MkDocs: pages that stand elsewhere in the repository, notebooks as well, and all commands.

Documents link to one another by their paths in the repository, so that the links work there as well. Here they become
links between pages of the site.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

REPOSITORY = Path(__file__).parents[1]
# Documents outside of docs/ -> their pages on the site.
OUTSIDE = {
    "benchmarks/README.md": "benchmarks.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "notebooks/first-look.ipynb": "notebooks/first-look.md",
    "notebooks/wrong-prediction.ipynb": "notebooks/wrong-prediction.md",
    "notebooks/class-images.ipynb": "notebooks/class-images.md",
}
COMMANDS = "<!-- commands -->"  # where a page wants the reference of all commands
SHIM = re.compile(r'src="https://[^"]*/iframe-worker/shim"')  # what the theme would fetch to search from the disk
ALT = "what this cell shows"  # of a picture in a notebook, to those who do not see it
_LINK = re.compile(r"(\]\()([^)#\s:]+)(?=[)#])")


def on_files(files: Files, config: MkDocsConfig) -> None:
    """Add the documents outside of docs/."""
    from mkdocs.structure.files import File

    for path, page in OUTSIDE.items():
        source = REPOSITORY / path
        if source.suffix != ".ipynb":
            files.append(File.generated(config, page, content=source.read_text()))
            continue
        text, pictures = notebook_page(source)
        folder = PurePosixPath(page).parent
        files.append(File.generated(config, page, content=text))
        files.append(File.generated(config, str(folder / source.name), content=source.read_bytes()))
        for name, content in pictures.items():
            files.append(File.generated(config, str(folder / name), content=content))


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn links between documents into links between pages, and fill in the commands."""
    if COMMANDS in markdown:
        markdown = markdown.replace(COMMANDS, commands())
    return linked(markdown, page.file.src_uri)


def on_post_page(output: str, page: Page, config: MkDocsConfig) -> str:
    """Search from the disk by a script of the site."""
    return SHIM.sub(f'src="{os.path.relpath("search-from-disk.js", PurePosixPath(page.url).parent)}"', output)


def on_post_template(output: str, template_name: str, config: MkDocsConfig) -> str:
    """The same for the page of an unknown address, which a server shows at any depth: no script for the disk."""
    return SHIM.sub('src="data:,"', output)


def linked(markdown: str, page: str) -> str:
    """The text of a page, with every link to a document of the repository as one to its page.

    >>> linked("[a run](../benchmarks/README.md#a-run), [tests](testing.md)", "archive.md")
    '[a run](benchmarks.md#a-run), [tests](testing.md)'
    >>> linked("[tests](docs/testing.md)", "contributing.md")
    '[tests](testing.md)'
    """
    source = PurePosixPath({new: old for old, new in OUTSIDE.items()}.get(page, f"docs/{page}"))

    def replaced(match: re.Match[str]) -> str:
        target = os.path.normpath(source.parent / match[2])
        new = OUTSIDE.get(target) or target.removeprefix("docs/")
        return match[1] + os.path.relpath(new, PurePosixPath(page).parent)

    return _LINK.sub(replaced, markdown)


def notebook_page(path: Path) -> tuple[str, dict[str, bytes]]:
    """The page of a notebook that was run, in Markdown, and the pictures on it by their names."""
    from nbconvert import MarkdownExporter

    text, resources = MarkdownExporter().from_filename(str(path), resources={"unique_key": path.stem})
    title, _, rest = text.lstrip().partition("\n")
    link = f'<p><a href="{path.name}" download>Download this notebook</a></p>'
    return f"{title}\n\n{link}\n{rest.replace('![png](', f'![{ALT}](')}", resources["outputs"]


def commands() -> str:
    """The reference of all commands, as the command itself describes them."""
    call = [sys.executable, "-m", "typer", "deepinside.cli", "utils", "docs", "--name", "deepinside"]
    search = os.pathsep.join(filter(None, [str(REPOSITORY / "src"), os.environ.get("PYTHONPATH")]))
    told = subprocess.run(call, env=os.environ | {"PYTHONPATH": search}, capture_output=True, text=True, check=True)
    start = told.stdout.index("\n## `deepinside ")  # before it, the list of commands, which the page's contents have
    return told.stdout[start:].replace("\n## `deepinside ", "\n## `")
