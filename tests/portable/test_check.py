import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from deepinside.core.errors import DeepInsideError
from deepinside.core.images import read
from deepinside.portable.check import check, opened


def test_a_file_agrees_with_double_precision(tiny_file, tiny, noise):
    found = check(tiny_file.path, tiny_file.said, tiny, [read(path) for path in noise])
    assert found.photos == 2
    assert 0 < found.typical <= found.largest < 1e-5
    assert 0 < found.own_largest < 1e-5
    assert found.rank_correlation > 0.9999
    assert found.score < 1e-5
    assert found.milliseconds > 0 < found.own_milliseconds
    text = "\n".join(found.lines())
    assert "2 photos against PyTorch in double precision" in text
    assert f"{found.largest:.1e} (median {found.typical:.1e})" in text


def test_a_file_with_other_weights_is_refused(tiny_file, tiny, noise, tmp_path):
    model = onnx.load(tiny_file.path)
    random = np.random.default_rng(0)
    for tensor in model.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if values.dtype == np.float32 and values.ndim == 4:
            tensor.CopyFrom(numpy_helper.from_array(random.permuted(values, axis=1), tensor.name))
    onnx.save(model, tmp_path / "wrong.onnx")
    with pytest.raises(DeepInsideError, match=r"in rank correlation 0\.99 or more, got"):
        check(tmp_path / "wrong.onnx", tiny_file.said, tiny, [read(path) for path in noise])


def test_what_is_no_model_is_told(tmp_path):
    (tmp_path / "a.onnx").write_bytes(b"nothing")
    with pytest.raises(DeepInsideError, match=r"a\.onnx: the exported file is not valid"):
        opened(tmp_path / "a.onnx")
