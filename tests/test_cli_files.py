"""Names of files: as they were for the defaults, and different wherever a run is."""

from itertools import combinations
from pathlib import Path

import pytest

from deepinside.cli_files import LONGEST, beside, kind_of
from deepinside.cli_options import Explained, Network, Pass


def test_the_defaults_add_nothing():
    assert kind_of("localize", Network(), *Explained().own("best"), *Pass().own()) == "localize"
    assert beside(Path("out"), Path("cats/tom.jpg"), "localize") == Path("out/cats/tom.localize.png")


def test_every_choice_has_a_name_of_its_own(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "net.py").write_text("")
        (tmp_path / name / "best.pth").write_text("")
    networks = [Network(), Network("lite1"), Network("timm:resnet50"), Network("torchvision:resnet50")]
    networks += [Network(str(tmp_path / name)) for name in ("a", "b")]
    networks += [Network(f"{tmp_path / name / 'net.py'}:{make}") for name in ("a", "b") for make in ("one", "two")]
    networks += [Network("timm:resnet50", weights=tmp_path / name / "best.pth") for name in ("a", "b")]
    chosen = [(), ("guided",), ("deconvnet",), ("blocks.2",), ("blocks.2", "guided"), ("tabby",), ("tiger cat",)]
    chosen += [("blocks.2.1:7",), ("blocks.2.1:7@3,5",), ("柴犬",), ("2",), ("best",)]
    kinds = [kind_of("map", network, *own) for network in networks for own in chosen]
    for one, other in combinations(kinds, 2):
        assert one.casefold() != other.casefold()
    numbered = {f"map-{number}" for number in range(2, 100)}
    assert not numbered & set(kinds), "the second class of a photo is no other run"
    assert all(len(kind) <= len("map-") + LONGEST for kind in kinds)


def test_the_names_stay_the_same_and_say_what_they_are():
    assert kind_of("saliency", Network(), *Pass(layer="blocks.2", rule="guided").own()) == "saliency-blocks.2-guided"
    assert kind_of("saliency", Network("hf:google/vit"), None, "tiger cat") == "saliency-hf-google-vit-tiger-cat"


def test_many_classes_are_told_apart_by_a_digest():
    names = [f"class {number}" for number in range(40)]
    one, other = (kind_of("map", Network(), *names[:-1], last) for last in ("class 39", "class 40"))
    assert one != other
    assert one[:50] == other[:50]


@pytest.mark.parametrize("text", ["../../etc/passwd", "a/b\\c", "\x1b[31m", "\udce9", "...", "con:", "*?"])
def test_no_text_leaves_the_folder_or_breaks_a_name(text):
    path = beside(Path("out"), Path("tom.jpg"), kind_of("map", Network(), text))
    assert path.parent == Path("out")
    assert path.name.startswith("tom.map-")
    assert path.name.removeprefix("tom.map-").removesuffix(".png").replace("-", "").replace(".", "").isalnum()


def test_a_name_without_room_for_a_suffix_is_shortened(tmp_path):
    names = [Path("x" * 251 + end) for end in (".jpg", ".jpe")]
    longest = [Path("é" * 123 + str(number) + ".png") for number in range(2)]
    paths = [beside(tmp_path, name, "localize") for name in (*names[:1], *longest)]
    assert len(set(paths)) == 3
    for path in paths:
        path.write_text("")
        assert path.name.endswith("localize.png")
