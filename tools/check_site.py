"""Whether the built site fetches nothing from other hosts, and every link in it leads to a page and an anchor.

    python tools/check_site.py build/site

MkDocs checks the links between documents; this reads what came out, with the reference from docstrings and the theme.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

# Attributes that a browser fetches by itself; of a <link>, those that only name an address are left out.
FETCHED = {("script", "src"), ("img", "src"), ("iframe", "src"), ("source", "src"), ("video", "src"), ("link", "href")}
NAMING = {"canonical", "alternate", "next", "prev", "license", "author"}
_OTHER_HOST = re.compile(r"^(?:[a-z]+:)?//", re.IGNORECASE)
_IN_STYLES = re.compile(r"""url\(\s*["']?((?:https?:)?//[^)"']+)|@import\s+["']((?:https?:)?//[^"']+)""")


class Page(HTMLParser):
    """What one page fetches, where its links lead, and its anchors."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.links: list[str] = []
        self.anchors: set[str] = set()
        self.feed(html)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        """Note the attributes of one element."""
        values = {name: value or "" for name, value in attributes}
        self.anchors.update(values[name] for name in ("id", "name") if name in values)
        if tag == "a" and "href" in values:
            self.links.append(values["href"])
        if tag == "link" and values.get("rel") in NAMING:
            return
        self.fetched += [value for name, value in values.items() if (tag, name) in FETCHED]


def complaints(site: Path) -> Iterator[str]:
    """One line for everything that is wrong with the site in a folder."""
    pages = {path: Page(path.read_text()) for path in sorted(site.rglob("*.html"))}
    if not pages:
        yield f"{site}: expected the pages of a site, got none; run `make docs`"
    for path, page in pages.items():
        name = path.relative_to(site)
        yield from (f"{name}: fetches {url} from another host" for url in page.fetched if _OTHER_HOST.match(url))
        if name.name != "404.html":  # its links are absolute, since it is shown at any address
            yield from (f"{name}: {wrong}" for link in page.links if (wrong := _broken(link, path, pages)))
    for path in sorted(site.rglob("*.css")):
        for found in _IN_STYLES.finditer(path.read_text()):
            yield f"{path.relative_to(site)}: fetches {found[1] or found[2]} from another host"


def _broken(link: str, path: Path, pages: Mapping[Path, Page]) -> str | None:
    """What is wrong with a link of the page at `path`; None for a good one, and for one to another site."""
    if _OTHER_HOST.match(link) or re.match(r"[a-z]+:", link):
        return None
    file, _, anchor = link.partition("#")
    target = (path.parent / unquote(file)).resolve() if file else path
    target = target / "index.html" if target.is_dir() else target
    if not target.exists():
        return f"the link {link} leads nowhere"
    if anchor and target in pages and unquote(anchor) not in pages[target].anchors:
        return f"the link {link} leads to no heading of its page"
    return None


def main() -> int:
    """Print what is wrong; the exit status is 1 if anything is."""
    found = list(complaints(Path(sys.argv[1]).resolve()))
    print("\n".join(found) or "the site fetches nothing from other hosts, and all links lead somewhere")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
