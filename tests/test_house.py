"""The house itself: every file has its place in the import contract and its tests, and every annotation can be read."""

import ast
import importlib
import inspect
import shutil
import subprocess
import sys
import tomllib
import typing
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
SOURCE = REPOSITORY / "src" / "deepinside"
FILES = sorted(path.relative_to(SOURCE) for path in SOURCE.rglob("*.py") if path.name != "__init__.py")


def contract_of_the_wings():
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
    return project["tool"]["importlinter"]["contracts"]


@pytest.mark.parametrize("path", FILES, ids=str)
def test_every_file_has_its_place_in_the_import_contract(path):
    """The same as import-linter's, which runs before the tests, so that `pytest` alone notices a new file, too."""
    *wing, name = path.with_suffix("").parts
    container = ".".join(["deepinside", *wing])
    (contract,) = (each for each in contract_of_the_wings() if each["containers"] == [container])
    assert contract["exhaustive"]
    assert name in {entry.strip() for layer in contract["layers"] for entry in layer.split("|")}


def test_import_linter_refuses_a_file_without_a_place(tmp_path):
    shutil.copytree(SOURCE, tmp_path / "src" / "deepinside", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(REPOSITORY / "pyproject.toml", tmp_path)
    (tmp_path / "src" / "deepinside" / "cut" / "newcomer.py").write_text('"""Has no place yet."""\n')
    command = Path(sys.executable).with_name("lint-imports")
    told = subprocess.run(
        [command, "--no-cache"], cwd=tmp_path, capture_output=True, text=True, env={"PYTHONPATH": str(tmp_path / "src")}
    )
    assert told.returncode != 0
    assert "newcomer" in told.stdout


@pytest.mark.parametrize("path", FILES, ids=str)
def test_every_file_has_its_tests(path):
    mirror = REPOSITORY / "tests" / path.parent / f"test_{path.name}"
    assert mirror.is_file()


def only_for_type_checkers(module):
    """Names that a module imports where only a type checker looks, since they are slow to import."""
    tree = ast.parse(Path(module.__file__).read_text())
    guarded = [node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"]
    imports = [node for guard in guarded for node in guard.body if isinstance(node, ast.ImportFrom)]
    return {alias.asname or alias.name: object for node in imports for alias in node.names}


@pytest.mark.parametrize("path", FILES, ids=str)
def test_every_annotation_can_be_read(path):
    """A quotation mark that is lost in a shape goes unnoticed until somebody asks for type hints."""
    module = importlib.import_module(".".join(["deepinside", *path.with_suffix("").parts]))
    known = vars(typing) | only_for_type_checkers(module)
    for function in vars(module).values():
        if inspect.isfunction(function) and function.__module__ == module.__name__:
            typing.get_type_hints(function, localns=known)
