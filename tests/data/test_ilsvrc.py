"""The solution file of ILSVRC as programs write it; its tree is tested with `read_samples`."""

import pytest
from PIL import Image

from deepinside.core.errors import DeepInsideError
from deepinside.core.geometry import Box
from deepinside.data.ilsvrc import read_ilsvrc


@pytest.fixture
def tree(tmp_path):
    (tmp_path / "Data/CLS-LOC/val").mkdir(parents=True)
    Image.new("RGB", (40, 30)).save(tmp_path / "Data/CLS-LOC/val/v_1.JPEG")
    return tmp_path


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_solutions_and_mappings_in_every_form(tree, encoding, separator):
    rows = f"IMAGEID {separator} PredictionString\r\nv_1{separator} n01440764 0 0 9 19\r\n\r\n"
    (tree / "LOC_val_solution.csv").write_bytes(rows.encode(encoding))
    (tree / "LOC_synset_mapping.txt").write_bytes("n01440764 tench, caf\u00e9\r\n".encode(encoding))
    (sample,) = read_ilsvrc(tree)
    assert [(each.box, each.name, each.index) for each in sample.annotations] == [
        (Box(0, 0, 10, 20), "tench, caf\u00e9", 0)
    ]


def test_rows_without_a_photo_are_named(tree):
    (tree / "LOC_val_solution.csv").write_text(
        "ImageId,PredictionString\n,n01440764 0 0 9 19\nv_1,n01440764 0 0 9 19\n"
    )
    first, second = read_ilsvrc(tree)
    assert "line 2: expected an ImageId, found none" in str(first.error)
    assert second.error is None


def test_other_columns_are_told(tree):
    (tree / "LOC_val_solution.csv").write_text("Id,Boxes\na,b\n")
    with pytest.raises(
        DeepInsideError, match="expected the columns ImageId,PredictionString, found the columns id,boxes"
    ):
        list(read_ilsvrc(tree))
