"""Folders of exports that are free, taken, killed and changed, and files that are complete at every moment."""

import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager

import pytest

from deepinside.core.errors import DeepInsideError
from deepinside.explanations import export_files
from deepinside.explanations.export_files import SLACK, UNFINISHED, check_free, claimed, growing


def names_in(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def exported(folder, text="label"):
    with claimed(folder) as mark:
        (folder / "labels").mkdir()
        (folder / "labels" / "a.txt").write_text(text)
        mark()


def test_a_finished_export_is_left_alone(tmp_path):
    exported(tmp_path / "a")
    assert names_in(tmp_path / "a") == ["labels", "labels/a.txt"]
    with pytest.raises(DeepInsideError, match="new or empty folder"), claimed(tmp_path / "a"):
        pytest.fail("the block must not run")
    assert names_in(tmp_path / "a") == ["labels", "labels/a.txt"]


def interrupted(folder, by, after_labels):
    with claimed(folder) as mark:
        (folder / "index.csv").write_text("head")
        if after_labels:
            mark()
        raise by


@pytest.mark.parametrize("by", [KeyboardInterrupt(), SystemExit(143), ZeroDivisionError()])
def test_an_error_keeps_labels_and_nothing_else(tmp_path, by):
    with pytest.raises(type(by)):
        interrupted(tmp_path / "new" / "a", by, after_labels=False)
    assert names_in(tmp_path) == []
    with pytest.raises(type(by)):
        interrupted(tmp_path / "new" / "a", by, after_labels=True)
    assert names_in(tmp_path / "new" / "a") == ["index.csv"]
    with pytest.raises(DeepInsideError, match="new or empty"):
        check_free(tmp_path / "new" / "a")


def test_files_without_labels_do_not_block_the_next_export(tmp_path):
    with claimed(tmp_path / "a"):
        (tmp_path / "a" / "index.csv").write_text("head")
    exported(tmp_path / "a")
    assert names_in(tmp_path / "a") == ["labels", "labels/a.txt"]


def test_hidden_files_and_empty_folders_neither_block_nor_go(tmp_path):
    (tmp_path / "a" / "empty").mkdir(parents=True)
    (tmp_path / "a" / ".DS_Store").write_text("")
    with pytest.raises(ZeroDivisionError):
        interrupted(tmp_path / "a", ZeroDivisionError(), after_labels=False)
    exported(tmp_path / "a")
    assert (tmp_path / "a" / ".DS_Store").exists()
    with pytest.raises(DeepInsideError, match="new or empty"):
        check_free(tmp_path / "a")


EXPORT = """
import sys
from pathlib import Path
from deepinside.explanations.export_files import claimed, growing
folder = Path(sys.argv[1])
with claimed(folder) as mark, growing(folder / "index.txt", "head\\n", lambda: "tail\\n") as append:
    for number in range(10**6):
        append(f"{number}\\n")
        mark()
        print(number, flush=True)
"""


@contextmanager
def export_into(folder):
    """Another process that exports a photo after the other, without an end; it does not need PyTorch."""
    process = subprocess.Popen([sys.executable, "-c", EXPORT, str(folder)], stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.stdout.close()
        process.wait()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_what_was_told_is_in_the_files_of_a_run_that_is_killed(tmp_path, number):
    folder = tmp_path / "a"
    with export_into(folder) as process:
        told = [process.stdout.readline() for _ in range(50)]
        process.send_signal(number)
        told += process.stdout.readlines()
    head, *rows, tail = (folder / "index.txt").read_text().splitlines(keepends=True)
    assert (head, tail) == ("head\n", "tail\n")
    whole = [line for line in told if line.endswith("\n")]
    assert rows[: len(whole)] == whole
    assert len(rows) <= len(whole) + 1
    if number == signal.SIGKILL:
        exported(folder)
        assert names_in(folder) == ["labels", "labels/a.txt"], "replaced, and no temporary file is left"


def test_two_processes_do_not_export_into_one_folder(tmp_path):
    with export_into(tmp_path / "a") as process:
        process.stdout.readline()
        with pytest.raises(DeepInsideError, match="another process") as refused, claimed(tmp_path / "a"):
            pytest.fail("the block must not run")
    assert len(str(refused.value).splitlines()) == 1


def test_labels_of_a_killed_run_that_were_changed_since_are_left_alone(tmp_path):
    exported(tmp_path / "a", "corrected")
    marker = tmp_path / "a" / UNFINISHED
    marker.touch()
    check_free(tmp_path / "a")
    then = time.time() - SLACK - 60
    os.utime(marker, (then, then))
    with pytest.raises(DeepInsideError, match="corrected by hand"):
        check_free(tmp_path / "a")


def test_links_are_removed_and_their_targets_stay(tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_text("precious")
    folder = tmp_path / "a"
    folder.mkdir()
    (folder / UNFINISHED).touch()
    (folder / "link.jpg").symlink_to(tmp_path / "photos" / "a.jpg")
    (folder / "images").symlink_to(tmp_path / "photos")
    exported(folder)
    assert names_in(folder) == ["labels", "labels/a.txt"]
    assert (tmp_path / "photos" / "a.jpg").read_text() == "precious"


def test_a_large_file_is_written_less_often_and_complete_at_the_end(tmp_path, monkeypatch):
    monkeypatch.setattr(export_files, "SMALL", 1000)
    monkeypatch.setattr(export_files, "PATIENCE", 10**9)
    path = tmp_path / "a.txt"
    written = set()
    with growing(path, "[", lambda: "]") as append:
        for _ in range(100):
            append("x" * 100)
            written.add(path.read_text())
    assert len(written) == 9
    assert path.read_text() == "[" + "x" * 10_000 + "]"


def test_an_end_that_changes_alone_is_written_too(tmp_path, monkeypatch):
    """A photo without objects is in the end of COCO's file, and adds nothing before it."""
    monkeypatch.setattr(export_files, "SMALL", 0)
    monkeypatch.setattr(export_files, "PATIENCE", 10**9)
    images = []
    with growing(tmp_path / "a.txt", "[", lambda: "".join(images)) as append:
        for _ in range(3):
            images.append("x")
            append("")
    assert (tmp_path / "a.txt").read_text() == "[xxx"


def test_an_addition_that_was_cut_short_is_not_a_part_of_the_file(tmp_path):
    path = tmp_path / "a.txt"
    with growing(path, "[", lambda: "]") as append:
        append("1")
        with pytest.raises(UnicodeEncodeError):
            append("\ud800")
        append("2")
    assert path.read_text() == "[12]"
    assert names_in(tmp_path) == ["a.txt"]
