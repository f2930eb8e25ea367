"""Class names in every form that people keep them in, which all stand for the same classes."""

import json

import numpy as np
import pytest

from deepinside.core.errors import DeepInsideError
from deepinside.core.label_files import in_order, read_classes

CITIES = ["Paris", "Washington, D.C.", "東京"]


@pytest.mark.parametrize("classes", [
    CITIES, tuple(CITIES), dict(enumerate(CITIES)), {str(i): name for i, name in enumerate(CITIES)},
    {name: i for i, name in enumerate(CITIES)}, {name: str(i) for i, name in enumerate(CITIES)},
    {2: "東京", 0: "Paris", 1: "Washington, D.C."}, {"東京": 2, "Washington, D.C.": 1, "Paris": 0},
    {np.int64(2): "東京", np.int64(0): "Paris", np.int64(1): "Washington, D.C."},
    {"model_type": "vit", "id2label": {str(i): name for i, name in enumerate(CITIES)}},
    {"class_to_idx": {name: i for i, name in enumerate(CITIES)}}, np.array(CITIES),
])  # fmt: skip
def test_lists_and_dictionaries_of_either_direction(classes):
    assert in_order(classes) == CITIES


def test_eleven_classes_are_in_the_order_of_their_numbers_not_of_their_digits():
    assert in_order({str(number): f"c{number}" for number in sorted(range(12), key=str)}) == [
        f"c{i}" for i in range(12)
    ]


@pytest.mark.parametrize(("classes", "names"), [
    ({"3": 2, "1": 0, "2": 1}, ["1", "2", "3"]),  # classes that are called by numbers
    ({0: "1", 1: "2", 2: "0"}, ["1", "2", "0"]),
    ({0: 5, 1: 7}, [5, 7]),
    ({"0": "0", "1": "1"}, ["0", "1"]),
])  # fmt: skip
def test_numbers_that_are_names(classes, names):
    assert in_order(classes) == names


@pytest.mark.parametrize(("classes", "message"), [
    ({1: "a", 2: "b"}, "the numbers 0 to 1, without gaps, got '1': 'a', '2': 'b'"),
    ({"a": 0, "b": 2}, "without gaps"),
    ({"a": 0, "b": 0}, "without gaps"),
    ({"a": True, "b": False}, "without gaps"),
    ({"a": 0.0, "b": 1.0}, "without gaps"),
    ({"0": "1", "1": "2", "2": "0"}, "only numbers; give a list"),
    ({"b", "a"}, "sets have no order"),
])  # fmt: skip
def test_what_has_no_order_is_refused(classes, message):
    with pytest.raises(DeepInsideError, match=message) as refused:
        in_order(classes)
    assert "\n" not in str(refused.value)


ANIMALS = ["ant", "bee, honeybee", "cat"]


@pytest.mark.parametrize(("name", "text"), [
    ("a.txt", 'ant\nbee, honeybee\ncat\n'),
    ("a.txt", 'ant\r\n"bee, honeybee"\r\ncat\r\n\r\n'),
    ("a.txt", "0 ant\n1 bee, honeybee\n2 cat"),
    ("a.txt", "1: bee, honeybee\n0: ant\n2: cat"),
    ("a.txt", "cat 2\nant 0\nbee, honeybee 1\n"),
    ("a.txt", "{0: 'ant',\n 1: 'bee, honeybee',\n 2: 'cat'}"),
    ("a.json", json.dumps(ANIMALS)),
    ("a.json", json.dumps({"2": "cat", "0": "ant", "1": "bee, honeybee"})),
    ("a.json", json.dumps({"id2label": {"2": "cat", "0": "ant", "1": "bee, honeybee"}, "label2id": {"cat": 2}})),
    ("a.csv", 'ant\n"bee, honeybee"\ncat\n'),
    ("a.csv", 'index,name\n2,cat\n0,ant\n1,"bee, honeybee"\n'),
    ("a.csv", "Name;ID\ncat;2\nant;0\nbee, honeybee;1\n"),
    ("a.csv", 'sep=;\nant;0\nbee, honeybee;1\ncat;2\n'),
    ("a.tsv", "0\tant\n1\tbee, honeybee\n2\tcat\n"),
])  # fmt: skip
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_files(tmp_path, name, text, encoding):
    (tmp_path / name).write_bytes(text.encode(encoding))
    assert read_classes(tmp_path / name) == ANIMALS


