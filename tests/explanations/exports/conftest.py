"""The photos that all formats are tested with."""

import pytest

from exported import album_in


@pytest.fixture
def photos(tmp_path):
    return album_in(tmp_path)
