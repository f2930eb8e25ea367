"""The command of the page as a user types it; the page itself has tests of its own."""

import gradio  # noqa: F401 -- before the package imports it, as `conftest.py` says
import pytest

from deepinside import cli_studio
from helpers import square


@pytest.fixture
def served(monkeypatch, colors):
    """What the page would have been served with."""
    found = []

    def serve(desk, runs, host, port, auth, tell):
        found.append((desk, runs, host, port, auth))
        tell(f"http://{host}:{port}")

    monkeypatch.setattr("deepinside.studio.serve.serve", serve)
    monkeypatch.setattr("deepinside.studio.desk.load", lambda model: colors)
    monkeypatch.delenv("DEEPINSIDE_AUTH", raising=False)
    return found


def test_serve_says_where_the_page_is(deepinside, served):
    status, told, complaints = deepinside("serve")
    assert (status, complaints) == (0, "")
    assert told.splitlines() == ["  -> http://127.0.0.1:7860", "Ctrl+C stops it."]
    ((desk, runs, *where),) = served
    assert desk.models == ("lite0",)
    assert list(desk.examples) == ["cat.jpg", "coffee.jpg", "rocket.jpg"]
    assert (runs.folders, where) == ((), ["127.0.0.1", 7860, None])


def test_serve_takes_networks_photos_and_runs(deepinside, served, small, tmp_path):
    (tmp_path / "photos").mkdir()
    square(tmp_path / "photos" / "a.png")
    deepinside("run", tmp_path / "photos", "--out", tmp_path / "run")
    status, _, complaints = deepinside(
        "serve", "--model", "lite0", "--model", "lite1", "--photos", tmp_path / "photos", "--run", tmp_path / "run",
        "--host", "0.0.0.0", "--port", 0, "--auth", "me:secret", "--device", "cpu",
    )  # fmt: skip
    assert (status, complaints) == (0, "")
    ((desk, runs, *where),) = served
    assert (desk.models, desk.device) == (("lite0", "lite1"), "cpu")
    assert desk.examples == {"a.png": tmp_path / "photos" / "a.png"}
    assert (runs.folders, where) == ((tmp_path / "run",), ["0.0.0.0", 0, "me:secret"])


def test_the_password_may_come_from_the_environment(deepinside, served, monkeypatch):
    monkeypatch.setenv("DEEPINSIDE_AUTH", "me:secret")
    assert deepinside("serve", "--host", "0.0.0.0")[0] == 0
    assert served[0][-1] == "me:secret"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--host", "0.0.0.0"), "expected --auth NAME:PASSWORD for 0.0.0.0, where others reach the page, got none"),
        (("--auth", "me"), "expected --auth NAME:PASSWORD, got one of them at most"),
        (("--run", "."), "expected the folder of a run"),
        (("--photos", "."), "expected a folder with photos"),
        (("--port", "70000"), "65535"),
    ],
)
def test_mistakes_are_told_before_a_network_is_loaded(deepinside, served, monkeypatch, tmp_path, words, message):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("deepinside.studio.desk.load", lambda model: pytest.fail("loaded"))
    status, told, complaints = deepinside("serve", *words)
    assert (status, told, served) == (2, "", [])
    assert message in " ".join(complaints.split())


def test_an_unknown_network_is_told_now(deepinside, monkeypatch):
    status, _, complaints = deepinside("serve", "--model", "lite00")
    assert status == 2
    assert "lite0" in complaints
    assert "Traceback" not in complaints


def test_the_page_needs_its_extra(deepinside, served, monkeypatch):
    monkeypatch.setattr(cli_studio, "find_spec", lambda name: None)
    status, told, complaints = deepinside("serve")
    assert (status, told, served) == (2, "", [])
    assert "the page needs an extra: pip install 'deepinside[web]'" in complaints
