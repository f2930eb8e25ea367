"""A picture of every page of the site as a browser shows it, on a wide and on a narrow screen, to be looked at.

    make docs && python tools/look_at_site.py build/site build/looks [--dark] [PAGE...]

With `--dark`, the browser asks for dark pages. It needs Chromium. Pages are pictured from their top to 6,000 pixels
below it. Chromium's own window has a smallest width, so the narrow page is shown in a frame of that width.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

WIDTHS = {"wide": 1280, "narrow": 390}
HEIGHT = 6000
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def browser() -> str:
    """The path of Chromium. Ends the program with one line where there is none."""
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    return found or sys.exit(f"expected a browser to look with, got none of {', '.join(BROWSERS)}; install Chromium")


def look(page: Path, out: Path, width: int, is_dark: bool) -> None:
    """Write the picture of one page in a window of so many pixels."""
    out.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory() as folder:
        frame = Path(folder) / "frame.html"
        style = f"margin:0; border:0; width:{width}px; height:{HEIGHT}px"
        frame.write_text(f'<body style="margin:0"><iframe src="{page.as_uri()}" style="{style}"></iframe>')
        options = ["--headless", "--disable-gpu", "--hide-scrollbars", f"--window-size={max(width, 500)},{HEIGHT}"]
        if os.name == "posix" and os.geteuid() == 0:
            options.append("--no-sandbox")  # Chromium does not start for root with it
        options.append(f"--blink-settings=preferredColorScheme={0 if is_dark else 1}")
        command = [browser(), *options, f"--user-data-dir={folder}/profile", "--virtual-time-budget=3000"]
        subprocess.run([*command, f"--screenshot={out}", frame.as_uri()], check=True, capture_output=True, timeout=120)


def main() -> None:
    """Look at all pages, or at those that are named."""
    site, out = Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve()
    names, is_dark = [each for each in sys.argv[3:] if each != "--dark"], "--dark" in sys.argv[3:]
    pages = [site / name for name in names] or sorted(site.rglob("*.html"))
    for page in pages:
        for name, width in WIDTHS.items():
            target = out / page.relative_to(site).with_suffix(f".{name}{'.dark' * is_dark}.png")
            look(page, target, width, is_dark)
            print(target)


if __name__ == "__main__":
    main()
