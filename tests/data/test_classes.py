"""Training sets as people have them: the same pictures by class, however they are packed."""

import io
import os
import shutil
import tarfile
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from deepinside.core.errors import DeepInsideError
from deepinside.data.classes import read_training_set
from deepinside.data.loading import open_entry


def picture(value):
    stream = io.BytesIO()
    Image.fromarray(np.full((4, 6, 3), value, dtype=np.uint8)).save(stream, "PNG")
    return stream.getvalue()


def write_folders(folder, classes=("ant", "bee"), count=3):
    for number, name in enumerate(classes):
        (folder / name).mkdir(parents=True)
        for i in range(count):
            (folder / name / f"{i}.png").write_bytes(picture(10 * number + i))


def write_tar(path, members):
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


def found(entries):
    """(class, value) of every picture, whatever it lies in."""
    return sorted((entry.label, int(open_entry(entry).pixels[0, 0, 0])) for entry in entries)


EXPECTED = [(0, 0), (0, 1), (0, 2), (1, 10), (1, 11), (1, 12)]


def test_folders(tmp_path):
    write_folders(tmp_path / "train")
    write_folders(tmp_path / "val", count=1)
    data = read_training_set(tmp_path)
    assert [data.labels.name(i) for i in range(2)] == ["ant", "bee"]
    assert found(data.train) == EXPECTED
    assert found(data.validation) == [(0, 0), (1, 10)]


@pytest.mark.parametrize("packed", ["a tar a class", "folders in tars", "webdataset"])
def test_archives_hold_the_same_as_folders(tmp_path, packed):
    pictures = {("ant", i): picture(i) for i in range(3)} | {("bee", i): picture(10 + i) for i in range(3)}
    if packed == "a tar a class":
        for name in ("ant", "bee"):
            members = {f"{i}.png": content for (own, i), content in pictures.items() if own == name}
            write_tar(tmp_path / "train" / f"{name}.tar", members)
    elif packed == "folders in tars":
        for shard in range(3):
            members = {f"x/{name}/{i}.png": content for (name, i), content in pictures.items() if i == shard}
            write_tar(tmp_path / "train" / f"shard-{shard}.tar", members)
    else:
        members = {}
        for (name, i), content in pictures.items():
            members |= {f"{name}{i}.png": content, f"{name}{i}.cls": name.encode()}
        write_tar(tmp_path / "train" / "shard.tar", members)
    write_folders(tmp_path / "val", count=1)
    assert found(read_training_set(tmp_path).train) == EXPECTED


def test_without_validation_a_part_of_each_class_is_held_out(tmp_path):
    write_folders(tmp_path, count=20)
    data = read_training_set(tmp_path, seed=1)
    assert Counter(entry.label for entry in data.validation) == {0: 2, 1: 2}
    assert Counter(entry.label for entry in data.train) == {0: 18, 1: 18}
    assert not set(data.train) & set(data.validation)
    assert read_training_set(tmp_path, seed=1).validation == data.validation
    assert read_training_set(tmp_path, seed=2).validation != data.validation


def test_an_unsorted_mapping_gives_each_class_its_own_name(tmp_path):
    """Folders beside a mapping whose order is not the alphabet's: pictures, names and WordNet ids stay together."""
    write_folders(tmp_path / "train", ("n00000001", "n00000002"))
    write_folders(tmp_path / "val", ("n00000001", "n00000002"), count=1)
    (tmp_path / "LOC_synset_mapping.txt").write_text("n00000002 bee, honeybee\nn00000003 cat\nn00000001 ant\n")
    data = read_training_set(tmp_path)
    assert data.labels.wnids == ("n00000002", "n00000001")
    for entry in (*data.train, *data.validation):
        assert data.labels.wnid(entry.label) == entry.path.parent.name
    assert found(data.validation) == [(data.labels.find("bee"), 10), (data.labels.find("ant"), 0)]


def write_ilsvrc(root):
    write_folders(root / "Data/CLS-LOC/train", ("n00000002", "n00000001"))
    (root / "Data/CLS-LOC/val").mkdir(parents=True)
    for name in ("a", "b", "c"):
        (root / "Data/CLS-LOC/val" / f"{name}.JPEG").write_bytes(picture(7))
    (root / "LOC_synset_mapping.txt").write_text("n00000002 bee, honeybee\nn00000003 cat\nn00000001 ant\n")
    (root / "LOC_val_solution.csv").write_text(
        "ImageId,PredictionString\na,n00000001 0 0 2 2\nb,n00000002 0 0 2 2\nc,n00000009 0 0 1 1\n"
    )


def test_ilsvrc_takes_names_and_order_of_classes_from_its_own_list(tmp_path):
    write_ilsvrc(tmp_path)
    data = read_training_set(tmp_path)
    assert data.labels.wnids == ("n00000002", "n00000001")
    assert data.labels.find("honeybee") == 0
    assert found(data.train) == EXPECTED, "the first class is the list's first, not the alphabet's"
    assert [(entry.path.stem, entry.label) for entry in data.validation] == [("a", 1), ("b", 0)]
    assert data.unlabeled == 1


