"""The photo of an explanation: from its file, or from memory."""

import numpy as np
import pytest
from PIL import Image

from deepinside.core.errors import DeepInsideError
from deepinside.core.images import Photo
from deepinside.explanations.originals import photo_of
from exported import save_photo


def test_a_photo_is_read_from_its_file_and_kept_where_there_is_none(tmp_path):
    path = save_photo(tmp_path / "a.png", 60, 40)
    np.testing.assert_array_equal(photo_of(path, 60, 40).pixels, np.asarray(Image.open(path)))
    photo = Photo(Image.new("RGB", (6, 4)))
    assert photo_of(photo, 6, 4) is photo


def test_a_photo_that_is_not_as_it_was_is_an_error(tmp_path):
    with pytest.raises(DeepInsideError, match=r"got one without; add it: dataclasses\.replace"):
        photo_of(None, 6, 4)
    path = save_photo(tmp_path / "a.png", 60, 40)
    with pytest.raises(DeepInsideError, match=r"a\.png: expected .* 40 x 60 pixels, got .* 60 x 40; explain it again"):
        photo_of(path, 40, 60)
    path.unlink()
    with pytest.raises(DeepInsideError, match=r"a\.png"):
        photo_of(path, 60, 40)
