"""What the page asks of the library, against `explain`: the same answers, no more passes than needed, own photos."""

import struct
import zlib
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO

import pytest
import torch
from PIL import Image

from deepinside.core.errors import DeepInsideError
from deepinside.core.examples import packaged_examples
from deepinside.explanations.by_color import Paper
from deepinside.explanations.by_features import Best
from deepinside.explanations.by_method import ByMethod
from deepinside.explanations.explain import explain
from deepinside.explanations.presets import with_constants
from deepinside.networks.classifier import Classifier
from deepinside.studio import desk as module
from deepinside.studio.desk import GONE, Desk, examples_of
from deepinside.studio.shelf import Shelf
from deepinside.studio.wish import Wish
from desks import desk_of, same, scene
from helpers import NAMES, Colors

SEGMENTED = [  # constants that the outline alone is made by
    ("best", (("outline.smoothness", "5"), ("outline.prior", "0.2"))),
    ("best", (("resolution", "16"),)),
    ("paper", (("foreground_quantile", "0.7"), ("background_quantile", "0.6"))),
    ("paper", (("cut.smoothness", "0"),)),
    ("gradcam", (("cut.foreground_quantile", "0.6"),)),
]
SEEN = [  # constants that the network is asked anew for
    ("best", (("closer", "0"),)),
    ("best", (("continuity.level", "1.2"), ("objects", "1"))),
    ("paper", (("layer", "features"), ("foreground_quantile", "0.8"))),
]


@pytest.fixture
def passes(monkeypatch):
    """How often each kind of localizer has asked a network, and for how many photos."""
    asked = []
    for kind in (Best, Paper, ByMethod):

        def see(self, classifier, batch, choices, most=None, *, own=kind.see):
            asked.append(len(batch))
            return own(self, classifier, batch, choices, most)

        monkeypatch.setattr(kind, "see", see)
    return asked


def expected(desk, wish):
    localizer = with_constants(wish.preset, dict(wish.constants))
    classifier = desk.classifier(wish.model)
    targets = {"top": 1} if wish.target is None else {"targets": wish.target}
    return explain(classifier, desk.photo(wish.photo), preset=localizer, **targets)


# ------------------------------------------------------------------------------------------------------------- looks


@pytest.mark.parametrize("target", [None, 0, 1, 2])
@pytest.mark.parametrize("preset", ["best", "paper", "layercam"])
def test_what_the_page_shows_is_what_explain_finds(desk, photo, preset, target):
    wish = Wish(photo, "colors", preset, target=target)
    same(desk.explanation(wish), expected(desk, wish))
    same(desk.look(wish).explanation, expected(desk, wish))
    assert desk.explanation(wish).name == "my photo.png"


@pytest.mark.parametrize(("preset", "constants"), [*SEGMENTED, *SEEN], ids=str)
def test_constants_act_as_in_explain(desk, photo, preset, constants):
    plain = desk.explanation(Wish(photo, "colors", preset, target=1))
    wish = Wish(photo, "colors", preset, constants, 1)
    same(desk.explanation(wish), expected(desk, wish))
    assert desk.explanation(wish).preset != plain.preset
    same(desk.explanation(Wish(photo, "colors", preset, target=1)), plain)


@pytest.mark.parametrize(("preset", "constants"), SEGMENTED, ids=str)
def test_an_outline_follows_its_constants_without_the_network(desk, photo, passes, preset, constants):
    before = desk.explanation(Wish(photo, "colors", preset, target=0))
    assert passes == [1]
    after = desk.explanation(Wish(photo, "colors", preset, constants, 0))
    assert passes == [1]
    assert after.objects[0].map.tobytes() == before.objects[0].map.tobytes()


@pytest.mark.parametrize(("preset", "constants"), SEEN, ids=str)
def test_what_changes_the_map_asks_the_network_again(desk, photo, passes, preset, constants):
    for number in (1, 2, 2):  # once each
        desk.explanation(Wish(photo, "colors", preset, constants if number > 1 else (), 0))
        assert len(passes) == number


def test_a_look_is_asked_for_once(desk, photo, passes):
    first = desk.look(Wish(photo, "colors"))
    index = first.explanation.objects[0].index
    assert desk.look(Wish(photo, "colors")) is first
    assert desk.look(Wish(photo, "colors", target=index)) is first, "the likeliest class by its index"
    assert passes == [1]
    desk.look(Wish(photo, "colors", target=(index + 1) % 3))
    desk.look(Wish(desk.keep(scene(), "other.png"), "colors"))
    assert passes == [1, 1, 1]