@pytest.mark.parametrize(("prepare", "message"), [
    (lambda root: None, "expected pictures in one folder per class"),
    (lambda root: write_folders(root, ("ant",)), "at least two classes to tell apart, got only 'ant'"),
    (lambda root: write_folders(root, count=1), "at least two pictures of its class"),
    (lambda root: (root / "x.tar").write_bytes(b"no archive" * 100), "x.tar: expected an uncompressed .tar archive"),
    (lambda root: shutil.rmtree(root), "expected a folder with training pictures, found none"),
])  # fmt: skip
def test_what_is_no_training_set_is_told_in_one_line(tmp_path, prepare, message):
    prepare(tmp_path)
    with pytest.raises(DeepInsideError, match=message) as refused:
        read_training_set(tmp_path)
    assert len(str(refused.value).splitlines()) == 1


@pytest.mark.parametrize("name", ["a.jpg", "a.cls"])
def test_members_that_claim_to_be_large_are_refused_before_they_are_read(tmp_path, name):
    write_folders(tmp_path / "val", count=1)
    (tmp_path / "train").mkdir()
    write_folders(tmp_path / "train")
    member = tarfile.TarInfo(f"ant/{name}")
    member.size = 8 * 2**30
    with open(tmp_path / "train" / "x.tar", "wb") as file:
        file.write(member.tobuf(format=tarfile.GNU_FORMAT))
        file.truncate(member.size + 4096)
    if name == "a.cls":
        with pytest.raises(DeepInsideError, match=r"x\.tar: .*a record claims to have 8589934592 bytes"):
            read_training_set(tmp_path)
        return
    (claim,) = (entry for entry in read_training_set(tmp_path).train if entry.name)
    with pytest.raises(DeepInsideError, match=r"x\.tar/ant/a\.jpg: expected a photo of at most .* got 8589934592"):
        open_entry(claim)


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME])
def test_headers_that_claim_to_be_large_are_refused_before_they_are_read(tmp_path, kind):
    write_folders(tmp_path / "train")
    member = tarfile.TarInfo("x")
    member.size, member.type = 8 * 2**30, kind
    with open(tmp_path / "train" / "x.tar", "wb") as file:
        file.write(member.tobuf(format=tarfile.GNU_FORMAT))
        file.truncate(member.size + 4096)
    with pytest.raises(DeepInsideError, match=r"x\.tar: .*a record claims to have"):
        read_training_set(tmp_path)


def test_sparse_members_are_refused(tmp_path):
    write_folders(tmp_path / "train")
    member = tarfile.TarInfo("ant/a.jpg")
    member.type = tarfile.GNUTYPE_SPARSE
    (tmp_path / "train" / "x.tar").write_bytes(member.tobuf(format=tarfile.GNU_FORMAT) + bytes(2048))
    with pytest.raises(DeepInsideError, match=r"x\.tar: .*ant/a\.jpg is a sparse file"):
        read_training_set(tmp_path)


@pytest.mark.parametrize("make", [
    lambda path: os.mkfifo(path), lambda path: path.symlink_to(path), lambda path: path.symlink_to("/dev/zero"),
])  # fmt: skip
def test_archives_and_pictures_are_regular_files(tmp_path, make):
    write_folders(tmp_path / "train")
    write_folders(tmp_path / "val", count=1)
    make(tmp_path / "train" / "ant" / "odd.jpg")
    (odd,) = (entry for entry in read_training_set(tmp_path).train if entry.path.name == "odd.jpg")
    with pytest.raises(DeepInsideError, match=r"odd\.jpg: expected a photo"):
        open_entry(odd)
    make(tmp_path / "train" / "odd.tar")
    with pytest.raises(
        DeepInsideError, match=r"odd\.tar: expected an uncompressed \.tar archive, found no regular file"
    ):
        read_training_set(tmp_path)


def test_classes_are_named_as_their_folders_with_commas_and_in_any_encoding(tmp_path):
    names = ("Washington, D.C.", "caf\u00e9")
    members = {}
    for number, name in enumerate(names):
        for i in range(3):
            encoded = name.encode("cp1252" if number else "utf-8-sig")
            members |= {f"{number}{i}.png": picture(i), f"{number}{i}.cls": encoded + b"\r\n"}
    write_tar(tmp_path / "a.tar", members)
    labels = read_training_set(tmp_path).labels
    assert [labels.name(index) for index in range(2)] == list(names)


def test_validation_of_other_classes_is_none(tmp_path):
    write_folders(tmp_path / "train")
    write_folders(tmp_path / "val", ("cow", "dog"))
    with pytest.raises(DeepInsideError, match="expected validation pictures of the training classes"):
        read_training_set(tmp_path)


def test_a_class_that_the_list_does_not_name_is_told(tmp_path):
    write_ilsvrc(tmp_path)
    write_folders(tmp_path / "Data/CLS-LOC/train", ("n00000004",))
    with pytest.raises(DeepInsideError, match="a line for every training class, found none for n00000004"):
        read_training_set(tmp_path)
