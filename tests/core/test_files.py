"""Atomic writes that succeed, fail and are killed, and names that a file system would refuse or confuse."""

import os
import signal
import stat
import subprocess
import sys
import unicodedata
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepinside.core.files import atomic_write, clear_leftovers, distinct_name, fitting


def test_the_old_file_stays_until_the_new_one_is_complete(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with atomic_write(path) as part:
        part.write_text("new")
        assert path.read_text() == "old"
    assert [each.name for each in tmp_path.iterdir()] == ["a.txt"]
    assert path.read_text() == "new"


def half_written(path):
    with atomic_write(path) as part:
        part.write_text("half")
        raise ZeroDivisionError


def test_a_block_that_fails_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError):
        half_written(path)
    assert path.read_text() == "old"
    assert [each.name for each in tmp_path.iterdir()] == ["a.txt"], "nothing is left of the new file"


def test_two_writers_of_one_file_do_not_meet(tmp_path):
    path = tmp_path / "a.txt"
    with atomic_write(path) as one, atomic_write(path) as other:
        one.write_text("one" * 1000)
        other.write_text("other")
    assert path.read_text() == "one" * 1000, "whole, of the one that ended last"
    assert [each.name for each in tmp_path.iterdir()] == ["a.txt"]


def test_a_link_is_replaced_and_its_target_stays(tmp_path):
    (tmp_path / "target").write_text("precious")
    path = tmp_path / "a.txt"
    path.symlink_to(tmp_path / "target")
    with atomic_write(path) as part:
        part.write_text("new")
    assert (tmp_path / "target").read_text() == "precious"
    assert not path.is_symlink()
    assert path.read_text() == "new"


def test_what_is_no_file_is_written_directly(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    with atomic_write(pipe) as part:
        part.write_text("through")
    assert os.read(reader, 99) == b"through"
    os.close(reader)
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    with atomic_write(Path("/dev/null")) as part:
        part.write_text("gone")
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)


@contextmanager
def umask(mask):
    old = os.umask(mask)
    try:
        yield
    finally:
        os.umask(old)


@pytest.mark.parametrize("mask", [0o022, 0o027, 0o077])
def test_new_files_have_the_permissions_of_the_user(tmp_path, mask):
    with umask(mask), atomic_write(tmp_path / "a.txt") as part:
        part.write_text("x")
    assert stat.S_IMODE((tmp_path / "a.txt").stat().st_mode) == 0o666 & ~mask


WRITER = """
import sys, time
from pathlib import Path
from deepinside.core.files import atomic_write
with atomic_write(Path(sys.argv[1])) as part:
    part.write_text("half")
    print("writing", flush=True)
    time.sleep(60)
"""


@contextmanager
def writer_of(path):
    """Another process in the middle of writing a file. It starts fast, since it does not need PyTorch."""
    process = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE)
    try:
        assert process.stdout.readline() == b"writing\n"
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def test_what_a_killed_process_left_is_cleared_but_not_what_is_being_written(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    (tmp_path / ".somebody.part").write_text("else's")
    with writer_of(path) as process:
        clear_leftovers(tmp_path)
        assert len(list(tmp_path.iterdir())) == 3, "it is still being written"
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert len(list(tmp_path.iterdir())) == 3, "it was killed"
        clear_leftovers(tmp_path)
    assert sorted(each.name for each in tmp_path.iterdir()) == [".somebody.part", "a.txt"]
    assert path.read_text() == "old"


def test_what_a_killed_process_left_is_gone_after_the_first_write_into_the_folder(tmp_path):
    with writer_of(tmp_path / "a.txt") as killed, writer_of(tmp_path / "b.txt"):
        killed.send_signal(signal.SIGKILL)
        killed.wait()
        with atomic_write(tmp_path / "c.txt") as part:
            part.write_text("new")
        left = sorted(each.name.partition(".txt")[0] for each in tmp_path.iterdir())
    assert left == [".b", "c"]  # what another process is writing stays


LONG_NAMES = ["x" * 300 + ".png", "\u67f4" * 85, "\U0001f415" * 70 + "-localize.png", os.fsdecode(b"\xe9" * 256)]


@pytest.mark.parametrize("name", ["a" * 251 + ".png", "\u67f4" * 83 + ".jpg", *LONG_NAMES])
def test_names_of_any_length_can_be_written(tmp_path, name):
    path = fitting(tmp_path / "new" / name)
    path.parent.mkdir()
    with atomic_write(path) as part:
        part.write_text("x")
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_only_names_that_are_too_long_change_and_stay_apart():
    assert fitting(Path("a" * 251 + ".png")) == Path("a" * 251 + ".png")
    one, other = (fitting(Path(first + "\u67f4" * 99 + "-map.png")) for first in "ab")
    assert one != other
    assert one.name.endswith("\u67f4-map.png")
    assert one == fitting(Path("a" + "\u67f4" * 99 + "-map.png")), "the same in every run"


STEMS = st.text("aAbB1-\u00e9\u00c9e\u0301\u00df", min_size=1, max_size=4)


@given(st.lists(st.builds(lambda stem, suffix: Path("f", stem + suffix), STEMS, st.sampled_from([".png", ".jpg"]))))
@pytest.mark.parametrize("with_suffix", [True, False])
def test_distinct_names_are_different_files_on_every_file_system(with_suffix, names):
    taken = set()
    distinct = [distinct_name(name, taken, with_suffix=with_suffix) for name in names]
    assert [each.suffix for each in distinct] == [name.suffix for name in names]
    texts = [str(each if with_suffix else each.with_suffix("")) for each in distinct]
    for form in ("NFC", "NFD"):
        assert len({unicodedata.normalize(form, text).casefold() for text in texts}) == len(names)
    assert distinct[:1] == names[:1], "the first name is never changed"


def test_the_first_of_several_names_stays_and_later_ones_are_numbered():
    taken = set()
    names = ["A.jpg", "a.jpg", "a.png", "b.jpg", "A.JPG"]
    assert [str(distinct_name(Path(name), taken)) for name in names] == [
        "A.jpg",
        "a-2.jpg",
        "a.png",
        "b.jpg",
        "A-3.JPG",
    ]
    taken = set()
    stems = [str(distinct_name(Path(name), taken, with_suffix=False)) for name in names]
    assert stems == ["A.jpg", "a-2.jpg", "a-3.png", "b.jpg", "A-4.JPG"]
