"""The addresses of the page as a browser asks for them, and as somebody who means no good does."""

from io import BytesIO
from urllib.parse import quote

import numpy as np
import pytest
from PIL import Image
from starlette.applications import Starlette
from starlette.testclient import TestClient

from deepinside.studio import desk as desk_module
from deepinside.studio import routes as module
from deepinside.studio.pictures import shown_objects_map, shown_photo, shown_seeds
from deepinside.studio.routes import LONGEST_NAME, routes
from deepinside.studio.take import KINDS, taken
from deepinside.studio.wish import Wish
from desks import scene


@pytest.fixture
def client(desk, runs):
    return TestClient(Starlette(routes=routes(desk, runs)))


def bring(client, content, name="a.png"):
    return client.post(f"/studio/photos?name={quote(name, safe='')}", content=content)


def refused(answer):
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/json"
    (error,) = answer.json().values()
    assert list(answer.json()) == ["error"]
    assert "\n" not in error
    assert "Traceback" not in error
    return error


def test_a_photo_is_brought_and_shown(client, desk):
    answer = bring(client, scene(), "my photo.png")
    assert (answer.status_code, answer.json()["name"]) == (200, "my photo.png")
    id = answer.json()["photo"]
    assert desk._file(id) == (scene(), "my photo.png")
    shown = client.get("/studio/photo", params={"photo": id})
    assert shown.headers["content-type"] == "image/jpeg"
    assert shown.headers["x-content-type-options"] == "nosniff"
    assert "private" in shown.headers["cache-control"]
    assert "content-disposition" not in shown.headers
    assert shown.content == shown_photo(desk.photo(id))


def test_pictures_are_those_of_the_wish(client, desk, photo):
    for wish in (Wish(photo, "colors", target=0), Wish(photo, "colors", "paper", (("foreground_quantile", "0.8"),))):
        found = desk.explanation(wish)
        for address, draw in (("map", shown_objects_map), ("seeds", shown_seeds)):
            answer = client.get(f"/studio/{address}?{wish.query}")
            assert (answer.status_code, answer.headers["content-type"]) == (200, "image/png")
            assert answer.content == draw(found.objects, found.width, found.height)


@pytest.mark.parametrize("kind", ["picture", "mask", "coco"])
def test_files_are_saved_under_the_name_of_the_photo(client, desk, kind):
    wish = Wish(desk.keep(scene(), 'a "b"; c\u732b.png'), "colors", target=0)
    answer = client.get(f"/studio/take/{kind}?{wish.query}")
    ending, media, _ = KINDS[kind]
    assert (answer.status_code, answer.headers["content-type"]) == (200, media)
    name = f'a "b"; c\u732b.{ending}'
    assert answer.headers["content-disposition"] == f"attachment; filename*=UTF-8''{quote(name)}"
    if kind != "coco":  # which has the date in it
        assert answer.content == taken(kind, desk.explanation(wish), desk.name(wish.photo)).content


@pytest.mark.parametrize(
    ("given", "kept"),
    [("../../etc/passwd", "passwd"), ("C:\\Users\\me\\a.png", "a.png"), ("/abs/a.png", "a.png"), ("", "photo"),
     ("..", ".."), ("a/", "a"), ("<img src=x onerror=alert(1)>.png",) * 2, ("a\nb\x1b[31m.png", r"a\nb\x1b[31m.png"),
     ("x" * 5000 + ".png", "x" * (LONGEST_NAME - 4) + ".png"), ("a\u202eb.png", r"a\u202eb.png"), ("\0", r"\x00"),
     ("%s%d", "%s%d")],
    ids=ascii,
)  # fmt: skip
def test_names_are_one_line_without_folders(client, desk, given, kept):
    answer = bring(client, scene(), given)
    assert answer.json()["name"] == kept
    wish = Wish(answer.json()["photo"], "colors", target=0)
    saved = client.get(f"/studio/take/mask?{wish.query}")
    header = saved.headers["content-disposition"]
    assert saved.status_code == 200
    assert not set('\r\n<>"') & set(header)
    assert "/" not in header


def test_a_photo_without_a_name_has_one(client):
    assert client.post("/studio/photos", content=scene()).json()["name"] == "photo"


@pytest.mark.parametrize("content", [b"", b"garbage", b"\x89PNG\r\n\x1a\n", scene()[:99], b"<svg/>"], ids=len)
def test_what_is_no_photo_is_told(client, desk, content):
    assert refused(bring(client, content, "it.png")).startswith("it.png: ")
    assert desk._files.size == 0