def test_constants_are_one_look_whatever_their_order_or_spelling(desk, photo, passes):
    for constants in (
        (("closer", "1"), ("objects", "2")), (("objects", "2"), ("closer", "1")), (("objects", " 2"), ("closer", "1")),
    ):  # fmt: skip
        desk.look(Wish(photo, "colors", "best", constants, 0))
    assert passes == [1]


@pytest.mark.parametrize("preset", ["best", "paper"])
def test_people_get_what_is_seen_in_their_own_photos(desk, preset, passes):
    ids = [desk.keep(scene(number), f"{number}.png") for number in range(4)]
    with ThreadPoolExecutor(48) as pool:
        wishes = [Wish(id, "colors", preset, target=target) for id in ids for target in (None, 1)]
        found = list(pool.map(desk.explanation, wishes))
    assert len(passes) < len(wishes), "some went together"
    for wish, mine in zip(wishes, found, strict=True):
        index = mine.objects[0].index if wish.target is None else wish.target
        own = explain(desk.classifier("colors"), desk.photo(wish.photo), index, preset=preset)
        assert mine.name == desk.name(wish.photo) == own.name
        assert [each.index for each in mine.objects] == [each.index for each in own.objects]
        assert [each.box for each in mine.objects] == [each.box for each in own.objects]
        for one, other in zip(mine.objects, own.objects, strict=True):
            assert torch.allclose(*(torch.from_numpy(each.map) for each in (one, other)), rtol=1e-3, atol=1e-6)


def test_a_photo_that_cannot_be_explained_leaves_those_beside_it_alone(desk):
    stream = BytesIO()
    Image.new("RGB", (64, 48), "gray").save(stream, "PNG")
    flat = desk.keep(stream.getvalue(), "flat.png")
    wishes = [Wish(flat if number % 3 == 1 else desk.keep(scene(number), "a.png"), "colors") for number in range(9)]

    def told(wish):
        try:
            return desk.explanation(wish).objects[0].label
        except DeepInsideError as error:
            return str(error)

    with ThreadPoolExecutor(9) as pool:
        found = list(pool.map(told, wishes))
    for number, each in enumerate(found):
        assert ("nothing to localize" in each) if number % 3 == 1 else (each == NAMES[number % 3])


def test_unknown_classes_constants_and_presets_are_told(desk, photo, unchecked):
    for wish, message in (
        (Wish(photo, "colors", target=3), "expected a class index from 0 to 2, got 3"),
        (Wish(photo, "colors", target=-1), "expected a class index from 0 to 2, got -1"),
        (Wish(photo, "colors", "papr"), "did you mean paper"),
        (Wish(photo, "colors", "best", (("outline.smoothness", "x"),)), "outline.smoothness"),
        (Wish(photo, "colors", "best", (("outline.smoothness", "-1"),)), "smoothness to be 0 or more"),
        (Wish(photo, "colors", "paper", (("layer", "nowhere"),)), "nowhere"),
    ):
        for ask in (desk.look, desk.explanation):
            with pytest.raises(DeepInsideError) as error:
                ask(wish)
            assert message in str(error.value)
            assert "\n" not in str(error.value)


# ---------------------------------------------------------------------------------------------------------- networks


def test_networks_are_those_of_the_page_and_loaded_once(monkeypatch, unchecked):
    loaded = Counter()

    def load(model):
        loaded[model] += 1
        return Classifier(Colors(), labels=NAMES, size=32, name=model)

    monkeypatch.setattr(module, "load", load)
    desk = Desk(("one", "two"), {}, "cpu")
    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(desk.classifier, ["one", "two"] * 20))
    assert loaded == {"one": 1, "two": 1}
    assert len(set(map(id, found))) == 2
    assert found[0].device.type == "cpu"
    photo = desk.keep(scene(), "a.png")
    for other in ("three", "", "One", "../one"):
        for ask in (desk.classifier, lambda model: desk.look(Wish(photo, model))):
            with pytest.raises(DeepInsideError, match=r"expected a network of this page \(one, two\), got"):
                ask(other)
    assert loaded == {"one": 1, "two": 1}


def test_networks_of_one_photo_do_not_share_looks():
    desk = desk_of(Classifier(Colors(), labels=NAMES, size=32, name="colors"))
    desk.models = ("colors", "others")
    desk._classifiers["others"] = Classifier(Colors(), labels=["r", "g", "b"], size=32, name="others")
    photo = desk.keep(scene(), "a.png")
    assert [desk.explanation(Wish(photo, model)).objects[0].label for model in desk.models] == ["red", "r"]


# ------------------------------------------------------------------------------------------------------------ photos


