import pytest

from deepinside.core.errors import DeepInsideError
from deepinside.core.labels import Labels, imagenet, read_labels


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