def test_a_photo_that_is_too_large_is_told_before_all_of_it_is_there(client, monkeypatch):
    monkeypatch.setattr(desk_module, "MOST_BYTES", 1 << 20)
    sent = []

    def endless():
        for _ in range(64):
            sent.append(1)
            yield b"\0" * (1 << 18)

    assert "expected a photo of at most 1 MB" in refused(client.post("/studio/photos?name=a", content=endless()))


def test_a_body_that_never_ends_is_left(monkeypatch):
    import asyncio

    from starlette.requests import Request

    from deepinside.core.errors import DeepInsideError

    monkeypatch.setattr(desk_module, "MOST_BYTES", 100)
    given = []

    async def receive():
        given.append(1)
        return {"type": "http.request", "body": b"\0" * 30, "more_body": True}

    with pytest.raises(DeepInsideError, match="at most"):
        asyncio.run(module._body(Request({"type": "http", "method": "POST", "headers": []}, receive), "a"))
    assert len(given) == 4


def test_photos_come_by_post_alone(client):
    assert client.get("/studio/photos").status_code == 405
    assert client.post("/studio/photo").status_code == 405


@pytest.mark.parametrize("id", ["nobody's", "", "../../etc/passwd", "/etc/passwd", "\0", "\u732b", "a" * 9999], ids=len)
def test_an_unknown_photo_is_told(client, id):
    for address in ("photo", "map", "seeds", "take/mask"):
        answer = client.get(f"/studio/{address}", params={"photo": id, "model": "colors"})
        assert refused(answer) == desk_module.GONE


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("model=colors", "expected a link with a photo and a model"),
        ("photo={photo}", "expected a link with a photo and a model"),
        ("photo={photo}&model=colors&target=x", "expected a link"),
        ("photo={photo}&model=colors&target=99", "expected a class index from 0 to 2, got 99"),
        ("photo={photo}&model=/etc/passwd", "expected a network of this page (colors), got '/etc/passwd'"),
        ("photo={photo}&model=colors&preset=x", "a preset"),
        ("photo={photo}&model=colors&set.x=1", "a constant of best"),
        ("photo={photo}&model=colors&set.outline.smoothness=nan", "outline.smoothness"),
        ("photo={photo}&model=colors&preset=paper&set.layer=x", "x"),
        ("photo={photo}&model=colors&preset=paper&set.cut.__class__=1", "a constant of paper"),
    ],
)
def test_another_wish_is_told(client, photo, query, message, unchecked):
    for address in ("map", "seeds", "take/mask"):
        assert message in refused(client.get(f"/studio/{address}?{query.format(photo=photo)}"))


def test_an_address_without_a_photo_is_told(client):
    assert refused(client.get("/studio/photo")) == "expected 'photo' in the address, found none"


def test_another_kind_of_file_is_told(client, photo, unchecked):
    wish = Wish(photo, "colors", target=0)
    for kind in ("yolo", "..%2Fmask", "<b>"):
        answer = client.get(f"/studio/take/{kind}?{wish.query}")
        assert answer.status_code == 404 or "a file" in refused(answer)


def test_photos_of_a_run_by_their_keys(client, runs, keys, tmp_path):
    for name in ("a.png", "<b>c.png"):
        answer = client.get(f"/studio/run/0/{keys[name]}")
        assert (answer.status_code, answer.headers["content-type"]) == (200, "image/jpeg")
        shown = np.asarray(Image.open(BytesIO(answer.content))).astype(int)
        own = np.asarray(Image.open(tmp_path / name)).astype(int)
        assert np.abs(shown - own).mean() < 8
    assert "broken.png" in refused(client.get(f"/studio/run/0/{keys['broken.png']}"))
    assert "expected a photo of this run" in refused(client.get("/studio/run/0/123"))
    assert "expected one of 1 runs of this page, got number 2" in refused(client.get(f"/studio/run/1/{keys['a.png']}"))
    for address in ("-1/5", "0/x", "0/../0", "0/1e3"):
        assert client.get(f"/studio/run/{address}").status_code == 404


def test_a_photo_of_a_run_that_is_gone_is_told(client, keys, tmp_path):
    (tmp_path / "a.png").unlink()
    assert "a.png" in refused(client.get(f"/studio/run/0/{keys['a.png']}"))
