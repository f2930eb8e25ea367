"""What a writer of a format is: it takes the manifest of its folder and yields a function that adds a photo."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TypeAlias

from deepinside.core.results import Explanation
from deepinside.explanations.exports.manifest import Manifest
from deepinside.explanations.exports.names import Names

# The file of a photo, its name as returned by `find_photos`, and its explanation.
Add: TypeAlias = Callable[[Path, Path, Explanation], None]
Writer: TypeAlias = Callable[[Manifest, Names], AbstractContextManager[Add]]
