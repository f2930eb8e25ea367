"""Loading: squares of pictures, exact sums, and the same batches from memory and from files."""

import numpy as np
import pytest
import torch
from PIL import Image

from deepinside.core.errors import DeepInsideError
from deepinside.core.images import Photo
from deepinside.data.classes import Entry
from deepinside.data.loading import READ_TOGETHER, batches, in_turn, merged, shuffled, square, survey

CPU = torch.device("cpu")


@pytest.fixture
def entries(tmp_path):
    rng = np.random.default_rng(0)
    for i in range(7):
        Image.fromarray(rng.integers(0, 256, (10, 10, 3), dtype=np.uint8)).save(tmp_path / f"{i}.png")
    return [Entry(tmp_path / f"{i}.png", i % 2) for i in range(7)]


def surveyed(entries, side=10, **how):
    return merged(survey(entries, side, **how), side)


def pixels_of(entries):
    return np.stack([np.asarray(Image.open(entry.path)) for entry in entries]).transpose(0, 3, 1, 2)


def test_the_mean_image_is_the_mean_of_all_pictures(entries):
    found = surveyed(entries, keep=True)
    expected = pixels_of(entries).astype(np.float64).mean(axis=0)[:, 1:9, 1:9] / 255
    np.testing.assert_allclose(found.mean_image(8).double().numpy(), expected, atol=1e-7)
    assert found.pixels is not None
    np.testing.assert_array_equal(found.pixels.numpy(), pixels_of(entries))


def test_color_axes_are_those_of_the_covariance(entries):
    axes = surveyed(entries, keep=False).color_axes().double().numpy()
    colors = pixels_of(entries).transpose(1, 0, 2, 3).reshape(3, -1) / 255
    np.testing.assert_allclose(axes @ axes.T, np.cov(colors, bias=True), atol=1e-6)


def test_shares_of_several_processes_add_up_exactly(entries):
    whole = surveyed(entries, keep=False)
    parts = merged([surveyed(entries[rank::2], keep=False) for rank in range(2)], 10)
    assert set(parts.entries) == set(whole.entries)
    assert torch.equal(parts.total, whole.total)
    assert torch.equal(parts.products, whole.products)


@pytest.mark.parametrize("keep", [True, False])
def test_a_survey_is_told_batch_by_batch(entries, keep):
    many = entries * (READ_TOGETHER // len(entries) + 1)
    parts = list(survey(many, 10, keep=keep))
    assert [len(part.entries) for part in parts] == [READ_TOGETHER, len(many) - READ_TOGETHER]
    whole = merged(parts, 10)
    assert list(whole.entries) == many
    if keep:
        np.testing.assert_array_equal(whole.pixels.numpy(), pixels_of(many))
    else:
        assert whole.pixels is None


def test_a_process_without_pictures_surveys_nothing():
    nothing = surveyed([], keep=False)
    assert (nothing.entries, nothing.failures, nothing.total.shape) == ((), {}, (3, 10, 10))


def test_pictures_that_cannot_be_read_are_named_and_left_out(entries):
    entries[2].path.write_bytes(b"")
    entries[5].path.write_bytes(entries[5].path.read_bytes()[:60])
    found = surveyed(entries, keep=True)
    assert list(found.entries) == [entry for number, entry in enumerate(entries) if number not in (2, 5)]
    assert [*found.failures] == [str(entries[2].path), str(entries[5].path)]
    assert "empty file" in found.failures[str(entries[2].path)]
    assert torch.equal(found.total, torch.from_numpy(pixels_of(found.entries).astype(np.int64).sum(axis=0)))


def test_every_part_of_a_survey_tells_its_failures(entries):
    missing = [Entry(entries[0].path.with_name(f"no {number}.png"), 0) for number in range(2)]
    many = [missing[0], *entries * (READ_TOGETHER // len(entries) + 1), missing[1]]
    found = surveyed(many, keep=False)
    assert [*found.failures] == [str(entry.path) for entry in missing]
    assert list(found.entries) == many[1:-1]


@pytest.mark.parametrize("workers", [0, 1])
def test_batches_from_files_are_those_from_memory(entries, workers):
    kept = surveyed(entries, keep=True).pixels
    order = shuffled(7, 3, seed=0, epoch=1, rank=0, world_size=1)
    from_memory = list(batches(entries, kept, 10, order, CPU))
    from_files = list(batches(entries, None, 10, order, CPU, workers))
    assert len(from_memory) == len(from_files) == 2
    for (numbers, one), (same_numbers, other) in zip(from_memory, from_files, strict=True):
        assert torch.equal(numbers, same_numbers)
        assert torch.equal(one, other)


def test_a_picture_that_disappears_ends_the_epoch_with_its_name(entries):
    entries[4].path.unlink()
    with pytest.raises(DeepInsideError, match=r"4\.png: expected a photo, found no such file; it could be read before"):
        list(batches(entries, None, 10, in_turn(7, 3, 0, 1), CPU))


def test_a_square_is_the_middle_of_the_photo_on_its_shortest_side():
    wide = np.zeros((10, 30, 3), dtype=np.uint8)
    wide[:, 10:20] = 200
    assert (square(Photo(Image.fromarray(wide)), 10) == 200).all()
    assert square(Photo(Image.fromarray(wide)), 5).shape == (3, 5, 5)


def test_orders_differ_by_epoch_and_leave_out_less_than_a_batch():
    first, second = (shuffled(10, 4, 0, epoch, 0, 1) for epoch in (0, 1))
    assert [len(part) for part in first] == [4, 4]
    assert torch.cat(first).unique().numel() == 8
    assert not torch.equal(torch.cat(first), torch.cat(second))
    assert torch.equal(torch.cat(first), torch.cat(shuffled(10, 4, 0, 0, 0, 1)))


def test_in_turn_every_picture_is_one_processs():
    parts = [torch.cat(in_turn(11, 2, rank, 3)) for rank in range(3)]
    assert sorted(torch.cat(parts).tolist()) == list(range(11))