def test_names_that_end_in_their_number_keep_it(tmp_path):
    (tmp_path / "a.txt").write_text("type 0\ntype 1\ntype 2\n")
    assert read_classes(tmp_path / "a.txt") == ["type 0", "type 1", "type 2"]


def test_a_class_index_of_imagenet(tmp_path):
    content = {"0": ["n01440764", "tench"], "1": ["n01443537", "goldfish"]}
    (tmp_path / "index.json").write_text(json.dumps(content))
    assert read_classes(tmp_path / "index.json") == [["n01440764", "tench"], ["n01443537", "goldfish"]]
    (tmp_path / "index.csv").write_text("wnid,name\nn01440764,tench\nn01443537,goldfish\n")
    assert read_classes(tmp_path / "index.csv") == [("n01440764", "tench"), ("n01443537", "goldfish")]


@pytest.mark.parametrize(("name", "content", "message"), [
    ("a.json", b"{", "expected class names as JSON"),
    ("a.json", b"[" * 100_000, "expected class names as JSON"),
    ("a.json", b"7", "a dictionary with their numbers, or a file, got int"),
    ("a.csv", b"ant\nbee, honeybee\n", "found others on line 2; put names that contain a comma in quotes"),
    ("a.csv", b"index,name\n1,ant\n2,bee\n", "the numbers 0 to 1, each once"),
    ("a.csv", b"ant,red\nbee,blue\n", "one column of class names, found 2"),
    ("a.csv", b"", "got an empty file"),
    ("a.txt", b"a\0b", "save it as UTF-8"),
])  # fmt: skip
def test_what_is_no_list_of_classes_is_told_in_one_line(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DeepInsideError, match=message) as refused:
        read_classes(tmp_path / name)
    assert "\n" not in str(refused.value)
    assert str(tmp_path / name) in str(refused.value)


@pytest.mark.parametrize("line", [
    "{0} {1}", "{0}\t{1}", "{0}: {1}", "{0}:{1}", "{0},{1}", "{0};{1}", "{0}|{1}", "{0} = {1}", "{0}) {1}", "{0}. {1}",
    "{1} {0}", "{1},{0}", "{1}: {0}", "{1}\t{0}", "{1}={0}",
])  # fmt: skip
def test_lines_of_a_number_and_a_name_in_the_order_of_the_numbers(tmp_path, line):
    names = ["big ant", "bee", "3 cats"]
    (tmp_path / "a.txt").write_text("".join(line.format(i, names[i]) + "\n" for i in (2, 0, 1)))
    assert read_classes(tmp_path / "a.txt") == names


def test_names_that_only_look_numbered_are_whole(tmp_path):
    sizes = ["0.5 mm", "1.5 mm", "2.5 mm"]
    for names in (sizes, ["7 up", "5 cents", "0 coke"], ["1 euro", "2 euro", "5 euro"], ["0,1", "1,1"]):
        (tmp_path / "a.txt").write_text("\n".join(names))
        assert read_classes(tmp_path / "a.txt") == names


@pytest.mark.parametrize(("name", "text", "message"), [
    ("a.txt", "1 ant\n3 cat\n2 bee\n", "the numbers 0 to 2 beside the class names, got 1 to 3"),
    ("a.yaml", "- ant\n- bee\n", "got .yaml"), ("a.pbtxt", "item {}\n", "got .pbtxt"),
])  # fmt: skip
def test_other_numbers_and_forms_are_refused(tmp_path, name, text, message):
    (tmp_path / name).write_text(text)
    with pytest.raises(DeepInsideError, match=message):
        read_classes(tmp_path / name)
