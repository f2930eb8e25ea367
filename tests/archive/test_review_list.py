"""The order in which a person should look at the photos of a run."""

import csv
from pathlib import Path

import pytest
from PIL import Image

from deepinside.archive.folder import part_rows
from deepinside.archive.review import need
from deepinside.archive.review_list import COLUMNS, waiting, write_list
from deepinside.archive.rows import photos_of
from deepinside.archive.run import running
from deepinside.archive.wanted import Wanted


@pytest.fixture
def run(colors, tmp_path):
    for name, color in (("a.png", "red"), ("b.png", "blue"), ("c,\n.png", "gray")):
        image = Image.new("RGB", (40, 30), "gray")
        image.paste(color, (8, 6, 24, 20))
        image.save(tmp_path / name)
    (tmp_path / "d.png").write_bytes(b"")
    photos = [Wanted.named(tmp_path / name, Path(name), (0,)) for name in ("a.png", "b.png", "c,\n.png", "d.png")]
    with running(colors, photos, tmp_path / "run") as (_, answers):
        assert len(list(answers)) == 4
    return tmp_path / "run"


def test_those_that_need_a_person_most_come_first(run):
    found = waiting(run)
    scores = {rows[0]["photo"]: need(rows) for part in part_rows(run) for rows in photos_of(part)}
    assert [each.photo for each in found] == sorted(scores, key=lambda name: (-scores[name], name))
    assert [each.need for each in found] == [scores[each.photo] for each in found]
    assert {each.photo for each in found if each.need == 1} == {"c,\n.png", "d.png"}, "a flat one and an empty file"
    assert next(each for each in found if each.photo == "b.png").why.startswith("given red, predicted blue")


def test_the_list_is_a_table(run):
    found = waiting(run)
    with write_list(found, run / "review.csv").open(newline="", encoding="utf-8") as stream:
        rows = list(csv.reader(stream))
    assert rows[0] == list(COLUMNS)
    assert [row[1] for row in rows[1:]] == [each.photo for each in found]
    assert [float(row[0]) for row in rows[1:]] == pytest.approx([each.need for each in found], abs=1e-4)