def declared(width, height):
    """A PNG that says it is so large, and is a few bytes."""

    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 99)) + chunk(b"IEND", b"")
    )


BAD = {
    "empty": b"",
    "text": b"<script>alert(1)</script>",
    "cut short": scene()[:200],
    "too many bytes": b"\x89PNG" + b"\0" * module.MOST_BYTES,
    "too many pixels": declared(10_000, 6_401),
    "far too many pixels": declared(100_000, 100_000),
    "no pixels": declared(0, 0),
    "an SVG": b'<svg xmlns="http://www.w3.org/2000/svg"/>',
    "a PDF": b"%PDF-1.4\n%%EOF",
}


@pytest.mark.parametrize("kind", BAD)
def test_what_is_no_photo_or_too_large_is_told_in_one_line_and_not_kept(desk, kind):
    with pytest.raises(DeepInsideError) as error:
        desk.keep(BAD[kind], "it.png")
    assert str(error.value).startswith("it.png: ")
    assert "\n" not in str(error.value)
    assert desk._files.size == 0
    if kind.startswith("too many"):
        assert "expected a photo of at most" in str(error.value)


def test_a_photo_of_so_many_pixels_is_not_decoded(desk, monkeypatch):
    monkeypatch.setattr(module, "read_bytes", lambda *_: pytest.fail("decoded"))
    with pytest.raises(DeepInsideError, match="at most 64 million pixels, got one of 64 million; make it smaller"):
        desk.keep(declared(10_000, 6_401), "a.png")


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF"])
def test_photos_stay_as_they_came(desk, form):
    content = scene(form=form)
    id = desk.keep(content, "a b.x")
    assert desk.name(id) == desk.photo(id).name == "a b.x"
    with Image.open(BytesIO(content)) as image:
        assert desk.photo(id).image.tobytes() == image.convert("RGB").tobytes()
    assert desk._file(id)[0] == content


def test_ids_cannot_be_guessed_and_each_photo_has_its_own(desk):
    ids = {desk.keep(scene(), "a.png") for _ in range(50)}
    assert len(ids) == 50
    assert all(len(id) >= 22 for id in ids), "128 bits"


def test_a_photo_that_is_not_kept_any_more_is_told_in_one_line(desk, monkeypatch):
    desk._files = Shelf(3 * len(scene()))
    first = desk.keep(scene(), "a.png")
    for _ in range(3):
        desk.keep(scene(), "b.png")
    for ask in (desk.photo, desk.name, lambda id: desk.look(Wish(id, "colors"))):
        for id in (first, "nobody's", "", "../../etc/passwd"):
            with pytest.raises(DeepInsideError) as error:
                ask(id)
            assert str(error.value) == GONE


def test_looks_that_do_not_fit_are_looked_at_again(desk, passes):
    desk._looks = Shelf(2 * module.LOOK)
    ids = [desk.keep(scene(number), "a.png") for number in range(3)]
    for id in [*ids, *ids]:
        wish = Wish(id, "colors", target=0)
        same(desk.explanation(wish), expected(desk, wish))
    assert desk._looks.size <= 2 * module.LOOK or len(desk._looks._kept) == 1


# ---------------------------------------------------------------------------------------------------------- examples


def test_examples_are_for_everybody_by_their_names(photos, colors):
    found = examples_of(photos)
    assert list(found) == ["astronaut.jpg", "cat.jpg", "coffee.jpg", "rocket.jpg"]
    desk = desk_of(colors, examples=found)
    with Image.open(photos / "cat.jpg") as image:
        assert desk.photo("cat.jpg").image.size == image.size
    assert desk.photo("cat.jpg").name == desk.name("cat.jpg") == "cat.jpg"
    assert list(examples_of(photos, 2)) == ["astronaut.jpg", "cat.jpg"]


def test_photos_that_cannot_be_read_are_no_examples(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"no photo")
    Image.new("RGB", (8, 8)).save(tmp_path / "b.png")
    assert list(examples_of(tmp_path)) == ["b.png"]


def test_nobody_gets_another_file_than_the_examples(photos, colors):
    desk = desk_of(colors, examples=examples_of(photos, 1))
    for name in ("cat.jpg", str(photos / "cat.jpg"), "../photos/cat.jpg", "./astronaut.jpg"):
        with pytest.raises(DeepInsideError, match="not kept any more"):
            desk.photo(name)


def test_a_folder_without_photos_is_told(tmp_path):
    with pytest.raises(DeepInsideError, match="expected a folder with photos"):
        examples_of(tmp_path)


def test_the_page_brings_photos_of_its_own():
    assert Desk().examples == packaged_examples()
