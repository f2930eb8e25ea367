"""What an audit says: words, table and JSON."""

import io
import json

import numpy as np
import pytest
from rich.console import Console

from deepinside.archive.audit import audit
from deepinside.archive.audit_tables import audit_table, by_thirds, told, where, write_json
from planted import classes, evidence, natural, spots


@pytest.fixture(scope="module")
def found():
    random = np.random.default_rng(0)
    corner = spots(random.normal(3, 0.5, (24, 2)), 2.5)
    odd = evidence(9, np.concatenate([corner, natural(random, 16)]), "[bold]cat")
    return audit([*classes(random, 8), odd, evidence(11, natural(random, 3), "seldom")])


@pytest.mark.parametrize(("center", "name"), [((3, 3), "top left"), ((16, 16), "center"), ((29, 16), "bottom")])
def test_a_place_is_named_after_the_ninth_of_the_frame(center, name):
    assert where(spots([center], 2)[0].astype(float)) == name


def test_thirds_are_those_of_a_fine_grid():
    map = np.random.default_rng(0).random((32, 32))
    fine = np.kron(map, np.ones((3, 3))) / 9
    assert by_thirds(map) == pytest.approx(fine.reshape(3, 32, 3, 32).sum(axis=(1, 3)))


def test_a_class_that_is_raised_is_told_in_one_line(found):
    (line,) = told(found)
    assert line == "[bold]cat: 60% of its photos are decided in the top left of the frame, against 1% of all others"
    found[0].evidence.outside[:] = 0.25
    assert next(told(found)).endswith("; 25% of its evidence is outside of its boxes")
    found[0].evidence.outside[:] = np.nan


def test_nothing_is_one_line_as_well(found):
    assert list(told(found[1:])) == ["nothing is raised: no class of 8 stands out from the others"]
    (line,) = told(found[-1:])
    assert line.startswith("nothing is raised among fewer than 5 classes with 10 photos each (here 0)")
    assert len(list(told([]))) == 1


def test_the_table_has_the_oddest_class_first_and_escapes_names(found):
    stream = io.StringIO()
    Console(file=stream, width=100).print(audit_table(found))
    lines = [line.split() for line in stream.getvalue().splitlines() if line.strip()]
    assert lines[3][:5] == ["[bold]cat", "40", "60%", lines[3][3], "top"]
    assert lines[3][-1] == "!"
    assert lines[-1] == ["seldom", "3", "too", "few"]


def test_json_holds_all_classes_and_plain_numbers(found, tmp_path):
    told = json.loads(write_json(found, tmp_path / "audit.json").read_text())["classes"]
    assert [each["class"] for each in told] == [each.evidence.index for each in found]
    assert (told[0]["raised"], told[0]["clusters"][0]["where"], told[0]["outside"]) == (True, "top left", None)
    assert told[-1]["oddness"] is None
    assert np.sum(told[0]["by_thirds"]) == pytest.approx(1, abs=1e-3)
