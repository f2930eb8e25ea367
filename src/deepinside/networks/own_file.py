"""A network from a Python file of the user's own, which is run as `python FILE.py` runs it, as far as its definitions.

Its folder can be imported from, what it prints goes to standard error, and whatever it raises becomes one line.
"""

from __future__ import annotations

import ast
import copy
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from threading import RLock
from types import ModuleType
from typing import Any

from torch import nn

from deepinside.core.errors import DeepInsideError, brief, nearest
from deepinside.core.escape import terminal
from deepinside.networks.classifier import Classifier
from deepinside.networks.weights import fill, matching, read_weights

IMPORTING = RLock()
SPEC = re.compile(r"(?P<file>.*\.py)(:(?P<name>.*))?", re.IGNORECASE | re.DOTALL)


def split(spec: str) -> tuple[Path, str] | None:
    r"""The file and the name in `FILE.py:NAME`, without a name in `FILE.py`, or None for anything else.

    >>> split(r"C:\nets\my.py:make")[1], split("my.py")[1], split("timm:resnet50")
    ('make', '', None)
    """
    found = SPEC.fullmatch(spec)
    return (Path(found["file"]).expanduser(), found["name"] or "") if found else None


def load_own(path: Path, name: str, weights: Path | None) -> Classifier:
    """What a user's own file has under a name: a `Classifier`, a module, or what makes one.

    Raises `DeepInsideError` for a file or a name that is not there, and in place of any exception of the file's code.
    """
    if not path.is_file():
        raise DeepInsideError(f"{path}: expected a Python file that makes a model, found none")
    if not name:
        raise DeepInsideError(f"{path}: expected {path}:NAME, where NAME {_candidates(path)}")
    made = _run(path, name)
    # A copy of the user's own, since `load` gives it another name and perhaps other labels.
    classifier = copy.copy(made) if isinstance(made, Classifier) else Classifier(made)
    if weights is not None:
        network = classifier.network.model
        match = matching(read_weights(weights), network.state_dict())
        fill(network, match)
        classifier.notes = (*classifier.notes, *match.notes)
    return classifier


def _run(path: Path, name: str) -> nn.Module | Classifier:
    spec = spec_from_file_location(f"deepinside_own_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    try:
        with _importable(path.resolve().parent, module), redirect_stdout(sys.stderr):
            made = _evaluated(spec.loader.exec_module, module, name)
    except DeepInsideError:
        raise
    except Exception as error:
        known = [key for key in vars(module) if not key.startswith("_")]
        hint = f"; {nearest(name, known)}" if known and not hasattr(module, name) else ""
        reason = terminal(f"{type(error).__name__}: {brief(error)}")
        raise DeepInsideError(f"{path}: expected it to make a model as {name!r} ({reason}){hint}") from error
    if not isinstance(made, (nn.Module, Classifier)):
        raise DeepInsideError(f"{path}: expected {name!r} to be a Classifier or a module, got {type(made).__name__}")
    return made


def _evaluated(execute: Callable[[ModuleType], object], module: ModuleType, name: str) -> Any:
    try:
        execute(module)
        made = getattr(module, name)
        return made if isinstance(made, (nn.Module, Classifier)) else made()
    except SystemExit as error:
        raise RuntimeError(f"it ended with sys.exit({error.code!r})") from None


@contextmanager
def _importable(folder: Path, module: ModuleType) -> Iterator[None]:
    """The folder comes first where modules are looked for, and what is imported from it is not kept for other files."""
    with IMPORTING:
        before = set(sys.modules)
        sys.path.insert(0, str(folder))
        sys.modules[module.__name__] = module  # dataclasses look their own module up
        try:
            yield
        finally:
            sys.path.remove(str(folder))
            for name in set(sys.modules) - before:
                place = getattr(sys.modules[name], "__file__", None)
                if place and folder in Path(place).resolve().parents:
                    del sys.modules[name]


def _candidates(path: Path) -> str:
    """What the file defines, read without running it."""
    try:
        body = ast.parse(path.read_bytes()).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        body = []
    names = [node.name for node in body if isinstance(node, (ast.FunctionDef, ast.ClassDef))]
    for node in body:
        if isinstance(node, ast.Assign):
            names += [target.id for target in node.targets if isinstance(target, ast.Name)]
    public = [name for name in names if not name.startswith("_")]
    kinds = "is a Classifier, a module, or a function or class that makes one"
    return kinds + (f"; the file defines {', '.join(public[:8])}" if public else "")
