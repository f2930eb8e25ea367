"""Every format is a writer."""

from typing import get_type_hints

import pytest

from deepinside.explanations.export import FORMATS
from deepinside.explanations.exports.manifest import Manifest, opened_manifest


@pytest.mark.parametrize("format", list(FORMATS))
def test_a_format_is_a_context_that_yields_how_to_add_a_photo(format, tmp_path):
    assert list(get_type_hints(FORMATS[format])) == ["manifest", "known", "return"]
    with FORMATS[format](Manifest(tmp_path, opened_manifest(tmp_path)), {}) as add:
        assert callable(add)
