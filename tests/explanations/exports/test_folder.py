"""Folders of exports that are free, taken, killed and changed."""

import os
import signal
import subprocess
import sys
from contextlib import contextmanager

import pytest

from deepinside.core.errors import DeepInsideError
from deepinside.explanations.exports.folder import check_free, claimed, told
from deepinside.explanations.exports.manifest import MANIFEST


def names_in(folder):
    found = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))
    return [name for name in found if not name.endswith(MANIFEST)]


def exported(folder, text="label", photos=None):
    with claimed(folder, photos) as manifest:
        manifest.number(folder / "a.jpg")
        manifest.write(folder / "labels" / "a.txt", text.encode())
        manifest.has_labels = True
        manifest.is_whole = True
    return told(manifest)


def killed(folder, text="label"):
    """What a process leaves that is killed: a manifest without an end."""
    exported(folder, text)
    facts = (folder / MANIFEST).read_text().splitlines(keepends=True)
    (folder / MANIFEST).write_text("".join(fact for fact in facts if "end" not in fact))


def test_a_finished_export_is_left_alone(tmp_path):
    exported(tmp_path / "a")
    assert names_in(tmp_path / "a") == ["labels", "labels/a.txt"]
    with pytest.raises(DeepInsideError, match="new or empty folder"), claimed(tmp_path / "a"):
        pytest.fail("the block must not run")
    assert names_in(tmp_path / "a") == ["labels", "labels/a.txt"]


def interrupted(folder, by, after_labels):
    with claimed(folder) as manifest:
        manifest.write(folder / "index.csv", b"head")
        manifest.has_labels = after_labels
        raise by


@pytest.mark.parametrize("by", [KeyboardInterrupt(), SystemExit(143), ZeroDivisionError()])
def test_an_error_keeps_labels_and_nothing_else(tmp_path, by):
    with pytest.raises(type(by)):
        interrupted(tmp_path / "new" / "a", by, after_labels=False)
    assert [*tmp_path.iterdir()] == []
    with pytest.raises(type(by)):
        interrupted(tmp_path / "new" / "a", by, after_labels=True)
    assert names_in(tmp_path / "new" / "a") == ["index.csv"]
    with pytest.raises(DeepInsideError, match="new or empty"):
        check_free(tmp_path / "new" / "a")


def test_files_without_labels_do_not_block_the_next_export(tmp_path):
    for photos in (None, ["b.jpg"]):
        with claimed(tmp_path / "a", photos) as manifest:
            manifest.write(tmp_path / "a" / "index.csv", b"head")
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
from deepinside.explanations.exports.folder import claimed
from deepinside.explanations.exports.growing import growing
folder = Path(sys.argv[1])
with claimed(folder) as manifest, growing(manifest, folder / "index.txt", "head\\n", lambda: "tail\\n") as grown:
    for number in range(10**6):
        grown.append(f"{number}\\n", manifest.number(folder / f"{number}.jpg"))
        manifest.has_labels = True
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
        lines = [process.stdout.readline() for _ in range(50)]
        process.send_signal(number)
        lines += process.stdout.readlines()
    head, *rows, tail = (folder / "index.txt").read_text().splitlines(keepends=True)
    assert (head, tail) == ("head\n", "tail\n")
    whole = [line for line in lines if line.endswith("\n")]
    assert rows[: len(whole)] == whole
    assert len(rows) <= len(whole) + 1
    if number == signal.SIGKILL:
        exported(folder)
        assert names_in(folder) == ["labels", "labels/a.txt"], "replaced, and no temporary file is left"


def test_two_processes_do_not_export_into_one_folder(tmp_path):
    with export_into(tmp_path / "a") as process:
        process.stdout.readline()
        for photos in (None, {str(tmp_path / "a" / f"{number}.jpg") for number in range(10**4)}):
            with pytest.raises(DeepInsideError, match="another process") as refused, claimed(tmp_path / "a", photos):
                pytest.fail("the block must not run")
            assert len(str(refused.value).splitlines()) == 1


def test_labels_of_a_killed_run_that_were_changed_since_are_left_alone(tmp_path):
    killed(tmp_path / "a")
    check_free(tmp_path / "a")
    (tmp_path / "a" / "labels" / "a.txt").write_text("corrected")
    with pytest.raises(DeepInsideError, match="corrected by hand"):
        check_free(tmp_path / "a")
    assert (tmp_path / "a" / "labels" / "a.txt").read_text() == "corrected"


def test_a_file_of_somebody_else_keeps_a_killed_run_from_being_replaced(tmp_path):
    killed(tmp_path / "a")
    (tmp_path / "a" / "notes.txt").write_text("mine")
    with pytest.raises(DeepInsideError, match="found files in it"):
        check_free(tmp_path / "a")


def test_links_are_removed_and_their_targets_stay(tmp_path):
    (tmp_path / "photos").mkdir()
    photo = tmp_path / "photos" / "a.jpg"
    photo.write_text("precious")
    folder = tmp_path / "a"
    killed(folder)
    with claimed(folder) as manifest:
        manifest.link(folder / "images" / "a.jpg", photo)
        manifest.link(folder / "all", tmp_path / "photos")
    exported(folder)
    assert names_in(folder) == ["labels", "labels/a.txt"]
    assert photo.read_text() == "precious"


def test_an_export_of_the_same_run_is_added_to(tmp_path):
    folder, photos = tmp_path / "a", [str(tmp_path / "a" / "a.jpg")]
    exported(folder, "first", photos)
    assert exported(folder, "second", photos) == []
    assert (folder / "labels" / "a.txt").read_text() == "second"
    (folder / "labels" / "a.txt").write_text("corrected")
    assert exported(folder, "third", photos) == [f"{folder}: kept 1 file that somebody has changed: labels/a.txt"]
    assert (folder / "labels" / "a.txt").read_text() == "corrected"
    with pytest.raises(DeepInsideError, match=r"earlier export of the same run.*a\.jpg, which is not a photo of this"):
        exported(folder, "fourth", [str(tmp_path / "other.jpg")])


def test_an_export_of_a_run_does_not_add_to_files_of_nobody_knows_what(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "labels.txt").write_text("mine")
    with pytest.raises(DeepInsideError, match="found files in it"):
        exported(tmp_path / "a", photos=["a.jpg"])
    assert os.listdir(tmp_path / "a") == ["labels.txt"]


def test_many_changed_files_are_told_in_one_line(tmp_path):
    photos = [str(tmp_path / "a" / "a.jpg")]
    names = [f"{number}.txt" for number in range(5)]

    def write(text):
        with claimed(tmp_path / "a", photos) as manifest:
            manifest.number(tmp_path / "a" / "a.jpg")
            for name in names:
                manifest.write(tmp_path / "a" / name, text)
            manifest.has_labels = True
        return told(manifest)

    write(b"first")
    for name in names:
        (tmp_path / "a" / name).write_text("corrected")
    (line,) = write(b"second")
    assert line.endswith("kept 5 files that somebody has changed: 0.txt, 1.txt, 2.txt, ...")
