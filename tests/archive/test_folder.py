"""The folder of a run: nothing lost, nothing twice, and one process at a time."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from deepinside.archive.folder import ABOUT, SAME, about_run, opened_run, part_files, part_rows
from deepinside.core.errors import DeepInsideError

ASKED = dict.fromkeys(SAME, "x")


def row(key, file_key=None, error=None, **known):
    return {"key": key, "file_key": key if file_key is None else file_key, "photo": "a.png", "error": error, **known}


def test_what_is_appended_is_there_in_the_next_process(tmp_path):
    with opened_run(tmp_path / "run", ASKED) as opened:
        assert (len(opened.done), len(opened.failed)) == (0, 0)
        opened.append([row(1, number=1), row(1, number=2), row(2**64 - 1)])
        opened.append([])
        opened.append([row(3, error="unreadable")])
    with opened_run(tmp_path / "run", ASKED) as opened:
        assert opened.done.tolist() == [1, 2**64 - 1]
        assert opened.failed.tolist() == [3]
    assert [path.name for path in part_files(tmp_path / "run")] == ["part-000001.parquet", "part-000002.parquet"]
    assert [[each["number"] for each in rows] for rows in part_rows(tmp_path / "run")] == [[1, 2, None], [None]]


def test_the_last_rows_of_a_file_count(tmp_path):
    with opened_run(tmp_path, ASKED) as opened:
        opened.append([row(1, 10, "unreadable"), row(2, 20, number=1)])
        opened.append([row(1, 10, number=1), row(1, 10, number=2)])
        opened.append([row(3, 20, number=1)])
        assert len(part_files(tmp_path)) == 3
    assert [[(each["key"], each["number"]) for each in rows] for rows in part_rows(tmp_path)] == [
        [], [(1, 1), (1, 2)], [(3, 1)],
    ]  # fmt: skip
    with opened_run(tmp_path, ASKED) as opened:
        assert opened.failed.tolist() == [], "it has succeeded since"


def test_the_metadata_say_what_was_asked(tmp_path):
    from pyarrow import parquet

    with opened_run(tmp_path, ASKED) as opened:
        opened.append([row(1)])
    metadata = parquet.read_schema(part_files(tmp_path)[0]).metadata
    assert json.loads(metadata[b"deepinside"]) == ASKED == about_run(tmp_path)


@pytest.mark.parametrize("name", SAME)
def test_another_question_needs_another_folder(tmp_path, name):
    with opened_run(tmp_path, ASKED):
        pass
    with (
        pytest.raises(DeepInsideError, match=f"expected the same {SAME[name]}"),
        opened_run(tmp_path, {**ASKED, name: "y"}),
    ):
        pass


def test_a_folder_with_other_files_is_left_alone(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(DeepInsideError, match="found other files"), opened_run(tmp_path, ASKED):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


@pytest.mark.parametrize("content", ["", "[]", "{}", "{"])
def test_a_folder_without_a_run(tmp_path, content):
    with pytest.raises(DeepInsideError, match="expected the folder of a run"):
        about_run(tmp_path / "nowhere")
    (tmp_path / ABOUT).write_text(content)
    with pytest.raises(DeepInsideError, match=ABOUT):
        about_run(tmp_path)


def test_a_second_process_is_refused_until_the_first_has_ended(tmp_path):
    code = (
        "import sys; from pathlib import Path; from deepinside.archive.folder import opened_run, SAME\n"
        "with opened_run(Path(sys.argv[1]), dict.fromkeys(SAME, 'x')):\n    print('open', flush=True); sys.stdin.read()"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", code, tmp_path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert other.stdout.readline() == "open\n"
        with pytest.raises(DeepInsideError, match="another process is writing"), opened_run(tmp_path, ASKED):
            pass
    finally:
        other.kill()
        other.communicate()
    with opened_run(tmp_path, ASKED):
        pass


def test_a_part_that_is_damaged_is_named(tmp_path):
    with opened_run(tmp_path, ASKED) as opened:
        opened.append([row(1)])
    part = part_files(tmp_path)[0]
    part.write_bytes(part.read_bytes()[:100])
    with (
        pytest.raises(DeepInsideError, match=r"part-000001\.parquet: expected a part of a run"),
        opened_run(tmp_path, ASKED),
    ):
        pass


def test_a_full_disk_stops_with_one_line_and_keeps_what_is_there(tmp_path, monkeypatch):
    def full(*_arguments, **_options):
        raise OSError(28, "No space left on device")

    with opened_run(tmp_path, ASKED) as opened:
        opened.append([row(1)])
        monkeypatch.setattr("pyarrow.parquet.write_table", full)
        with pytest.raises(DeepInsideError, match=r"expected a place to write results .*No space left"):
            opened.append([row(2)])
    assert sorted(Path(tmp_path / "parts").iterdir()) == part_files(tmp_path), "and nothing else"
    assert [[each["key"] for each in rows] for rows in part_rows(tmp_path)] == [[1]]
