"""The runs of the page, against the run's own rows and list: photos in order, and corrections beside them."""

import json
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from deepinside.archive.corrections import ACCEPTED, FILE, MOVED, REJECTED, UNDONE, corrections, found_of, is_judged
from deepinside.archive.folder import part_rows
from deepinside.archive.review_list import waiting
from deepinside.archive.rows import photos_of
from deepinside.core.errors import DeepInsideError
from deepinside.studio.runs import KEPT, Runs


def test_photos_are_all_of_the_run_those_that_need_a_person_first(runs, run_folder):
    found = runs.photos(0)
    listed = waiting(run_folder)  # nobody has judged any
    assert [(each.name, each.need, each.why) for each in found.values()] == [
        (each.photo, each.need, each.why) for each in listed
    ]
    rows = {mine[0]["key"]: mine for part in part_rows(run_folder) for mine in photos_of(part)}
    assert set(found) == set(rows)
    for key, each in found.items():
        assert each.key == key
        assert list(each.rows) == [{name: row[name] for name in KEPT} for row in rows[key]]
    assert Counter(len(each.objects) for each in found.values()) == {1: 2, 2: 1, 0: 1}


def test_a_photo_is_read_from_its_file(runs, keys, tmp_path):
    assert runs.photo(0, keys["a.png"]).image.size == (48, 36)
    with pytest.raises(DeepInsideError, match=r"broken\.png"):
        runs.photo(0, keys["broken.png"])


@pytest.mark.parametrize("key", [0, -1, 2**70])
def test_a_photo_that_is_not_in_the_run_is_told(runs, key):
    for ask in (runs.waiting, runs.photo, lambda run, key: runs.correct(run, key, 0, ACCEPTED)):
        with pytest.raises(DeepInsideError, match="expected a photo of this run, got another one; read the list anew"):
            ask(0, key)


@pytest.mark.parametrize("run", [1, -1, 99])
def test_another_run_is_told(runs, run):
    for ask in (runs.photos, runs.said, lambda run: runs.photo(run, 0)):
        with pytest.raises(DeepInsideError, match="expected one of 1 runs of this page"):
            ask(run)


def test_a_folder_without_a_run_is_told(tmp_path):
    with pytest.raises(DeepInsideError, match="expected the folder of a run"):
        Runs([tmp_path])
    assert Runs().folders == ()


def test_corrections_are_kept_beside_the_run_and_never_over_it(runs, keys, run_folder):
    before = {path: path.read_bytes() for path in run_folder.rglob("*") if path.is_file()}
    photo = runs.waiting(0, keys["a.png"])
    runs.correct(0, photo.key, 0, MOVED, [1, 2, 30, 31])
    runs.correct(0, photo.key, 1, REJECTED)
    said = runs.said(0)
    assert said == corrections(run_folder)
    assert {found_of(row): said[found_of(row)].kind for row in photo.objects} == dict(
        zip(map(found_of, photo.objects), (MOVED, REJECTED), strict=True)
    )
    assert said[found_of(photo.objects[0])].box == (1, 2, 30, 31)
    assert [runs.what(photo, number, said) for number in (0, 1)] == [MOVED, REJECTED]
    after = {path: path.read_bytes() for path in run_folder.rglob("*") if path.is_file()}
    assert after.keys() - before.keys() == {run_folder / FILE}
    assert all(after[path] == content for path, content in before.items())


def test_a_photo_is_judged_once_all_of_its_objects_are(runs, keys, run_folder):
    photo = runs.waiting(0, keys["a.png"])
    for number, (kind, judged) in enumerate([(ACCEPTED, False), (REJECTED, True)]):
        runs.correct(0, photo.key, number, kind)
        assert is_judged(photo.rows, runs.said(0)) is judged
        assert ("a.png" not in [each.photo for each in waiting(run_folder)]) is judged
    runs.correct(0, photo.key, 0, UNDONE)
    assert not is_judged(photo.rows, runs.said(0))
    assert not is_judged(runs.waiting(0, keys["broken.png"]).rows, runs.said(0)), "one without objects never is"


@pytest.mark.parametrize(
    ("number", "kind", "box"),
    [(2, ACCEPTED, None), (-1, ACCEPTED, None), (0, "right", None), (0, MOVED, None), (0, MOVED, [0, 0, 0, 5]),
     (0, MOVED, [0, 0, 49, 5]), (0, MOVED, [5, 5, 1, 1]), (0, MOVED, [0.5, 0, 5, 5]), (0, ACCEPTED, [0, 0, 5, 5])],
)  # fmt: skip
def test_what_cannot_be_said_is_told_and_not_kept(runs, keys, run_folder, number, kind, box, unchecked):
    with pytest.raises(DeepInsideError):
        runs.correct(0, keys["a.png"], number, kind, box)
    assert not (run_folder / FILE).exists() or not (run_folder / FILE).read_bytes()


def test_many_people_correct_at_a_time(runs, keys, run_folder):
    pairs = [(keys["a.png"], number % 2) for number in range(20)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda pair: runs.correct(0, *pair, ACCEPTED), pairs))
    lines = [json.loads(line) for line in (run_folder / FILE).read_text().splitlines()]
    assert len(lines) == 20
    assert Counter(line["kind"] for line in lines) == {ACCEPTED: 20}


def test_a_run_is_read_once_and_anew_where_somebody_asks(runs, run_folder, monkeypatch):
    from deepinside.studio import runs as module

    read = []
    monkeypatch.setattr(module, "part_rows", lambda *given: read.append(given) or part_rows(*given))
    for _ in range(3):
        runs.photos(0)
    assert len(read) == 1
    runs.photos(0, anew=True)
    assert len(read) == 2
