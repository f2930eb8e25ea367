"""Networks from Python files of the user's own, run as `python FILE.py` would."""

import sys
from pathlib import Path

import pytest
import torch

from deepinside.core.errors import DeepInsideError
from deepinside.gradients.private import Snapshot
from deepinside.networks.own_file import split
from deepinside.networks.sources import load

OWN = """
from torch import nn

from deepinside import Classifier

module = nn.Sequential(nn.Flatten(), nn.Linear(192, 3))
made = Classifier(module, labels=["cat", "dog", "owl"], size=8, mean=(0.5, 0.5, 0.5))

def make():
    return made

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = module

    def forward(self, images):
        return self.layer(images)

def fails():
    raise RuntimeError("no \\x1b[31mdisk")

number = 3
"""


@pytest.fixture
def own(tmp_path):
    path = tmp_path / "own.py"
    path.write_text(OWN)
    return path


def test_a_model_of_ones_own_comes_from_a_file(own, tmp_path):
    for name in ("made", "make"):
        classifier = load(f"{own}:{name}")
        assert classifier.labels.find("owl") == 2
        assert classifier.network.mean.flatten().tolist() == [0.5, 0.5, 0.5]
        assert classifier.name == f"{own}:{name}"
    assert type(load(f"{own}:Net").network.model).__name__ == "Net"
    weights = {"1.weight": torch.zeros(3, 192), "1.bias": torch.tensor([1.0, 2.0, 3.0])}
    torch.save({"state_dict": {f"model.{name}": value for name, value in weights.items()}}, tmp_path / "own.pth")
    bare = load(f"{own}:module", weights=tmp_path / "own.pth", labels=["a", "b", "c"])
    assert bare.network(torch.rand(1, 3, 8, 8)).tolist() == [[1.0, 2.0, 3.0]]
    assert bare.labels.name(2) == "c"


@pytest.mark.parametrize(("name", "message"), [
    ("nothing", "no attribute 'nothing'"), ("mak", "did you mean make"), ("number", "'int' object is not"),
    ("fails", r"RuntimeError: no \\x1b\[31mdisk"),
])  # fmt: skip
def test_a_file_that_makes_no_model_is_told_with_its_own_reason(own, name, message):
    with pytest.raises(DeepInsideError, match=message):
        load(f"{own}:{name}")


@pytest.mark.parametrize(("code", "message"), [
    ("import sys\nsys.exit(3)", r"ended with sys\.exit\(3\)"),
    ("import no_such_module_anywhere", "ModuleNotFoundError"),
    ("def make(:", "SyntaxError"),
    ("raise ValueError('one\\ntwo')", "ValueError: one two"),
    ("def make():\n    return make()", "RecursionError"),
    ("class make:\n    pass", "got make"),
])  # fmt: skip
def test_whatever_a_file_does_wrong_is_one_line(tmp_path, code, message):
    (tmp_path / "own.py").write_text(code)
    with pytest.raises(DeepInsideError, match=message) as caught:
        load(f"{tmp_path / 'own.py'}:make")
    assert "\n" not in str(caught.value)


def test_what_a_file_prints_goes_to_standard_error(own, capsys):
    own.write_text(OWN + "\nprint('hello')\n")
    load(f"{own}:make")
    assert capsys.readouterr() == ("", "hello\n")


@pytest.mark.parametrize("name", ["", ":"])
def test_a_file_without_a_name_gets_what_it_defines_without_being_run(own, name):
    own.write_text(OWN + "\nraise RuntimeError('was run')\n")
    with pytest.raises(DeepInsideError, match=r"own\.py:NAME.*defines make, Net, fails, module, made, number"):
        load(f"{own}{name}")


def test_a_file_that_is_not_there_is_told(tmp_path):
    with pytest.raises(DeepInsideError, match="found none"):
        load(f"{tmp_path}/own.py:make")


def test_files_beside_it_can_be_imported_and_are_not_kept_for_files_elsewhere(tmp_path):
    path = list(sys.path)
    for folder, classes in (("one", 2), ("two", 3)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "parts_beside.py").write_text(f"CLASSES = {classes}\n")
        (tmp_path / folder / "own.py").write_text(
            "from torch import nn\nfrom parts_beside import CLASSES\n"
            "def make():\n    return nn.Sequential(nn.Flatten(), nn.Linear(12, CLASSES))\n"
        )
        network = load(f"{tmp_path / folder / 'own.py'}:make").network
        assert network(torch.rand(1, 3, 2, 2)).shape == (1, classes)
    assert sys.path == path
    assert "parts_beside" not in sys.modules


def test_a_data_class_with_annotations_as_text_works(tmp_path):
    (tmp_path / "torch_net.py").write_text(
        "from __future__ import annotations\nfrom dataclasses import dataclass\nfrom torch import nn\n"
        "@dataclass\nclass Options:\n    classes: int = 4\n"
        "def make():\n    return nn.Sequential(nn.Flatten(), nn.Linear(12, Options().classes))\n"
    )
    assert load(f"{tmp_path / 'torch_net.py'}:make").network(torch.rand(1, 3, 2, 2)).shape == (1, 4)


@pytest.mark.parametrize(("spec", "file", "name"), [
    (r"C:\nets\my.py:make", r"C:\nets\my.py", "make"),
    ("C:/nets/my.py:make", "C:/nets/my.py", "make"),
    ("nets/v1.py:2/my.py:make", "nets/v1.py:2/my.py", "make"),
    ("~/my.py:make", f"{Path.home()}/my.py", "make"),
    ("my.py", "my.py", ""),
])  # fmt: skip
def test_the_file_and_the_name_are_told_apart_at_the_last_colon_after_the_suffix(spec, file, name):
    assert split(spec) == (Path(file), name)


@pytest.mark.parametrize("folder", ["C:", "with: colon"])
def test_a_path_with_a_colon_is_read(tmp_path, folder, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / folder).mkdir()
    (tmp_path / folder / "my.py").write_text(OWN)
    assert load(f"{folder}/my.py:make").labels.find("owl") == 2


def test_a_classifier_of_ones_own_keeps_its_name_and_labels(tmp_path):
    (tmp_path / "own.py").write_text(
        "from torch import nn\nfrom deepinside import Classifier\n"
        "kept = Classifier(nn.Flatten(), labels=['a'], name='mine')\n"
        "def check():\n    assert (kept.name, len(kept.labels)) == ('mine', 1)\n    return kept\n"
    )
    spec = f"{tmp_path / 'own.py'}:check"
    assert load(spec, labels=["x", "y"]).name == spec
    made = load(f"{tmp_path / 'own.py'}:kept", labels=["x", "y"])
    assert made.labels.name(1) == "y"


def test_networks_of_a_users_file_are_not_frozen(own):
    assert not isinstance(load(f"{own}:make").fast, Snapshot)
