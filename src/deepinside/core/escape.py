r"""Text that a user or a file supplies, made literal for the place where it is written: one function for each place.

Labels, file names and other libraries' messages may hold anything: a terminal's escape codes, matplotlib's `$math$`,
a spreadsheet's formulas, characters that a format forbids, and lone surrogates, which stand for the bytes of a file
name that is not UTF-8 and which no encoding takes. What the place can hold stays as it is; the rest becomes visible, as
a backslash escape like `\x1b` where nothing else is said. HTML is escaped by the template engine, and needs `encodable`
alone; so does JSON, whose own escapes hold every other character.
"""

from __future__ import annotations

import json
import re
from re import Match
from typing import Any

LONE_SURROGATES = "\ud800-\udfff"
# Characters that act on a terminal or on a line of text: controls, line separators, and those that reorder the text
# around them (Unicode Standard Annex 9). Marks that only give a direction, as in Arabic labels, are left alone.
ACTIVE = "\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u206f" + LONE_SURROGATES
NOT_ON_A_TERMINAL = re.compile(f"[{ACTIVE}]")
NOT_ENCODABLE = re.compile(f"[{LONE_SURROGATES}]")
# XML 1.0, production 2 (Char). A carriage return is allowed, but read back as a line feed.
NOT_IN_XML = re.compile(f"[\x00-\x08\x0b-\x1f{LONE_SURROGATES}\ufffe\uffff]")
# YAML 1.2, production 1 (c-printable), and what YAML 1.1 takes as the end of a line.
NOT_IN_YAML = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")
NOT_IN_A_CELL = re.compile(f"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f{LONE_SURROGATES}]")
# What Windows forbids in file names, beside what acts on a line.
NOT_IN_A_FILE_NAME = re.compile(f'[{ACTIVE}<>:"/\\\\|?*]|[. ]$')
DEVICE = re.compile(r"(con|prn|aux|nul|com[0-9\xb9\xb2\xb3]|lpt[0-9\xb9\xb2\xb3]) *(\.|$)", re.IGNORECASE)
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?|[+-]?(inf|nan)", re.IGNORECASE | re.ASCII)
# The first characters that make a spreadsheet evaluate a cell (OWASP, "CSV Injection"), also in their full width.
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def terminal(text: str) -> str:
    r"""Text for one line of a terminal, a log or an error message.

    >>> print(terminal("caf\udce9, \x1b[31mred\x1b[0m, 柴犬"))
    caf\xe9, \x1b[31mred\x1b[0m, 柴犬
    """
    return NOT_ON_A_TERMINAL.sub(_backslashed, text)


def figure(text: str) -> str:
    r"""Text that matplotlib draws as it is, on one line: `$...$` is no formula.

    >>> print(figure("from $5 to $7"))
    from \$5 to \$7
    """
    return terminal(text).replace("$", r"\$")


def cell(text: str) -> str:
    """Text for a cell of a CSV file that spreadsheets show and do not evaluate: an apostrophe precedes a formula.

    The csv module quotes commas, quotation marks and line breaks.

    >>> cell("=1+1"), cell("-3.5"), cell("tabby")
    ("'=1+1", '-3.5', 'tabby')
    """
    clean = NOT_IN_A_CELL.sub(_backslashed, text)
    return f"'{clean}" if clean.startswith(FORMULA) and not NUMBER.fullmatch(clean) else clean


def encodable(text: str) -> str:
    r"""Text that UTF-8 can encode, for JSON, HTML and other text files.

    >>> print(encodable("caf\udce9.jpg"))
    caf\xe9.jpg
    """
    return NOT_ENCODABLE.sub(_backslashed, text)


def xml(text: str) -> str:
    r"""Text for an element or an attribute of XML 1.0, whose markup the writer of the document escapes.

    >>> print(xml("tab\x00by"))
    tab\x00by
    """
    return NOT_IN_XML.sub(_backslashed, text)


def script(value: Any) -> str:
    r"""A value as JSON for a `<script>` of HTML, which no text in it can end; all of it is ASCII.

    >>> print(script({"name": "</script> 柴犬"}))
    {"name":"\u003c/script> \u67f4\u72ac"}
    """
    return json.dumps(value, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")


def yaml(text: str) -> str:
    r"""A double-quoted scalar of YAML, which all its readers take: JSON, but for what YAML 1.1 does not allow.

    >>> print(yaml('a "cat": \x1b\x9b'))
    "a \"cat\": \u001b\u009b"
    """
    quoted = json.dumps(encodable(text), ensure_ascii=False)
    return NOT_IN_YAML.sub(lambda found: f"\\u{ord(found[0]):04x}", quoted)


def file_name(text: str) -> str:
    r"""One part of a path that every file system takes, with percent escapes, which are no separator on Windows.

    >>> file_name("caf\udce9"), file_name("../etc"), file_name("CON"), file_name("etc.")
    ('caf%E9', '..%2Fetc', '%43ON', 'etc%2E')
    """
    safe = NOT_IN_A_FILE_NAME.sub(_percent, text)
    return f"%{ord(safe[0]):02X}{safe[1:]}" if DEVICE.match(safe) else safe


def _backslashed(found: Match[str]) -> str:
    return _byte(found[0]).encode("unicode_escape").decode()


def _percent(found: Match[str]) -> str:
    raw = found[0].encode(errors="surrogateescape") if "\udc80" <= found[0] <= "\udcff" else None
    raw = raw or found[0].encode(errors="surrogatepass")
    return "".join(f"%{byte:02X}" for byte in raw)


def _byte(character: str) -> str:
    """What stands for an undecodable byte (PEP 383), as the character of that number; others as they are."""
    return chr(ord(character) - 0xDC00) if "\udc80" <= character <= "\udcff" else character
