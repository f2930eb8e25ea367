"""The order in which photos are looked at."""

from deepinside.archive.review import need


def test_an_unsure_photo_needs_a_person_more():
    assert need([{"top_probability": [0.9, 0.1]}]) < need([{"top_probability": [0.4, 0.3]}])
