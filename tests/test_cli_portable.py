import pytest
from PIL import Image
from typer.testing import CliRunner

from deepinside.cli import app
from deepinside.core.errors import DeepInsideError
from deepinside.portable import export

TINY = """
import torch
from torch import nn
from deepinside import Classifier

def make():
    torch.manual_seed(3)
    layers = nn.Sequential(nn.Conv2d(3, 8, 3, 2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4))
    return Classifier(layers, size=32, name="tiny")
"""


@pytest.fixture
def command(tmp_path):
    (tmp_path / "tiny.py").write_text(TINY)
    Image.effect_noise((64, 48), 90).convert("RGB").save(tmp_path / "a.png")

    def run(*arguments):
        own = ["--model", f"{tmp_path / 'tiny.py'}:make", "--photos", str(tmp_path / "a.png")]
        return CliRunner().invoke(app, ["export-onnx", *map(str, arguments), *own])

    return run


def test_one_file_and_its_report(command, tmp_path):
    done = command(tmp_path / "tiny.onnx", "--uint8", "--half", "--rule", "guided")
    assert done.exit_code == 0, done.output
    assert "1 photos against" not in done.output
    assert "1 photo against PyTorch in double precision" in done.output
    assert f"-> {tmp_path / 'tiny.onnx'} (" in done.output.replace("\n", "")


def test_the_page_is_checked_before_minutes_of_work(command, tmp_path, monkeypatch):
    from deepinside.portable import page

    monkeypatch.setattr(page, "BUILT", tmp_path / "nothing")
    done = command(tmp_path / "tiny.onnx", "--page", tmp_path / "site")
    assert isinstance(done.exception, DeepInsideError)
    assert "make web" in str(done.exception)
    assert not (tmp_path / "tiny.onnx").exists()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--half", "--int8"], "expected --half or --int8, got both"),
        (["--rule", "guidet"], "expected a rule"),
    ],
)
def test_mistakes_are_told(command, tmp_path, arguments, told):
    done = command(tmp_path / "tiny.onnx", *arguments)
    assert isinstance(done.exception, DeepInsideError)
    assert told in str(done.exception)


def test_without_the_extra(command, tmp_path, monkeypatch):
    monkeypatch.setattr(export, "find_spec", lambda name: None)
    done = command(tmp_path / "tiny.onnx")
    assert "pip install 'deepinside[onnx]'" in str(done.exception)
