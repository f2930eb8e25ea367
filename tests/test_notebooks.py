"""The check of notebooks, on notebooks with one mistake each; running them is left to `make notebooks`."""

import copy
import doctest
import json

import notebooks
import pytest

import deepinside

PATHS = sorted(notebooks.FOLDER.glob("*.ipynb"))


def printed(text, name="stdout"):
    return {"output_type": "stream", "name": name, "text": [text]}


def shown(**data):
    kinds = {"html": "text/html", "png": "image/png", "jpeg": "image/jpeg"}
    return {"output_type": "display_data", "metadata": {}, "data": {kinds[key]: value for key, value in data.items()}}


def code(number, text, *outputs):
    timed = {"execution": {"iopub.execute_input": "2026-01-01T00:00:00Z"}}
    return {"cell_type": "code", "source": text, "execution_count": number, "metadata": timed, "outputs": list(outputs)}


@pytest.fixture
def good():
    cells = [
        {"cell_type": "markdown", "metadata": {"collapsed": True}, "source": "# Title"},
        code(1, "%pip install x", printed("Requirement already satisfied: x in /home/me/x")),
        code(2, ["a = 1\n", "a"], shown(html='<img src="data:image/jpeg;base64,AA/tmp/AA"> 1 of /2')),
    ]
    return notebooks.cleaned({"cells": cells, "metadata": {"widgets": 1}, "nbformat": 4, "nbformat_minor": 5})


def test_examples():
    assert doctest.testmod(notebooks).attempted
    assert not doctest.testmod(notebooks).failed


def test_a_good_notebook_has_no_complaints(good):
    assert list(notebooks.complaints(good)) == []


def test_what_changes_from_run_to_run_is_not_kept(good):
    assert "2026" not in json.dumps(good)
    assert "satisfied" not in json.dumps(good)
    assert set(good["metadata"]) == {"deepinside", "kernelspec", "language_info"}
    assert "version" not in good["metadata"]["language_info"]
    assert notebooks.cleaned(good) == good


def test_a_picture_is_kept_once():
    both, one = shown(png="A", jpeg="B"), shown(jpeg="B")
    cleaned = notebooks.cleaned({"cells": [code(1, "x", both, one)]})
    assert [set(each["data"]) for each in cleaned["cells"][0]["outputs"]] == [{"image/png"}, {"image/jpeg"}]


@pytest.mark.parametrize(
    ("output", "complaint"),
    [
        (printed("UserWarning: old\n", "stderr"), "cell 2 warns: UserWarning: old"),
        ({"output_type": "error", "ename": "ValueError", "evalue": "no"}, "cell 2 raises ValueError: no"),
        (printed("wrote /tmp/x.png"), "cell 2 tells of a machine: /tmp/x.png"),
        (printed(f"wrote {notebooks.REPOSITORY}/x.png"), f"cell 2 tells of a machine: {notebooks.REPOSITORY}/x.png"),
        (printed("<object at 0x7f01aabbccdd>"), "cell 2 tells of a machine: 0x7f01aabbccdd"),
        (shown(html="<b>/home/me/cat.jpg</b>"), "cell 2 tells of a machine: /home/me/cat.jpg"),
        (shown(html=r"C:\Users\me"), r"cell 2 tells of a machine: C:\Users\me"),
    ],
)
def test_outputs_are_without_errors_warnings_and_machines(good, output, complaint):
    good["cells"][2]["outputs"].append(output)
    assert list(notebooks.complaints(good)) == [complaint]


@pytest.mark.parametrize("counts", [[None, None], [1, 3], [2, 1]])
def test_cells_are_run_in_order(good, counts):
    for cell, count in zip(good["cells"][1:], counts, strict=True):
        cell["execution_count"] = count
    assert list(notebooks.complaints(good)) == ["expected all cells run once and in order"]


def test_cells_are_those_that_were_run(good):
    good["cells"][2]["source"] = "a = 2\na"
    assert list(notebooks.complaints(good)) == ["a cell was changed after it was run"]
    good["cells"][2]["source"] = "a = 1\na"  # the same, on lines or not
    good["cells"][0]["source"] = "# Another title"
    assert list(notebooks.complaints(good)) == []


def test_there_is_something_to_look_at(good):
    good["cells"][2]["outputs"] = []
    assert list(notebooks.complaints(good)) == ["expected something to look at below its last cell"]


def test_times_of_a_run_are_not_committed(good):
    good["cells"][2]["metadata"] = {"execution": {}}
    assert len(list(notebooks.complaints(good))) == 1


def test_a_file_is_small_and_the_first_look_is_short(good, tmp_path, monkeypatch):
    path = tmp_path / "first-look.ipynb"
    notebooks.write(path, good)
    assert list(notebooks.complaints_of_file(path)) == ["expected 5 code cells, got 2"]
    monkeypatch.setattr(notebooks, "MOST_BYTES", 100)
    assert [each.partition(" bytes")[0] for each in notebooks.complaints_of_file(path)][1:] == ["expected at most 100"]
    notebooks.write(tmp_path / "other.ipynb", good)
    assert len(list(notebooks.complaints_of_file(tmp_path / "other.ipynb"))) == 1


def test_what_is_printed_in_pieces_is_joined():
    pieces = [printed("a\n"), printed("b\n"), printed("c\n", "stderr"), printed("d\n")]
    (cell,) = notebooks.cleaned({"cells": [code(1, "x", *pieces)]})["cells"]
    assert [each["text"] for each in cell["outputs"]] == [["a\n", "b\n"], ["c\n"], ["d\n"]]


def test_what_is_shown_is_compared_by_its_kinds(good):
    again = copy.deepcopy(good)
    again["cells"][2]["outputs"] = [shown(html="another"), printed("a")]
    assert notebooks.kinds(good) == [[], [["text/html"]]]
    assert notebooks.kinds(again) == [[], [["text/html"], ["stdout"]]]


def test_the_hub_holds_the_embedded_weights(tmp_path, monkeypatch):
    load_file = pytest.importorskip("safetensors.torch").load_file
    notebooks.fill_hub(tmp_path)
    (stored,) = tmp_path.glob("hub/models--timm--tf_efficientnet_lite0.in1k/snapshots/*/model.safetensors")
    assert (tmp_path / "hub" / "models--timm--tf_efficientnet_lite0.in1k" / "refs" / "main").read_text() == (
        stored.parent.name
    )
    state, own = load_file(stored), deepinside.load("lite0").network.model.state_dict()
    assert set(state) == set(own)
    assert all((state[name] == value).all() for name, value in own.items())


def test_there_are_notebooks():
    assert {path.name for path in PATHS} >= set(notebooks.COUNTS)


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.name)
def test_what_is_committed_has_no_complaints(path):
    assert list(notebooks.complaints_of_file(path)) == []


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.name)
def test_committed_notebooks_are_of_their_format(path):
    nbformat = pytest.importorskip("nbformat")
    nbformat.validate(nbformat.read(path, as_version=4))
