"""Names of classes and photos."""

from pathlib import Path

import pytest

from deepinside.core.geometry import Frame
from deepinside.core.results import Explanation
from deepinside.explanations.exports.names import absolute, below, class_names, flat, name_class, short
from exported import MASK, detection


def test_classes_of_one_name_get_their_ids():
    names = {}
    for index, label, wnid in ((3, "crane", "n1"), (4, "crane", "n2"), (5, "crane", None), (6, " ", None)):
        name_class(names, index, label, wnid)
    assert names == {3: "crane", 4: "crane (n2)", 5: "crane (5)", 6: "class 6"}


def test_names_that_are_known_stay():
    frame = Frame.whole(20, 20, width=2, height=2)
    seen = Explanation("a", 20, 20, "m", "p", (detection(7, MASK, frame, "new"), detection(8, MASK, frame, "new")))
    names = {7: "known"}
    assert class_names(seen, names) == ["known", "new"]
    assert names == {7: "known", 8: "new"}


@pytest.mark.parametrize(("name", "expected"), [
    ("cats/tom.jpg", "cats__tom"), ("../../etc/tom.jpg", "etc__tom"), ("/tom.jpg", "tom"), (" .jpg", "photo"),
    ("a\nb.jpg", "a%0Ab"), ("CON.jpg", "%43ON"),
])  # fmt: skip
def test_a_flat_name_stays_in_its_folder_and_on_its_line(name, expected):
    assert flat(Path(name)) == expected


def test_names_fit():
    assert len(short("x" * 300)) == 200
    assert below(Path("/a/../b")) == Path("a/b")
    assert absolute(Path("/caf\udce9.jpg")) == r"/caf\xe9.jpg"
