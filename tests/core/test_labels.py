import json

import numpy as np
import pytest
import torch

from deepinside.core.errors import DeepInsideError
from deepinside.core.labels import Labels, as_labels, imagenet, read_labels


@pytest.fixture(scope="module")
def classes():
    return imagenet()


@pytest.mark.parametrize(("wanted", "index"), [
    ("tabby", 281), ("Tabby Cat", 281), ("tabby, tabby cat", 281), ("n02123045", 281), ("281", 281), (281, 281),
    ("kit fox", 278), ("goose", 99), ("ostrich", 9), ("limousine", 627), ("limo", 627), (" washing machine ", 897),
])  # fmt: skip
def test_find(classes, wanted, index):
    assert classes.find(wanted) == index


@pytest.mark.parametrize(("wanted", "message"), [
    ("crane", "134.*517.*give the index"),
    ("panther", "names 2 classes"),
    ("tabbi", "did you mean tabby"),
    ("terrier", "maltese terrier"),
    ("1000", "from 0 to 999, got 1000"),
    ("-1", "got -1"),
    ("", "expected a class name"),
])  # fmt: skip
def test_unknown_and_ambiguous_names_help(classes, wanted, message):
    with pytest.raises(DeepInsideError, match=message):
        classes.find(wanted)


def test_every_class_has_a_name_of_its_own_that_finds_it(classes):
    names = [classes.name(i) for i in range(1000)]
    assert len(set(names)) == 1000
    assert all(classes.find(classes.wnid(i)) == i for i in range(1000))


def test_networks_without_labels_number_their_classes():
    assert Labels().name(7) == "class 7"
    assert Labels().find("7") == 7
    assert Labels().wnid(7) is None


def test_read_labels(tmp_path):
    plain = tmp_path / "plain.txt"
    plain.write_text("cat, house cat\nhot dog\n\n")
    assert read_labels(plain).find("house cat") == 0
    assert len(read_labels(plain)) == 2
    mapping = tmp_path / "mapping.txt"
    mapping.write_text("n01440764 tench, Tinca tinca\nn01443537 goldfish\n")
    assert read_labels(mapping).wnid(1) == "n01443537"
    assert read_labels(mapping).find("tinca tinca") == 0


@pytest.mark.parametrize("text", ["", "cat\n\ndog\n"])
def test_read_labels_refuses_gaps(tmp_path, text):
    (tmp_path / "labels.txt").write_text(text)
    with pytest.raises(DeepInsideError, match="one class name on every line"):
        read_labels(tmp_path / "labels.txt")


def test_read_labels_names_a_missing_file(tmp_path):
    with pytest.raises(DeepInsideError, match=r"none\.txt"):
        read_labels(tmp_path / "none.txt")


def test_classes_that_are_called_by_numbers():
    """As folders `0` to `11` are sorted: the name is looked for first."""
    digits = Labels.of(sorted(map(str, range(12))))
    for name in map(str, range(12)):
        assert digits.name(digits.find(name)) == name
    assert digits.find(2) == 2
    assert digits.reading("2") == "'2' is read as the class named '2' (index 4), not as index 2"
    assert digits.reading("0") is None
    assert digits.reading(2) is None
    far = Labels.of(["1355868", "1355869"])
    assert far.find("1355869") == 1
    assert far.reading("1355869") is None, "there is no such index"
    assert far.find("1") == 1
    assert far.reading("1") == "no class is named '1', so it is read as index 1, the class named '1355869'"


def test_without_classes_of_such_names_a_number_is_an_index(classes):
    assert classes.find("281") == 281
    assert classes.reading("281") is None
    assert classes.reading("tabby") is None


@pytest.mark.parametrize("three", [3, np.int64(3), np.uint8(3), np.array(3), torch.tensor(3), torch.tensor([3]), "3"])
def test_integers_of_every_kind(three):
    assert Labels.of(list("abcde")).find(three) == 3


@pytest.mark.parametrize("wanted", [
    True, np.True_, torch.tensor(True), 3.0, np.float32(3), torch.tensor(3.0), torch.tensor([1, 2]), None, b"a",
    "\u00b2", "--5", "\u0663", "3.0", "9" * 30,
])  # fmt: skip
def test_what_is_neither_name_nor_index_is_refused_in_one_line(wanted):
    with pytest.raises(DeepInsideError, match="expected a class name, WordNet id or index") as refused:
        Labels.of(list("abcde")).find(wanted)
    assert "\n" not in str(refused.value)


def test_a_name_keeps_its_comma_and_synonyms_still_find_it():
    cities = as_labels(["Washington, D.C.", "Paris"])
    assert cities.name(0) == "Washington, D.C."
    assert cities.find("washington, d.c.") == cities.find("Washington") == 0


def test_imagenets_own_list_keeps_its_short_names(classes):
    """As Hugging Face's networks have it: every class with all of its synonyms, without WordNet ids."""
    listed = {str(number): ", ".join(names) for number, names in enumerate(classes.synonyms)}
    assert as_labels(listed) == classes


def test_labels_from_any_form(tmp_path, classes):
    expected = Labels.of(["ant", "bee"])
    (tmp_path / "labels.json").write_text(json.dumps({"ant": 0, "bee": 1}))
    for value in (
        expected,
        ["ant", "bee"],
        {1: "bee", 0: "ant"},
        tmp_path / "labels.json",
        str(tmp_path / "labels.json"),
    ):
        assert as_labels(value) == expected
    assert as_labels([("cat", "house cat"), ("dog",)]).find("house cat") == 0
    assert as_labels([["n02123045", "tabby"], ["n02123159", "tiger_cat"]]).wnid(1) == "n02123159"
    assert as_labels([3, 7]).name(1) == "7"
    assert as_labels(()) == Labels()


@pytest.mark.parametrize(("value", "message"), [
    (["ant", ""], "an empty one for class 1"),
    (["ant", None], "expected a name for class 1, got 'None'"),
    ({0: "ant", 2: "bee"}, "without gaps"),
    ("no such file.txt", "no such file.txt: expected a text file"),
])  # fmt: skip
def test_labels_that_cannot_be_right_are_refused(value, message):
    with pytest.raises(DeepInsideError, match=message):
        as_labels(value)
