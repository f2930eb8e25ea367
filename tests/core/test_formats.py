"""The declared formats, and room for the pixels in flight."""

import os
import time
from concurrent.futures import ThreadPoolExecutor
from threading import Event, Lock

import pytest
from PIL import Image, UnidentifiedImageError

from deepinside.core.errors import DeepInsideError
from deepinside.core.formats import LARGEST, Room, check_size, formats, is_heif, is_picture_name, opened, suffixes


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
