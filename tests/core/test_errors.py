"""Messages that name the nearest spelling, and errors of other libraries and of the system in one line."""

import io
import os
import re
from errno import ENOSPC
from pathlib import Path

import pytest

from deepinside.core import errors
from deepinside.core.errors import (
    DeepInsideError,
    brief,
    check_writable,
    check_writable_folder,
    named,
    nearest,
    writing,
)

TABLE = {"gradient": 1, "deconvnet": 2, "guided": 3}


@pytest.mark.parametrize(("wrong", "known", "told"), [
    ("gradint", TABLE, "did you mean gradient?"),
    ("tabbi", ["tabby", "tiger cat", "tub"], "did you mean tabby or tub?"),
    ("xyz", ["alpha", "beta", "gamma", "delta"], "did you mean alpha or beta or gamma?"),  # none is similar
    ("gradient", ["", "gradients"], "did you mean gradients?"),
    ("anything", [], "there are none"),
    ("anything", [""], "there are none"),
])  # fmt: skip
def test_nearest_suggests_known_names(wrong, known, told):
    assert nearest(wrong, known) == told


def test_nearest_suggests_no_more_than_asked_for():
    assert nearest("a", ["a1", "a2", "a3"], count=2).count(" or ") == 1


@pytest.mark.parametrize("name", TABLE)
def test_a_known_name_is_looked_up(name):
    assert named(name, TABLE, "a rule") == TABLE[name]


def test_an_unknown_name_is_an_error_with_all_names_and_the_nearest():
    with pytest.raises(DeepInsideError) as caught:
        named("Guided", TABLE, "a rule")
    assert str(caught.value) == ("expected a rule (gradient, deconvnet, guided), got 'Guided'; did you mean guided?")


def test_a_name_whose_value_is_false_is_known():
    assert named("none", {"none": None}, "an option") is None


@pytest.mark.parametrize(("error", "told"), [
    (ValueError("not\n  a\tnumber "), "not a number"),
    (ValueError(), "ValueError"),
    (RuntimeError(" \n "), "RuntimeError"),
    (KeyError("images"), "'images'"),
    (OSError(2, "No such file"), "[Errno 2] No such file"),
])  # fmt: skip
def test_other_errors_become_one_line(error, told):
    assert brief(error) == told


def test_a_long_error_is_cut():
    told = brief(RuntimeError("size mismatch for conv1.weight\n" * 100))
    assert len(told) == 160
    assert told.startswith("size mismatch for conv1.weight size mismatch")


def test_writing_makes_the_folder(tmp_path):
    path = tmp_path / "a" / "b" / "c.txt"
    with writing(path, "a text"):
        path.write_text("x")
    assert path.read_text() == "x"


def test_what_the_system_refuses_is_an_error_with_the_path(tmp_path):
    with pytest.raises(DeepInsideError) as caught, writing(tmp_path / "a.txt", "a text"):
        (tmp_path / "none" / "a.txt").write_text("x")
    assert str(caught.value) == f"{tmp_path / 'a.txt'}: expected a place to write a text (No such file or directory)"
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_a_file_in_the_folders_place_is_an_error(tmp_path):
    (tmp_path / "file").write_text("")
    message = r"expected a place to write an image \((File exists|Not a directory)\)"
    with pytest.raises(DeepInsideError, match=message), writing(tmp_path / "file" / "a.png", "an image"):
        pytest.fail("the block must not run")


@pytest.mark.parametrize("error", [ValueError("x"), KeyboardInterrupt(), DeepInsideError("y")])
def test_other_errors_pass_through_writing_unchanged(error, tmp_path):
    with pytest.raises(type(error)) as caught, writing(tmp_path / "a.txt", "a text"):
        raise error
    assert caught.value is error


def test_an_error_of_the_system_without_a_text_of_its_own_says_something(tmp_path):
    with pytest.raises(DeepInsideError, match=r"\(encoder error -2\)"), writing(tmp_path / "a.png", "an image"):
        raise OSError("encoder error -2")


@pytest.mark.parametrize("check", [check_writable, check_writable_folder])
def test_checking_a_place_leaves_no_traces(tmp_path, check):
    (tmp_path / "there").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    before = sorted(tmp_path.rglob("*"))
    for place in ("new", "new/er/est", "there/new"):
        check(tmp_path / place)
    assert sorted(tmp_path.rglob("*")) == before


def test_places_that_cannot_be_written_are_told_in_one_line(tmp_path):
    (tmp_path / "file").write_text("kept")
    for check, place in [
        (check_writable, tmp_path),
        (check_writable, tmp_path / "file" / "a.json"),
        (check_writable, Path("/proc/a.json")),
        (check_writable, tmp_path / ("x" * 300)),
        (check_writable_folder, tmp_path / "file"),
        (check_writable_folder, tmp_path / "file" / "a"),
        (check_writable_folder, Path("/proc/a")),
    ]:
        with pytest.raises(DeepInsideError, match=re.escape(str(place))) as refused:
            check(place)
        assert len(str(refused.value).splitlines()) == 1
    check_writable(tmp_path / "file")
    assert (tmp_path / "file").read_text() == "kept"


def test_checking_a_pipe_does_not_wait_for_its_reader(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    check_writable(tmp_path / "pipe")
    check_writable(Path("/dev/null"))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device of Linux")
def test_a_full_device_is_noticed_before_the_work():
    with pytest.raises(DeepInsideError, match="/dev/full: expected a place to write a file \\(No space left on device"):
        check_writable(Path("/dev/full"))


@pytest.mark.parametrize("check", [check_writable, check_writable_folder])
def test_a_full_disk_is_noticed_before_the_work(check, monkeypatch, tmp_path):
    class Full(io.BytesIO):
        def write(self, content):
            raise OSError(ENOSPC, "No space left on device")

    monkeypatch.setattr(errors, "TemporaryFile", lambda **options: Full())
    with pytest.raises(DeepInsideError, match="No space left on device"):
        check(tmp_path / "new" / "place")
    assert list(tmp_path.iterdir()) == []
