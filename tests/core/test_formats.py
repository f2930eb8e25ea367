"""The declared formats, and room for the pixels in flight."""

import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event, Lock, Timer

import pytest
from PIL import Image, UnidentifiedImageError

from deepinside.core.errors import DeepInsideError
from deepinside.core.formats import (
    LARGEST,
    Room,
    check_size,
    formats,
    is_heif,
    is_picture_name,
    opened,
    reading,
    suffixes,
)


def test_formats_that_run_other_programs_are_not_declared():
    assert {"JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "JPEG2000"} <= set(formats())
    assert not {"EPS", "PDF", "WMF", "PSD", "FPX", "MIC"} & set(formats())


def test_suffixes_are_those_that_pillow_registers_for_the_formats():
    Image.init()
    registered = {suffix for suffix, name in Image.registered_extensions().items() if name in formats()}
    assert registered <= suffixes()
    assert {".eps", ".pdf", ".ps", ".txt", ""}.isdisjoint(suffixes())


def test_picture_names():
    assert is_picture_name("a/b/c.JFIF")
    assert is_picture_name("c.heic")
    assert not is_picture_name(".hidden.jpg")
    assert not is_picture_name("notes.txt")
    assert is_picture_name(os.fsdecode(b"caf\xe9.jpg"))


def test_only_declared_formats_are_opened(tmp_path):
    Image.new("RGB", (4, 4)).save(tmp_path / "a.jpg", format="PCX")
    with pytest.raises(UnidentifiedImageError), opened(tmp_path / "a.jpg"):
        pass


def become_a_pipe(path):
    path.unlink()
    os.mkfifo(path)


def become_a_folder(path):
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize(("become", "told"), [
    (become_a_pipe, "got a pipe or a device"), (become_a_folder, "Is a directory"), (Path.unlink, "found no such file"),
    (lambda path: path.write_bytes(b""), "empty file"),
])  # fmt: skip
@pytest.mark.parametrize("read", [reading, opened])
def test_a_file_that_is_replaced_in_the_moment_before_it_is_opened(tmp_path, monkeypatch, become, told, read):
    path = tmp_path / "a.png"
    Image.new("RGB", (4, 4)).save(path)
    status = Path.stat

    def looked_at(self, **options):
        found = status(self, **options)
        if self == path:
            become(path)
        return found

    monkeypatch.setattr(Path, "stat", looked_at)
    rescue = Timer(20, lambda: os.open(path, os.O_RDWR | os.O_NONBLOCK))  # of one that waits for the pipe
    rescue.start()
    began = time.monotonic()
    with pytest.raises(DeepInsideError, match=told), read(path):
        pass
    rescue.cancel()
    assert time.monotonic() < began + 10


def test_an_open_picture_is_read_to_its_end_whatever_becomes_of_its_name(tmp_path):
    image = Image.linear_gradient("L")
    image.save(tmp_path / "a.bmp")
    with opened(tmp_path / "a.bmp") as found:
        become_a_pipe(tmp_path / "a.bmp")
        assert found.tobytes() == image.tobytes()


def test_a_picture_is_not_mapped_into_memory(tmp_path):
    """As Pillow does with files that it opens itself: if such a file is cut off, the next look kills the process."""
    Image.new("L", (4000, 2000), 7).save(tmp_path / "a.bmp")
    with opened(tmp_path / "a.bmp") as found:
        found.load()
        assert getattr(found, "map", None) is None
        os.truncate(tmp_path / "a.bmp", 2000)
        assert found.tobytes() == b"\7" * 8_000_000


def test_who_may_not_read_a_file_is_told_so(tmp_path, monkeypatch):
    (tmp_path / "a.png").write_bytes(b"x")

    def refused(path, *_):
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(os, "open", refused)  # root may read everything
    with (
        pytest.raises(DeepInsideError, match=r"expected a photo, got none \(Permission denied\)"),
        reading(tmp_path / "a.png"),
    ):
        pass


def test_sizes_of_files():
    assert check_size(5, "a") == 5
    for size, message in ((0, "empty file"), (LARGEST + 1, "at most")):
        with pytest.raises(DeepInsideError, match=message):
            check_size(size, "a")


def test_heads_of_heic_are_not_those_of_avif():
    assert is_heif(b"\0\0\0\x18ftypheic")
    assert not is_heif(b"\0\0\0\x18ftypavif")


def test_room_is_never_exceeded_and_a_single_picture_always_fits():
    room, lock = Room(100), Lock()
    inside: list[int] = []
    most = []

    def take(pixels):
        with room.taken(pixels):
            with lock:
                inside.append(pixels)
                most.append((sum(inside), len(inside)))
            time.sleep(0.002)
            with lock:
                inside.remove(pixels)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(take, [60, 30, 250, 10, 90, 40, 40, 20, 100, 5] * 3))
    assert all(total <= 100 or count == 1 for total, count in most)
    assert max(count for _, count in most) > 1


def test_a_block_inside_of_another_does_not_wait_for_it():
    room = Room(10)
    with room.taken(10), room.taken(10):
        pass
    entered = Event()

    def other():
        with room.taken(10):
            entered.set()

    with ThreadPoolExecutor(1) as pool:
        with room.taken(5):
            waiting = pool.submit(other)
            assert not entered.wait(0.02)
        waiting.result(timeout=5)
    assert entered.is_set()


def test_room_is_given_back_after_an_error():
    room = Room(10)
    for _ in range(2):
        with pytest.raises(ZeroDivisionError), room.taken(10):
            raise ZeroDivisionError
